"""PostgreSQL as the database of a universe: transactions of several hosts run side by side and wait for each other.

A statement that waits for a lock lets other fibers go on until a transaction has ended. The server's clock is that of
the universe, read from a file by a function.
"""

from __future__ import annotations

import logging
import mmap
import os
import select
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.waiting import Ready
from sqlalchemy import Engine, event, make_url

from bench.explore.database import LANE_KEY, Store, now_us
from bench.explore.fibers import Died, Fiber
from bench.explore.hooks import NOTES
from bench.explore.threads import WORLD
from rig.servers import own_postgres
from rig.stacks import make_tables
from worker.outbox.engine.postgresql import postgres_engine
from worker.outbox.tables import VERSION_TABLE

SOON_MS = 2
"""Milliseconds after which the server is asked whether a statement waits for a lock."""
DEADLOCK_MS = 1
"""Less than `SOON_MS`: who waits has looked for a deadlock before others go on, and so the last one finds it."""
CONNECTIONS = 300
_SETUP = ("set ", "select set_config", "select pg_backend_pid")
"""Statements with which a connection begins: no step of the worker's."""
_TABLES = f"select tablename from pg_tables where schemaname = 'public' and tablename <> '{VERSION_TABLE}'"
_BLOCKERS = "select pid, pg_blocking_pids(pid) as blockers from unnest(%s::int[]) as pid"


class PostgresStore(Store):
    """A server of its own, of which a connection outside of all universes sees what is committed."""

    def __init__(self, url: str, clock: Path):
        """`clock`: a file that the server may read."""
        self._url = url
        make_tables(url)
        clock.write_text(f"{0:020d}", encoding="ascii")
        with clock.open("r+b") as file:
            self._clock = mmap.mmap(file.fileno(), 0)
        self._outside = psycopg.connect(_dsn(url), autocommit=True, row_factory=dict_row)
        self._outside.execute(f"create table {NOTES} (n serial primary key, event text not null)")
        self._outside.execute(
            f"create function explorer_now() returns bigint volatile language sql as"
            f" $$ select pg_read_file('{clock}')::bigint $$"
        )
        self._outside.execute("update worker_site set value = %s where name = 'lane_key'", [LANE_KEY])
        self._site = self._outside.execute("select name, value from worker_site").fetchall()
        self._tables = [row["tablename"] for row in self._outside.execute(_TABLES)]
        self._engines: list[Engine] = []
        self._waiting: dict[int, tuple[Fiber, Link]] = {}
        """Process of the server -> the fiber whose statement waits there for a lock."""
        super().__init__()

    def empty(self) -> None:
        """See `Store`."""
        self._waiting.clear()
        self._disconnect()  # a connection that a fault broke is no fault of the next universe
        self._outside.execute(f"truncate {', '.join(self._tables)}")
        with self._outside.cursor() as cursor:
            cursor.executemany("insert into worker_site (name, value) values (%(name)s, %(value)s)", self._site)

    @property
    def is_writing(self) -> bool:
        """See `Store`: `rows` shows only what is committed."""
        return False

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """See `Store`."""
        return self._outside.execute(query.replace("?", "%s"), values).fetchall()

    def engine(self) -> Engine:
        """See `Store`."""
        engine = postgres_engine(make_url(self._url), pool_size=40)
        self._engines.append(engine)

        @event.listens_for(engine, "do_connect")
        def _connect(_dialect: Any, _record: Any, _args: Any, options: Any) -> Link:
            self.require_here()
            link = Link.connect(**options, options=f"-c deadlock_timeout={DEADLOCK_MS}ms", cursor_factory=Cursor)
            link.store = self
            return link

        return engine

    def close(self) -> None:
        """Closes all connections."""
        self._disconnect()
        self._outside.close()

    def _disconnect(self) -> None:
        for engine in self._engines:
            engine.dispose()

    def lost(self) -> Exception:
        """See `Store`."""
        return psycopg.OperationalError("the connection is lost")

    def away(self) -> Exception:
        """See `Store`."""
        return psycopg.OperationalError("connection refused")

    def read_only(self) -> Exception:
        """See `Store`."""
        return ReadOnlySqlTransaction("cannot execute it in a read-only transaction")

    # -- called by connections ----------------------------------------------------------------------------------------

    def set_clock(self) -> None:
        """Has the server see the time of the universe."""
        self._clock[:20] = b"%020d" % now_us()

    def wait_for_lock(self, link: Link) -> None:
        """Lets other fibers go on if the connection's statement waits for a lock."""
        pid, fiber = link.info.backend_pid, WORLD.scheduler.current
        blockers = {row["pid"]: row["blockers"] for row in self._outside.execute(_BLOCKERS, [[pid, *self._waiting]])}
        if not blockers[pid]:
            return
        assert fiber is not None
        self._waiting[pid] = fiber, link
        try:
            if _is_circle(pid, blockers):
                self._until_deadlock_ends()
            else:
                WORLD.scheduler.wait()
        finally:
            self._waiting.pop(pid, None)

    def _until_deadlock_ends(self) -> None:
        """The server ends one of the transactions, whose fiber goes on."""
        links = {link.fileno(): fiber for fiber, link in self._waiting.values()}
        poll = select.poll()
        for number in links:
            poll.register(number, select.POLLIN)
        for number, _ in poll.poll(1_000 * DEADLOCK_MS):
            WORLD.scheduler.wake(links[number])

    def end_of_transaction(self) -> None:
        """Those who wait for a lock look whether they have it now."""
        for fiber, _ in list(self._waiting.values()):
            WORLD.scheduler.wake(fiber)

    def end(self, pid: int) -> None:
        """Ends a process of the server, and its transaction."""
        self._outside.execute("select pg_terminate_backend(%s, 10000)", [pid])
        self.end_of_transaction()


