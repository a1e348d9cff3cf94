"""Many rows in one statement: rows go in as one JSON document and are joined on the database's side.

The same statement shape on every database; only the way to open the document differs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

from pydantic_core import to_json
from sqlalchemy import Connection, Table

from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import fetch, run

Row = Mapping[str, Any]
T = TypeVar("T")


def rows_json(rows: Iterable[Row]) -> str:
    """Rows as the JSON document that `opened` opens."""
    return to_json(list(rows)).decode()


def update_rows(
    connection: Connection, table: Table, keys: Sequence[str], rows: Sequence[Row], *, only: str = ""
) -> None:
    """Sets the given columns of the rows with these keys; all rows carry the same columns.

    `only` is a condition for rows that may have changed since they were read; it names a column that is set with its
    table.
    """
    writes = Writes(dialect_of(connection))
    writes.update(table, keys, rows, only=only)
    writes.flush(connection)


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row], *, conflict: str = "error") -> None:
    """Inserts the rows; where the primary key exists: `error`, `ignore`, `replace` the others, or `add` to them."""
    writes = Writes(dialect_of(connection))
    writes.insert(table, rows, conflict=conflict)
    writes.flush(connection)


class Writes:
    """Bulk writes to different tables, collected and sent together: on PostgreSQL in one statement."""

    def __init__(self, dialect: Dialect):
        self._dialect = dialect
        self._statements: list[str] = []
        self._rows: list[str] = []

    def update(self, table: Table, keys: Sequence[str], rows: Sequence[Row], *, only: str = "") -> None:
        """See `update_rows`."""
        if rows:
            columns = tuple(name for name in rows[0] if name not in keys)
            self._add(self._dialect.update(table, tuple(keys), columns, only), rows)

    def insert(self, table: Table, rows: Sequence[Row], *, conflict: str = "error") -> None:
        """See `insert_rows`."""
        if rows:
            self._add(self._dialect.insert(table, tuple(rows[0]), conflict), rows)

    def _add(self, statement: str, rows: Sequence[Row]) -> None:
        self._statements.append(statement)
        self._rows.append(rows_json(rows))

    def flush(self, connection: Connection) -> None:
        """Sends the collected writes; a table may be among them only once."""
        statements, rows, self._statements, self._rows = self._statements, self._rows, [], []
        if self._dialect.combines_writes and len(statements) > 1:
            run(connection, _together(tuple(statements)), {f"rows_{_LETTERS[n]}": text for n, text in enumerate(rows)})
            return
        for statement, text in zip(statements, rows, strict=True):
            run(connection, statement, {"rows": text})


_LETTERS = "abcdefghij"


@lru_cache(maxsize=256)
def _together(statements: tuple[str, ...]) -> str:
    """Several writes as one statement."""
    # Even in a pipeline, where no statement waits for the network, each costs a turn at the interpreter's lock.
    named = [statement.replace(":rows", f":rows_{_LETTERS[n]}") for n, statement in enumerate(statements)]
    parts = ", ".join(f"{_LETTERS[n]} as ({statement})" for n, statement in enumerate(named))
    return f"with {parts} select 1"


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> set[str]:
    """Inserts the rows whose id does not exist; returns the ids that are known to be new, on MariaDB none of them.

    The caller reads the rows of all other ids.
    """
    dialect = dialect_of(connection)
    # Not after a read: another transaction could insert the same row between them.
    if not dialect.has_returning:
        insert_rows(connection, table, rows, conflict="ignore")
        return set()
    statement = dialect.insert(table, tuple(rows[0]), "ignore")
    return {row[0] for row in fetch(connection, f"{statement} returning id", {"rows": rows_json(rows)})}


def ids_json(ids: Iterable[str]) -> str:
    """Ids, each once and in order, as the JSON list that `chosen` opens."""
    return to_json(sorted(set(ids))).decode()


def rows_by_id(
    connection: Connection,
    columns: str,
    table: str,
    ids: Iterable[str],
    key: str = "id",
    *,
    only: str = "",
    index: str = "primary",
    **values: Any,
) -> list[tuple[Any, ...]]:
    """Columns of the rows whose key is among the ids; `only` is what may follow, such as `and state = 0`."""
    source = dialect_of(connection).chosen(table, key, index=index)
    return fetch(connection, f"select {columns} from {source} {only}", {"ids": ids_json(ids), **values})


def delete_by_id(
    connection: Connection, table: str, ids: Collection[str], key: str = "id", *, index: str = "primary"
) -> None:
    """Deletes the rows whose key is among the ids; without ids it asks nothing."""
    if ids:
        run(connection, dialect_of(connection).delete_chosen(table, key, index=index), {"ids": ids_json(ids)})


def in_lots(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Items in lists of a size."""
    rest = iter(items)
    while lot := list(islice(rest, size)):
        yield lot
