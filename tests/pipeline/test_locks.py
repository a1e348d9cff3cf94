"""Each lock of the outbox: what it is for, with two transactions that meet, and what happens without it.

A scenario sets rows up, yields what the two transactions do, and then states what has to be so. The first transaction
has written and is not committed when the second reads. Two tests carry each scenario out: it holds as the program is,
and it breaks where the lock is taken from the statement, so that no scenario passes for another reason.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from uuid_utils import uuid7

from tests.support.housekeeping import keep_house
from tests.support.meeting import Side, meet, unlocked
from tests.support.runtime import Site, lost, planted
from worker import To, recall
from worker.config.settings import RetentionSettings
from worker.control.erase import erase, find_person
from worker.domain import settle
from worker.domain.job import job_of, part_id
from worker.domain.outcome import Accepted, CallReceipt, Partial, Refusal, Verdict
from worker.domain.pacing.lane import LaneBlock
from worker.domain.settle import FOREVER, Policy
from worker.domain.state import PartState
from worker.outbox import tables
from worker.outbox.commit.commands import CallEnd, Change, Effects, Item, Mark, MarkedCall
from worker.outbox.commit.group_commit import commit
from worker.outbox.control import waiting
from worker.outbox.control.cancels import mark_cancelled
from worker.outbox.control.moving import move_waiting
from worker.outbox.control.sent import lock_recalled
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import SECOND, DrivenClock, instant
from worker.outbox.engine.counting import count, totals
from worker.outbox.engine.database import Database
from worker.outbox.jobs import chats, order_queue
from worker.outbox.lanes.budgets import Budgets
from worker.outbox.lanes.lanes import change_lanes
from worker.outbox.lanes.offering import offer
from worker.outbox.lanes.pauses import wake_parked
from worker.outbox.upkeep.ended_tags import store_ended_tags
from worker.outbox.upkeep.indexing import index_batch
from worker.outbox.upkeep.totals import add_up

pytestmark = pytest.mark.fewer_databases("transactions that write at a time, which SQLite has not")
Meeting = Generator[tuple[Side, Side], None, None]
Scenario = Callable[[Site], Meeting]


@dataclass(frozen=True)
class Case:
    """A scenario, and the lock without which it breaks."""

    scenario: Scenario
    function: str
    """Who takes the lock: the end of its qualified name, with its module's."""
    table: str
    servers: Sequence[str] = ("postgresql", "mysql")
    """Where it breaks without the lock; elsewhere the database's own order of things keeps the promise."""
    after: tuple[str, str] | None = None
    """The first transaction is held as soon as this function has read this table, not before its commit."""

    def meet(self, site: Site) -> bool:
        """Carries the scenario out. Returns whether its promise holds."""
        steps = self.scenario(site)
        try:
            meet(site.database, *next(steps), after=self.after)
        except OperationalError:
            return False  # they wait for each other in a circle
        try:
            next(steps)
        except StopIteration:
            return True
        except AssertionError:
            return False
        raise RuntimeError("a scenario yields once")


CASES: dict[str, Case] = {}


def lock(
    function: str, table: str, *servers: str, after: tuple[str, str] | None = None
) -> Callable[[Scenario], Scenario]:
    """Names the lock that a scenario is about."""

    def register(scenario: Scenario) -> Scenario:
        CASES[f"{scenario.__name__}-{function}"] = Case(scenario, function, table, servers or Case.servers, after)
        return scenario

    return register


