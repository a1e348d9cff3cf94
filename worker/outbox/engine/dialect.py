"""What differs between the databases: one `Dialect` each, asked for a text of SQL or for what its database can do.

The rest of the outbox decides by what differs, never by which database it is. Knows no table of ours.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.types import Boolean, Integer

from worker.domain.errors import ConfigurationError


class Dialect:
    """The SQL of a database, as most of the three have it; each is the only object of its class."""

    name: str
    """SQLAlchemy's name of it, for messages and tests; no statement depends on it."""
    now: str
    """The clock in integer microseconds UTC."""
    number: str
    """The type of a whole number in a document that is opened."""
    text: str
    """The type of a text in such a document."""
    key: str
    """The type of a text that is compared with a key."""
    shared_lock: str
    """The text that locks the rows of a select for several transactions at once."""
    steps_by: Literal["lateral", "rowid", "groups"]
    """How the next distinct values of an index's first columns are found: by a lateral join, by looking up the next
    row's number, or by a GROUP BY that steps through the index."""

    integer = "bigint"
    """The type to which `cast` makes a whole number."""
    octet_length = "octet_length"
    """The function that counts a text's bytes (on SQLite its characters)."""
    lock = " for update"
    """The text that locks the rows of a select; empty where there are no row locks."""
    skip_locked = " skip locked"
    """The text after `lock` that leaves out rows which another transaction has locked; empty without row locks."""
    has_one_writer = False
    """True where transactions that write go one after another, in all processes together; there are no row locks."""
    has_round_trips = True
    """False where the database runs inside this process, so that many small statements cost no more than one."""
    has_returning = True
    """True where a write can return the rows that it wrote."""
    has_arrays = False
    """True where a subquery can be made an array first, by which rows are then looked up in an index."""
    combines_writes = False
    """True where writes to several tables can be one statement."""
    clock_follows_lock = False
    """True where a clock among the columns of a locking select is read when the row's lock is held."""
    locks_gaps = False
    """True where a statement can lock the gap in which others insert: a search for a key that is missing under
    REPEATABLE READ, or an insert that meets a key which is taken."""
    inserts_meet_unseen = False
    """True where under REPEATABLE READ an insert can meet a row that only a locking read of its transaction sees."""
    spills_long_texts = False
    """True where a temporary table with long texts is made on disk."""
    bytes_as_digits = False
    """True where bytes are sent as hexadecimal digits."""

    # -- how long -----------------------------------------------------------------------------------------------------

    @contextmanager
    def limited(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Ends each statement that takes longer, with an OperationalError; for reads, on a connection of `reading`."""
        raise NotImplementedError
        yield

    # -- which index --------------------------------------------------------------------------------------------------

    def by_index(self, index: str) -> str:
        """The text after a table's name that makes the database read it through this index."""
        return f" indexed by {index}"

    def along_index(self, index: str) -> str:
        """As `by_index`, for a query with a limit that is to read in the order of the index, and no further."""
        return self.by_index(index)

    def all_null(self, column: str) -> str:
        """The beginning of an ORDER BY along an index whose first column is this one, and NULL in all rows."""
        return ""

    def by_partial_index(self, index: str) -> str:
        """The text for a partial index, in place of which MariaDB has an index that begins with the state."""
        return self.by_index(index)

    def force_index(self, index: str) -> str:
        """The text that forces this index on MariaDB; empty on the others, which choose it by themselves."""
        return ""

    def join(self, table: str, index: str = "primary") -> str:
        """A join whose `on` follows; on MariaDB in the order written, and through this index."""
        return f" join {table}"

    def read_once(self, now: str) -> str:
        """The clock as one value that is read before the first row, so that it can end an index range.

        With a clock that may differ from row to row, the database would compare it with every part that is due later.
        """
        return now

    def known_once(self, now: str) -> str:
        """The same, for what ends a range that is nearly always empty: its value is known when the query is planned."""
        return self.read_once(now)

    # -- rows as one document -----------------------------------------------------------------------------------------

    def opened(self, bind: str, columns: Mapping[str, str], alias: str = "v") -> str:
        """A FROM item that holds the rows of a bound JSON document; `columns` are names and types."""
        raise NotImplementedError

    def opened_keys(self, bind: str, names: Sequence[str]) -> str:
        """A FROM item named v with the keys of a document, by which the rows of a `join` are looked up."""
        return self.opened(bind, dict.fromkeys(names, self.key))

    @lru_cache(maxsize=256)
    def update(self, table: Table, keys: tuple[str, ...], columns: tuple[str, ...], only: str = "") -> str:
        """An update of these columns from the rows of `:rows`, by these keys and by a condition."""
        sets = ", ".join(f"{column} = v.{column}" for column in columns)
        source = self._rows(table, (*keys, *columns), keys)
        return f"update {table.name} set {sets} from {source} where {self._match(table, keys)}" + (
            only and f" and {only}"
        )

    @lru_cache(maxsize=256)
    def insert(self, table: Table, columns: tuple[str, ...], conflict: str) -> str:
        """An insert of the rows of `:rows`; where the primary key exists: `error`, `ignore`, `replace` or `add`."""
        picked = ", ".join(f"v.{column}" for column in columns)
        source = self._rows(table, columns)
        return f"insert into {table.name} ({', '.join(columns)}) select {picked} from {source}" + self._on_conflict(
            table, columns, conflict
        )

    def _rows(self, table: Table, columns: Sequence[str], keys: Sequence[str] = ()) -> str:
        return self.opened("rows", {name: self._type(table, name, name in keys) for name in columns})

    def _type(self, table: Table, column: str, is_key: bool) -> str:
        return ""

    def _match(self, table: Table, keys: Sequence[str]) -> str:
        return " and ".join(f"{table.name}.{key} = v.{key}" for key in keys)

    def _on_conflict(self, table: Table, columns: Sequence[str], conflict: str) -> str:
        if conflict == "error":
            return ""
        keys, rest = _split(table, columns)
        if conflict == "ignore":
            return f" on conflict ({', '.join(keys)}) do nothing"
        added = conflict == "add"
        changes = (f"{c} = {table.name}.{c} + excluded.{c}" if added else f"{c} = excluded.{c}" for c in rest)
        return f" on conflict ({', '.join(keys)}) do update set " + ", ".join(changes)

    # -- rows by their ids --------------------------------------------------------------------------------------------

    @lru_cache(maxsize=256)
    def chosen(self, table: str, key: str = "id", *, alias: str = "", joins: str = "", index: str = "primary") -> str:
        """The text after `from` for the rows whose key is among the ids of `:ids`; `and ...` may follow.

        Each id is looked up in the index, whatever the statistics say: on PostgreSQL through an array made first, on
        MariaDB through a join in the order written, which also locks the rows in the order of the ids. See `ids_json`.
        """
        return f"{table} {alias}".rstrip() + f"{joins} where {alias or table}.{key} {self._among()}"

    @lru_cache(maxsize=256)
    def update_chosen(self, table: str, sets: str, key: str = "id", *, index: str = "primary") -> str:
        """An update of the rows whose key is among the ids of `:ids`; `and ...` may follow."""
        return f"update {table} set {sets} where {key} {self._among()}"

    @lru_cache(maxsize=64)
    def delete_chosen(self, table: str, key: str = "id", *, index: str = "primary") -> str:
        """A delete of the rows whose key, first in the index, is among the ids of `:ids`; `and` may follow."""
        return f"delete from {table} where {key} {self._among()}"

    def sorted_by(self, order: str) -> str:
        """The text after `chosen` that sorts its rows by the ids, or by a key that begins with them."""
        return f" order by {order}"

    def in_order(self, key: str = "id") -> str:
        """The text after `chosen` that locks its rows in the order of the ids."""
        return self.sorted_by(key) + self.lock

    def _among(self) -> str:
        return "in (select value from json_each(:ids))"


class _PostgreSQL(Dialect):
    name = "postgresql"
    now = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
    number = "bigint"
    text = key = "text"
    shared_lock = " for share"
    steps_by = "lateral"
    has_arrays = True
    combines_writes = True

    @contextmanager
    def limited(self, connection: Connection, seconds: float) -> Iterator[None]:
        # In a transaction, whose end also ends the setting: behind a pooler the session may be another client's next.
        connection.exec_driver_sql("begin isolation level read committed read only")
        try:
            connection.exec_driver_sql(f"set local statement_timeout = {int(seconds * 1000)}")
            yield
        finally:
            connection.exec_driver_sql("rollback")

    def by_index(self, index: str) -> str:
        """Returns nothing: PostgreSQL has no such hint, and plans by how many rows the partial index holds."""
        return ""

    def along_index(self, index: str) -> str:
        """Joins one row that is taken for a hundred.

        Where the last ANALYZE saw few such rows, PostgreSQL would read all of them and sort: it takes that for as cheap
        as the index. With a hundred times as many it stops in the index at the limit.
        """
        return " cross join jsonb_array_elements('[0]') as taken_for_a_hundred"

    def all_null(self, column: str) -> str:
        """Names the column: without it PostgreSQL does not see that the index has this order. MariaDB would sort."""
        return f"{column}, "

    def read_once(self, now: str) -> str:
        """Makes it an uncorrelated subquery, which PostgreSQL evaluates once."""
        return f"(select {now})"

    def known_once(self, now: str) -> str:
        """Takes the start of the statement.

        Of a subquery PostgreSQL expects a third of all rows: among a million it starts parallel workers to find none.
        """
        return now.replace("clock_timestamp()", "statement_timestamp()")

    def opened(self, bind: str, columns: Mapping[str, str], alias: str = "v") -> str:
        typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        return f"json_to_recordset(cast(:{bind} as json)) as {alias}({typed})"

    def _type(self, table: Table, column: str, is_key: bool) -> str:
        kind = table.c[column].type
        if isinstance(kind, Boolean):
            return "boolean"
        return self.number if isinstance(kind, Integer) else self.text

    def _match(self, table: Table, keys: Sequence[str]) -> str:
        # The array makes PostgreSQL use the index, as in `chosen`: while statistics are young it would plan the join as
        # a scan of the table.
        key = keys[0]
        array = f"array(select r->>'{key}' from json_array_elements(cast(:rows as json)) r)"
        return f"{super()._match(table, keys)} and {table.name}.{key} = any({array})"

    def _among(self) -> str:
        return "= any(array(select json_array_elements_text(cast(:ids as json))))"


class _SQLite(Dialect):
    name = "sqlite"
    # unixepoch('subsec') needs SQLite 3.42; Debian 12 has 3.40. Milliseconds are what SQLite's clock offers.
    now = "(cast(strftime('%s','now') as integer) * 1000000 + cast(substr(strftime('%f','now'), 4) as integer) * 1000)"
    number = text = key = ""  # a document's own
    lock = skip_locked = shared_lock = ""
    steps_by = "rowid"
    octet_length = "length"
    has_one_writer = True
    has_round_trips = False

    @contextmanager
    def limited(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Counts all statements together: SQLite has no limit of its own, but asks now and then whether to go on."""
        driver: Any = connection.connection.driver_connection
        ends = time.monotonic() + seconds
        driver.set_progress_handler(lambda: time.monotonic() > ends, 10_000)
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)

    def opened(self, bind: str, columns: Mapping[str, str], alias: str = "v") -> str:
        fields = ", ".join(f"value->>'$.{name}' as {name}" for name in columns)
        return f"(select {fields} from json_each(:{bind})) as {alias}"

    def _on_conflict(self, table: Table, columns: Sequence[str], conflict: str) -> str:
        # SQLite's parser needs a WHERE between SELECT and ON CONFLICT.
        return " where true" + super()._on_conflict(table, columns, conflict)


class _MariaDB(Dialect):
    """MariaDB and MySQL, whose SQL is the same here."""

    name = "mysql"
    # SYSDATE, not NOW: the instant of evaluation, not of the statement's start. Its local time serves only for the span
    # since that start, because in the hour that a time zone repeats in autumn one local time is two instants. A span
    # across the switch is wrong by whole half-hours, which `mod` removes: it counts as -1 minute (for a clock that was
    # set back) to +29 minutes. For a statement that waits longer the result is early by whole half-hours.
    now = (
        "(timestampdiff(microsecond, '1970-01-01', utc_timestamp(6))"
        " + mod(timestampdiff(microsecond, now(6), sysdate(6)) + 7260000000, 1800000000) - 60000000)"
    )
    # JSON_TABLE cuts a text and clamps a number in silence where its column is too narrow, even with ERROR ON ERROR: so
    # the columns are wider than what they are stored in, which is strict. Text without a character set would take the
    # database's; a binary collation here would not mix with the keys'.
    number = "decimal(65, 0)"
    text = "longtext character set utf8mb4"
    key = "varchar(255) character set utf8mb4 collate utf8mb4_general_ci"
    shared_lock = " lock in share mode"
    steps_by = "groups"
    integer = "signed"
    # MySQL has none beside ON DUPLICATE KEY.
    has_returning = False
    clock_follows_lock = True
    locks_gaps = True
    inserts_meet_unseen = True
    spills_long_texts = True
    # PyMySQL would send them so anyway: aiomysql 0.3.2 with PyMySQL 1.2.3 or newer cannot send bytes.
    bytes_as_digits = True

    @contextmanager
    def limited(self, connection: Connection, seconds: float) -> Iterator[None]:
        is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
        name, amount = ("max_statement_time", seconds) if is_mariadb else ("max_execution_time", int(seconds * 1000))
        connection.exec_driver_sql(f"set session {name} = {amount}")
        try:
            yield
        finally:
            connection.exec_driver_sql(f"set session {name} = default")

    def by_index(self, index: str) -> str:
        return f" force index ({index})"

    def by_partial_index(self, index: str) -> str:
        return self.by_index(f"{index}_by_state")

    def force_index(self, index: str) -> str:
        return self.by_index(index)

    def join(self, table: str, index: str = "primary") -> str:
        return f" straight_join {table} force index ({index})"

    def read_once(self, now: str) -> str:
        """Takes NOW, which is the start of the statement, in place of SYSDATE."""
        return now.replace("sysdate(6)", "now(6)")

    def opened(self, bind: str, columns: Mapping[str, str], alias: str = "v") -> str:
        fields = ", ".join(f"{name} {kind} path '$.{name}'" for name, kind in columns.items())
        return f"json_table(:{bind}, '$[*]' columns ({fields})) as {alias}"

    def opened_keys(self, bind: str, names: Sequence[str]) -> str:
        # In a select of their own, as in `chosen`.
        return f"(select {', '.join(names)} from {super().opened_keys(bind, names)}) v"

    @lru_cache(maxsize=256)
    def update(self, table: Table, keys: tuple[str, ...], columns: tuple[str, ...], only: str = "") -> str:
        """Joins in this order and by the key: otherwise MariaDB may walk the table, and it locks what it walks past."""
        sets = ", ".join(f"{table.name}.{column} = v.{column}" for column in columns)
        source = self._rows(table, (*keys, *columns), keys)
        found = f"update {source}{self.join(table.name)} on {self._match(table, keys)} set {sets}"
        return found + (only and f" where {only}")

    def _type(self, table: Table, column: str, is_key: bool) -> str:
        kind = table.c[column].type
        if isinstance(kind, Integer) and not is_key:
            # MySQL loses the sign or the last digits of a number of more than 63 bits, even in a decimal column, so
            # numbers are taken as the text they are.
            return "varchar(80) character set utf8mb4"
        if isinstance(kind, (Boolean, Integer)):
            return "bigint"
        return self.key if is_key else self.text

    def _on_conflict(self, table: Table, columns: Sequence[str], conflict: str) -> str:
        if conflict == "error":
            return ""
        keys, rest = _split(table, columns)
        if conflict == "add":
            changes = [f"{c} = {table.name}.{c} + cast(v.{c} as signed)" for c in rest]
            return " on duplicate key update " + ", ".join(changes)
        # Setting a key to itself changes nothing. INSERT IGNORE would also hide values that are too long or malformed.
        changes = [f"{keys[0]} = {table.name}.{keys[0]}"] if conflict == "ignore" else [f"{c} = v.{c}" for c in rest]
        return " on duplicate key update " + ", ".join(changes)

    @lru_cache(maxsize=256)
    def chosen(self, table: str, key: str = "id", *, alias: str = "", joins: str = "", index: str = "primary") -> str:
        """Joins the rows behind the ids, whose order it keeps."""
        # In a select of its own: with a locking clause MySQL refuses a document that is opened in the same FROM (3569).
        return f"(select wanted from {self._ids()}) chosen{self._found(table, key, index, alias)}{joins} where true"

    @lru_cache(maxsize=256)
    def update_chosen(self, table: str, sets: str, key: str = "id", *, index: str = "primary") -> str:
        """Joins the rows behind the ids: for `in (select ...)` MariaDB would walk, and lock, the whole table."""
        return f"update {self._ids()}{self._found(table, key, index)} set {sets} where true"

    @lru_cache(maxsize=64)
    def delete_chosen(self, table: str, key: str = "id", *, index: str = "primary") -> str:
        """Joins the rows behind the ids, as `update_chosen` does."""
        return f"delete {table} from {self._ids()}{self._found(table, key, index)} where true"

    def sorted_by(self, order: str) -> str:
        """Returns nothing: the join has that order. Sorting would make a temporary table, on disk for long texts."""
        return ""

    def _ids(self) -> str:
        return f"json_table(:ids, '$[*]' columns (wanted {self.key} path '$')) as chosen"

    def _found(self, table: str, key: str, index: str, alias: str = "") -> str:
        return f"{self.join(f'{table} {alias}', index)} on {alias or table}.{key} = chosen.wanted"


def _split(table: Table, columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """The primary key's columns, and those of the given ones that are not in it."""
    keys = [column.name for column in table.primary_key.columns]
    return keys, [column for column in columns if column not in keys]


MARIADB = _MariaDB()
_DIALECTS: Mapping[str, Dialect] = {
    "postgresql": _PostgreSQL(),
    "sqlite": _SQLite(),
    "mysql": MARIADB,
    # A caller's own engine may have this name.
    "mariadb": MARIADB,
}


def dialect_of(connection: Connection | Engine) -> Dialect:
    """The dialect of a connection's database; a database that is not supported is a ConfigurationError."""
    try:
        return _DIALECTS[connection.dialect.name]
    except KeyError:
        raise unsupported(connection.dialect.name) from None


def unsupported(name: str) -> ConfigurationError:
    """The error for another database than ours."""
    return ConfigurationError(f"database: {name} is not supported; use postgresql, mysql, mariadb or sqlite")
