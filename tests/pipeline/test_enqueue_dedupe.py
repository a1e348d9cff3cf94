"""Dedupe keys: one job per key, and a caller's transaction that stays usable."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import worker
from tests.support.producing import ACCOUNTS, ANN, HELLO, count
from tests.support.waiting import until_waiting
from worker import DedupeConflict, File, Image, JobState, NewJob, RetryTransaction, Text, To
from worker.outbox.engine.database import Database

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100


@pytest.fixture(autouse=True)
def _accounts() -> Any:
    """This process's accounts are the tests' own."""
    worker.configure(ACCOUNTS)
    yield
    worker.configure(None)


def test_the_same_again_is_the_first_job_with_its_state(database: Database) -> None:
    """Same key, same content: nothing is inserted; case and order of users do not count."""
    with database.writing() as connection:
        first = worker.enqueue(connection, "hr", HELLO, To(users=["ann", "bob"]), dedupe_key="k")
        twice = worker.enqueue(connection, "hr", HELLO, To(users=["BOB", "Ann"]), dedupe_key="k")
    with database.writing() as connection:
        connection.execute(text("update worker_jobs set state = 2, n_open = 0"))
    with database.writing() as connection:
        later = worker.enqueue(connection, "hr", HELLO, To(users=["ann", "bob"]), dedupe_key="k")
        assert (count(connection), count(connection, "worker_parts")) == (1, 1)

    assert (first.created, twice.created, later.created) == (True, False, False)
    assert {first.id} == {twice.id, later.id}
    assert JobState.ACCEPTED is later.state


def test_other_content_is_refused_and_the_transaction_stays_usable(database: Database) -> None:
    """A conflict with a committed key: the caller goes on, commits, and only the conflicting job is missing."""
    with database.writing() as connection:
        first = worker.enqueue(connection, "hr", HELLO, ANN, dedupe_key="k")
    with Session(database.engine) as session:
        before = worker.enqueue(session, "hr", Text(content="before"), ANN)
        with pytest.raises(DedupeConflict, match="other content") as caught:
            worker.enqueue(session, "hr", Text(content="other"), ANN, dedupe_key="k")
        after = worker.enqueue(session, "hr", Text(content="after"), ANN)
        session.commit()

    assert first.id == caught.value.job
    with database.reading() as connection:
        ids = {one.id for one in connection.execute(text("select id from worker_jobs"))}
        assert {first.id, before.id, after.id} == ids
        assert count(connection, "worker_parts") == 3


def test_keys_belong_to_an_account(database: Database) -> None:
    """The same key on two accounts is two jobs; "K" is not "k"."""
    with database.writing() as connection:
        refs = [
            worker.enqueue(connection, account, HELLO, ANN, dedupe_key=key)
            for account, key in (("hr", "k"), ("ops", "k"), ("hr", "K"))
        ]

    assert [ref.created for ref in refs] == [True, True, True]


def test_many_with_keys_old_new_and_twice(database: Database) -> None:
    """References stand in the order given, whoever made the job."""
    with database.writing() as connection:
        old = worker.enqueue(connection, "hr", HELLO, ANN, dedupe_key="b")
    jobs = [NewJob("hr", HELLO, ANN, dedupe_key=key) for key in ("c", "b", "a", "c")] + [NewJob("hr", HELLO, ANN)]
    with database.writing() as connection:
        refs = worker.enqueue_many(connection, jobs)
        assert (count(connection), count(connection, "worker_parts")) == (4, 4)

    assert [ref.created for ref in refs] == [True, False, True, False, True]
    assert (old.id, refs[0].id) == (refs[1].id, refs[3].id)


def test_a_conflict_among_many_leaves_none_of_them(database: Database) -> None:
    """All or none, without a savepoint: what this call had inserted is taken back."""
    with database.writing() as connection:
        worker.enqueue(connection, "hr", HELLO, ANN, dedupe_key="k")
    with database.writing() as connection:
        own = worker.enqueue(connection, "hr", HELLO, ANN)
        jobs = [NewJob("hr", Text(content="x"), ANN, dedupe_key=key) for key in ("a", "k", "z")]
        with pytest.raises(DedupeConflict):
            worker.enqueue_many(connection, [*jobs, NewJob("hr", HELLO, ANN)])

    with database.reading() as connection:
        assert (count(connection), count(connection, "worker_parts")) == (2, 2)
        assert connection.execute(text("select count(*) from worker_jobs where id = :i"), {"i": own.id}).scalar() == 1


def test_a_repeated_upload_stores_no_second_copy(database: Database) -> None:
    """Content of a file counts, not which copy of it was stored; a job that is not created stores nothing."""
    with database.writing() as connection:
        refs = [worker.enqueue(connection, "hr", Image(file=File(PNG, "a.png")), ANN, dedupe_key="k") for _ in range(2)]
        connection.execute(text("update worker_blobs set created_at = 0"))
        refs.append(worker.enqueue(connection, "hr", Image(file=File(PNG, "a.png")), ANN, dedupe_key="k"))
        with pytest.raises(DedupeConflict):
            worker.enqueue(connection, "hr", Image(file=File(PNG, "b.png")), ANN, dedupe_key="k")
        assert (count(connection, "worker_blobs"), count(connection, "worker_blob_chunks")) == (1, 1)

    assert [ref.created for ref in refs] == [True, False, False]


@pytest.mark.fewer_databases("on SQLite one transaction writes at a time")
def test_a_key_in_flight_waits_for_its_holder(server_database: Database) -> None:
    """The second producer waits; the first commits: it gets the first one's job."""
    database, found = server_database, []

    def second() -> None:
        with database.writing() as connection:
            found.append(worker.enqueue(connection, "hr", HELLO, ANN, dedupe_key="k"))

    with database.writing() as connection:
        first = worker.enqueue(connection, "hr", HELLO, ANN, dedupe_key="k")
        thread = threading.Thread(target=second)
        thread.start()
        until_waiting(database)
    thread.join(120)

    assert [(first.id, False)] == [(ref.id, ref.created) for ref in found]


