"""Many rows in one statement: rows go in as one JSON document and are joined on the database's side.

The same statement shape on every database; only the way to open the document differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, Table
from sqlalchemy.types import BigInteger, Boolean, Integer, SmallInteger

from worker.outbox.engine.sql import fetch, run

Row = Mapping[str, Any]


# JSON_TABLE cuts a text and clamps a number in silence where its column is too narrow, even with ERROR ON ERROR: so the
# columns are wider than what they are stored in, which is strict. MySQL's loses the sign or the last digits of a number
# of more than 63 bits, even in a decimal column, so numbers are taken as the text they are. Text without a character
# set would take the database's; a binary collation here would not mix with the keys'.
MARIADB_NUMBER = "varchar(80) character set utf8mb4"
MARIADB_TEXT = "longtext character set utf8mb4"
MARIADB_KEY = "varchar(255) character set utf8mb4 collate utf8mb4_general_ci"


def is_mariadb(dialect: str) -> bool:
    """MariaDB or MySQL, whose SQL is the same here."""
    return dialect in ("mysql", "mariadb")


def by_index(dialect: str, index: str) -> str:
    """The text after a table's name that makes the database read it through this index."""
    # PostgreSQL has no such hint; it plans by how many rows the partial index holds.
    if dialect == "postgresql":
        return ""
    return f" force index ({index})" if is_mariadb(dialect) else f" indexed by {index}"


def by_partial_index(dialect: str, index: str) -> str:
    """The same for a partial index, in place of which MariaDB has one that begins with the state."""
    return by_index(dialect, f"{index}_by_state" if is_mariadb(dialect) else index)


def _postgres_type(table: Table, column: str) -> str:
    kind = table.c[column].type
    if isinstance(kind, Boolean):
        return "boolean"
    if isinstance(kind, (BigInteger, Integer, SmallInteger)):
        return "bigint"
    return "text"


def _mariadb_type(table: Table, column: str, keys: Sequence[str]) -> str:
    kind = table.c[column].type
    if isinstance(kind, Integer) and column not in keys:
        return MARIADB_NUMBER
    if isinstance(kind, (Boolean, Integer)):
        return "bigint"
    return MARIADB_KEY if column in keys else MARIADB_TEXT


def _document(dialect: str, table: Table, columns: Sequence[str], keys: Sequence[str] = ()) -> str:
    """A FROM item named v that holds the rows of `:rows`."""
    if dialect == "postgresql":
        typed = ", ".join(f"{name} {_postgres_type(table, name)}" for name in columns)
        return f"json_to_recordset(cast(:rows as json)) as v({typed})"
    if dialect == "sqlite":
        fields = ", ".join(f"value->>'$.{name}' as {name}" for name in columns)
        return f"(select {fields} from json_each(:rows)) as v"
    fields = ", ".join(f"{name} {_mariadb_type(table, name, keys)} path '$.{name}'" for name in columns)
    return f"json_table(:rows, '$[*]' columns ({fields})) as v"


@lru_cache(maxsize=256)
def _update(dialect: str, table: Table, keys: tuple[str, ...], columns: tuple[str, ...]) -> str:
    name = table.name
    source = _document(dialect, table, (*keys, *columns), keys)
    match = " and ".join(f"{name}.{key} = v.{key}" for key in keys)
    if is_mariadb(dialect):
        # In this order and by the key: otherwise MariaDB may walk the table, and it locks what it walks past.
        sets = ", ".join(f"{name}.{column} = v.{column}" for column in columns)
        return f"update {source} straight_join {name} force index (primary) on {match} set {sets}"
    if dialect == "postgresql":
        # The array makes PostgreSQL use the index, as in `chosen`: while statistics are young it would plan the join as
        # a scan of the table.
        key = keys[0]
        match += f" and {name}.{key} = any(array(select r->>'{key}' from json_array_elements(cast(:rows as json)) r))"
    sets = ", ".join(f"{column} = v.{column}" for column in columns)
    return f"update {name} set {sets} from {source} where {match}"


@lru_cache(maxsize=256)
def _insert(dialect: str, table: Table, columns: tuple[str, ...], conflict: str) -> str:
    names = ", ".join(columns)
    picked = ", ".join(f"v.{column}" for column in columns)
    # SQLite's parser needs a WHERE between SELECT and ON CONFLICT.
    where = " where true" if dialect == "sqlite" else ""
    select = f"insert into {table.name} ({names}) select {picked} from {_document(dialect, table, columns)}{where}"
    return select + _on_conflict(dialect, table, columns, conflict)


def _on_conflict(dialect: str, table: Table, columns: tuple[str, ...], conflict: str) -> str:
    if conflict == "error":
        return ""
    keys = [column.name for column in table.primary_key.columns]
    rest = [column for column in columns if column not in keys]
    if is_mariadb(dialect):
        # Setting a key to itself changes nothing. INSERT IGNORE would also hide values that are too long or malformed.
        changes = [f"{keys[0]} = {table.name}.{keys[0]}"] if conflict == "ignore" else [f"{c} = v.{c}" for c in rest]
        return " on duplicate key update " + ", ".join(changes)
    if conflict == "ignore":
        return f" on conflict ({', '.join(keys)}) do nothing"
    return f" on conflict ({', '.join(keys)}) do update set " + ", ".join(f"{c} = excluded.{c}" for c in rest)


