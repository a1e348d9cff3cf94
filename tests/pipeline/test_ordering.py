"""order_key: parts of one account and key go one at a time, by (due_at, job, n), whoever fails, dies or rings twice."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.support.housekeeping import keep_house
from tests.support.runtime import Site, an_account, busy, lost, planted, refused
from tests.support.waiting import until_waiting
from worker import CheckFailed, NewJob, NotReplayable, Text, enqueue_many, replay
from worker.config.accounts import FixedAccounts
from worker.config.settings import RetentionSettings
from worker.domain import settle
from worker.domain.job import part_id
from worker.domain.outcome import Accepted, CallReceipt, Outcome, Partial, Rejected, Retry, Unknown, Verdict
from worker.domain.pacing.lane import LaneBlock
from worker.domain.settle import FOREVER, WAITS_ITS_TURN, Policy
from worker.outbox import tables
from worker.outbox.commit.commands import CallEnd, Change, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs import jobs, order_queue
from worker.outbox.lanes.lanes import change_lanes
from worker.producer.resend import skip

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000
POLICY = Policy()
OK = Accepted(CallReceipt("m1"))
BUSY = 6000
"""A readable refusal that is tried again."""


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock, threads=4) as planted_site:
        yield planted_site


def ordered(site: Site, count: int, key: str = "k", **options: Any) -> list[str]:
    return [site.send(f"{key}{n}", order_key=key, **options) for n in range(count)]


def mark(site: Site, job: str, claim: int = 0, n: int = 0, who: str = "p1") -> bool:
    wish = Mark(part_id(job, n), claim, who, 20 * SECOND)
    return wish in commit(site.database, [wish], POLICY).calls


def end(site: Site, job: str, outcome: Outcome = OK, claim: int = 1, n: int = 0, policy: Policy = POLICY) -> None:
    commit(site.database, [CallEnd(part_id(job, n), claim, "p1", Verdict(outcome, 0), 5, delay_s=30.0)], policy)


def offered(site: Site, seconds: float = 0.3) -> list[str]:
    """What a few turns publish."""
    for _ in range(3):
        site.advance(seconds)
        site.relay.lead()
        site.relay.full_scan()
        site.relay.turn()
    rings, site.rings[:] = list(site.rings), []
    return [part for ring in rings for part in ring.ids]


def said(site: Site) -> list[str]:
    return [body["text"]["content"] for body in site.bodies()]


def sleeps(site: Site, job: str, n: int = 0) -> bool:
    part = site.part(job, n)
    return (part.state, part.not_before, part.reason) == ("queued", FOREVER, WAITS_ITS_TURN)


# -- one at a time ----------------------------------------------------------------------------------------------------


def test_parts_of_a_key_are_sent_in_order_one_after_the_other(site: Site) -> None:
    """Whatever lane and priority they have; two keys do not wait for each other."""
    for n, priority in enumerate(["bulk", "normal", "urgent", "normal"]):
        site.send(f"a{n}", order_key="a", priority=priority)
        site.send(f"b{n}", order_key="b", priority=priority)

    site.run()

    assert [f"a{n}" for n in range(4)] == [text for text in said(site) if text.startswith("a")]
    assert [f"b{n}" for n in range(4)] == [text for text in said(site) if text.startswith("b")]


def test_only_the_first_of_a_key_is_offered(site: Site) -> None:
    """The others sleep, out of the way of whatever else the lane has to send, and are woken one by one."""
    jobs, free = ordered(site, 3), site.send("free")

    first = offered(site)
    asleep = [sleeps(site, job) for job in jobs]
    site.ring(jobs[0])
    second = offered(site)

    assert {part_id(jobs[0], 0), part_id(free, 0)} == set(first)
    assert asleep == [False, True, True]
    assert [part_id(jobs[1], 0)] == second


@pytest.mark.every_database
def test_the_next_is_woken_by_the_transaction_that_ends_the_one_before(site: Site) -> None:
    """There is no instant at which nobody of an order is due."""
    first, second = ordered(site, 2)
    offered(site)
    mark(site, first)
    site.advance(7)

    end(site, first)

    assert (site.clock.micros, None, None) == (
        site.part(second).not_before,
        site.part(second).offered_until,
        site.part(second).reason,
    )


def test_an_id_that_rang_out_of_turn_is_not_marked(site: Site) -> None:
    """It sleeps instead, is no attempt, and goes when its turn has come."""
    first, second = ordered(site, 2)

    early = mark(site, second)
    asleep, claim = sleeps(site, second), site.part(second).claim
    in_turn = mark(site, first)
    still_early = mark(site, second)
    end(site, first)
    late = mark(site, second)

    assert [early, in_turn, still_early, late] == [False, True, False, True]
    assert (asleep, claim) == (True, 0)


@pytest.mark.every_database
def test_end_and_next_mark_in_one_group_commit(site: Site) -> None:
    """Ends come first, so the next one need not wait for another transaction."""
    first, second = ordered(site, 2)
    mark(site, first)
    wish = Mark(part_id(second, 0), 0, "p1", 20 * SECOND)

    end = CallEnd(part_id(first, 0), 1, "p1", Verdict(OK, 0), 5)
    done = commit(site.database, [wish, end], POLICY)

    assert wish in done.calls


def test_a_mark_that_ends_its_part_wakes_the_next(site: Site) -> None:
    """Past its expires_at the first one never goes: the second is due in the same transaction."""
    first = site.send("k0", order_key="k", expires_at=timedelta(seconds=60))
    second = site.send("k1", order_key="k")
    mark(site, second)
    site.advance(61)

    expired = mark(site, first)

    assert not expired
    assert ("expired", site.clock.micros) == (site.state(first), site.part(second).not_before)


def test_pieces_of_a_split_text_go_in_order(site: Site) -> None:
    """Parts of one job are ordered by their number, tenth after ninth."""
    text = "\n".join(f"#{n:04d}{'x' * 1_900}" for n in range(11))
    site.send(text, order_key="k", overflow="split")

    site.run(60)

    assert list(range(11)) == [int(number) for piece in said(site) for number in re.findall(r"#(\d{4})", piece)]
    assert len(said(site)) > 10


def test_due_at_comes_before_the_order_of_asking(site: Site) -> None:
    """What is due earlier goes first, also when it was asked for later; a planned one keeps nobody waiting."""
    site.send("later", order_key="k", due_at=timedelta(seconds=60))
    site.send("now", order_key="k")
    site.run()
    before = said(site)
    site.advance(60)
    site.run()

    assert (before, said(site)) == (["now"], ["now", "later"])


def test_who_has_begun_is_not_overtaken_by_what_is_due_earlier(site: Site) -> None:
    """A retry waits its backoff, and everything of its key with it."""
    begun = site.send("begun", order_key="k", due_at=timedelta(seconds=5))
    site.advance(5)
    mark(site, begun)
    earlier = site.send("earlier", order_key="k", due_at=site_instant(site, -10))
    while_in_flight = mark(site, earlier)
    end(site, begun, Retry("again"))
    in_backoff = mark(site, earlier)
    offers = offered(site)

    end_of_backoff = mark(site, begun, claim=1)
    end(site, begun, claim=2)

    assert [while_in_flight, in_backoff, end_of_backoff] == [False, False, True]
    assert offers == []
    assert mark(site, earlier)


def test_a_due_time_before_1970_overtakes_nobody_either(site: Site) -> None:
    """Some write a time long ago for: at once."""
    begun = site.send("begun", order_key="k")
    mark(site, begun)
    earlier = site.send("earlier", order_key="k", due_at=datetime(1900, 1, 1, tzinfo=UTC))

    while_in_flight = mark(site, earlier)
    end(site, begun)

    assert not while_in_flight
    assert mark(site, earlier)


def site_instant(site: Site, seconds: float) -> Any:
    return datetime.fromtimestamp(site.clock.micros / SECOND + seconds, UTC)


def test_who_has_not_begun_lets_pass_what_is_due_earlier(site: Site) -> None:
    """It was woken, or offered, and no byte of it has left: the order holds."""
    first = site.send("k", order_key="k")
    offered(site)
    earlier = site.send("earlier", order_key="k", due_at=site_instant(site, -10))

    late = mark(site, first)
    early = mark(site, earlier)

    assert (late, early) == (False, True)


def test_accounts_with_the_same_key_do_not_wait_for_each_other(site: Site) -> None:
    """A key is the account's."""
    site.vendor.says(*[refused(BUSY)] * 2)
    mine, others = site.send("mine", order_key="k"), site.send("others", order_key="k", account="it")

    assert [mark(site, mine), mark(site, others)] == [True, True]


