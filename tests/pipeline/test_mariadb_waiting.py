"""MariaDB: who waits for whom. Producers wait for nobody but for the same dedupe key; and what they are told then."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection

import worker
from tests.support.producing import ACCOUNTS, ANN, HELLO, count
from tests.support.waiting import until_waiting
from worker import DedupeConflict, JobRef, NewJob, NotReplayable, RetryTransaction, Text
from worker.domain.job import part_id
from worker.domain.pacing.lane import LaneBlock
from worker.outbox.commit.marks import lock_windows
from worker.outbox.engine.database import Database
from worker.outbox.jobs.media_cache import lock_cached
from worker.outbox.jobs.rows import lock_parts, lock_parts_now, save_parts, wake_dependants
from worker.outbox.jobs.target_job import wake_overdue
from worker.outbox.lanes.budgets import Budgets
from worker.outbox.lanes.lanes import change_lanes
from worker.outbox.lanes.offering import expired_parts, lanes_newly_due, offer
from worker.outbox.lanes.processes import acquire_lease

pytestmark = [
    pytest.mark.mariadb,
    pytest.mark.fewer_databases("only MariaDB locks gaps"),
]

LEVELS = pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ"])


@pytest.fixture(autouse=True)
def _accounts() -> Iterator[None]:
    """This process's accounts are the tests' own."""
    worker.configure(ACCOUNTS)
    yield
    worker.configure(None)


@contextmanager
def producing(database: Database, level: str = "REPEATABLE READ") -> Iterator[Connection]:
    """An application's transaction that gives up after a second of waiting."""
    with database.engine.connect().execution_options(isolation_level=level) as connection:
        connection.exec_driver_sql("set session innodb_lock_wait_timeout = 1")
        connection.rollback()
        try:
            yield connection
            connection.commit()
        finally:
            connection.rollback()
            connection.exec_driver_sql("set session innodb_lock_wait_timeout = 10")


@pytest.fixture
def key() -> Callable[[str], str]:
    """Keys no other test used: what those deleted stays in the index until it is purged, and is locked like a row."""
    own = uuid.uuid4().hex
    return lambda name: own + name


def new_jobs(keys: list[str | None], content: Text = HELLO) -> list[NewJob]:
    return [NewJob("hr", content, ANN, dedupe_key=key) for key in keys]


def ask(database: Database, *keys: str | None, level: str = "READ COMMITTED") -> list[JobRef]:
    """Jobs of an application that commits at once."""
    with producing(database, level) as connection:
        return worker.enqueue_many(connection, new_jobs([*keys]))


def _is_mariadb(connection: Connection) -> bool:
    return bool(getattr(connection.dialect, "is_mariadb", False))


def the_writer(database: Database, connection: Connection, jobs: list[str]) -> None:
    parts = lock_parts_now(connection, [part_id(job, 0) for job in jobs], database.now, jobs).parts
    save_parts(connection, parts.values())
    ids = ["f" * 32, *jobs]  # one that is not there, behind all others
    lock_parts(connection, [part_id(job, 0) for job in ids])
    wake_dependants(connection, ids, database.now)
    wake_overdue(connection, database.now)


def the_relay(database: Database, connection: Connection, jobs: list[str]) -> None:
    lanes_newly_due(connection, database.now, 0, 1_000)
    expired_parts(connection, database.now, 1_000)
    assert len(jobs) == len(offer(connection, database.now, [part_id(job, 0) for job in [*jobs, "f" * 32]], 1))
    acquire_lease(connection, database.now, "relay", "me", 1)


def the_limits(database: Database, connection: Connection, jobs: list[str]) -> None:
    Budgets(database).lock(connection, ["a", "b"])
    change_lanes(connection, database.now, [LaneBlock("hr:1", "send", 5, "why")])
    lock_windows(connection, {"w": (part_id(jobs[0], 0), 5)}, 1)
    lock_cached(connection, {"id": "v", "scope": "s", "upload_type": "image"}, jobs[0], 1)


