"""Constructors of tables, columns and indexes: the same on every database, or only on those that need them.

Options that one database has are said when tables are made: SQLAlchemy loads a whole dialect for a single one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, String, Table, Text, event, text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

PREFIX = "worker_"
ID = 32
PART_ID = 40
LANE = 100
"""The most characters that the keys of jobs, parts and lanes have."""

metadata = MetaData()

_MARIADB = ("mysql", "mariadb")
_WITH_PARTIAL_INDEXES = ("postgresql", "sqlite")


class Key(TypeDecorator[str]):
    """Text that compares byte for byte on every database, trailing spaces included."""

    impl = String
    cache_ok = True

    def __init__(self, length: int):
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """The type with the binary collation of each database."""
        if dialect.name in _MARIADB:
            from sqlalchemy.dialects import mysql

            return mysql.VARCHAR(self.length, charset="utf8mb4", collation=byte_collation(dialect))
        return String(self.length, collation="C") if dialect.name == "postgresql" else String(self.length)


class LongText(TypeDecorator[str]):
    """Text of any length, for JSON documents and vendors' texts."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """LONGTEXT on MariaDB, whose TEXT ends at 64 KiB."""
        if dialect.name in _MARIADB:
            from sqlalchemy.dialects import mysql

            return mysql.LONGTEXT(charset="utf8mb4", collation=byte_collation(dialect))
        return Text()


class Chunk(TypeDecorator[bytes]):
    """At most 1 MiB of a file."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[bytes]:
        """MEDIUMBLOB on MariaDB, whose BLOB ends at 64 KiB."""
        if dialect.name in _MARIADB:
            from sqlalchemy.dialects import mysql

            return mysql.MEDIUMBLOB()
        return LargeBinary()


def byte_collation(dialect: Any) -> str:
    """Returns a binary collation that does not ignore trailing spaces. For `utf8mb4_bin` "k " equals "k"."""
    return "utf8mb4_nopad_bin" if dialect.is_mariadb else "utf8mb4_0900_bin"


@event.listens_for(metadata, "before_create")
def _set_options(metadata: MetaData, *_: Any, **__: Any) -> None:
    for table in metadata.tables.values():
        table.dialect_kwargs.update(mysql_charset="utf8mb4", mysql_engine="InnoDB", mysql_row_format="DYNAMIC")
        for index in table.indexes:
            if (where := index.info.get("where")) is not None:
                index.dialect_kwargs.update(postgresql_where=text(where), sqlite_where=text(where))


def table(name: str, *items: Column[Any] | Index) -> Table:
    """Returns a table whose name has the worker's prefix."""
    return Table(PREFIX + name, metadata, *items)


def columns_of(table: Table, alias: str = "") -> str:
    """Returns the columns of a table for a select, in place of `*`. `alias` is the table's name in the select."""
    # With a star, PostgreSQL would refuse the prepared statements of running processes after an upgrade adds a column.
    return ", ".join(f"{alias}.{column.name}" if alias else column.name for column in table.columns)


Kind = TypeEngine[Any] | type[TypeEngine[Any]]


def primary(name: str, kind: Kind, doc: str) -> Column[Any]:
    """Returns a column of the primary key."""
    return Column(name, kind, primary_key=True, doc=doc)


def required(name: str, kind: Kind, doc: str) -> Column[Any]:
    """Returns a column that is never NULL."""
    return Column(name, kind, nullable=False, doc=doc)


def optional(name: str, kind: Kind, doc: str) -> Column[Any]:
    """Returns a column that may be NULL. `doc` says when it is."""
    return Column(name, kind, doc=doc)


def from_zero(name: str, doc: str, kind: type[Integer] = Integer) -> Column[int]:
    """Returns a column of numbers with the default 0."""
    return Column(name, kind, nullable=False, server_default=text("0"), doc=doc)


def partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Returns a partial index of the rows that are still to do. On MariaDB it has all rows, those with NULL first."""
    return Index(PREFIX + name, *columns, unique=unique, info={"where": where})


def only_partial(name: str, *columns: str, where: str) -> Index:
    """Returns a partial index. MariaDB has another index in its place; see `by_state`."""
    return _only_on(_WITH_PARTIAL_INDEXES, partial(name, *columns, where=where))


def by_state(name: str, *columns: str) -> Index:
    """Returns an index only for MariaDB, with the state first, so that a query of queued rows reads no ended ones."""
    return _only_on(_MARIADB, Index(f"{PREFIX}{name}_by_state", "state", *columns))


def _only_on(dialects: tuple[str, ...], index: Index) -> Index:
    def is_on_dialect(*_: Any, dialect: Dialect, **__: Any) -> bool:
        return dialect.name in dialects

    index.info["dialects"] = dialects
    return index.ddl_if(callable_=is_on_dialect)


def is_made(index: Index, dialect: str) -> bool:
    """Returns whether this database has the index."""
    return dialect in index.info.get("dialects", (dialect,))
