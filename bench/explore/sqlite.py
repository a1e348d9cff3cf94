"""SQLite in memory, as the database of a universe."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, QueuePool

from bench.explore.database import LANE_KEY, Store, now_us
from bench.explore.fibers import Fiber
from bench.explore.hooks import NOTES
from bench.explore.threads import WORLD
from worker.outbox.engine.database import sqlite_engine
from worker.outbox.tables import VERSION_TABLE
from worker_simulator.testing.database import make_template


class SqliteStore(Store):
    """A database in memory, with a switch point at every statement, begin and commit.

    Transactions that write run one after another. A read outside of a transaction sees everything that was committed
    before it.
    """

    can_restore = True

    def __init__(self) -> None:
        self._raw = _template()
        self._raw.create_function("explorer_now", 0, now_us, deterministic=True)
        self._raw.execute(f"create table {NOTES} (n integer primary key, event text not null)")
        tables = self._raw.execute("select name from sqlite_master where type = 'table'").fetchall()
        self._tables = [name for (name,) in tables if name != VERSION_TABLE]
        self._site = self._raw.execute("select name, value from worker_site order by name").fetchall()
        self._site = [(name, LANE_KEY if name == "lane_key" else value) for name, value in self._site]
        super().__init__()

    def empty(self) -> None:
        """See `Store`."""
        self._writer: Link | None = None
        self._waiting: deque[Fiber] = deque()
        if self._raw.in_transaction:
            self._raw.execute("rollback")
        self._raw.execute("begin")
        for table in self._tables:
            self._raw.execute(f"delete from {table}")
        self._raw.executemany("insert into worker_site (name, value) values (?, ?)", self._site)
        self._raw.execute("commit")

    @property
    def is_writing(self) -> bool:
        """See `Store`."""
        return self._writer is not None

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """See `Store`."""
        cursor = self._raw.execute(query, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def engine(self) -> Engine:
        """See `Store`."""
        return sqlite_engine(
            "sqlite://", creator=lambda: Link(self), poolclass=QueuePool, pool_size=40, max_overflow=-1
        )

    def backup(self) -> sqlite3.Connection:
        """See `Store`."""
        backup = sqlite3.connect(":memory:")
        self._raw.backup(backup)
        return backup

    def restore(self, backup: sqlite3.Connection) -> None:
        """See `Store`."""
        backup.backup(self._raw)
        backup.close()

    def lost(self) -> Exception:
        """See `Store`."""
        return sqlite3.OperationalError("disk I/O error")

    def away(self) -> Exception:
        """See `Store`."""
        return sqlite3.OperationalError("unable to open database file")

    def read_only(self) -> Exception:
        """See `Store`."""
        return sqlite3.OperationalError("attempt to write a readonly database")

    # -- called by connections ----------------------------------------------------------------------------------------

    def lock(self, link: Link) -> None:
        """Waits until no other connection writes, then begins a transaction."""
        self.step("begin")
        self._until_free()
        self.require_here()
        self.require_writable()
        self._writer = link
        self._raw.execute("begin immediate")

    def execute(self, link: Link, sql: str, params: Any, *, many: bool = False) -> sqlite3.Cursor:
        """Executes a statement in this connection's transaction, or in one of its own if there is none."""
        self.step("statement")
        if self._writer is not link:
            self._until_free()
        self.require_here()
        self.statements += 1
        return self._raw.executemany(sql, params) if many else self._raw.execute(sql, params)

    def commit(self, link: Link) -> None:
        """Commits. The process may die before or after that, and the answer may be lost."""
        if self._writer is not link:
            return
        try:
            self.step("commit")
            self.require_here()
        except BaseException:
            self.rollback(link)
            raise
        self._raw.execute("commit")
        self._free()
        self.step("committed")

    def rollback(self, link: Link) -> None:
        """Rolls this connection's transaction back."""
        if self._writer is link:
            if self._raw.in_transaction:
                self._raw.execute("rollback")
            self._free()

    def _until_free(self) -> None:
        scheduler = WORLD.scheduler
        while self._writer is not None:
            fiber = scheduler.current
            assert fiber is not None, "the explorer itself reads with `rows`"
            self._waiting.append(fiber)
            try:
                scheduler.wait()
            finally:
                if fiber in self._waiting:
                    self._waiting.remove(fiber)

    def _free(self) -> None:
        self._writer = None
        waiting, self._waiting = self._waiting, deque()
        for fiber in waiting:
            WORLD.scheduler.wake(fiber)