# -- ends and gaps ----------------------------------------------------------------------------------------------------

ENDS = [
    pytest.param(OK, True, True, id="accepted"),
    pytest.param(Partial(CallReceipt("m1"), ()), True, True, id="partial"),
    pytest.param(Rejected("no"), True, True, id="rejected"),
    pytest.param(Retry("again"), False, True, id="exhausted"),
    pytest.param(Unknown("cut", held=True), False, True, id="unknown, held"),
    pytest.param(Unknown("cut"), False, False, id="unknown, to be repeated"),
]


@pytest.mark.parametrize("on_gap", ["wait", "skip"])
@pytest.mark.parametrize(("outcome", "goes_on", "goes_on_when_skipped"), ENDS)
def test_what_an_end_means_for_those_behind(
    site: Site, outcome: Outcome, goes_on: bool, goes_on_when_skipped: bool, on_gap: str
) -> None:
    """A gap nobody has decided about keeps the others waiting, unless its job says that a gap does not matter."""
    first = site.send("k0", order_key="k", on_gap=on_gap)
    [second] = ordered(site, 1)
    mark(site, second)
    mark(site, first)

    end(site, first, outcome, policy=Policy(attempts=1))

    assert (goes_on_when_skipped if on_gap == "skip" else goes_on) == (not sleeps(site, second))
    assert sleeps(site, second) != mark(site, second)


