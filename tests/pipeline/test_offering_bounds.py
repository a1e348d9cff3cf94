"""What the questions asked all the time read: no more than they answer with, whatever else stands there.

The clock is the real one: a driven clock is a literal, and every planner can end a range at that.
"""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import text

from bench.scale.contents import active_lane, add_at_work, add_due, add_future, tidy
from tests.support.reads import rows_read
from worker.domain.callbacks.hook import EventKind, EventState
from worker.domain.job import Priority
from worker.domain.pacing.lane import with_accounts
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.database import Database
from worker.outbox.jobs import events, media_cache, target_job
from worker.outbox.lanes import lanes, offering
from worker.outbox.lanes.full_scan import START, ScanPosition, lanes_with_due
from worker.outbox.upkeep import gauges

DUE, FUTURE = 10_000, 5_000
A_FEW = 50
"""Rows that a question may read beside those that it needs, of thousands: where a range ends, tables made on the way,
and on PostgreSQL the ends of an index, at which its planner looks."""


@pytest.fixture
def backlog(database: Database) -> Database:
    """Much that is due, in ten lanes."""
    add_due(database, DUE)
    tidy(database)
    return database


@pytest.fixture
def later(database: Database) -> Database:
    """Much in two lanes with nothing due, and a little that is."""
    add_future(database, lanes=2, parts_each=FUTURE)
    add_due(database, 100)
    tidy(database)
    return database


def test_a_read_of_everything_is_seen(backlog: Database) -> None:
    """Also where an index alone answers; else the figures below would mean nothing."""
    queries = {
        "lanes out of an index": "select min(not_before) from worker_parts where state = 0 group by lane, priority",
        "a count out of an index": "select count(*) from worker_parts where state = 0 and not_before + 1 > 0",
        "the table": "select count(*) from worker_parts where spec <> ''",
    }

    read = {
        name: rows_read(backlog, lambda c, query=query: c.execute(text(query)).all()) for name, query in queries.items()
    }

    assert {name: rows for name, rows in read.items() if rows < DUE / 20} == {}


def test_nothing_that_is_due_later_is_read(later: Database) -> None:
    """The walk by time, the head of a lane and a count of what is due each end at the clock, in the index."""
    since, lane = later.read_now(), "later:0000000000000001"

    newly = rows_read(later, lambda c: offering.lanes_newly_due(c, later.now, since, 2_000))
    head = rows_read(later, lambda c: offering.read_due_batch(c, later.now, lane, Priority.NORMAL, 50))
    counted = rows_read(later, lambda c: gauges.backlogs(c, later.now))

    assert max(newly, head) <= A_FEW
    assert counted <= 12 * A_FEW + 100


def test_nothing_that_is_due_elsewhere_is_read(backlog: Database) -> None:
    """Not even when nine of ten due parts are others': a priority that has nothing would walk through all of them.

    Nor does the wake-up read who does not wait, each second, with the write lock in its hand on SQLite; nor does a
    look-up read another lane when it asks for the parts beside its own that have no answer.
    """
    lane, own = active_lane(1), "0" * 32 + "-0"

    urgent = rows_read(backlog, lambda c: offering.read_due_batch(c, backlog.now, lane, Priority.URGENT, 50))
    normal = rows_read(backlog, lambda c: offering.read_due_batch(c, backlog.now, lane, Priority.NORMAL, 50))
    woken = rows_read(backlog, lambda c: target_job.wake_overdue(c, backlog.now))
    twins = rows_read(backlog, lambda c: target_job.other_unanswered_parts(c, "hr", "send", "hr:of-few", own))

    assert normal <= 50 + A_FEW
    assert max(urgent, woken, twins) <= A_FEW


def test_the_walk_reads_a_few_rows_a_lane(backlog: Database) -> None:
    """Twelve lanes, whatever stands in them; also from the middle of one."""
    add_future(backlog, lanes=2, parts_each=FUTURE)
    tidy(backlog)
    places: list[ScanPosition] = [START, (active_lane(3), 0), (active_lane(3), 1)]

    read = [rows_read(backlog, lambda c, after=after: lanes_with_due(c, backlog.now, after, 100)) for after in places]

    assert max(read) <= 12 * A_FEW / 2


def test_metrics_read_no_more_than_they_count(backlog: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many due parts in ten lanes of one account: what a count is bounded by is what it reads."""
    monkeypatch.setattr(gauges, "MAX_COUNT", 100)

    due = rows_read(backlog, lambda c: gauges.backlogs(c, backlog.now))
    monkeypatch.setattr(gauges, "MAX_EXACT", 100)
    queue = rows_read(backlog, lambda c: gauges.queue(c, backlog.now))
    called = rows_read(backlog, lambda c: gauges.called_parts(c))

    assert due <= 10 * A_FEW + 2 * 100
    # MariaDB writes the first ones into a table of its own, and reads them again; so it does with the account's lanes.
    assert queue <= 3 * 100 + A_FEW + due + 2 * 100 + 2 * A_FEW
    assert called <= 100 + A_FEW


def test_the_poll_for_hooks_reads_no_event_that_has_ended(database: Database) -> None:
    """Nor one that is due later: the window is what it reads."""
    row = partial(events.event_row, kind=EventKind.JOB_DONE, job_state=2)
    ended = [row(f"1{n:031x}", now=1, state=EventState.DONE) for n in range(FUTURE)]
    due = [row(f"2{n:031x}", now=n + 1) for n in range(100)]
    later = [row(f"3{n:031x}", now=2**60 + n) for n in range(FUTURE)]
    with database.writing() as connection:
        for rows in (ended, due, later):
            insert_rows(connection, tables.events, rows)
    with database.reading() as connection:  # as autovacuum does
        connection.exec_driver_sql("analyze table worker_events" if database.dialect.name == "mysql" else "analyze")

    read = rows_read(database, lambda c: events.due_events(c, database.now, 8))

    assert read <= 8 + A_FEW


def test_an_upload_that_ends_reads_its_own_file(database: Database) -> None:
    """It does so in the group commit, with everybody's results behind it."""
    own = {"scope": "corp", "upload_type": "image", "media_id": None, "valid_until": None, "created_at": 1}
    rows = [{**own, "id": f"{n:064x}", "job_id": f"{n:032x}"} for n in range(FUTURE)]
    with database.writing() as connection:
        insert_rows(connection, tables.media, rows)

    assert rows_read(database, lambda c: media_cache.store_media(c, f"{7:032x}", "M", 1)) <= A_FEW


def test_what_stands_on_a_lane_is_read_by_its_key(database: Database) -> None:
    """A doorbell asks about two names, and an order's part about its own, however many lanes are at work."""
    add_at_work(database, FUTURE)
    tidy(database)
    names = with_accounts(["hr:w000000000000007"])

    stands = rows_read(database, lambda c: lanes.read_lane_states(c, database.now, names, lambda: 0))
    parked = rows_read(database, lambda c: lanes.parked_lanes(c, names))

    assert max(stands, parked) <= A_FEW
