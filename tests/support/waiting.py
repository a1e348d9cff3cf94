"""Until transactions of a test's database wait for each other, or until there are none: for tests of what happens then.

The server has databases of other tests as well, so each query is about its own.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import text

from worker.outbox.engine.database import Database

_OTHERS = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
_WAITING = {
    "postgresql": f"{_OTHERS} and cardinality(pg_blocking_pids(pid)) > 0",
    "mysql": "select count(*) from information_schema.innodb_trx t join information_schema.processlist p"
    " on p.id = t.trx_mysql_thread_id and p.db = database() where t.trx_state = 'LOCK WAIT'",
}
_OPEN = {"postgresql": f"{_OTHERS} and (backend_xmin is not null or backend_xid is not null)"}
# InnoDB makes its view anew only when nobody has read it for 0.1 s.
_PAUSE = {"postgresql": "select pg_sleep(0.005)", "mysql": "select sleep(0.2)"}


def until_waiting(database: Database, how_many: int = 1, or_else: Callable[[], bool] = lambda: False) -> None:
    """Returns when so many transactions wait for a lock, or `or_else` is so."""
    _until(database, _WAITING, how_many, "nobody waits", or_else)


def until_alone(database: Database) -> None:
    """Returns when no other connection to PostgreSQL has a transaction that sees or writes rows."""
    _until(database, _OPEN, 0, "another transaction stays open")


def _until(
    database: Database, queries: dict[str, str], count: int, error: str, or_else: Callable[[], bool] = lambda: False
) -> None:
    for _ in range(2_000):
        if or_else():
            return
        with database.reading() as connection:
            # First, so that InnoDB does not show who waited in the test before.
            connection.execute(text(_PAUSE[database.dialect.name]))
            if connection.execute(text(queries[database.dialect.name])).scalar() == count:
                return
    raise AssertionError(error)