def test_a_cancelled_or_expired_one_lets_the_next_go(site: Site) -> None:
    """Also in the middle of the line, and asleep."""
    jobs = ordered(site, 4)
    offered(site)
    stop = [Change(part_id(job, 0), lambda part, now: settle.cancel(part, "no")) for job in jobs[:2]]
    commit(site.database, stop, POLICY)

    assert [part_id(jobs[2], 0)] == offered(site)
    assert [site.state(job) for job in jobs[:2]] == ["cancelled", "cancelled"]


def test_a_person_lets_the_others_go_on(site: Site) -> None:
    """`worker skip`: the held one stays what it is; a second time there is nobody to let go."""
    first, second = ordered(site, 2)
    mark(site, second)
    mark(site, first)
    end(site, first, Unknown("cut", held=True))

    passed = skip(site.database, first)

    assert ([part_id(first, 0)], "unknown") == (passed, site.state(first))
    assert mark(site, second)
    with pytest.raises(NotReplayable, match="no job waits for job") as told:
        skip(site.database, first)
    assert first == told.value.job


def test_what_is_in_flight_or_unordered_is_not_skipped(site: Site) -> None:
    """Its end is near; and a job without a key keeps nobody waiting."""
    first, free = ordered(site, 1)[0], site.send("free")
    mark(site, first)

    for job in (first, free):
        with pytest.raises(NotReplayable, match="no job waits for job"):
            skip(site.database, job)