@LEVELS
@pytest.mark.parametrize("hold", [the_writer, the_relay, the_limits])
def test_a_producer_waits_for_no_worker(
    mariadb_database: Database,
    hold: Callable[[Database, Connection, list[str]], None],
    key: Callable[[str], str],
    level: str,
) -> None:
    """A worker's transaction is open with all its locks: jobs with and without a key go in beside it."""
    jobs = [ref.id for ref in ask(mariadb_database, None, key("c"), None, key("m"), None)]

    with mariadb_database.writing() as connection:
        hold(mariadb_database, connection, jobs)
        made = ask(mariadb_database, None, *map(key, "abdzc"), level=level)

    assert [ref.created for ref in made] == [True] * 5 + [False]


@LEVELS
@pytest.mark.parametrize("content", [HELLO, Text(content="other")], ids=["same", "other"])
def test_a_producer_that_met_a_committed_key_keeps_nobody_waiting(
    mariadb_database: Database, content: Text, key: Callable[[str], str], level: str
) -> None:
    """Its transaction is open: other producers and the worker that records that very job go on."""
    first, *_ = [ref.id for ref in ask(mariadb_database, key("c"), None, key("m"))]

    with producing(mariadb_database, level) as connection:
        try:
            refs = worker.enqueue_many(connection, new_jobs([key("c"), key("x")], content))
        except DedupeConflict:
            refs = worker.enqueue_many(connection, new_jobs([key("x")], content))
        assert refs[-1].created
        made = ask(mariadb_database, None, *map(key, "abdz"), key("bb"), key("c"), level=level)
        with producing(mariadb_database) as recording:
            the_writer(mariadb_database, recording, [first])

    assert [ref.created for ref in made] == [True] * 6 + [False]
    with mariadb_database.reading() as connection:
        assert 10 == count(connection) == count(connection, "worker_parts")


@LEVELS
def test_a_key_committed_after_the_snapshot_is_found(mariadb_database: Database, level: str) -> None:
    """Also at REPEATABLE READ, the server's default, where a plain read does not see it: the first job, and the
    transaction goes on (MariaDB: unless `innodb_snapshot_isolation` is on)."""
    with producing(mariadb_database, level) as connection:
        if _is_mariadb(connection):
            connection.exec_driver_sql("set session innodb_snapshot_isolation = off")
        assert count(connection) == 0
        [first] = ask(mariadb_database, "k")
        again = worker.enqueue(connection, "hr", HELLO, ANN, dedupe_key="k")
        with pytest.raises(DedupeConflict):
            worker.enqueue(connection, "hr", Text(content="other"), ANN, dedupe_key="k")
        worker.enqueue(connection, "hr", HELLO, ANN)
        if _is_mariadb(connection):
            connection.exec_driver_sql("set session innodb_snapshot_isolation = default")

    assert (first.id, False) == (again.id, again.created)
    with mariadb_database.reading() as reading:
        assert 2 == count(reading) == count(reading, "worker_parts")


@LEVELS
@pytest.mark.parametrize("again", [worker.replay, worker.resend_failed])
def test_a_replay_committed_after_the_snapshot_is_seen(
    mariadb_database: Database, level: str, again: Callable[..., object]
) -> None:
    """Also at REPEATABLE READ, where a plain read does not see it: the transaction begins anew, and sends nothing."""
    [job] = ask(mariadb_database, "k")
    with mariadb_database.writing() as connection:
        connection.exec_driver_sql("update worker_jobs set state = 4, n_open = 0, n_rejected = 1")
        connection.exec_driver_sql("update worker_parts set state = 4, first_marked_at = 1")
    with producing(mariadb_database, level) as connection:
        assert count(connection) == 1
        with mariadb_database.writing() as other:
            again(other, job.id)
        with pytest.raises(RetryTransaction if level == "REPEATABLE READ" else NotReplayable):
            again(connection, job.id)
        connection.rollback()
    with pytest.raises(NotReplayable), mariadb_database.writing() as connection:
        again(connection, job.id)


def test_who_replays_at_repeatable_read_holds_up_no_other_producer(mariadb_database: Database) -> None:
    """The read of the replays locks those of this job, not the end of the index where new jobs are inserted."""
    [job] = ask(mariadb_database, "k")
    with mariadb_database.writing() as connection:
        connection.exec_driver_sql("update worker_jobs set state = 4, n_open = 0, n_rejected = 1")
        connection.exec_driver_sql("update worker_parts set state = 4, first_marked_at = 1")
    with producing(mariadb_database) as connection:
        worker.replay(connection, job.id)
        with producing(mariadb_database) as other:
            worker.enqueue(other, "hr", HELLO, ANN)

    with mariadb_database.reading() as reading:
        assert count(reading) == 3


