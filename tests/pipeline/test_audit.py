"""The audit, from which a later run of a command goes on."""

from __future__ import annotations

from worker.control.audit import newest_audit, write_entry
from worker.outbox.engine.database import Database


def test_the_newest_row_of_an_action_on_an_account_is_found(database: Database) -> None:
    """Not one of another account, nor of another action."""
    for action, account, run in (
        ("calibrated", "hr", 1),
        ("calibrated", "hr", 2),
        ("calibrated", "it", 3),
        ("x", "hr", 4),
    ):
        asked = {"account": account, "run": run}
        with database.writing() as connection:
            write_entry(connection, database.now, action, person="ops", why="", asked=asked, counts={"facts": run})

    with database.reading() as connection:
        found = newest_audit(connection, "calibrated", "hr")
        missing = newest_audit(connection, "calibrated", "sales")
    assert found is not None
    assert (2, {"facts": 2}, None) == (found.asked["run"], found.counts, missing)