def _is_circle(pid: int, blockers: dict[int, list[int]]) -> bool:
    seen, next_ones = set[int](), [pid]
    while next_ones:
        for blocker in blockers.get(next_ones.pop(), ()):
            if blocker == pid:
                return True
            if blocker not in seen:
                seen.add(blocker)
                next_ones.append(blocker)
    return False


class Link(psycopg.Connection[Any]):
    """A connection of one process. Faults strike before its statements, and before and after its commits."""

    store: PostgresStore | None = None
    _commits = False

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        """See psycopg: it awaits each answer here."""
        fiber = WORLD.scheduler.current if self.store else None
        if self.store is None or fiber is None:
            return super().wait(gen, *args, **options)
        if fiber.home.dead:
            self._cut()
            raise Died
        if self.closed:
            raise psycopg.OperationalError("the connection is closed")
        try:
            poll, wanted = select.poll(), next(gen)
            poll.register(self.fileno())
            while True:
                wanted = gen.send(self._ready(poll, wanted))
        except StopIteration as end:
            return end.value
        except Died:
            self._cut()
            raise
        finally:
            if self.closed or self.pgconn.transaction_status == TransactionStatus.IDLE:
                self.store.end_of_transaction()

    def _ready(self, poll: select.poll, wanted: int) -> Ready:
        assert self.store is not None
        events = (select.POLLIN if wanted & Ready.R else 0) | (select.POLLOUT if wanted & Ready.W else 0)
        poll.modify(self.fileno(), events)
        while not (found := poll.poll(SOON_MS)):
            self.store.wait_for_lock(self)
        [(_, event_mask)] = found
        can_read = bool(event_mask & ~select.POLLOUT)
        can_write = bool(event_mask & select.POLLOUT)
        return Ready.RW if can_read and can_write else Ready.R if can_read else Ready.W

    def before(self, query: str) -> None:
        """Takes the step of a statement."""
        if self.store is None or query.startswith(_SETUP):
            return
        is_commit = query == "commit"
        if query.startswith("begin") or (
            not self.autocommit and self.pgconn.transaction_status == TransactionStatus.IDLE
        ):
            self._step("begin")
            self._require(self.store.require_writable)
        self._step("commit" if is_commit else "statement")
        self._commits |= is_commit
        self.store.statements += 1
        self.store.set_clock()

    def _step(self, label: str) -> None:
        assert self.store is not None
        self._require(lambda: self.store.step(label))
        if label != "committed":
            self._require(self.store.require_here)

    def _require(self, check: Any) -> None:
        try:
            check()
        except psycopg.OperationalError:
            self.close()
            raise

    @contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        """See psycopg. What is sent may be a commit."""
        self._commits = False
        with super().pipeline() as pipeline:
            yield pipeline
        if self._commits:
            self._step("committed")

    def commit(self) -> None:
        """See psycopg. The process may die before or after that, and the answer may be lost."""
        if self.store is None or self.pgconn.transaction_status == TransactionStatus.IDLE:
            super().commit()
            return
        self._step("commit")
        super().commit()
        self._step("committed")

    def rollback(self) -> None:
        """See psycopg."""
        home = WORLD.home if self.store else None
        if home is not None and home.dead:
            self._cut()
        else:
            super().rollback()

    def close(self) -> None:
        """See psycopg. A transaction ends with its connection."""
        if self.store is None or self.closed or self.pgconn.transaction_status == TransactionStatus.IDLE:
            super().close()
        else:
            self._cut()

    def _cut(self) -> None:
        if not self.closed:
            assert self.store is not None
            pid = self.info.backend_pid
            super().close()
            self.store.end(pid)


class Cursor(psycopg.Cursor[Any]):
    """A cursor whose statements are steps."""

    def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        """See psycopg."""
        assert isinstance(self.connection, Link)
        self.connection.before(str(query))
        return super().execute(query, *args, **options)

    def executemany(self, query: Any, *args: Any, **options: Any) -> None:
        """See psycopg."""
        assert isinstance(self.connection, Link)
        self.connection.before(str(query))
        super().executemany(query, *args, **options)


def _dsn(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def stores() -> Iterator[Callable[[], PostgresStore]]:
    """Yields what makes a store of its own for each process, on a server that is gone at the end."""
    with ExitStack() as scope:
        server = scope.enter_context(own_postgres.running(CONNECTIONS, durable=False))
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="explore-")))
        folder.chmod(0o755)  # the server reads the clocks
        for name in ("sqlalchemy.pool", "psycopg"):  # which tell of each connection that a fault breaks
            logging.getLogger(name).setLevel(logging.CRITICAL)

        def make() -> PostgresStore:
            name = f"explore_{os.getpid()}"
            with psycopg.connect(_dsn(server.url), autocommit=True) as connection:
                connection.execute(f"create database {name}")
            url = make_url(server.url).set(database=name).render_as_string(hide_password=False)
            return scope.enter_context(closing(PostgresStore(url, folder / name)))

        yield make