@pytest.fixture
def site(server_database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    driven_clock.micros = time.time_ns() // 1000  # housekeeping's looks are bounded by ids, which hold the real time
    with planted(server_database, driven_clock) as planted_site:
        yield planted_site


def mark(part: str, claim: int = 0, **more: Any) -> Mark:
    """A sender's mark; of another process each."""
    return Mark(part, claim, uuid7().hex, 20 * SECOND, **more)


def sleeps(site: Site, part: str) -> bool:
    """Whether the part waits until it is woken."""
    row = site.part_row(part)
    return row.waits_on is not None or row.not_before == FOREVER


def committing(*items: Item, calls: dict[Mark, MarkedCall] | None = None) -> Side:
    """A commit. `calls` gets the calls that may begin."""

    def work(database: Database) -> None:
        done = commit(database, items, Policy())
        if calls is not None:
            calls.update(done.calls)

    return work


def running(work: Callable[[Connection], object]) -> Side:
    return lambda database: database.run(work)


def ringing(site: Site, job: str) -> Side:
    """What another process does when the job's doorbell rings."""

    def ring(database: Database) -> None:
        with planted(database, site.clock) as other:
            other.ring(job)

    return ring


def taken(part: str, by: Mark, *refused: Refusal) -> CallEnd:
    """The answer to a mark's call."""
    outcome = Partial(CallReceipt("m"), refused) if refused else Accepted(CallReceipt("m"))
    return CallEnd(part, by.claim + 1, by.incarnation, Verdict(outcome, 0), 5)


def in_flight(site: Site, *parts: str) -> list[Mark]:
    marks = [mark(part) for part in parts]
    commit(site.database, marks, Policy())
    return marks


# -- parts and jobs ---------------------------------------------------------------------------------------------------


@lock("rows.lock_parts_now", "worker_parts")
def two_marks_of_a_part(site: Site) -> Meeting:
    """One of two senders makes the call."""
    part = part_id(site.send(), 0)
    calls = dict[Mark, MarkedCall]()

    yield committing(mark(part), calls=calls), committing(mark(part), calls=calls)

    assert len(calls) == 1


@lock("rows.lock_parts_now", "worker_jobs")
def the_ends_of_a_jobs_last_two_parts(site: Site) -> Meeting:
    """Both are counted, so the job ends."""
    job = site.send(to=To(users=[f"u{n}" for n in range(1_001)]))
    parts = [part_id(job, n) for n in range(2)]
    first, second = map(taken, parts, in_flight(site, *parts))

    yield committing(first), committing(second)

    assert (site.job(job).n_open, site.job(job).n_accepted, site.job(job).state) == (0, 2, "accepted")


@lock("group_commit._write", "worker_jobs")
def the_expiries_of_a_jobs_last_two_parts(site: Site) -> Meeting:
    """A mark that ends its part locks the job only then; both are counted."""
    expires_at = instant(site.clock.micros + SECOND)
    job = site.send(to=To(users=[f"u{n}" for n in range(1_001)]), expires_at=expires_at)
    site.clock.advance(2)
    first, second = (mark(part_id(job, n)) for n in range(2))

    yield committing(first), committing(second)

    assert (site.job(job).n_open, site.job(job).n_expired, site.job(job).state) == (0, 2, "expired")


@lock("target_job.lock_job_row", "worker_jobs")
def a_recall_waits_while_its_target_ends(site: Site) -> Meeting:
    """Either it sees the end, or the end wakes it."""
    job = site.send()
    [by] = in_flight(site, part_id(job, 0))
    recalled = site.recall(job)

    yield committing(taken(part_id(job, 0), by)), ringing(site, recalled)

    assert not sleeps(site, part_id(recalled, 0))


@lock("rows.lock_parts", "worker_parts")
def a_recall_is_cancelled_while_it_begins_to_wait(site: Site) -> Meeting:
    """It stays cancelled."""
    job = site.send()
    in_flight(site, part_id(job, 0))
    recalled = site.recall(job)
    part = part_id(recalled, 0)

    yield committing(Change(part, lambda part, now: settle.cancel(part, "x"))), ringing(site, recalled)

    assert (site.state(recalled), site.job(recalled).n_open) == ("cancelled", 0)


# -- orders -----------------------------------------------------------------------------------------------------------


def two_in_order(site: Site) -> tuple[str, str, str]:
    """The first two parts of an order, and the order."""
    parts = [part_id(site.send(text, order_key="k"), 0) for text in ("first", "second")]
    order = site.part_row(parts[0]).order_id
    # Two that insert the row at once would wait for each other without any lock.
    site.sql("insert into worker_orders (id) values (:order)", order=order)
    return parts[0], parts[1], order


def sleeping(part: str, order: str) -> Side:
    return lambda database: database.run(lambda c: order_queue.put_to_sleep(c, database.now, {part: order}))


@lock("OrderQueue.__init__", "worker_orders")
@lock("order_queue.put_to_sleep", "worker_orders")
def a_part_is_put_to_sleep_while_the_one_before_it_ends(site: Site) -> Meeting:
    """Else nothing would ever wake it."""
    first, second, order = two_in_order(site)
    [by] = in_flight(site, first)

    yield committing(taken(first, by)), sleeping(second, order)

    assert not sleeps(site, second)


@lock("OrderQueue.__init__", "worker_orders")
def a_part_that_is_due_earlier_is_marked_while_the_first_one_is(site: Site) -> Meeting:
    """One of the two is in flight, not both."""
    first, _, _ = two_in_order(site)
    calls = dict[Mark, MarkedCall]()

    def add_and_mark(database: Database) -> None:
        earlier = mark(part_id(site.send("earlier", order_key="k", due_at=instant(0)), 0))
        committing(earlier, calls=calls)(database)

    yield committing(mark(first), calls=calls), add_and_mark

    assert [each.part_id for each in calls] == [first]


@lock("order_queue.skip_first_parts", "worker_orders")
def a_part_is_put_to_sleep_while_a_person_skips_the_one_before_it(site: Site) -> Meeting:
    """It goes on."""
    first, second, order = two_in_order(site)

    def skip(database: Database) -> None:
        database.run(lambda c: order_queue.skip_first_parts(c, database.now, first.split("-")[0]))

    yield skip, sleeping(second, order)

    assert not sleeps(site, second)


@lock("order_queue.repair_orders", "worker_orders")
def a_part_is_put_to_sleep_while_its_order_is_repaired(site: Site) -> Meeting:
    """It goes on."""
    first, second, order = two_in_order(site)
    site.sql("update worker_parts set state = :accepted where id = :id", accepted=PartState.ACCEPTED, id=first)

    def repair(database: Database) -> None:
        database.run(lambda c: order_queue.repair_orders(c, database.now, [order]))

    yield repair, sleeping(second, order)

    assert not sleeps(site, second)


@lock("order_queue.move_positions", "worker_orders")
def a_part_is_put_to_sleep_while_the_one_before_it_is_moved_behind_it(site: Site) -> Meeting:
    """It comes first now, so it does not sleep."""
    first, second, order = two_in_order(site)
    later = site.clock.micros + 60 * SECOND

    yield running(lambda c: order_queue.move_positions(c, {first: order}, later)), sleeping(second, order)

    assert not sleeps(site, second)


# -- what calls use up ------------------------------------------------------------------------------------------------


@lock("codes.lease_codes", "worker_response_codes")
def two_updates_want_the_last_code(site: Site) -> Meeting:
    """One of them gets it."""
    card = site.card()
    site.ring(card)
    [code] = site.of("response_codes", card)
    marks, calls = (
        [mark(part_id(site.update(card), 0), effects=Effects(code.id)) for _ in range(2)],
        dict[Mark, MarkedCall](),
    )

    yield committing(marks[0], calls=calls), committing(marks[1], calls=calls)

    assert len(calls) == 1


@lock("marks.lock_windows", "worker_duplicates", "postgresql", after=("marks.lock_windows", "worker_duplicates"))
def two_equal_messages_are_marked(site: Site) -> Meeting:
    """One of them has the vendor's check: with two, the vendor would drop one.

    MariaDB locks a row already when an insert finds its key there.
    """
    marks = [mark(part_id(site.send(), 0), window_id="w", window_us=3_600 * SECOND) for _ in range(2)]
    calls = dict[Mark, MarkedCall]()
    site.sql("insert into worker_duplicates (id, owner, until) values ('w', 'an old part', 0)")

    yield committing(marks[0], calls=calls), committing(marks[1], calls=calls)

    assert sum(call.flagged for call in calls.values()) == 1


@lock("chats._locked", "worker_chats")
def two_messages_want_the_last_of_a_chats_allowance(site: Site) -> Meeting:
    """One of them gets it."""
    site.sql(
        "insert into worker_chats (account, chat_id, chat_type, first_seen_at, last_seen_at, allowance)"
        " values ('hr', 'c', 'single', 0, 0, 1)"
    )
    use = chats.AllowanceUse("hr", "c", chats.allowance_block("hr:1"))
    got = list[bool]()

    def take(connection: Connection) -> None:
        got.append(chats.take_from_allowance(connection, use))

    yield running(take), running(take)

    assert got == [True, False]


@lock("Budgets.lock", "worker_budgets")
def two_calls_are_counted_in_a_window(site: Site) -> Meeting:
    """Both are."""
    budgets = Budgets(site.database)
    site.database.run(lambda c: budgets.lock(c, ["w"]))

    yield running(partial(use_more, budgets, budgets.lock)), running(partial(use_more, budgets, budgets.lock))

    assert site.rows("select buckets from worker_budgets")[0].buckets == "[]xx"


@lock("Budgets.lock_existing", "worker_budgets")
def a_call_is_given_back_while_another_is_counted(site: Site) -> Meeting:
    """Both change the window."""
    budgets = Budgets(site.database)
    site.database.run(lambda c: budgets.lock(c, ["w"]))

    yield running(partial(use_more, budgets, budgets.lock)), running(partial(use_more, budgets, budgets.lock_existing))

    assert site.rows("select buckets from worker_budgets")[0].buckets == "[]xx"


def use_more(
    budgets: Budgets, read: Callable[[Connection, Sequence[str]], dict[str, str]], connection: Connection
) -> None:
    budgets.save(connection, {"w": read(connection, ["w"])["w"] + "x"}, 0)


@lock("lanes.change_lanes_at", "worker_lanes")
def two_processes_block_a_lane(site: Site) -> Meeting:
    """The longer block stays."""
    site.database.run(lambda c: change_lanes(c, site.database.now, [LaneBlock("hr:1", "x", 5, "short")]))

    def block(seconds: int, database: Database) -> None:
        changes = [LaneBlock("hr:1", "x", seconds, f"for {seconds}")]
        database.run(lambda c: change_lanes(c, database.now, changes))

    yield partial(block, 3_600), partial(block, 60)

    [lane] = site.rows("select blocked_until from worker_lanes")
    assert lane.blocked_until == site.clock.micros + 3_600 * SECOND


@lock("offering.offer", "worker_parts", "mysql")
def two_relays_offer_a_part(site: Site) -> Meeting:
    """One of them publishes it. PostgreSQL's update says itself which rows it changed."""
    part = part_id(site.send(), 0)
    offered = list[str]()

    def offering(database: Database) -> None:
        offered.extend(database.run(lambda c: offer(c, database.now, [part], 5 * SECOND)))

    yield offering, offering

    assert offered == [part]


@lock("media_cache.lock_cached", "worker_media")
def two_sends_need_the_same_file(site: Site) -> Meeting:
    """It is uploaded once."""
    site.ring(site.image())
    site.sql("delete from worker_jobs")
    site.sql("update worker_media set job_id = ''")  # the row is there, and no upload is, after retention
    sends = [site.image(), site.image()]

    yield ringing(site, sends[0]), ringing(site, sends[1])

    assert len(site.rows("select id from worker_jobs where kind = 'upload'")) == 1


# -- people -----------------------------------------------------------------------------------------------------------


@lock("waiting.reschedule", "worker_parts")
def a_part_is_marked_while_its_job_is_rescheduled(site: Site) -> Meeting:
    """Nobody is told that it goes out later."""
    job = site.send()
    results = list[waiting.Rescheduled]()

    yield committing(mark(part_id(job, 0))), running(lambda c: results.append(rescheduled(site, c, job)))

    assert results == [waiting.Rescheduled([], 0, 0)]


def rescheduled(site: Site, connection: Connection, job: str) -> waiting.Rescheduled:
    now = site.clock.micros
    return waiting.reschedule(connection, [job], now, waiting.NewTimes(now + 60 * SECOND, None, None))


@lock("moving.move_waiting", "worker_parts")
def a_part_is_marked_while_its_job_is_moved(site: Site) -> Meeting:
    """Its call is in the lane in which it began, and nobody is told that another account sends it."""
    job = site.send()
    lane, moved = site.part(job).lane, list[set[str]]()

    def move(connection: Connection) -> None:
        moved.append(move_waiting(connection, site.database.now, [job], "it", lambda *_: "it:1"))

    yield committing(mark(part_id(job, 0))), running(move)

    assert (moved, site.part(job).lane) == ([set()], lane)


@lock("cancels.mark_cancelled", "worker_parts")
def a_part_is_marked_while_its_job_is_cancelled(site: Site) -> Meeting:
    """Its claim stays that of the call, whose answer is matched by it."""
    part = part_id(site.send(), 0)

    yield committing(mark(part)), lambda database: database.run(cancelling(database, part))

    assert site.part_row(part).claim == 1


@lock("cancels.mark_cancelled", "worker_jobs", "postgresql")
def a_job_ends_while_it_is_cancelled(site: Site) -> Meeting:
    """Nobody is told that it was cancelled. MariaDB waits for the part already, which the end has changed."""
    part = part_id(site.send(), 0)
    [by] = in_flight(site, part)
    results = list[list[str]]()

    yield committing(taken(part, by)), lambda database: results.append(database.run(cancelling(database, part)))

    assert results == [[]]


def cancelling(database: Database, part: str) -> Callable[[Connection], list[str]]:
    return lambda connection: mark_cancelled(connection, database.now, [job_of(part)])


@lock("pauses.wake_parked", "worker_parts", "postgresql")
def a_paused_job_is_rescheduled_while_its_pause_ends(site: Site) -> Meeting:
    """It keeps the new time. MariaDB's update reads a job's row as it is then, not as it was when the update began."""
    job = site.send()
    part = part_id(job, 0)
    site.sql("update worker_parts set not_before = :paused where id = :id", paused=FOREVER + 1, id=part)

    yield running(partial(rescheduled, site, job=job)), running(lambda c: wake_parked(c, [part]))

    assert site.part_row(part).not_before == site.clock.micros + 60 * SECOND


@lock("sent.lock_with_originals", "worker_jobs")
def two_people_recall_a_job(site: Site) -> Meeting:
    """It is recalled once."""
    job = site.send()
    site.ring(job)

    def recall_once(connection: Connection) -> None:
        if job not in lock_recalled(connection, [job]):
            recall(connection, job, accounts=site.accounts)

    yield running(recall_once), running(recall_once)

    assert len(site.rows("select id from worker_jobs where kind = 'recall'")) == 1


# -- upkeep -----------------------------------------------------------------------------------------------------------


@lock("totals.add_up", "worker_counts")
def two_processes_add_counts_up(site: Site) -> Meeting:
    """Each is added once."""
    site.database.run(lambda connection: count(connection, "callbacks", times=3))

    yield running(add_up), running(add_up)

    with site.database.reading() as connection:
        assert totals(connection)["callbacks"] == 3


@lock("indexing._write", "worker_unindexed")
def a_job_changes_while_it_is_indexed(site: Site) -> Meeting:
    """It is indexed once more."""
    job = site.send()
    site.ring(job)
    note = {"job_id": job, "note": "changed"}

    yield (
        running(lambda c: insert_rows(c, tables.unindexed, [note], conflict="replace")),
        index_batch,
    )

    assert [row.note for row in site.rows("select note from worker_unindexed")] == ["changed"]


@lock("ended_tags.store_ended_tags", "worker_ended_tags", after=("ended_tags.store_ended_tags", "worker_ended_tags"))
def two_processes_index_the_last_jobs_of_a_tag(site: Site) -> Meeting:
    """The later end counts."""
    site.database.run(lambda c: store_ended_tags(c, 0, {"t": 1}))

    yield running(lambda c: store_ended_tags(c, 0, {"t": 2})), running(lambda c: store_ended_tags(c, 0, {"t": 3}))

    assert [row.ended_at for row in site.rows("select ended_at from worker_ended_tags")] == [3]


@lock("emptying.lock_erasable", "worker_jobs", after=("emptying.lock_erasable", "worker_jobs"))
def two_people_of_a_job_are_erased(site: Site) -> Meeting:
    """Both are gone: the second erasure reads what the first has left."""
    job = site.send(to=To(users=["ann", "bob", "eve"]))
    site.ring(job)

    yield erasing(site, "ann"), erasing(site, "bob")

    named = [name for name in ("ann", "bob", "eve") if name in site.job(job).recipients]
    assert named == ["eve"]


def erasing(site: Site, person: str) -> Side:
    selection = find_person(person, database=site.database)
    return lambda database: erase(selection, person="an operator", database=database)


@lock("purge._lock_deletable", "worker_jobs", after=("rows.lock_parts_now", "worker_jobs"))
def a_job_is_decided_while_it_is_purged(site: Site) -> Meeting:
    """What the decision writes goes with the job, in a later round."""
    job = site.send(duplicate_check=False)
    site.vendor.says(lost())
    site.ring(job)
    site.advance(60)
    site.recover()
    site.advance(100 * 86_400)
    decided = Change(
        part_id(job, 0), lambda part, now: settle.apply_decision(part, "x", sent=True), receipt=CallReceipt("m")
    )

    yield committing(decided), lambda database: keep_house(database, RetentionSettings(attempts_days=4, jobs_days=4))

    assert len(site.of("receipts", job)) == len(site.rows("select id from worker_jobs"))


# -- what carries them out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_two_transactions_keep_a_promise(site: Site, case: str) -> None:
    """Each sees what the other has decided."""
    assert CASES[case].meet(site)


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_lock_that_keeps_it(site: Site, case: str) -> None:
    """Without it, the same scenario breaks; so it cannot pass for another reason."""
    lock = CASES[case]
    with unlocked(site.database, lock.function, lock.table) as statements:
        holds = lock.meet(site)

    assert holds == (site.database.dialect.name not in lock.servers)
    assert statements or holds, "nothing was locked"


# -- every lock -------------------------------------------------------------------------------------------------------


TRIED = {
    "bulk.lock_rows": "order_queue.put_to_sleep, Budgets.lock, Budgets.lock_existing, lanes.change_lanes_at",
    "blobs._lock": "test_producer_locks.py: test_the_file_that_an_enqueue_has_found_is_not_erased",
    "blobs.locked_blobs": "test_producer_locks.py: test_the_file_of_what_is_being_replayed_stays",
    "budgets.Budgets.lock": "Budgets.lock",
    "budgets.Budgets.lock_existing": "Budgets.lock_existing",
    "cancels.mark_cancelled": "cancels.mark_cancelled",
    "chats._locked": "chats._locked",
    "codes.lease_codes": "codes.lease_codes",
    "emptying.lock_erasable": "emptying.lock_erasable",
    "ended_tags.store_ended_tags": "ended_tags.store_ended_tags",
    "indexing._write": "indexing._write",
    "jobs.owners": "test_mariadb_waiting.py: test_a_key_committed_after_the_snapshot_is_found",
    "lanes._lock": "lanes.change_lanes_at",
    "marks.lock_windows": "marks.lock_windows",
    "media_cache.lock_cached": "media_cache.lock_cached",
    "offering._lock_free_sql": "offering.offer",
    "order_queue._lock": "OrderQueue.__init__, order_queue.put_to_sleep, order_queue.skip_first_parts,"
    " order_queue.repair_orders, order_queue.move_positions",
    "order_queue._remove": "test_producer_locks.py: test_the_late_answer_of_what_is_being_replayed_is_recorded",
    "pauses.wake_parked": "pauses.wake_parked",
    "purge._lock_deletable": "purge._lock_deletable",
    "reading.has_unseen_replay": "test_mariadb_waiting.py: test_a_replay_committed_after_the_snapshot_is_seen",
    "rows._select_jobs": "rows.lock_parts_now, group_commit._write",
    "rows._select_parts": "rows.lock_parts_now, rows.lock_parts",
    "sent.lock_with_originals": "sent.lock_with_originals",
    "target_job.lock_job_row": "target_job.lock_job_row",
    "totals.add_up": "totals.add_up",
    "moving.move_waiting": "moving.move_waiting",
    "waiting.reschedule": "waiting.reschedule",
}
"""Each function below `outbox/` that writes a lock into a statement -> who takes it in the scenarios above, or where it
is tried otherwise."""


def test_every_lock_is_tried() -> None:
    """A new one fails here until it has a scenario, or a reason to have none."""
    assert sorted(functions_with_locks()) == sorted(TRIED)


def test_every_scenario_is_of_a_lock() -> None:
    """And none is left of a lock that is gone."""
    assert {case.function for case in CASES.values()} <= {
        name for tried in TRIED.values() for name in tried.split(", ")
    }


def functions_with_locks() -> Iterator[str]:
    locks = {"lock", "shared_lock", "lock_in_order", "lock_rows"}
    for file in Path(tables.__file__).parent.parent.rglob("*.py"):
        if file.name in ("dialect.py", "migrate.py"):
            continue
        for name, function in functions(ast.parse(file.read_text()), file.stem):
            used = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
            used |= {
                node.func.id
                for node in ast.walk(function)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            if used & locks:
                yield name


def functions(tree: ast.AST, scope: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield f"{scope}.{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{scope}.{node.name}")
