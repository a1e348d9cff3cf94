"""Writes and reads many rows with one statement: the rows are bound as one JSON document, which the database reads.

The statements are alike on every database; only the SQL that reads the document differs (`Dialect.json_rows`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

from pydantic_core import to_json
from sqlalchemy import Connection, Table

from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import fetch, run

Row = Mapping[str, Any]
T = TypeVar("T")

DOCUMENT_BYTES = 4 * 1024 * 1024
"""The largest document of rows in one statement, where statements are limited. A larger row is alone in its document.
"""


def rows_json(rows: Iterable[Row]) -> str:
    """Returns rows as the JSON document that `Dialect.json_rows` reads."""
    return to_json(list(rows)).decode()


def documents(dialect: Dialect, rows: Sequence[Row]) -> list[str]:
    """Returns rows as JSON documents, one for each statement that the database needs for them; none for no rows."""
    if not rows:
        return []
    document = to_json(list(rows))
    if dialect.limits_statements and len(document) > DOCUMENT_BYTES and len(rows) > 1:
        middle = len(rows) // 2
        return [*documents(dialect, rows[:middle]), *documents(dialect, rows[middle:])]
    return [document.decode()]


def update_rows(
    connection: Connection, table: Table, keys: Sequence[str], rows: Sequence[Row], *, only: str = ""
) -> None:
    """Updates the rows with these keys. All of `rows` must have the same columns: the keys and the columns to set.

    `only` is a further condition, for rows that may have changed since they were read. In it, a column that is also set
    must have its table's name as prefix.
    """
    writes = Writes(dialect_of(connection))
    writes.update(table, keys, rows, only=only)
    writes.flush(connection)


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row], *, conflict: str = "error") -> None:
    """Inserts rows, all with the same columns. `conflict` says what to do if the primary key exists.

    `error` raises, `ignore` keeps the existing row, `replace` sets its other columns, `add` adds to its other columns,
    where a sum of more than 2^62 starts again.
    """
    writes = Writes(dialect_of(connection))
    writes.insert(table, rows, conflict=conflict)
    writes.flush(connection)


class Writes:
    """Bulk writes to different tables that are sent together, on PostgreSQL as one statement."""

    def __init__(self, dialect: Dialect):
        self._dialect = dialect
        self._statements: list[str] = []
        self._rows: list[str] = []

    def update(self, table: Table, keys: Sequence[str], rows: Sequence[Row], *, only: str = "") -> None:
        """Adds an update; see `update_rows`."""
        if rows:
            columns = tuple(name for name in rows[0] if name not in keys)
            self._add(self._dialect.update(table, tuple(keys), columns, only), rows)

    def insert(self, table: Table, rows: Sequence[Row], *, conflict: str = "error") -> None:
        """Adds an insert; see `insert_rows`."""
        if rows:
            self._add(self._dialect.insert(table, tuple(rows[0]), conflict), rows)

    def _add(self, statement: str, rows: Sequence[Row]) -> None:
        for document in documents(self._dialect, rows):
            self._statements.append(statement)
            self._rows.append(document)

    def flush(self, connection: Connection) -> None:
        """Sends the writes added since the last flush. Each table may occur in them only once."""
        statements, rows, self._statements, self._rows = self._statements, self._rows, [], []
        if self._dialect.combines_writes and len(statements) > 1:
            run(connection, _combined(tuple(statements)), {f"rows_{_LETTERS[n]}": text for n, text in enumerate(rows)})
            return
        for statement, text in zip(statements, rows, strict=True):
            run(connection, statement, {"rows": text})


_LETTERS = "abcdefghij"


@lru_cache(maxsize=256)
def _combined(statements: tuple[str, ...]) -> str:
    """Returns several writes as one statement, with the binds `:rows_a`, `:rows_b`, ... in place of `:rows`."""
    # Even in a pipeline, where no statement waits for the network, each statement waits for Python's GIL.
    named = [statement.replace(":rows", f":rows_{_LETTERS[n]}") for n, statement in enumerate(statements)]
    parts = ", ".join(f"{_LETTERS[n]} as ({statement})" for n, statement in enumerate(named))
    return f"with {parts} select 1"


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> set[str]:
    """Inserts the rows whose id does not exist. Returns the ids that were certainly inserted, on MariaDB none.

    The caller has to read the rows of all other ids.
    """
    dialect = dialect_of(connection)
    # The insert comes before any read, because another transaction could insert the same row between the two.
    if not dialect.has_returning:
        insert_rows(connection, table, rows, conflict="ignore")
        return set()
    statement = dialect.insert(table, tuple(rows[0]), "ignore")
    return {row[0] for row in fetch(connection, f"{statement} returning id", {"rows": rows_json(rows)})}


def ids_json(ids: Iterable[str]) -> str:
    """Returns ids, sorted and without duplicates, as the JSON list that `Dialect.by_ids` reads."""
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
    """Returns columns of the rows whose key is among the ids.

    `only` is SQL that follows the condition, such as `and state = 0`; `values` are its binds.
    """
    source = dialect_of(connection).by_ids(table, key, index=index)
    return fetch(connection, f"select {columns} from {source} {only}", {"ids": ids_json(ids), **values})


def delete_by_id(
    connection: Connection,
    table: str,
    ids: Collection[str],
    key: str = "id",
    *,
    only: str = "",
    index: str = "primary",
    **values: Any,
) -> None:
    """Deletes the rows whose key is among the ids. Sends no statement if there are no ids.

    `only` and `values` are those of `rows_by_id`.
    """
    if ids:
        delete = dialect_of(connection).delete_by_ids(table, key, index=index)
        run(connection, f"{delete} {only}", {"ids": ids_json(ids), **values})


def lock_rows(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    ids: Collection[str],
    fresh: Mapping[str, Row],
    existing: Collection[str] | None = None,
) -> tuple[list[tuple[Any, ...]], set[str]]:
    """Locks the rows with these keys, in key order. First it inserts those of `fresh` (key -> row) that are missing.

    The first of `columns` is the key. `existing` are keys whose rows probably exist; without it they are looked up.
    Returns the columns of the locked rows, and the keys whose rows it inserted.
    """
    key, dialect = columns[0], dialect_of(connection)
    query = f"select {', '.join(columns)} from {dialect.by_ids(table.name, key)}{dialect.lock_in_order(key)}"
    if existing is None:
        existing = {row[0] for row in rows_by_id(connection, key, table.name, fresh, key)} if fresh else ()
    # Missing rows are inserted before any row is locked. So inserts wait only for inserts and locks only for locks,
    # both in key order, and no transactions wait for each other in a circle.
    missing, inserted = fresh.keys() - existing, set[str]()
    while True:
        insert_rows(connection, table, [fresh[id] for id in sorted(missing)], conflict="ignore")
        inserted |= missing
        rows = fetch(connection, query, {"ids": ids_json(ids)})
        # Another transaction may have deleted a row before it was locked.
        missing = fresh.keys() - {row[0] for row in rows}
        if not missing:
            return rows, inserted


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yields the items in lists of `size`; the last list may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def batched_by_size(items: Iterable[T], size_of: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """Yields the items in lists whose sizes add up to `most` at most. A larger item is a list of its own."""
    batch, total = list[T](), 0
    for item in items:
        if batch and total + size_of(item) > most:
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size_of(item)
    if batch:
        yield batch