class Link:
    """A connection of one process, with the methods of a connection of `sqlite3`."""

    isolation_level: str | None = None

    def __init__(self, store: SqliteStore):
        self._store = store
        self.in_transaction = False

    def cursor(self, *_: Any) -> Cursor:
        """Returns a new cursor."""
        return Cursor(self)

    def execute(self, sql: str, params: Any = ()) -> Cursor:
        """Executes a statement with a new cursor."""
        return self.cursor().execute(sql, params)

    def commit(self) -> None:
        """Commits the transaction, if one was begun."""
        self.in_transaction = False
        self._store.commit(self)

    def rollback(self) -> None:
        """Rolls the transaction back, if one was begun."""
        self.in_transaction = False
        self._store.rollback(self)

    def close(self) -> None:
        """Rolls back."""
        self.rollback()

    def create_function(self, *_: Any, **__: Any) -> None:
        """Does nothing: the worker does not use the functions that SQLAlchemy adds."""

    def run(self, sql: str, params: Any, many: bool) -> sqlite3.Cursor | None:
        """Executes a statement. Returns its cursor, or None for BEGIN and for a PRAGMA that sets something."""
        word = sql[:6].lower()
        if word == "pragma" and "=" in sql:
            return None
        if word == "begin " or word == "begin":
            self._store.lock(self)
            self.in_transaction = True
            return None
        return self._store.execute(self, sql, params, many=many)


class Cursor:
    """A cursor that reads all rows when it executes."""

    arraysize = 1

    def __init__(self, link: Link):
        self.connection = link
        self.description: Any = None
        self.rowcount, self.lastrowid = -1, None
        self._rows: list[Any] = []
        self._at = 0

    def execute(self, sql: str, params: Any = ()) -> Cursor:
        """See DB-API."""
        return self._take(self.connection.run(sql, params, False))

    def executemany(self, sql: str, params: Iterable[Any]) -> Cursor:
        """See DB-API."""
        return self._take(self.connection.run(sql, list(params), True))

    def _take(self, cursor: sqlite3.Cursor | None) -> Cursor:
        self._rows, self._at = [], 0
        self.description = cursor.description if cursor else None
        if cursor is not None:
            if cursor.description is not None:
                self._rows = cursor.fetchall()
            self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid  # type: ignore[assignment]
        return self

    def fetchone(self) -> Any:
        """See DB-API."""
        self._at += 1
        return self._rows[self._at - 1] if self._at <= len(self._rows) else None

    def fetchmany(self, size: int | None = None) -> Sequence[Any]:
        """See DB-API."""
        begin, self._at = self._at, self._at + (size or self.arraysize)
        return self._rows[begin : self._at]

    def fetchall(self) -> list[Any]:
        """See DB-API."""
        rows, self._at = self._rows[self._at :] if self._at else self._rows, len(self._rows)
        return rows

    def __iter__(self) -> Any:
        return iter(self.fetchall())

    def close(self) -> None:
        """See DB-API."""

    def setinputsizes(self, *_: Any) -> None:
        """See DB-API."""

    setoutputsize = setinputsizes


def _template() -> sqlite3.Connection:
    with tempfile.TemporaryDirectory(prefix="explore-") as folder:
        path = Path(folder) / "template.db"
        make_template(path)
        source = sqlite3.connect(path)
        raw = sqlite3.connect(":memory:", isolation_level=None, cached_statements=1024)
        source.backup(raw)
        source.close()
    return raw
