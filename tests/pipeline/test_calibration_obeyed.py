"""What a calibration found is obeyed: the worker with the account's new settings, against the same vendor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.pipeline.calibrated_tenant import Tenant, tenant
from tests.support.runtime import RECALL, Site, an_account, planted
from worker import Text
from worker.channels.wecom_app import ButtonCard
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.transport.http import SocketTransport

pytestmark = pytest.mark.fewer_databases("what the vendor answers is the same on each")
SEND = "/cgi-bin/message/send"
Told = tuple[int, str]
"""How many calls were made, and what became of the part."""


@contextmanager
def worker_beside(database: Database, clock: DrivenClock, settings: Mapping[str, Any]) -> Iterator[tuple[Tenant, Site]]:
    """A vendor that was calibrated, and a worker whose account has what was found."""
    with tenant(database, clock, settings) as vendor, closing(SocketTransport()) as transport:
        account = an_account(base_url=vendor.url, settings=vendor.run_to_the_end().settings)
        with planted(database, clock, accounts=[account], transport=transport) as site:
            yield vendor, site


def after_a_lost_answer(vendor: Tenant, site: Site, path: str, job: Callable[[], str]) -> Told:
    """The calls of a job whose first answer is lost, a minute later."""
    vendor.ask("faults", match={"path": path}, times=1, action={"cut_response_after": 10})
    before, made = vendor.calls(), job()
    site.run()
    site.advance(60)
    vendor.ask("clock", advance_s=60)
    site.recover()
    site.run()
    return vendor.calls() - before, site.state(made)


def a_card(site: Site) -> str:
    card = ButtonCard(main_title={"title": "leave"}, button_list=[{"text": "ok", "key": "ok"}])
    return site.ask(card, account="hr")


def a_text(site: Site) -> str:
    return site.ask(Text(content="hello"), account="hr")


HELD, REPEATED = (1, "unknown"), (2, "accepted")
LOST = [
    ({"task_id_reserved_s": 30}, a_card, HELD),
    ({"task_id_reserved_s": 100_000}, a_card, REPEATED),
    ({"duplicate": {"longest_s": 0}}, a_text, HELD),
    ({"duplicate": {"longest_s": 14_400}}, a_text, REPEATED),
]


@pytest.mark.parametrize(("settings", "job", "expected"), LOST)
def test_what_the_vendor_does_not_remember_is_not_repeated(
    database: Database,
    driven_clock: DrivenClock,
    settings: Mapping[str, Any],
    job: Callable[[Site], str],
    expected: Told,
) -> None:
    """A card or text in doubt is held where a repeat would be a second one, and repeated where it is none."""
    with worker_beside(database, driven_clock, settings) as (vendor, site):
        assert expected == after_a_lost_answer(vendor, site, SEND, lambda: job(site))


@pytest.mark.parametrize("twice_code", [0, 40050])
def test_the_code_of_a_second_recall_means_taken_back(
    database: Database, driven_clock: DrivenClock, twice_code: int
) -> None:
    """After a recall without an answer, whichever code the tenant has."""
    with worker_beside(database, driven_clock, {"recall": {"twice_code": twice_code}}) as (vendor, site):
        sent = a_text(site)
        site.run()

        assert REPEATED == after_a_lost_answer(vendor, site, RECALL, lambda: site.recall(sent))


@pytest.mark.parametrize(("window_s", "expected"), [(60_000, ("rejected", [])), (86_400, ("accepted", [0]))])
def test_a_recall_beyond_the_window_is_not_called(
    database: Database, driven_clock: DrivenClock, window_s: int, expected: tuple[str, list[int]]
) -> None:
    """After 50,000 s, where messages of 43,600 s were taken back, and others of a day were not."""
    with worker_beside(database, driven_clock, {"recall": {"window_s": window_s}}) as (vendor, site):
        sent = a_text(site)
        site.run()
        vendor.ask("clock", advance_s=50_000)
        site.advance(50_000)
        before = len(vendor.ask("calls")["calls"])
        recall = site.recall(sent)
        site.run()
        made = [call["answer"]["errcode"] for call in vendor.ask("calls")["calls"][before:] if call["path"] == RECALL]

        assert expected == (site.state(recall), made)
