"""Ends of jobs leave an event only for a hook that runs for them, whoever ends the job; what people do goes first."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest
from sqlalchemy import Connection, event

from tests.channels.callback_samples import AES_KEY, NOW, TOKEN, press, sent
from tests.support.reads import rows_read
from tests.support.runtime import Site, lost, planted, refused
from worker import JobState
from worker.channels.registry import channel
from worker.config.settings import Settings
from worker.control import fence, resolve
from worker.control.cancel import cancel, find_open
from worker.domain.callbacks.hook import ALL_ENDS, ANY_ACCOUNT, ENDED, Ends, EventKind
from worker.domain.job import part_id
from worker.domain.job_filter import JobFilter
from worker.domain.settle import Policy
from worker.hooks.callbacks import CallbackStore
from worker.outbox import tables
from worker.outbox.commit.commands import Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.jobs.events import claim_event, due_events, event_row
from worker.outbox.lanes.processes import hooked_ends, renew_heartbeat

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000
HOOKS = Settings(hooks="shop.hooks")
"""Of the process that is no worker: it does not load the module."""
ROOM, KEPT = 8, 2
"""Events that all processes can run at a time, and those of them that no job's end takes."""


# -- whoever ends a job -----------------------------------------------------------------------------------------------


def answered(site: Site) -> None:
    """By the writer of a worker process."""
    site.vendor.says(refused(40003))
    site.ring(site.send())


def expired(site: Site) -> None:
    """By the relay's offer of a part whose time is over."""
    site.send(expires_at=timedelta(seconds=60))
    site.advance(61)
    site.run()


def recovered(site: Site) -> None:
    """By the recovery of a call that another process never ended."""
    mark = Mark(part_id(site.send(duplicate_check=False), 0), 0, "gone", 20 * SECOND)
    commit(site.database, [mark], Policy())
    site.advance(200)
    site.recover()


def cancelled(site: Site) -> None:
    """By a person."""
    found = find_open(JobFilter(ids=[site.send(due_at=timedelta(days=1))]), database=site.database)
    cancel(found, person="zhang", why="wrong", settings=HOOKS, database=site.database)


def resolved(site: Site) -> None:
    """By a person's word."""
    _in_doubt(site, site.send(duplicate_check=False))
    found = resolve.find_unknown(JobFilter(account="hr"), database=site.database)
    resolve.resolve(found, sent=False, why="not there", person="zhang", settings=HOOKS, database=site.database)


def fenced(site: Site) -> None:
    """By a person behind a restored backup: no process is alive."""
    site.send()
    site.sql("update worker_processes set ended_at = 1")
    since = instant(site.clock.micros) + timedelta(seconds=1)
    fence.fence(
        fence.find_restored(since, database=site.database),
        person="zhang",
        why="restored",
        settings=HOOKS,
        database=site.database,
    )


def pressed(site: Site) -> None:
    """By the receiver: a press proves that the card arrived."""
    job = site.card()
    _in_doubt(site, job)
    door = channel("wecom_app").callback_verifier(site.accounts.get("hr"), {"token": TOKEN, "aes_key": AES_KEY}, 300)
    callback = sent(press(f"w{part_id(job, 0)}"))
    CallbackStore(site.database, HOOKS, site.accounts).store("hr", door.read(callback.query, callback.body, NOW))


def _in_doubt(site: Site, job: str) -> None:
    """Under no hook: only how it ends then is looked at."""
    site.vendor.says(lost())
    site.ring(job)
    site.sql("delete from worker_events")


ENDERS = [
    (answered, JobState.REJECTED),
    (expired, JobState.EXPIRED),
    (recovered, JobState.UNKNOWN),
    (cancelled, JobState.CANCELLED),
    (resolved, JobState.REJECTED),
    (fenced, JobState.UNKNOWN),
    (pressed, JobState.ACCEPTED),
]


