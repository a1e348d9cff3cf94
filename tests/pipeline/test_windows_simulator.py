"""Two equal messages and a lost answer, against the simulated vendor under every reading of its duplicate check."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from typing import Any

import pytest
import requests

from tests.support.runtime import Site, an_account, planted
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.transport.http import SocketTransport
from worker_simulator.server import running

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SEND = "/cgi-bin/message/send"
READINGS = [
    dict(zip(("compare", "refused_counts", "unflagged_counts", "answers", "repeat_extends"), values, strict=True))
    for values in product(
        ("bytes", "flagless"), (False, True), (False, True), ("first_msgid", "new_msgid", "no_msgid"), (False, True)
    )
]
"""What the vendor may mean by "the same request": all that it left open."""
SOME = READINGS[::5]
"""With each answer to each question; the seeds draw from all."""

LOST = {
    "request lost": {"cut_request_after": 160},
    "answer lost": {"cut_response_after": 20},
    "refused as busy": {"answer": {"errcode": -1}},
    "refused, then lost": {"answer": {"errcode": 6000}},
    "refused for its token": {"answer": {"errcode": 42001}},
    "refused for a limit": {"answer": {"errcode": 45009}},
}


class Vendor:
    """The simulator's control."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False

    def control(self, method: str, name: str, body: Any = None, **query: Any) -> Any:
        reply = self.session.request(method, f"{self.url}/_control/{name}", json=body, params=query, timeout=60)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def begin(self, reading: dict[str, Any], *faults: dict[str, Any]) -> None:
        self.control("POST", "reset", {"settings": {"duplicate": reading, "keep_calls": 1000}})
        if faults:
            self.control("POST", "faults", list(faults))

    def shown(self, user: str = "lisi") -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.control("GET", "inbox", user=user)["messages"]
        return messages


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    with running() as url:
        client = Vendor(url)
        yield client
        client.session.close()


def fault(nth: int, action: dict[str, Any]) -> dict[str, Any]:
    return {"match": {"path": SEND, "nth": nth}, "action": action}


def settled(site: Site, vendor: Vendor, jobs: list[str]) -> None:
    """Everything that can happen by itself has happened: repeats, holds, retries, the probe of a parked account."""
    for _ in range(36):
        site.run()
        parts = [site.part(job) for job in jobs]
        if all(part.state not in ("queued", "sending") and part.not_before is None for part in parts):
            return
        site.advance(26)
        vendor.control("POST", "clock", {"advance_s": 26})
        site.recover()
    raise AssertionError([vars(part) for part in parts])


def check(vendor: Vendor, site: Site, jobs: list[str], case: Any) -> None:
    """Nobody is told "accepted" about a message no one sees, and nobody sees more than was asked for."""
    states = [site.state(job) for job in jobs]
    shown = len(vendor.shown())
    unknown = states.count("unknown")
    assert set(states) <= {"accepted", "unknown"}, (case, states)
    assert shown <= len(jobs), (case, states, shown)
    assert shown + unknown >= len(jobs), (case, states, shown)
    assert shown >= states.count("accepted"), (case, states, shown)


@pytest.mark.fewer_databases("readings of the vendor; histories drawn from them run on each")
@pytest.mark.parametrize("lost", list(LOST))
def test_two_equal_messages_are_two_or_one_and_an_unknown(
    sqlite_database: Database, driven_clock: DrivenClock, vendor: Vendor, lost: str
) -> None:
    """Ten seconds apart, the first one's request or answer lost: whatever the vendor compares, never one in silence."""
    accounts = [an_account(base_url=vendor.url)]
    with (
        closing(SocketTransport()) as transport,
        planted(sqlite_database, driven_clock, accounts=accounts, transport=transport) as site,
    ):
        for n, reading in enumerate(SOME):
            faults = [fault(1, LOST[lost])]
            if lost == "refused, then lost":
                faults.append(fault(1, {"cut_response_after": 20}))
            vendor.begin(reading, *faults)
            site.sql("delete from worker_processes where alive_until < (select max(alive_until) from worker_processes)")
            site.forget_tokens()

            jobs = [site.send(f"same {n}")]
            site.run()
            site.advance(10)
            vendor.control("POST", "clock", {"advance_s": 10})
            jobs.append(site.send(f"same {n}"))
            settled(site, vendor, jobs)

            check(vendor, site, jobs, (lost, reading))


@pytest.mark.fewer_databases("readings of the vendor once more; histories with such messages run on each")
@pytest.mark.parametrize("checks", [(True, True), (False, True), (True, False), (False, False, True)])
def test_an_equal_message_without_the_check_costs_no_other_message(
    sqlite_database: Database, driven_clock: DrivenClock, vendor: Vendor, checks: tuple[bool, ...]
) -> None:
    """Whatever options each message has and whichever calls the vendor counts: all are asked for, and all are seen."""
    accounts = [an_account(base_url=vendor.url)]
    with (
        closing(SocketTransport()) as transport,
        planted(sqlite_database, driven_clock, accounts=accounts, transport=transport) as site,
    ):
        for n, reading in enumerate(SOME):
            vendor.begin(reading)
            site.forget_tokens()
            jobs = []
            for check_it in checks:
                jobs.append(site.send(f"same {n}", duplicate_check=check_it))
                site.run()

            settled(site, vendor, jobs)

            assert (["accepted"] * len(checks), len(checks)) == (
                [site.state(job) for job in jobs],
                len(vendor.shown()),
            ), reading


@pytest.mark.parametrize("seed", range(2))
def test_random_histories_of_equal_messages_lose_none_in_silence(
    database: Database, driven_clock: DrivenClock, vendor: Vendor, seed: int
) -> None:
    """Three to five equal messages, any call lost, cut or refused, any reading: the same holds."""
    rng = random.Random(seed)
    accounts = [an_account(base_url=vendor.url)]
    with (
        closing(SocketTransport()) as transport,
        planted(database, driven_clock, accounts=accounts, transport=transport, seed=seed) as site,
    ):
        for n in range(6):
            reading = rng.choice(READINGS)
            struck = sorted(rng.sample(range(1, 9), rng.randint(1, 4)))
            actions = [rng.choice(list(LOST.values())) for _ in struck]
            vendor.begin(reading, *[fault(nth, action) for nth, action in zip(struck, actions, strict=True)])
            site.forget_tokens()

            jobs = []
            for _ in range(rng.randint(3, 5)):
                jobs.append(site.send(f"same {seed} {n}", duplicate_check=rng.random() < 0.7))
                if rng.random() < 0.6:
                    site.run()
                if rng.random() < 0.3:
                    site.advance(26)
                    vendor.control("POST", "clock", {"advance_s": 26})
                    site.recover()
            settled(site, vendor, jobs)

            check(vendor, site, jobs, (reading, struck, actions))
