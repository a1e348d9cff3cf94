"""Many rows in one statement: values survive, conflicts are met, hostile text stays text."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_new, insert_rows, update_rows
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import fetch

STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)


def a_lane(name: str, **fields: Any) -> dict[str, Any]:
    base = {
        "lane": name,
        "account": "hr",
        "label": "send text",
        "blocked_until": 5,
        "reason": "why",
        "remedy": None,
        "parked": False,
        "blocked_at": 1,
    }
    return {**base, **fields}


def stored(database: Database) -> list[dict[str, Any]]:
    with database.reading() as connection:
        rows = connection.execute(text("select * from worker_lanes order by lane")).mappings()
        return [{**row, "parked": bool(row["parked"])} for row in rows]


def insert(database: Database, *rows: dict[str, Any], conflict: str = "error") -> None:
    database.run(lambda connection: insert_rows(connection, tables.lanes, rows, conflict=conflict))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(reason=STORABLE, number=st.integers(-(2**63), 2**63 - 1), parked=st.booleans(), remedy=st.none() | STORABLE)
def test_what_is_written_is_what_is_read(
    database: Database, reason: str, number: int, parked: bool, remedy: str | None
) -> None:
    """Any text, number, flag and null: quotes, braces, colons, percent signs and astral characters included."""
    row = a_lane("hr:1", reason=reason, blocked_until=number, parked=parked, remedy=remedy)

    insert(database, row, conflict="replace")

    (found,) = stored(database)
    assert row == {name: found[name] for name in row}


def test_an_existing_row_is_an_error_or_ignored_or_replaced(database: Database) -> None:
    """As asked; the other rows of the statement are written in the last two cases."""
    insert(database, a_lane("hr:1"))

    with pytest.raises(IntegrityError):
        insert(database, a_lane("hr:1", reason="new"), a_lane("hr:2"))
    after_error = len(stored(database))
    insert(database, a_lane("hr:1", reason="new"), a_lane("hr:2"), conflict="ignore")
    ignored = [row["reason"] for row in stored(database)]
    insert(database, a_lane("hr:1", reason="new"), a_lane("hr:3"), conflict="replace")

    assert (after_error, ignored) == (1, ["why", "why"])
    assert [row["reason"] for row in stored(database)] == ["new", "why", "why"]


def test_only_the_rows_with_these_keys_are_updated(database: Database) -> None:
    """One statement, each row its own values; a key that is not there changes nothing."""
    insert(database, *[a_lane(f"hr:{n}") for n in range(4)])

    changes = [{"lane": f"hr:{n}", "reason": f"r{n}", "remedy": None, "parked": True} for n in (1, 3, 9)]
    database.run(lambda connection: update_rows(connection, tables.lanes, ["lane"], changes))

    assert [(row["reason"], row["parked"]) for row in stored(database)] == [
        ("why", False),
        ("r1", True),
        ("why", False),
        ("r3", True),
    ]


def test_two_keys_match_together(database: Database) -> None:
    """A row of a two-column key is one row."""
    receipt = {"accepted_at": 1, "from_repeat": False, "not_sent": False, "msgid": "m"}
    rows = [{"part_id": part, "claim": claim, **receipt} for part in ("a", "b") for claim in (1, 2)]
    database.run(lambda connection: insert_rows(connection, tables.receipts, rows))

    change = [{"part_id": "a", "claim": 2, "msgid": "new"}, {"part_id": "b", "claim": 1, "msgid": "newer"}]
    database.run(lambda connection: update_rows(connection, tables.receipts, ("part_id", "claim"), change))

    with database.reading() as connection:
        found = connection.execute(text("select part_id, claim, msgid from worker_receipts order by part_id, claim"))
        assert [tuple(row) for row in found] == [("a", 1, "m"), ("a", 2, "new"), ("b", 1, "newer"), ("b", 2, "m")]


def test_no_rows_are_no_statement(database: Database) -> None:
    """Nothing to write asks nothing of the database."""
    database.run(lambda connection: insert_rows(connection, tables.lanes, []))
    database.run(lambda connection: update_rows(connection, tables.lanes, ["lane"], []))

    assert stored(database) == []


@pytest.mark.fewer_databases("only MariaDB limits a statement to some megabytes")
def test_more_than_a_statement_may_carry_is_several_statements(mariadb_database: Database) -> None:
    """Beyond `max_allowed_packet` the server closes the connection: the write would be tried again for ever."""
    rows = [{"part_id": f"p-{n}", "body": letter * 4_000_000, "frozen_at": 1} for n, letter in enumerate("abcdef")]
    mariadb_database.run(lambda connection: insert_rows(connection, tables.bodies, rows))

    changes = [{**row, "body": row["body"].upper()} for row in rows]
    mariadb_database.run(lambda connection: update_rows(connection, tables.bodies, ["part_id"], changes))

    with mariadb_database.reading() as connection:
        found = fetch(connection, "select left(body, 1), length(body) from worker_bodies order by part_id")
    assert [(letter, 4_000_000) for letter in "ABCDEF"] == found


def test_who_made_a_row_knows_it(database: Database) -> None:
    """Of ids wanted by many, each is told the ones it made itself, where the database can say so; all are there."""
    row = {"owner": "p", "until": 1}

    first = database.run(lambda c: insert_new(c, tables.duplicates, [{"id": "a", **row}, {"id": "b", **row}]))
    second = database.run(lambda c: insert_new(c, tables.duplicates, [{"id": "b", **row}, {"id": "c", **row}]))

    silent = database.dialect.name == "mysql"
    assert ((set(), set()) if silent else ({"a", "b"}, {"c"})) == (first, second)
    with database.reading() as connection:
        assert list(connection.execute(text("select id from worker_duplicates order by id")).scalars()) == [
            "a",
            "b",
            "c",
        ]


def test_ids_are_a_document_not_a_statement(database: Database) -> None:
    """Hostile ids select nothing they should not."""
    insert(database, a_lane("hr:1"), a_lane("hr:2"))
    hostile = ["hr:1", "') or 1=1 --", '"]', "%s", ":ids"]

    with database.reading() as connection:
        query = text(f"select lane from {database.dialect.by_ids('worker_lanes', 'lane')}")
        assert [row[0] for row in connection.execute(query, {"ids": ids_json(hostile)})] == ["hr:1"]