def test_a_key_in_flight_that_does_not_come_free_in_time(mariadb_database: Database) -> None:
    """The server ends the wait (1205): RetryTransaction; after the rollback the same again finds the first job."""
    with producing(mariadb_database) as holder:
        first = worker.enqueue(holder, "hr", HELLO, ANN, dedupe_key="k")
        with pytest.raises(RetryTransaction, match="again") as caught:
            ask(mariadb_database, "k")
    [again] = ask(mariadb_database, "k")

    assert "1205" in str(caught.value.__cause__)
    assert (first.id, False) == (again.id, again.created)


@pytest.mark.parametrize("given_up", [False, True], ids=["committed", "rolled back"])
def test_a_key_in_flight_with_two_waiting(mariadb_database: Database, given_up: bool) -> None:
    """The holder commits: both get its job. It rolls back: one makes the job, and the other may be told to repeat its
    transaction (1213); whoever does has the same job. Nothing else is ever raised."""
    database, told = mariadb_database, []

    def wait() -> JobRef:
        while True:
            try:
                with database.writing() as connection:
                    return worker.enqueue(connection, "hr", HELLO, ANN, dedupe_key="k")
            except RetryTransaction as error:
                told.append(error)

    with ThreadPoolExecutor(2) as pool:
        with database.engine.connect() as holder:
            held = worker.enqueue(holder, "hr", HELLO, ANN, dedupe_key="k")
            waiting = [pool.submit(wait) for _ in range(2)]
            until_waiting(database, 2)
            holder.rollback() if given_up else holder.commit()
        refs = [one.result(120) for one in waiting]

    assert len(told) <= int(given_up)
    assert len({ref.id for ref in refs}) == 1
    assert [given_up, False] == sorted((ref.created for ref in refs), reverse=True)
    assert given_up == (refs[0].id != held.id)


@LEVELS
def test_keys_in_flight_among_many(mariadb_database: Database, key: Callable[[str], str], level: str) -> None:
    """Some of them are another's, which commits while the call waits: the rest is made, each with its part."""
    jobs = new_jobs([*map(key, "abcdefgh"), None])

    def wait() -> list[JobRef]:
        with producing(mariadb_database, level) as connection:
            connection.exec_driver_sql("set session innodb_lock_wait_timeout = 100")
            connection.exec_driver_sql("set session innodb_snapshot_isolation = off")
            refs = worker.enqueue_many(connection, jobs)
            connection.exec_driver_sql("set session innodb_snapshot_isolation = default")
            return refs

    with ThreadPoolExecutor(1) as pool, mariadb_database.engine.connect() as holder:
        held = worker.enqueue_many(holder, new_jobs([*map(key, "bcg")]))
        waiting = pool.submit(wait)
        until_waiting(mariadb_database)
        holder.commit()
        refs = waiting.result(120)

    assert [ref.created for ref in refs] == [True, False, False, True, True, True, False, True, True]
    assert [ref.id for ref in held] == [ref.id for ref in refs if not ref.created]
    with mariadb_database.reading() as connection:
        assert 9 == count(connection) == count(connection, "worker_parts")


def test_a_snapshot_that_the_server_keeps_strictly_is_repeated(mariadb_database: Database) -> None:
    """With `innodb_snapshot_isolation` (MariaDB's default since 11.6.2) at REPEATABLE READ, a key committed after the
    snapshot is 1020: RetryTransaction, like PostgreSQL's; the same again finds the first job."""
    with producing(mariadb_database) as connection:
        if not _is_mariadb(connection):
            pytest.skip("MySQL has no such setting")
        connection.exec_driver_sql("set session innodb_snapshot_isolation = on")
        assert count(connection) == 0
        [first] = ask(mariadb_database, "k")
        with pytest.raises(RetryTransaction) as caught:
            worker.enqueue(connection, "hr", HELLO, ANN, dedupe_key="k")
        connection.rollback()
        again = worker.enqueue(connection, "hr", HELLO, ANN, dedupe_key="k")
        connection.exec_driver_sql("set session innodb_snapshot_isolation = default")

    assert "1020" in str(caught.value.__cause__)
    assert (first.id, False) == (again.id, again.created)