@pytest.mark.every_database
@pytest.mark.parametrize("scope", ["lane", "account"])
@pytest.mark.parametrize(("on_gap", "goes_on"), [("wait", False), ("skip", True)])
def test_a_parked_one_keeps_its_order_waiting_unless_it_may_be_skipped(
    site: Site, scope: str, on_gap: str, goes_on: bool
) -> None:
    """The card's lane is parked, the text's is not; what was skipped goes when its lane is opened."""
    card = site.card(order_key="k", on_gap=on_gap)
    text = site.send("k1", order_key="k")
    lane = site.part(card).lane
    offered(site)
    block = LaneBlock(lane if scope == "lane" else "hr", "label", 600.0, "why", "do", parked=True)
    with site.database.writing() as connection:
        change_lanes(connection, site.database.now, [block])

    site.recover()

    assert goes_on == (not sleeps(site, text))
    assert goes_on == mark(site, text)
    assert mark(site, card)


def test_none_sleeps_that_was_skipped_with_its_parked_lane(site: Site) -> None:
    """The second of three slept behind the first, and outside of the order nobody would wake it any more."""
    jobs = ordered(site, 3, on_gap="skip")
    offered(site)
    slept = [sleeps(site, job) for job in jobs]
    block = LaneBlock("hr", "label", 600.0, "why", "do", parked=True)
    with site.database.writing() as connection:
        change_lanes(connection, site.database.now, [block])

    site.recover()

    assert (slept, [sleeps(site, job) for job in jobs]) == ([False, True, True], [False] * 3)


def test_what_ends_behind_the_back_of_the_line_is_found(site: Site) -> None:
    """A worker of the release before ends the first one and knows nothing of lines; nor does one who deletes rows."""
    first, second, third = ordered(site, 3)
    offered(site)
    site.sql("update worker_parts set state = 2 where job_id = :job", job=first)
    site.recover()
    woken = not sleeps(site, second)
    site.sql("delete from worker_parts where job_id = :job", job=second)
    site.recover()

    assert (woken, sleeps(site, third)) == (True, False)


def test_an_order_that_has_ended_leaves_nothing(site: Site) -> None:
    """The tables hold what waits, and who it waits for."""
    ordered(site, 3)
    site.run()

    assert (site.rows("select * from worker_order_queue"), site.rows("select * from worker_orders")) == ([], [])


def test_a_job_that_keeps_others_waiting_is_not_purged(site: Site) -> None:
    """However old: with it the gap would be forgotten."""
    site.clock.micros = time.time_ns() // 1000  # looks are bounded by ids, which hold the producer's time
    [first] = ordered(site, 1)
    mark(site, first)
    end(site, first, Retry("again"), policy=Policy(attempts=1))
    site.advance(200 * 86_400)

    kept = keep_house(site.database, RetentionSettings()).get("jobs", 0)
    skip(site.database, first)
    keep_house(site.database, RetentionSettings())

    assert kept == 0
    assert site.rows("select id from worker_jobs where id = :id", id=first) == []


# -- asking -----------------------------------------------------------------------------------------------------------


def test_a_gap_needs_an_order(site: Site) -> None:
    """A wrong word and a word without an order_key are told."""
    for options in ({"on_gap": "jump", "order_key": "k"}, {"on_gap": "skip"}):
        with pytest.raises(CheckFailed, match="on_gap"):
            site.send("x", **options)


@pytest.mark.every_database
def test_many_at_once_are_ordered_as_they_were_given(site: Site) -> None:
    """Due at the same instant: the order of their ids, which is the order of asking."""
    new = [NewJob("hr", Text(content=f"{key}{n}"), "lisi", order_key=key) for n in range(5) for key in "ab"]
    with site.database.writing() as connection:
        enqueue_many(connection, new, accounts=site.accounts)

    site.run()

    assert [f"a{n}" for n in range(5)] == [text for text in said(site) if text[0] == "a"]