def _dump(rows: Sequence[Row]) -> str:
    return to_json(rows).decode()


def update_rows(
    connection: Connection, table: Table, keys: Sequence[str], rows: Sequence[Row], *, only: str = ""
) -> None:
    """Sets the given columns of the rows with these keys; all rows carry the same columns.

    `only` is a condition on columns that are not set, for rows that may have changed since they were read.
    """
    writes = Writes(connection.dialect.name)
    writes.update(table, keys, rows, only=only)
    writes.flush(connection)


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row], *, conflict: str = "error") -> None:
    """Inserts the rows; for a primary key that exists: `error`, `ignore`, or `replace` its other columns."""
    writes = Writes(connection.dialect.name)
    writes.insert(table, rows, conflict=conflict)
    writes.flush(connection)


class Writes:
    """Bulk writes to different tables, collected and sent together: on PostgreSQL in one statement."""

    def __init__(self, dialect: str):
        self._dialect = dialect
        self._statements: list[str] = []
        self._rows: list[str] = []

    def update(self, table: Table, keys: Sequence[str], rows: Sequence[Row], *, only: str = "") -> None:
        """See `update_rows`."""
        if rows:
            columns = tuple(name for name in rows[0] if name not in keys)
            # MariaDB's update matches the keys in ON and has no WHERE yet.
            and_ = " where " if is_mariadb(self._dialect) else " and "
            self._add(_update(self._dialect, table, tuple(keys), columns) + (only and and_ + only), rows)

    def insert(self, table: Table, rows: Sequence[Row], *, conflict: str = "error") -> None:
        """See `insert_rows`."""
        if rows:
            self._add(_insert(self._dialect, table, tuple(rows[0]), conflict), rows)

    def _add(self, statement: str, rows: Sequence[Row]) -> None:
        self._statements.append(statement)
        self._rows.append(_dump(rows))

    def flush(self, connection: Connection) -> None:
        """Sends the collected writes; a table may be among them only once."""
        statements, rows, self._statements, self._rows = self._statements, self._rows, [], []
        if self._dialect == "postgresql" and len(statements) > 1:
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
    dialect = connection.dialect.name
    # MySQL has no RETURNING beside ON DUPLICATE KEY, and after a read another transaction could insert the same row.
    if is_mariadb(dialect):
        insert_rows(connection, table, rows, conflict="ignore")
        return set()
    statement = _insert(dialect, table, tuple(rows[0]), "ignore")
    return {row[0] for row in fetch(connection, f"{statement} returning id", {"rows": _dump(rows)})}


@lru_cache(maxsize=256)
def chosen(
    dialect: str, table: str, key: str = "id", *, alias: str = "", joins: str = "", index: str = "primary"
) -> str:
    """The text after `from` for the rows whose key is among the ids of `:ids`; `and ...` may follow. See `ids_json`.

    Each id is looked up in the index, whatever the statistics say: on PostgreSQL through an array made first, on
    MariaDB through a join in the order written, which also locks the rows in the order of the ids.
    """
    if is_mariadb(dialect):
        # In a select of its own: with a locking clause MySQL refuses a document that is opened in the same FROM (3569).
        return f"(select wanted from {_opened()}) chosen{_before(table, key, alias, index)}{joins} where true"
    return f"{table} {alias}".rstrip() + f"{joins} where {alias or table}.{key} {_among(dialect)}"


def in_order(dialect: str, key: str = "id") -> str:
    """The text after `chosen` that locks its rows in the order of the ids; SQLite has one writer and no row locks."""
    # On MariaDB the join has that order already. Sorting would make a temporary table, on disk for rows of long texts.
    if is_mariadb(dialect):
        return " for update"
    return f" order by {key}" + (" for update" if dialect == "postgresql" else "")


@lru_cache(maxsize=256)
def update_chosen(dialect: str, table: str, sets: str, key: str = "id", *, index: str = "primary") -> str:
    """An update of the rows whose key is among the ids of `:ids`; `and ...` may follow."""
    if is_mariadb(dialect):
        return f"update {_opened()}{_before(table, key, '', index)} set {sets} where true"
    return f"update {table} set {sets} where {key} {_among(dialect)}"


@lru_cache(maxsize=64)
def delete_chosen(dialect: str, table: str, key: str = "id") -> str:
    """A delete of the rows whose key, first in the primary key, is among the ids of `:ids`; `and ...` may follow."""
    if is_mariadb(dialect):
        return f"delete {table} from {_opened()}{_before(table, key, '', 'primary')} where true"
    return f"delete from {table} where {key} {_among(dialect)}"


def _opened() -> str:
    """The ids of `:ids` as a table on MariaDB."""
    return f"json_table(:ids, '$[*]' columns (wanted {MARIADB_KEY} path '$')) as chosen"


def _before(table: str, key: str, alias: str, index: str) -> str:
    """The table, joined after the ids. MariaDB would walk, and lock, the whole table for `in (select ...)`."""
    return f" straight_join {table} {alias} force index ({index}) on {alias or table}.{key} = chosen.wanted"


def _among(dialect: str) -> str:
    if dialect == "postgresql":
        return "= any(array(select json_array_elements_text(cast(:ids as json))))"
    return "in (select value from json_each(:ids))"


def ids_json(ids: Iterable[str]) -> str:
    """Ids, each once and in order, as the JSON list that `chosen` opens."""
    return to_json(sorted(set(ids))).decode()
