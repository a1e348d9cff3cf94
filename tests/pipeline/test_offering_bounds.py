"""What the relay's questions read on PostgreSQL: no more rows than they answer with, whatever else stands there.

The clock is the real one: a driven clock is a literal, and every planner can end a range at that.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, text

from bench.scale_contents import active_lane, add_due, add_future, tidy
from worker.domain.job import Priority
from worker.outbox import gauges, offering
from worker.outbox.database import Database
from worker.outbox.walking import START, lanes_with_due

pytestmark = pytest.mark.fewer_databases("PostgreSQL counts what it read; MariaDB does in test_mariadb_connection.py")

READ = "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'worker_parts'"


@pytest.fixture
def backlog(postgres_database: Database) -> Database:
    """Much that is due, in ten lanes."""
    add_due(postgres_database, 50_000)
    tidy(postgres_database)
    return postgres_database


@pytest.fixture
def later(postgres_database: Database) -> Database:
    """Much in two lanes with nothing due, and a little that is."""
    add_future(postgres_database, lanes=2, parts_each=1_000)
    add_due(postgres_database, 100)
    tidy(postgres_database)
    return postgres_database


def rows_read(database: Database, question: Callable[[Connection], object]) -> int:
    with database.engine.connect() as connection:
        before = connection.execute(text(READ)).scalar_one()
        question(connection)
        return int(connection.execute(text(READ)).scalar_one() - before)


def test_newly_due_reads_nothing_that_is_due_later(later: Database) -> None:
    """The walk by time ends at the clock, in the index."""
    since = later.read_now()

    assert 0 == rows_read(later, lambda c: offering.lanes_newly_due(c, later.now, since, 2_000))


def test_the_head_of_a_lane_reads_nothing_that_is_due_later(later: Database) -> None:
    """So does the head of a lane."""
    lane = "later:0000000000000001"

    assert 0 == rows_read(later, lambda c: offering.head_of_lane(c, later.now, lane, Priority.NORMAL, 50))


@pytest.mark.parametrize(("priority", "most"), [(Priority.URGENT, 0), (Priority.NORMAL, 50)])
def test_the_head_of_a_lane_reads_no_other_lane(backlog: Database, priority: Priority, most: int) -> None:
    """Not even when nine of ten due parts are others': a priority that has nothing would walk through all of them."""
    lane = active_lane(1)

    assert most == rows_read(backlog, lambda c: offering.head_of_lane(c, backlog.now, lane, priority, 50))


def test_the_walk_reads_one_row_a_lane(later: Database) -> None:
    """Twelve lanes, whatever stands in them."""
    assert rows_read(later, lambda c: lanes_with_due(c, later.now, START, 100)) <= 12


def test_metrics_read_no_more_than_they_count(backlog: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """50,000 due parts in ten lanes of one account: what a count is bounded by is what it reads."""
    monkeypatch.setattr(gauges, "MOST", 100)
    account = active_lane(0).partition(":")[0]

    due = rows_read(backlog, lambda c: gauges.backlogs(c, backlog.now))
    by_state = rows_read(backlog, lambda c: gauges.parts_by_state(c, [account]))

    assert due <= 10 + 4 * 100
    assert by_state <= 100


def test_metrics_read_nothing_that_is_due_later(later: Database) -> None:
    """A count of what is due ends at the clock."""
    assert rows_read(later, lambda c: gauges.backlogs(c, later.now)) <= 12 + 100
