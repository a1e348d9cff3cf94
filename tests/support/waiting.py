"""Until a transaction waits for another one's lock: for tests of what happens then."""

from __future__ import annotations

from sqlalchemy import text

from worker.outbox.engine.database import Database

_WAITING = {
    "postgresql": "select count(*) from pg_locks where not granted",
    "mysql": "select count(*) from information_schema.innodb_trx t join information_schema.processlist p"
    " on p.id = t.trx_mysql_thread_id and p.db = database() where t.trx_state = 'LOCK WAIT'",
}
# InnoDB makes its view anew only when nobody has read it for 0.1 s.
_PAUSE = {"postgresql": "select pg_sleep(0.005)", "mysql": "select sleep(0.2)"}


def until_waiting(database: Database, how_many: int = 1) -> None:
    """Returns when so many transactions wait for a lock."""
    for _ in range(2_000):
        with database.reading() as connection:
            if connection.execute(text(_WAITING[database.dialect.name])).scalar() == how_many:
                return
            connection.execute(text(_PAUSE[database.dialect.name]))
    raise AssertionError("nobody waits")