@pytest.mark.every_database
def test_however_many_are_ordered_as_they_were_given(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Due at the same instant in fours, by their ids; in statements of their own, which are sorted by dedupe key, while
    the database's clock goes on.
    """
    monkeypatch.setattr(jobs, "ROWS_A_STATEMENT", 1)
    options: list[dict[str, Any]] = [{"dedupe_key": f"d{9 - n}", "due_at": 60 * (n // 4)} for n in range(8)]
    new = [NewJob("hr", Text(content=f"k{n}"), "lisi", order_key="k", **few) for n, few in enumerate(options)]
    with database.writing() as connection:
        ids = [job.id for job in enqueue_many(connection, new, accounts=FixedAccounts([an_account()]))]

    with database.reading() as connection:
        found = fetch(connection, "select job_id from worker_order_queue order by place_at, job_id, n")
    assert ids == [row[0] for row in found]


def test_a_replay_keeps_key_and_choice(site: Site) -> None:
    """Of a job for which nobody waits: it goes behind what waits already, like any new one."""
    job = site.send("k0", order_key="k", on_gap="skip")
    site.run()
    with site.database.writing() as connection:
        again = replay(connection, job, accepted=True, unknown=True, accounts=site.accounts).id

    assert (site.job(again).order_key, site.job(again).on_gap) == ("k", "skip")
    assert site.part(job).order_id == site.part(again).order_id


def test_a_replay_takes_the_place_of_the_one_that_is_held(site: Site) -> None:
    """So the order is what it would have been; before its commit nothing changes, after a rollback neither."""
    jobs = ordered(site, 3)
    for job in jobs[1:]:
        mark(site, job)
    mark(site, jobs[0])
    end(site, jobs[0], Retry("again"), policy=Policy(attempts=1))
    with suppress(ZeroDivisionError), site.database.writing() as connection:
        replay(connection, jobs[0], accepted=True, unknown=True, accounts=site.accounts)
        raise ZeroDivisionError
    held = [sleeps(site, job) for job in jobs[1:]]
    with site.database.writing() as connection:
        again = replay(connection, jobs[0], accepted=True, unknown=True, accounts=site.accounts).id

    site.run()

    assert held == [True, True]
    assert [part_id(job, 0) for job in (again, *jobs[1:])] == [
        row.part_id for row in site.rows("select part_id from worker_receipts order by msgid")
    ]
    assert site.state(jobs[0]) == "exhausted"


def test_a_second_job_of_a_dedupe_key_does_not_queue_up(site: Site) -> None:
    """It was not made: nobody waits for it."""
    for _ in range(2):
        site.send("k0", order_key="k", dedupe_key="d")

    assert len(site.rows("select * from worker_order_queue")) == 1


@pytest.mark.every_database
def test_what_has_no_key_never_comes_near_a_line(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """No statement about orders, from the enqueue to the end."""
    asked: list[str] = []
    for name in ("fetch", "run", "insert_rows"):
        monkeypatch.setattr(order_queue, name, lambda *_, name=name, **__: asked.append(name) or [])
    site.vendor.says(busy(), refused(BUSY), lost())
    for n in range(5):
        site.send(str(n))

    site.run()

    assert asked == []


# -- together ---------------------------------------------------------------------------------------------------------


@pytest.mark.every_database
@pytest.mark.fewer_databases("transactions that write at a time, which SQLite has not")
def test_two_processes_lock_orders_of_which_some_have_no_row(server_database: Database) -> None:
    """A process that has locked one order does not wait for a process that inserts another and then locks the first."""
    with ThreadPoolExecutor(2) as pool, ExitStack() as third_commit:
        with server_database.writing() as first:
            insert_orders(first, "x")
            third = third_commit.enter_context(server_database.writing())
            insert_orders(third, "z")
            # Finds none of the three, and waits for the first two to be committed, one after the other.
            inserter = pool.submit(lock_orders, server_database, "x", "y", "z")
            until_waiting(server_database)
        until_waiting(server_database)
        other = pool.submit(lock_orders, server_database, "x", "y")
        until_waiting(server_database, 2)
        third_commit.close()
        inserter.result(60)
        other.result(60)


def insert_orders(connection: Connection, *names: str) -> None:
    insert_rows(connection, tables.orders, [{"id": name} for name in names])


def lock_orders(database: Database, *names: str) -> None:
    with database.writing() as connection:
        order_queue.put_to_sleep(connection, database.now, {f"part of {name}": name for name in names})
