"""Who waits for whom, as the database tells it, looked at all the time: producers that wait for a lock of a worker.

MariaDB renews its list of waits only when nobody has read it for a tenth of a second: looked at more often, it never
changes. What its looks miss its producers tell: they are refused what they would have to wait for.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from bench.producers.process import had_to_wait, producers_engine

EVERY_S = {"postgresql": 0.004, "mysql": 0.12, "mariadb": 0.12}
LIMIT_S = 10.0
ADDING_A_PAGE = "extend"
"""PostgreSQL's lock on a file that grows: everybody who writes to a table takes it, and gives it back at once."""
_WAITS = {
    # First the few that wait at all: pg_blocking_pids takes the lock manager's locks.
    "postgresql": (
        "with waiting as materialized (select pid, wait_event from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock')"
        " select w.pid, blocker, w.wait_event from waiting w"
        " cross join lateral unnest(pg_blocking_pids(w.pid)) as blocker"
    ),
    "mariadb": (
        "select r.trx_mysql_thread_id, b.trx_mysql_thread_id, concat(l.lock_table, ' ', l.lock_index)"
        " from information_schema.innodb_lock_waits w"
        " join information_schema.innodb_trx r on r.trx_id = w.requesting_trx_id"
        " join information_schema.innodb_trx b on b.trx_id = w.blocking_trx_id"
        " join information_schema.innodb_locks l on l.lock_id = w.requested_lock_id"
        " join information_schema.processlist p on p.id = r.trx_mysql_thread_id and p.db = database()"
    ),
    "mysql": (
        "select r.trx_mysql_thread_id, b.trx_mysql_thread_id, concat(l.object_name, ' ', l.index_name)"
        " from performance_schema.data_lock_waits w"
        " join information_schema.innodb_trx r on r.trx_id = w.requesting_engine_transaction_id"
        " join information_schema.innodb_trx b on b.trx_id = w.blocking_engine_transaction_id"
        " join performance_schema.data_locks l on l.engine_lock_id = w.requesting_engine_lock_id"
        " join information_schema.processlist p on p.id = r.trx_mysql_thread_id and p.db = database()"
    ),
}


class Watch:
    """Counts looks, and the waits seen in them."""

    def __init__(self, url: str, producers: Collection[int]):
        self._url, self._producers = url, frozenset(producers)
        self.looks = 0
        self.for_workers: Counter[str] = Counter()
        """What producers were seen to wait for, held by somebody who is no producer, for as long as his transaction."""
        self.for_pages = 0
        """Waits for somebody who is no producer to add a page to a file: for that moment, whatever is in the page."""
        self.for_producers = 0
        """Waits of producers for each other, seen."""

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Looks every few milliseconds from a thread of its own."""
        told = threading.Event()
        failed: list[Exception] = []
        engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
        thread = threading.Thread(target=self._look_on, args=(engine, told, failed), daemon=True)
        thread.start()
        try:
            yield
        finally:
            told.set()
            thread.join()
            engine.dispose()
        if failed:
            raise failed[0]

    def _look_on(self, engine: Engine, told: threading.Event, failed: list[Exception]) -> None:
        try:
            with engine.connect() as connection:
                server = "mariadb" if getattr(engine.dialect, "is_mariadb", False) else engine.dialect.name
                question = text(_WAITS[server])
                while not told.wait(EVERY_S[server]):
                    self._count([(row[0], row[1], row[2]) for row in connection.execute(question)])
        except Exception as error:  # noqa: BLE001  the bench fails with it when the look-out ends
            failed.append(error)

    def _count(self, waits: list[tuple[int, int, str]]) -> None:
        self.looks += 1
        for waiter, holder, what in waits:
            if waiter in self._producers and holder in self._producers:
                self.for_producers += 1
            elif waiter in self._producers and what == ADDING_A_PAGE:
                self.for_pages += 1
            elif waiter in self._producers:
                self.for_workers[what] += 1


def sees_a_wait(url: str) -> bool:
    """Lets a producer's session wait for a row that a worker's session holds, until the watch has seen it."""
    holder, waiter = create_engine(url), create_engine(url)
    try:
        with holder.connect() as holding, waiter.connect() as waiting:
            ours = "pg_backend_pid()" if waiting.dialect.name == "postgresql" else "connection_id()"
            watch = Watch(url, [int(waiting.execute(text(f"select {ours}")).scalar_one())])
            lock = text("select name from worker_site for update")
            holding.execute(lock)
            thread = threading.Thread(target=lambda: waiting.execute(lock).all(), daemon=True)
            with watch.looking():
                thread.start()
                deadline = time.monotonic() + LIMIT_S
                while not watch.for_workers and time.monotonic() < deadline:
                    time.sleep(0.01)
            holding.rollback()
            thread.join()
            waiting.rollback()
            return bool(watch.for_workers)
    finally:
        holder.dispose()
        waiter.dispose()


def is_refused_a_wait(url: str) -> bool:
    """Whether a producer's session of the bench that would have to wait for a row is told so instead (MariaDB)."""
    holder, producer = create_engine(url), producers_engine(url, 1)
    lock = text("select name from worker_site for update")
    try:
        with holder.connect() as holding, producer.connect() as waiting:
            holding.execute(lock)
            try:
                waiting.execute(lock)
            except OperationalError as error:
                return had_to_wait(error)
            return False
    finally:
        holder.dispose()
        producer.dispose()