@pytest.mark.fewer_databases("MariaDB's answer is in test_mariadb_waiting.py, SQLite has one level")
def test_a_stricter_level_asks_to_run_the_transaction_again(postgres_database: Database) -> None:
    """PostgreSQL, REPEATABLE READ: a key committed after the snapshot is RetryTransaction, as documented."""
    strict = postgres_database.engine.execution_options(isolation_level="REPEATABLE READ")
    with strict.connect() as connection:
        count(connection)
        with postgres_database.writing() as other:
            worker.enqueue(other, "hr", HELLO, ANN, dedupe_key="k")
        with pytest.raises(RetryTransaction, match="again"):
            worker.enqueue(connection, "hr", HELLO, ANN, dedupe_key="k")


@pytest.mark.fewer_databases("PostgreSQL alone lets everybody read at SERIALIZABLE and judges afterwards")
@pytest.mark.postgres
def test_serializable_producers_with_keys_of_their_own_do_not_fail_each_other(postgres_database: Database) -> None:
    """What a call needs to know of its own rows is told by the insert: a look would meet every other's insert."""
    strict = postgres_database.engine.execution_options(isolation_level="SERIALIZABLE")
    with strict.connect() as one, strict.connect() as two:
        for n, connection in enumerate((one, two)):
            worker.enqueue(connection, "hr", HELLO, ANN, dedupe_key=f"k{n}", order_key=f"o{n}")
        for n, connection in enumerate((one, two)):
            worker.enqueue_many(connection, [NewJob("hr", HELLO, ANN, dedupe_key=f"m{n}", order_key="o")] * 2)
        one.commit()
        two.commit()

    with postgres_database.reading() as connection:
        assert (count(connection), count(connection, "worker_order_queue")) == (4, 4)


def test_a_key_given_up_between_insert_and_look(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder's row vanished: nobody can say who won, so the caller runs again."""
    with database.writing() as connection:
        worker.enqueue(connection, "hr", HELLO, ANN, dedupe_key="k")
    monkeypatch.setattr("worker.outbox.jobs.jobs.owners", lambda *_: {})
    with database.writing() as connection, pytest.raises(RetryTransaction, match="again"):
        worker.enqueue(connection, "hr", HELLO, ANN, dedupe_key="k")
