"""What was read of group-sends, as rows: odd ids, both of several, and that questions about a job read no other's."""

from __future__ import annotations

import pytest

from worker.domain.job import part_id
from worker.domain.outcome import Confirmation
from worker.outbox.engine.database import Database
from worker.outbox.jobs import confirmations

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

JOB = "0190f3a2b4c57d8e9fa0b1c2d3e4f506"
PART = part_id(JOB, 0)


def read(database: Database) -> list[tuple[str, str, int]]:
    with database.reading() as connection:
        found = confirmations.confirmations_of_job(connection, JOB)
    return [(row["member"], row["recipient"], row["status"]) for row in found]


def test_ids_longer_than_any_that_begin_alike_are_one_row(database: Database) -> None:
    """The page is kept: no database takes one key twice in a statement."""
    long = "w" * 200
    page = [Confirmation("ann", f"{long}{n}", n) for n in range(2)] + [Confirmation(f"{long}{n}", "", 2) for n in "ab"]
    with database.writing() as connection:
        confirmations.store_confirmations(connection, PART, page, 1)
        confirmations.store_confirmations(
            connection, PART, [Confirmation("ann", "wm1", 0), Confirmation("ann", "WM1", 1)], 2
        )

    cut = "w" * 128
    assert [("ann", "WM1", 1), ("ann", "wm1", 0), ("ann", cut, 1), (cut, "", 2)] == read(database)
