"""The differences between the databases: a `Dialect` for each, with its SQL and with what the database can do.

The rest of the outbox checks these attributes and never the name of the database. Nothing here knows the outbox's
tables.
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
    """The SQL of one database. The defaults hold for most of the three. Each subclass has one instance."""

    name: str
    """SQLAlchemy's name of the database, for messages and tests. No statement depends on it."""
    now: str
    """SQL for the current time in integer microseconds since 1970 in UTC."""
    number: str
    """The SQL type of a whole number in `json_rows`."""
    text: str
    """The SQL type of a text in `json_rows`."""
    key: str
    """The SQL type of a text in `json_rows` that is compared with a key."""
    shared_lock: str
    """What follows a select to lock its rows so that several transactions can hold the lock at once."""
    skip_scan_by: Literal["lateral", "rowid", "groups"]
    """How to skip through an index from one value of its first columns to the next, without reading the rows between:
    by a lateral join, by the rowid of the next row, or by a GROUP BY."""

    integer = "bigint"
    """The type for whole numbers in a `cast`."""
    octet_length = "octet_length"
    """The function that counts the bytes of a text; on SQLite the characters."""
    lock = " for update"
    """What follows a select to lock its rows. Empty if the database has no row locks."""
    skip_locked = " skip locked"
    """What follows `lock` to leave out rows that another transaction has locked. Empty if there are no row locks."""
    has_one_writer = False
    """True if only one transaction can write at a time, over all processes. Then there are no row locks."""
    has_round_trips = True
    """False if the database runs in this process, so that many small statements cost no more than a large one."""
    has_returning = True
    """True if a write can return the rows that it wrote."""
    has_arrays = False
    """True if a subquery can be turned into an array whose values are then looked up in an index."""
    combines_writes = False
    """True if writes to several tables can be one statement."""
    clock_follows_lock = False
    """True if `now` among the columns of a locking select is read after the row's lock is held."""
    locks_gaps = False
    """True if a statement can lock a gap in an index, in which other transactions then cannot insert: a search for a
    missing key under REPEATABLE READ, or an insert of a key that exists."""
    has_unseen_conflicts = False
    """True if under REPEATABLE READ an insert can conflict with a row that only a locking read of the same transaction
    sees."""
    spills_long_texts = False
    """True if temporary tables with long texts are on disk."""
    sends_bytes_as_hex = False
    """True if bytes are sent as hexadecimal digits."""
    limits_statements = False
    """True if the server closes the connection at a statement of some megabytes, as if it were going down."""

    # -- timeout ------------------------------------------------------------------------------------------------------

    @contextmanager
    def statement_timeout(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Cancels each statement in the block that takes longer, with an OperationalError.

        Only for reads, on a connection of `Database.reading`.
        """
        raise NotImplementedError
        yield

    # -- which index --------------------------------------------------------------------------------------------------

    def by_index(self, index: str) -> str:
        """Returns what follows a table's name to read the table through this index."""
        return f" indexed by {index}"

    def in_index_order(self, index: str) -> str:
        """Returns what follows a table's name to read the table in the order of this index, up to a query's limit."""
        return self.by_index(index)

    def null_column_order(self, column: str) -> str:
        """Returns the start of an ORDER BY along an index that begins with this column, if it is NULL in all rows."""
        return ""

    def by_partial_index(self, index: str) -> str:
        """Returns what follows a table's name to read the table through this partial index.

        MariaDB has no partial indexes. It has an index that begins with the state instead.
        """
        return self.by_index(index)

    def force_index(self, index: str) -> str:
        """Returns what forces this index on MariaDB. Empty for the other databases, which choose it by themselves."""
        return ""

    def join(self, table: str, index: str = "primary") -> str:
        """Returns a join, to be followed by ` on ...`. MariaDB joins in the written order and through this index."""
        return f" join {table}"

    def stable_now(self, now_sql: str) -> str:
        """Returns the clock `now_sql` as a value that is the same for all rows, so that it can end an index range.

        If it could change from row to row, the database would compare it with every part that is due later.
        """
        return now_sql

    def planned_now(self, now_sql: str) -> str:
        """Returns the clock `now_sql` as a value that the planner knows, for ranges that are nearly always empty."""
        return self.stable_now(now_sql)

    # -- rows as a JSON document --------------------------------------------------------------------------------------

    def json_rows(self, bind: str, columns: Mapping[str, str], alias: str = "v") -> str:
        """Returns a FROM item with the rows of the JSON document in a bind. `columns` has names and SQL types."""
        raise NotImplementedError

    def json_list(self, column: str) -> str:
        """Returns SQL for the texts of a column over all rows, as one text: a JSON list."""
        return f"json_arrayagg({column})"

    def json_keys(self, bind: str, names: Sequence[str]) -> str:
        """Returns a FROM item `v` with the keys of the JSON document in a bind, to look up the rows of a `join`."""
        return self.json_rows(bind, dict.fromkeys(names, self.key))

    @lru_cache(maxsize=256)
    def update(self, table: Table, keys: tuple[str, ...], columns: tuple[str, ...], only: str = "") -> str:
        """Returns an update of these columns from the rows in `:rows`, by these keys and the condition `only`."""
        sets = ", ".join(f"{column} = v.{column}" for column in columns)
        source = self._rows(table, (*keys, *columns), keys)
        return f"update {table.name} set {sets} from {source} where {self._match(table, keys)}" + (
            only and f" and {only}"
        )

    @lru_cache(maxsize=256)
    def insert(self, table: Table, columns: tuple[str, ...], conflict: str) -> str:
        """Returns an insert of the rows in `:rows`. For `conflict` see `bulk.insert_rows`."""
        values = ", ".join(f"v.{column}" for column in columns)
        source = self._rows(table, columns)
        return f"insert into {table.name} ({', '.join(columns)}) select {values} from {source}" + self._on_conflict(
            table, columns, conflict
        )

    def _rows(self, table: Table, columns: Sequence[str], keys: Sequence[str] = ()) -> str:
        return self.json_rows("rows", {name: self._type(table, name, name in keys) for name in columns})

    def _type(self, table: Table, column: str, is_key: bool) -> str:
        return ""

    def _match(self, table: Table, keys: Sequence[str]) -> str:
        return " and ".join(f"{table.name}.{key} = v.{key}" for key in keys)

    def _on_conflict(self, table: Table, columns: Sequence[str], conflict: str) -> str:
        if conflict == "error":
            return ""
        keys, values = _keys_and_values(table, columns)
        if conflict == "ignore":
            return f" on conflict ({', '.join(keys)}) do nothing"
        adds = conflict == "add"
        changes = (f"{c} = " + (_sum(table, c, f"excluded.{c}") if adds else f"excluded.{c}") for c in values)
        return f" on conflict ({', '.join(keys)}) do update set " + ", ".join(changes)

    # -- rows by their ids --------------------------------------------------------------------------------------------

    @lru_cache(maxsize=256)
    def by_ids(self, table: str, key: str = "id", *, alias: str = "", joins: str = "", index: str = "primary") -> str:
        """Returns what follows `from` to select the rows whose key is in the JSON list `:ids`; `and ...` may follow.

        Each id is looked up in the index, whatever the statistics say: on PostgreSQL through an array, on MariaDB
        through a join in the written order, which also locks the rows in the order of the ids. `bulk.ids_json` makes
        the list.
        """
        return f"{table} {alias}".rstrip() + f"{joins} where {alias or table}.{key} {self._in_ids()}"

    @lru_cache(maxsize=256)
    def update_by_ids(self, table: str, sets: str, key: str = "id", *, index: str = "primary") -> str:
        """Returns an update of the rows whose key is in the JSON list `:ids`; `and ...` may follow."""
        return f"update {table} set {sets} where {key} {self._in_ids()}"

    @lru_cache(maxsize=64)
    def delete_by_ids(self, table: str, key: str = "id", *, index: str = "primary") -> str:
        """Returns a delete of the rows whose key is in the JSON list `:ids`; `and ...` may follow.

        The key has to be the first column of `index`.
        """
        return f"delete from {table} where {key} {self._in_ids()}"

    def order_by_ids(self, order: str) -> str:
        """Returns what follows `by_ids` to sort the rows by `order`, which has to begin with the key."""
        return f" order by {order}"

    def lock_in_order(self, key: str = "id") -> str:
        """Returns what follows `by_ids` to lock the rows in the order of the ids, so that no deadlocks occur."""
        return self.order_by_ids(key) + self.lock

    def _in_ids(self) -> str:
        return "in (select value from json_each(:ids))"


class _PostgreSQL(Dialect):
    name = "postgresql"
    now = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
    number = "bigint"
    text = key = "text"
    shared_lock = " for share"
    skip_scan_by = "lateral"
    has_arrays = True
    combines_writes = True

    @contextmanager
    def statement_timeout(self, connection: Connection, seconds: float) -> Iterator[None]:
        # A setting of the transaction, because behind a pooler the session may be used by another client next.
        connection.exec_driver_sql("begin isolation level read committed read only")
        try:
            connection.exec_driver_sql(f"set local statement_timeout = {int(seconds * 1000)}")
            yield
        finally:
            connection.exec_driver_sql("rollback")

    def by_index(self, index: str) -> str:
        """Returns an empty text. PostgreSQL has no such hint, but knows how few rows a partial index has."""
        return ""

    def in_index_order(self, index: str) -> str:
        """Joins one row that PostgreSQL estimates as a hundred.

        If the last ANALYZE saw few matching rows, PostgreSQL would read and sort all of them, which it estimates to be
        as cheap as the index. With an estimate of a hundred times as many rows it reads the index up to the limit.
        """
        return " cross join jsonb_array_elements('[0]') as taken_for_a_hundred"

    def null_column_order(self, column: str) -> str:
        """Returns the column, without which PostgreSQL does not use the index's order. With it, MariaDB would sort."""
        return f"{column}, "

    def stable_now(self, now_sql: str) -> str:
        """Returns an uncorrelated subquery, which PostgreSQL evaluates only once."""
        return f"(select {now_sql})"

    def planned_now(self, now_sql: str) -> str:
        """Returns the time at the start of the statement.

        For a subquery, PostgreSQL estimates a third of all rows, and would start parallel workers to find none.
        """
        return now_sql.replace("clock_timestamp()", "statement_timestamp()")

    def json_rows(self, bind: str, columns: Mapping[str, str], alias: str = "v") -> str:
        typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        return f"json_to_recordset(cast(:{bind} as json)) as {alias}({typed})"

    def json_list(self, column: str) -> str:
        # The driver would parse a value of the type json.
        return f"cast(json_agg({column}) as text)"

    def _type(self, table: Table, column: str, is_key: bool) -> str:
        kind = table.c[column].type
        if isinstance(kind, Boolean):
            return "boolean"
        return self.number if isinstance(kind, Integer) else self.text

    def _match(self, table: Table, keys: Sequence[str]) -> str:
        # The array makes PostgreSQL use the index, as in `by_ids`: while statistics are young it would plan the join as
        # a scan of the table.
        key = keys[0]
        array = f"array(select r->>'{key}' from json_array_elements(cast(:rows as json)) r)"
        return f"{super()._match(table, keys)} and {table.name}.{key} = any({array})"

    def _in_ids(self) -> str:
        return "= any(array(select json_array_elements_text(cast(:ids as json))))"


class _SQLite(Dialect):
    name = "sqlite"
    # unixepoch('subsec') needs SQLite 3.42, and Debian 12 has 3.40. SQLite's clock has a resolution of milliseconds.
    now = "(cast(strftime('%s','now') as integer) * 1000000 + cast(substr(strftime('%f','now'), 4) as integer) * 1000)"
    number = text = key = ""  # values keep their JSON types
    lock = skip_locked = shared_lock = ""
    skip_scan_by = "rowid"
    octet_length = "length"
    has_one_writer = True
    has_round_trips = False

    @contextmanager
    def statement_timeout(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Limits the total time of all statements. SQLite has no timeout, but a handler that can cancel a statement."""
        driver: Any = connection.connection.driver_connection
        ends = time.monotonic() + seconds
        driver.set_progress_handler(lambda: time.monotonic() > ends, 10_000)
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)

    def json_rows(self, bind: str, columns: Mapping[str, str], alias: str = "v") -> str:
        fields = ", ".join(f"value->>'$.{name}' as {name}" for name in columns)
        return f"(select {fields} from json_each(:{bind})) as {alias}"

    def json_list(self, column: str) -> str:
        return f"json_group_array({column})"

    def _on_conflict(self, table: Table, columns: Sequence[str], conflict: str) -> str:
        # SQLite's parser requires a WHERE between SELECT and ON CONFLICT.
        return " where true" + super()._on_conflict(table, columns, conflict)


class _MariaDB(Dialect):
    """MariaDB and MySQL, which use the same SQL here."""

    name = "mysql"
    # SYSDATE is the time of evaluation, NOW that of the statement's start. SYSDATE returns local time, which is
    # ambiguous in the hour that a time zone repeats in autumn, so it serves only for the time since the statement's
    # start. Across the switch that difference is wrong by whole half-hours, which `mod` removes: the result is between
    # -1 minute (for a clock that was set back) and +29 minutes. For a statement that waits longer, it is too early by
    # whole half-hours.
    now = (
        "(timestampdiff(microsecond, '1970-01-01', utc_timestamp(6))"
        " + mod(timestampdiff(microsecond, now(6), sysdate(6)) + 7260000000, 1800000000) - 60000000)"
    )
    # If a column is too narrow, JSON_TABLE cuts a text and clamps a number without an error, even with ERROR ON ERROR.
    # So its columns are wider than the table's columns, where strict mode raises an error. A text without a character
    # set would use the database's, and a binary collation could not be compared with that of the keys.
    number = "decimal(65, 0)"
    text = "longtext character set utf8mb4"
    key = "varchar(255) character set utf8mb4 collate utf8mb4_general_ci"
    shared_lock = " lock in share mode"
    skip_scan_by = "groups"
    integer = "signed"
    # MySQL has no RETURNING after ON DUPLICATE KEY.
    has_returning = False
    clock_follows_lock = True
    locks_gaps = True
    has_unseen_conflicts = True
    spills_long_texts = True
    # PyMySQL would do so anyway, and aiomysql 0.3.2 with PyMySQL 1.2.3 or newer cannot send bytes.
    sends_bytes_as_hex = True
    # `max_allowed_packet`, see `mariadb.MIN_PACKET`.
    limits_statements = True

    @contextmanager
    def statement_timeout(self, connection: Connection, seconds: float) -> Iterator[None]:
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

    def stable_now(self, now_sql: str) -> str:
        """Returns the time at the start of the statement: NOW instead of SYSDATE."""
        return now_sql.replace("sysdate(6)", "now(6)")

    def json_rows(self, bind: str, columns: Mapping[str, str], alias: str = "v") -> str:
        fields = ", ".join(f"{name} {kind} path '$.{name}'" for name, kind in columns.items())
        return f"json_table(:{bind}, '$[*]' columns ({fields})) as {alias}"

    def json_keys(self, bind: str, names: Sequence[str]) -> str:
        # In a subquery, as in `by_ids`.
        return f"(select {', '.join(names)} from {super().json_keys(bind, names)}) v"

    @lru_cache(maxsize=256)
    def update(self, table: Table, keys: tuple[str, ...], columns: tuple[str, ...], only: str = "") -> str:
        """Joins in this order and by the key. Otherwise MariaDB may scan the table, and it locks every row it scans."""
        sets = ", ".join(f"{table.name}.{column} = v.{column}" for column in columns)
        source = self._rows(table, (*keys, *columns), keys)
        update = f"update {source}{self.join(table.name)} on {self._match(table, keys)} set {sets}"
        return update + (only and f" where {only}")

    def _type(self, table: Table, column: str, is_key: bool) -> str:
        kind = table.c[column].type
        if isinstance(kind, Integer) and not is_key:
            # MySQL loses the sign or the last digits of a number of more than 63 bits, even in a decimal column, so
            # numbers are read as text.
            return "varchar(80) character set utf8mb4"
        if isinstance(kind, (Boolean, Integer)):
            return "bigint"
        return self.key if is_key else self.text

    def _on_conflict(self, table: Table, columns: Sequence[str], conflict: str) -> str:
        if conflict == "error":
            return ""
        keys, values = _keys_and_values(table, columns)
        if conflict == "add":
            changes = [f"{c} = {_sum(table, c, f'cast(v.{c} as signed)')}" for c in values]
            return " on duplicate key update " + ", ".join(changes)
        # Setting a key to itself changes nothing. INSERT IGNORE would also hide values that are too long or malformed.
        changes = [f"{keys[0]} = {table.name}.{keys[0]}"] if conflict == "ignore" else [f"{c} = v.{c}" for c in values]
        return " on duplicate key update " + ", ".join(changes)

    @lru_cache(maxsize=256)
    def by_ids(self, table: str, key: str = "id", *, alias: str = "", joins: str = "", index: str = "primary") -> str:
        """Joins the table to the ids, whose order it keeps."""
        # In a subquery, because with a locking clause MySQL refuses a JSON_TABLE in the same FROM (error 3569).
        keys = f"(select json_key from {self._ids()}) json_keys"
        return f"{keys}{self._join_ids(table, key, index, alias)}{joins} where true"

    @lru_cache(maxsize=256)
    def update_by_ids(self, table: str, sets: str, key: str = "id", *, index: str = "primary") -> str:
        """Joins the table to the ids. For `in (select ...)` MariaDB would scan the whole table and lock all rows."""
        return f"update {self._ids()}{self._join_ids(table, key, index)} set {sets} where true"

    @lru_cache(maxsize=64)
    def delete_by_ids(self, table: str, key: str = "id", *, index: str = "primary") -> str:
        """Joins the table to the ids, like `update_by_ids`."""
        return f"delete {table} from {self._ids()}{self._join_ids(table, key, index)} where true"

    def order_by_ids(self, order: str) -> str:
        """Returns an empty text: the join keeps the order. A sort would use a temporary table, perhaps on disk."""
        return ""

    def _ids(self) -> str:
        return f"json_table(:ids, '$[*]' columns (json_key {self.key} path '$')) as json_keys"

    def _join_ids(self, table: str, key: str, index: str, alias: str = "") -> str:
        return f"{self.join(f'{table} {alias}', index)} on {alias or table}.{key} = json_keys.json_key"


def _sum(table: Table, column: str, added: str) -> str:
    """Returns the sum of a column and the SQL value `added`. A column that is half full starts again from there.

    A sum that is too large would be an error, or on SQLite a float. Readers of a counter expect that it may restart.
    """
    return f"case when {table.name}.{column} < {2**62} then {table.name}.{column} + {added} else {added} end"


def _keys_and_values(table: Table, columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the columns of the primary key, and those of `columns` that are not in it."""
    keys = [column.name for column in table.primary_key.columns]
    return keys, [column for column in columns if column not in keys]


MARIADB = _MariaDB()
_DIALECTS: Mapping[str, Dialect] = {
    "postgresql": _PostgreSQL(),
    "sqlite": _SQLite(),
    "mysql": MARIADB,
    # An application's engine may have this name.
    "mariadb": MARIADB,
}


def dialect_of(connection: Connection | Engine) -> Dialect:
    """Returns the dialect of a connection's database. Raises ConfigurationError if the database is not supported."""
    try:
        return _DIALECTS[connection.dialect.name]
    except KeyError:
        raise unsupported(connection.dialect.name) from None


def unsupported(name: str) -> ConfigurationError:
    """Returns the error for a database that is not supported."""
    return ConfigurationError(f"database: {name} is not supported; use postgresql, mysql, mariadb or sqlite")
