"""Where a vendor takes one of equal bodies at a time: one part has the seat, on every database and after every end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from tests.support.runtime import Site, planted
from tests.support.waiting import until_waiting
from worker.domain.job import part_id
from worker.domain.outcome import Accepted, CallReceipt, Retry, Unknown, Verdict
from worker.domain.settle import Policy
from worker.outbox.commit.commands import CallEnd, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.processes import renew_heartbeat

SECOND = 1_000_000
POLICY = Policy()


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def wish(job: str, claim: int = 0, alone: str | None = "body", process: str = "p1") -> Mark:
    return Mark(part_id(job, 0), claim, process, 20 * SECOND, exclusive_key=alone)


def marked(site: Site, *wishes: Mark) -> list[bool]:
    calls = commit(site.database, wishes, POLICY).calls
    return [wish in calls for wish in wishes]


def end(site: Site, job: str, outcome: object, claim: int = 1) -> None:
    commit(site.database, [CallEnd(part_id(job, 0), claim, "p1", Verdict(outcome), 5)], POLICY)  # type: ignore[arg-type]


def test_the_second_waits_while_the_first_is_in_flight(site: Site) -> None:
    """Queued as before, due half a second later, whoever marked the first; another body goes meanwhile."""
    first, second, third = site.send("a"), site.send("b"), site.send("c")

    replies = [
        *marked(site, wish(first)),
        *marked(site, wish(second, process="p2")),
        *marked(site, wish(third, alone="another")),
    ]

    assert replies == [True, False, True]
    waiting = site.part(second)
    assert (waiting.state, waiting.claim, waiting.reason) == ("queued", 0, "an equal message is in flight")
    assert site.clock.micros + SECOND // 2 == waiting.not_before


def test_two_in_one_batch_go_one_after_the_other(site: Site) -> None:
    """Two senders of a process that meet in one transaction."""
    first, second = site.send("a"), site.send("b")

    assert marked(site, wish(first), wish(second)) == [True, False]


@pytest.mark.parametrize("outcome", [Accepted(CallReceipt()), Retry("busy"), Unknown("cut")])
def test_every_end_frees_the_seat(site: Site, outcome: object) -> None:
    """Answered, refused or in doubt: it is no longer in flight, and the third waits for the second then."""
    first, second, third = site.send("a"), site.send("b"), site.send("c")
    marked(site, wish(first))
    end(site, first, outcome)

    assert marked(site, wish(second)) == [True]
    assert marked(site, wish(third)) == [False]


def test_an_end_in_the_same_batch_frees_it(site: Site) -> None:
    """A result is written before the next mark."""
    first, second = site.send("a"), site.send("b")
    marked(site, wish(first))

    mark = wish(second)
    end = CallEnd(part_id(first, 0), 1, "p1", Verdict(Accepted(CallReceipt())), 5)
    done = commit(site.database, [mark, end], POLICY)

    assert mark in done.calls


def test_who_had_the_seat_may_have_it_again(site: Site) -> None:
    """A retry does not wait for itself, but for who took it meanwhile."""
    first, second = site.send("a"), site.send("b")
    marked(site, wish(first))
    end(site, first, Retry("busy"))
    marked(site, wish(second))

    assert marked(site, wish(first, claim=1)) == [False]
    end(site, second, Accepted(CallReceipt()))
    assert marked(site, wish(first, claim=1)) == [True]


def test_the_dead_keep_no_seat(site: Site) -> None:
    """Recovery finds the process dead and its part in doubt: then the other one goes."""
    first, second = site.send("a"), site.send("b")
    with site.database.writing() as connection:
        renew_heartbeat(
            connection, site.database.now, "dead", lease_us=10 * SECOND, threads=4, host="h", pid=1, lanes="{}"
        )
    before = [*marked(site, wish(first, process="dead")), *marked(site, wish(second))]
    for _ in range(30):
        site.advance(1)
        site.recover()

    assert before == [True, False]
    assert site.state(first) == "unknown"
    assert marked(site, wish(second)) == [True]


def at_once(site: Site, *wishes: Mark) -> list[bool]:
    """Each in a transaction of its own; how they were answered, whoever was first."""
    replies: list[bool] = []
    threads = [threading.Thread(target=lambda one=one: replies.extend(marked(site, one))) for one in wishes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return sorted(replies)


@pytest.mark.fewer_databases("on SQLite one transaction writes at a time")
def test_of_two_transactions_that_wait_for_the_seat_one_gets_it(server_database: Database) -> None:
    """The second reads under the lock that the first one's part is in flight."""
    with planted(server_database, DrivenClock()) as site:
        zero, first, second = (site.send(one) for one in "abc")
        marked(site, wish(zero))
        end(site, zero, Accepted(CallReceipt()))
        replies: list[bool] = []
        with server_database.writing() as holder:
            holder.execute(text("select id from worker_duplicates for update"))
            wishes = (wish(first), wish(second, process="p2"))
            thread = threading.Thread(target=lambda: replies.extend(at_once(site, *wishes)))
            thread.start()
            until_waiting(server_database, 2)
        thread.join(120)

        assert replies == [False, True]
        assert sorted([site.state(first), site.state(second)]) == ["queued", "sending"]


@pytest.mark.fewer_databases("on SQLite one transaction writes at a time")
def test_of_two_that_are_the_first_to_send_a_body_one_gets_the_seat(server_database: Database) -> None:
    """No row of it is there yet; whoever makes it has it."""
    with planted(server_database, DrivenClock()) as site:
        for n in range(10):
            first, second = (site.send(f"{n} {one}") for one in "ab")

            replies = at_once(site, wish(first, alone=f"new {n}"), wish(second, alone=f"new {n}", process="p2"))

            assert replies == [False, True]