@pytest.mark.parametrize(("end", "state"), ENDERS)
@pytest.mark.parametrize("which", ["no hook", "another account", "another state", "its state", "every account"])
def test_only_an_end_that_has_a_hook_leaves_an_event(
    database: Database, driven_clock: DrivenClock, end: Callable[[Site], None], state: JobState, which: str
) -> None:
    """Whoever ends the job; also where the process that ends it loads no hooks, and only its settings name a module."""
    driven_clock.micros = int(NOW) * SECOND
    ends: Mapping[str, Ends] = {
        "no hook": {},
        "another account": {"it": ENDED},
        "another state": {ANY_ACCOUNT: ENDED - {state}},
        "its state": {"hr": frozenset({state})},
        "every account": ALL_ENDS,
    }

    with planted(database, driven_clock, hooked_ends=ends[which]) as site:
        end(site)
        found = site.rows("select job_state from worker_events where kind = 'job_done'")

    assert [state] * (which in ("its state", "every account")) == [row.job_state for row in found]


# -- which ends have a hook -------------------------------------------------------------------------------------------


def begun(database: Database, clock: DrivenClock, name: str, ends: Ends | None) -> None:
    clock.advance(1)
    with database.writing() as connection:
        renew_heartbeat(
            connection, database.now, name, lease_us=SECOND, threads=1, host="h", pid=1, lanes="{}", hooked_ends=ends
        )


def test_before_the_first_worker_every_end_leaves_an_event_if_there_are_hooks(database: Database) -> None:
    """Nothing says which of them has one."""
    assert ALL_ENDS == hooked_ends(database, has_hooks=True)
    assert {} == hooked_ends(database, has_hooks=False)


def test_the_ends_of_all_living_processes_count(database: Database, driven_clock: DrivenClock) -> None:
    """While a release is rolled out they differ; what has ended does not count."""
    begun(database, driven_clock, "old", {"hr": frozenset({JobState.REJECTED})})
    begun(database, driven_clock, "new", {"hr": frozenset({JobState.EXPIRED}), "it": frozenset({JobState.UNKNOWN})})
    begun(database, driven_clock, "ended", ALL_ENDS)
    with database.writing() as connection:
        connection.exec_driver_sql("update worker_processes set ended_at = 1 where id = 'ended'")

    found = hooked_ends(database, has_hooks=True)

    assert {"hr": {JobState.REJECTED, JobState.EXPIRED}, "it": {JobState.UNKNOWN}} == found


@pytest.mark.every_database
def test_while_no_process_is_alive_the_last_one_counts(database: Database, driven_clock: DrivenClock) -> None:
    """It is started again soon."""
    begun(database, driven_clock, "older", ALL_ENDS)
    begun(database, driven_clock, "last", {"hr": frozenset({JobState.REJECTED})})
    with database.writing() as connection:
        connection.exec_driver_sql("update worker_processes set ended_at = 1")

    assert {"hr": {JobState.REJECTED}} == hooked_ends(database, has_hooks=True)


def test_beside_a_process_of_the_release_before_every_end_leaves_an_event(
    database: Database, driven_clock: DrivenClock
) -> None:
    """It does not say which ends have a hook."""
    begun(database, driven_clock, "before", None)
    begun(database, driven_clock, "now", {})

    assert ALL_ENDS == hooked_ends(database, has_hooks=True)


def test_a_state_of_a_newer_release_is_passed_over(database: Database, driven_clock: DrivenClock) -> None:
    """It cannot end a job in it."""
    begun(database, driven_clock, "newer", {})
    with database.writing() as connection:
        stored = json.dumps({"hr": [int(JobState.REJECTED), 99]})
        connection.exec_driver_sql(f"update worker_processes set hooked_ends = '{stored}'".replace("%", "%%"))

    assert {"hr": {JobState.REJECTED}} == hooked_ends(database, has_hooks=True)


# -- what goes first --------------------------------------------------------------------------------------------------


def written(database: Database, ids: list[str], kind: EventKind, at: int, **fields: int) -> None:
    with database.writing() as connection:
        insert_rows(connection, tables.events, [event_row(id, kind, at, **fields) for id in ids])


