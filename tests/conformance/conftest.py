"""A site for each channel: the whole runtime, on each database; a driven clock, and the vendor simulated over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from tests.conformance.case import Asked, Case
from tests.conformance.cases import CASES
from tests.conformance.exceptions import EXCEPTIONS
from tests.support.runtime import Site, planted
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.transport.http import SocketTransport
from worker_simulator.server import running
from worker_simulator.settings import SimulatorSettings

OWN, OTHER, TIGHT = "own", "other", "tight"
"""Accounts of every case; `tight` may send two messages a minute."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test asks every channel, save for the rows of the table of exceptions."""
    if "case" not in metafunc.fixturenames:
        return
    left_out = {(row.channel, row.test) for row in EXCEPTIONS}
    asked = [case for case in CASES if (case.channel, metafunc.function.__name__) not in left_out]
    metafunc.parametrize("case", asked, ids=[case.channel for case in asked])


@dataclass
class Stand:
    """A site, its vendor's address, and the channel's case."""

    site: Site
    url: str
    case: Case

    def send(self, n: int = 0, account: str = OWN, **options: object) -> str:
        """The n-th message of the case."""
        return self.ask(self.case.send(n), account, **options)

    def ask(self, asked: Asked, account: str = OWN, **options: object) -> str:
        """Any message of the case."""
        message, to = asked
        return self.site.ask(message, to, account=account, **options)

    def seen(self) -> list[str]:
        """What arrived."""
        return self.case.seen(self.url)


@pytest.fixture
def stand(database: Database, driven_clock: DrivenClock, case: Case) -> Iterator[Stand]:
    """The channel's site."""
    with (
        running(SimulatorSettings.model_validate(case.settings)) as url,
        closing(SocketTransport()) as transport,
        planted(
            database,
            driven_clock,
            accounts=[case.account(name, url) for name in (OWN, OTHER, TIGHT)],
            transport=transport,
        ) as site,
    ):
        yield Stand(site, url, case)
