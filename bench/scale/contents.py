"""What stands in the outbox while the scale bench measures: finished, waiting and future parts, and lanes at work.

The database makes all of it: one `insert ... select` over a series of numbers each, then what autovacuum would have
done by and by.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.stand.servers import own_database
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.migrate import upgrade

ACTIVE_LANES = 10
_FILLED = "worker_parts, worker_lanes, worker_jobs, worker_terms, worker_unindexed"
MESSAGE = '{"msgtype": "text", "text": {"content": "Lunch is at noon in the big hall."}}'
RECIPIENTS = '{"users": ["zhangsan", "lisi"]}'
SPEC = '{"users": ["zhangsan", "lisi"], "task_id": null}'
SERVERS = {
    "postgres": ("TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"),
    "mariadb": ("TEST_MARIADB_URL", "mariadb+pymysql://root@127.0.0.1:3306/mysql"),
}
KINDS = (*SERVERS, "sqlite")
_COLUMNS = (
    "id, job_id, n, lane, priority, state, not_before, claim, incarnation, marked_at, first_marked_at, deadline_at,"
    " tries, flagged, spec"
)


@contextmanager
def scratch(kind: str, name: str) -> Iterator[Database]:
    """An outbox of its own with empty tables, dropped at the end."""
    with _empty(kind, f"worker_scale_{os.getpid()}_{name}") as url:
        database = Database(make_engine(url))
        try:
            upgrade(database.engine)
            yield database
        finally:
            database.close()


@contextmanager
def _empty(kind: str, name: str) -> Iterator[str]:
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
            yield f"sqlite:///{Path(folder) / name}.db"
        return
    variable, default = SERVERS[kind]
    with own_database(os.environ.get(variable) or default, name) as url:
        yield url


def active_lane(number: int) -> str:
    """The name of a lane that has work."""
    return f"hr:{number:016x}"


def add_finished(database: Database, count: int) -> None:
    """Accepted parts of the last hours."""
    times = "{now} - 1, {now} - 1, {now} + 20000000"
    _add(database, count, 1, f"'{{account}}', 1, 2, null, 1, 'an-incarnation', {times}, 1, true")


def add_ended_jobs(database: Database, count: int, terms: Sequence[str]) -> None:
    """Accepted jobs with a part each, younger than all others; `terms` is SQL of a term each, with the number `g.n`."""
    dialect = database.dialect.name
    times = "{now} - 1, {now} - 1, {now} + 20000000"
    _add(database, count, 9, f"'{{account}}', 1, 2, null, 1, 'an-incarnation', {times}, 1, true")
    columns = (
        "id, kind, channel, account, message, recipients, asked, priority, due_at, on_unknown, created_at, state,"
        " finished_at, n_accepted"
    )
    values = (
        f"'send', 'wecom_app', 'hr', '{MESSAGE}', '{RECIPIENTS}', 2, 1, {database.now}, 'default', {database.now}, 2,"
        f" {database.now}, 1"
    )
    _run(
        database,
        f"insert into worker_jobs ({columns}) select {_job(dialect, 9)}, {values} from {_series(dialect, count)}",
    )
    with _without_index_by_job(database):
        for term in terms:
            select = f"select {term}, {_job(dialect, 9)} from {_series(dialect, count)} order by 1, 2"
            _run(database, f"insert into worker_terms (term, job_id) {select}")


@contextmanager
def _without_index_by_job(database: Database) -> Iterator[None]:
    """On MariaDB, whose pages in memory are few by default: millions of rows come in the order of one index only."""
    if database.dialect.name != "mysql":
        yield
        return
    _run(database, "drop index worker_terms_job on worker_terms")
    yield
    _run(database, "create index worker_terms_job on worker_terms (job_id)")


def one_of(database: Database, most: int) -> str:
    """SQL of a term that so many values of a field share out among the jobs of `add_ended_jobs`."""
    return _hex(database.dialect.name, f"g.n * 2654435761 % {most}", 12)


def add_due(database: Database, count: int) -> None:
    """A backlog, spread over the active lanes."""
    _add(database, count, 2, f"'{{account}}', 1, 0, {{now}} - {count} + g.n, 0, null, null, null, null, 0, null")


def add_future(database: Database, lanes: int, parts_each: int) -> None:
    """Lanes of their own, all of their parts due in an hour or later."""
    columns = "'{account}', 1, 0, {now} + 3600000000 + g.n, 0, null, null, null, null, 0, null"
    _add(database, lanes * parts_each, 3, columns, lanes=lanes, account="later")


def add_at_work(database: Database, count: int) -> None:
    """Lanes of their own that have started and are not yet free of their bound; they have nothing due now."""
    dialect = database.dialect.name
    lane = _joined(dialect, "'hr:w'", _hex(dialect, "g.n", 15))
    statement = (
        "insert into worker_lanes (lane, account, label, blocked_until, reason, parked, blocked_at, calls, changed_at)"
        f" select {lane}, 'hr', 'send/text', 0, '', false, 0, 4, {database.now} from {_series(dialect, count)}"
    )
    _run(database, statement)


def _add(
    database: Database, count: int, series: int, columns: str, lanes: int = ACTIVE_LANES, account: str = "hr"
) -> None:
    """Parts with ids in the order of time, their lanes taken in turn."""
    if not count:
        return
    dialect = database.dialect.name
    job = _job(dialect, series)
    lane = _joined(dialect, f"'{account}:'", _hex(dialect, f"g.n % {lanes}", 16))
    columns = columns.replace("'{account}'", lane).replace("{now}", "c.now")
    part = _joined(dialect, job, "'-0'")
    select = f"select {part}, {job}, 0, {columns}, '{SPEC}' from {_series(dialect, count)}"
    statement = f"insert into worker_parts ({_COLUMNS}) {select} cross join (select {database.now} as now) c"
    _run(database, statement)


def _job(dialect: str, series: int) -> str:
    """The id of the `g.n`-th job, in the order of time."""
    time, rest = _hex(dialect, "g.n", 10), _hex(dialect, "g.n * 2654435761 % 4294967296", 19)
    return _joined(dialect, f"'{series:02d}'", time, "'7'", rest)


def _run(database: Database, statement: str) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql(statement.replace("%", "%%") if database.dialect.name != "sqlite" else statement)


def _series(dialect: str, count: int) -> str:
    if dialect == "postgresql":
        return f"(select n::bigint as n from generate_series(1, {count}) as s(n)) g"
    if dialect == "sqlite":
        counted = f"with recursive s(n) as (select 1 union all select n + 1 from s where n < {count})"
        return f"({counted} select n from s) g"
    return f"(select seq as n from seq_1_to_{count}) g"


def _hex(dialect: str, number: str, digits: int) -> str:
    if dialect == "postgresql":
        return f"lpad(to_hex({number}), {digits}, '0')"
    if dialect == "sqlite":
        return f"printf('%0{digits}x', {number})"
    return f"lpad(lower(hex({number})), {digits}, '0')"


def _joined(dialect: str, *texts: str) -> str:
    return f"concat({', '.join(texts)})" if dialect != "sqlite" else " || ".join(texts)  # 3.40 knows no concat


def tidy(database: Database) -> None:
    """Statistics and visibility as autovacuum would have left them; what was written is on the disk."""
    statements = {
        "postgresql": (f"vacuum (analyze) {_FILLED}", "checkpoint"),
        "sqlite": ("analyze", "pragma wal_checkpoint(truncate)"),
    }.get(database.dialect.name, (f"analyze table {_FILLED}",))
    with database.reading() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