def swept(database: Database) -> None:
    """Without the entries of rows that earlier tests have deleted, which PostgreSQL passes once more, and counts."""
    if database.dialect.name == "postgresql":
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("vacuum analyze worker_events")


@pytest.mark.parametrize("kind", [EventKind.CARD_ACTION, EventKind.MESSAGE, EventKind.CALLBACK])
def test_what_people_do_goes_before_the_ends_of_jobs(
    database: Database, driven_clock: DrivenClock, kind: EventKind
) -> None:
    """However many ends are due, and with no more reading than without them; nobody has counted them yet."""
    driven_clock.micros = int(NOW) * SECOND
    at = driven_clock.micros
    swept(database)
    written(database, [f"{n:032x}" for n in range(20_000)], EventKind.JOB_DONE, at - SECOND, job_state=2)
    written(database, ["f" * 32], kind, at)
    found: list[str] = []

    read = rows_read(database, lambda connection: found.extend(due_events(connection, database.now, ROOM)))

    assert ["f" * 32, *(f"{n:032x}" for n in range(ROOM - KEPT - 1))] == found
    assert 100 > read


@pytest.mark.parametrize("n", [ROOM - KEPT, 20_000])
def test_what_people_do_is_read_as_far_as_there_is_room(database: Database, driven_clock: DrivenClock, n: int) -> None:
    """However much of it is due; where it takes all that ends of jobs may have, no end is looked for."""
    driven_clock.micros = int(NOW) * SECOND
    at = driven_clock.micros
    swept(database)
    people = [f"f{number:031x}" for number in range(n)]
    written(database, people, EventKind.CARD_ACTION, at)
    written(database, [f"{number:032x}" for number in range(1_000)], EventKind.JOB_DONE, at - SECOND, job_state=2)
    asked: list[str] = []

    def look(connection: Connection) -> None:
        event.listen(connection, "before_cursor_execute", lambda *given: asked.append(given[2]))
        assert people[:ROOM] == due_events(connection, database.now, ROOM)

    read = rows_read(database, look)

    assert 100 > read
    assert [] == [query for query in asked if "job_state is not null" in query]
    assert asked


def test_ends_go_when_nothing_goes_before_them(database: Database, driven_clock: DrivenClock) -> None:
    """In the order in which they were due; a press that is due later holds up none."""
    driven_clock.micros = int(NOW) * SECOND
    at = driven_clock.micros
    written(database, ["a" * 32], EventKind.CARD_ACTION, at + SECOND)
    written(database, ["c" * 32], EventKind.JOB_DONE, at - 2, job_state=2)
    written(database, ["b" * 32], EventKind.JOB_DONE, at - 1, job_state=2)

    with database.reading() as connection:
        assert ["c" * 32, "b" * 32] == due_events(connection, database.now, ROOM)
        assert ["c" * 32] == due_events(connection, database.now, 1) == due_events(connection, database.now, 2)
        assert [] == due_events(connection, database.now, 0)


def test_the_ends_of_jobs_leave_a_quarter_of_the_room_to_people(database: Database, driven_clock: DrivenClock) -> None:
    """However slow their hooks are, a press has a thread; presses take all there is."""
    driven_clock.micros = int(NOW) * SECOND
    at = driven_clock.micros
    written(database, [f"{n:032x}" for n in range(20)], EventKind.JOB_DONE, at, job_state=2)
    with database.writing() as connection:
        first = due_events(connection, database.now, ROOM)
        for id in first:
            claim_event(connection, database.now, id, "p")
        again = due_events(connection, database.now, ROOM)
    written(database, [f"f{n:031x}" for n in range(9)], EventKind.CARD_ACTION, at)

    with database.reading() as connection:
        people = due_events(connection, database.now, ROOM)

    assert (ROOM - KEPT, 0, KEPT) == (len(first), len(again), len(people))
    assert all(id.startswith("f") for id in people)
