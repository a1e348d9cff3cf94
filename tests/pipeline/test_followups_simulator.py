"""1,500 recipients against the simulated vendor: what is seen, taken back, refused and seen again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.control import control
from tests.support.runtime import RECALL, SEND, Site, an_account, planted
from worker import To, replay
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.transport.http import SocketTransport
from worker_simulator.server import running

pytestmark = pytest.mark.fewer_databases("what the vendor answers is the same on each")
GHOSTS = ["Ghost1", "ghost2", "GHOST3"]
PEOPLE = [f"u{n}" for n in range(1_497)]
MANY = To([*PEOPLE[:700], *GHOSTS, *PEOPLE[700:]])


@pytest.fixture
def url() -> Iterator[str]:
    with running() as address:
        yield address


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock, url: str) -> Iterator[Site]:
    with (
        closing(SocketTransport()) as transport,
        planted(database, driven_clock, accounts=[an_account(base_url=url)], transport=transport) as planted_site,
    ):
        yield planted_site


def seen(url: str) -> dict[str, list[dict[str, Any]]]:
    people: dict[str, list[dict[str, Any]]] = control(url, "inbox")["people"]
    return people


def made(url: str, path: str) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = control(url, f"calls?path={path}")["calls"]
    return calls


def test_1500_recipients_are_two_calls_and_one_partial_job_that_can_be_taken_back(site: Site, url: str) -> None:
    """Three of them do not exist: listed as written; 1,497 see it, and after the recall nobody does."""
    job = site.send("to all", to=MANY)
    site.run()
    shown = seen(url)
    recall = site.recall(job)
    site.run()

    row = site.job(job)
    assert (len(made(url, SEND)), row.state, row.asked) == (2, "partial", 1_500)
    assert sorted(GHOSTS) == sorted(failure.recipient for failure in site.of("failures", job))
    assert set(PEOPLE) == {user for user, messages in shown.items() if messages}
    assert [said.text for said in site.told if said.job_id == job and said.state] == ["partial, 3 refused"]
    assert (site.job(recall).state, len(made(url, RECALL))) == ("accepted", 2)
    assert {message["state"] for messages in seen(url).values() for message in messages} == {"recalled"}
    assert [receipt.recalled_at is not None for receipt in site.of("receipts", job)] == [True, True]


def test_a_card_with_the_callers_task_id_reaches_1500_once_and_again_when_replayed(site: Site, url: str) -> None:
    """Each call gets a task_id of its own; a used one is refused; a replay is seen again."""
    everybody = To([f"u{n}" for n in range(1_500)])
    card = site.card(to=everybody, task_id="leave-7")
    site.run()
    once = seen(url)
    used = site.card(to="lisi", task_id="leave-7")
    site.run()
    with site.database.writing() as connection:
        again = replay(connection, card, accepted=True, unknown=True, accounts=site.accounts).id
    site.run()

    assert site.job(card).state == "accepted"
    assert (len(once), {len(messages) for messages in once.values()}) == (1_500, {1})
    assert site.job(used).state == "rejected"
    assert "42014" in site.part(used).reason
    assert site.job(again).state == "accepted"
    twice = seen(url)
    assert {len(messages) for messages in twice.values() if messages} == {2}
    assert "lisi" not in twice or not twice["lisi"]
    assert len({message["task_id"] for messages in twice.values() for message in messages}) == 4
