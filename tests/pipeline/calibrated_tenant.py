"""A simulated vendor that is calibrated: its clock, its log and what people see of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.support.runtime import an_account
from worker.config.accounts import FixedAccounts
from worker.control.calibration.asker import Tools
from worker.control.calibration.run import Calibrated, calibrate_in, go_on_in
from worker.domain.account import Account, Secret
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.transport.http import SocketTransport
from worker_simulator.server import running
from worker_simulator.settings import SimulatorSettings

PERSON = "zhangsan"
AGES = (1_600.0, 12_300.0, 700.0, 29_000.0, 42_500.0)
"""Pauses between runs, in seconds: after each of them something more is old enough."""


@dataclass
class Tenant:
    """A simulated vendor, and the outbox beside it."""

    url: str
    database: Database
    clock: DrivenClock
    account: Account
    pauses: list[float] = field(default_factory=list)
    pause: Callable[[float], Any] | None = None
    """What waiting does; None: nothing."""
    eyes: Callable[[str], int | None] | None = None
    """What is answered for what the person sees; None: the truth."""

    def ask(self, name: str, **changes: Any) -> Any:
        """A control call; with changes a POST."""
        with requests.Session() as session:
            session.trust_env = False
            where = f"{self.url}/_control/{name}"
            return (session.post(where, json=changes) if changes else session.get(where)).json()

    def inboxes(self) -> Mapping[str, list[dict[str, Any]]]:
        """The messages that people see."""
        people: dict[str, list[dict[str, Any]]] = self.ask("inbox")["people"]
        return {person: messages for person, messages in people.items() if messages}

    def calls(self) -> int:
        """The calls in the vendor's log."""
        return len(self.ask("calls")["calls"])

    def look(self, text: str) -> int:
        """How many messages with this text the person sees."""
        return sum(text in json.dumps(message["content"]) for message in self.inboxes().get(PERSON, []))

    def advance(self, seconds: float) -> None:
        """Moves the clocks of vendor and database."""
        self.ask("clock", advance_s=seconds)
        self.clock.advance(seconds)

    def run(self, *, looks: bool = True, to: str | None = PERSON) -> Calibrated:
        """One run; without `to` it goes on with the one before."""
        with closing(SocketTransport()) as transport:
            look = (self.eyes or self.look) if looks else lambda text: None
            tools = Tools(transport, "ops", "a trial", look=look, pause=self.pause or self.pauses.append)
            accounts = FixedAccounts([self.account])
            if to is None:
                return go_on_in(self.database, accounts, self.account.name, tools)
            return calibrate_in(self.database, accounts, self.account.name, to, tools)

    def run_to_the_end(self) -> Calibrated:
        """The first run, and all later ones."""
        found = self.run()
        for seconds in AGES:
            self.advance(seconds)
            found = self.run(to=None)
        return found


@contextmanager
def tenant(
    database: Database,
    clock: DrivenClock,
    settings: Mapping[str, Any],
    own: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Iterator[Tenant]:
    """A vendor with these settings; `own` and `fields` are the account's."""
    with running(SimulatorSettings.model_validate(settings)) as url:
        secrets = {"callback": {name: Secret(lambda: "s") for name in ("token", "aes_key")}}
        given = {key: secrets[key] if isinstance(value, dict) else value for key, value in (own or {}).items()}
        yield Tenant(url, database, clock, an_account(base_url=url, settings=given, **fields))


def group(name: str, **values: Any) -> dict[str, Any]:
    """Settings of the simulator, of one group."""
    return {name: values}
