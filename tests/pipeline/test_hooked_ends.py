"""Ends of jobs leave an event only for a hook that runs for them, whoever ends the job; what people do goes first."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from tests.channels.callback_samples import AES_KEY, NOW, TOKEN, press, sent
from tests.support.reads import rows_read
from tests.support.runtime import Site, lost, planted, refused
from worker import JobState
from worker.channels.registry import channel
from worker.config.accounts import FixedAccounts
from worker.config.settings import Settings
from worker.control import fence, resolve
from worker.control.cancel import cancel, find_open
from worker.domain.callbacks.hook import (
    ALL_ENDS,
    ANY_ACCOUNT,
    ENDED,
    NO_HOOKS,
    Ends,
    EventKind,
    EventState,
    Subscriptions,
)
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
from worker.outbox.lanes.processes import all_hooks, end_processes, renew_heartbeat
from worker.reporting.problems import find_problems, read_outbox

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
    found = resolve.find_unknown(JobFilter(account="hr"), force=True, database=site.database)
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


def begun(
    database: Database, clock: DrivenClock, name: str, ends: Ends, *, pid: int = 1, queues: Sequence[str] | None = None
) -> None:
    clock.advance(1)
    hooks = Subscriptions(frozenset({"on_job_done"}), ends) if ends else NO_HOOKS
    life: dict[str, Any] = {"lease_us": 500 * SECOND, "threads": 1, "host": "h", "pid": pid, "lanes": "{}"}
    with database.writing() as connection:
        renew_heartbeat(connection, database.now, name, **life, queues=queues, hooks=hooks)


def stopped(database: Database, *names: str) -> None:
    with database.writing() as connection:
        end_processes(connection, database.now, names)


def counted(database: Database) -> Any:
    with database.reading() as connection:
        hooks = all_hooks(connection)
    return None if hooks is None else hooks.ends


@pytest.mark.parametrize("has_hooks", [True, False])
def test_before_the_first_worker_an_end_leaves_an_event_if_the_settings_name_hooks(
    database: Database, driven_clock: DrivenClock, has_hooks: bool
) -> None:
    """Nothing says which of them has one."""
    with planted(database, driven_clock) as site:
        job = site.send(due_at=timedelta(days=1))
        site.sql("delete from worker_processes")

        found = find_open(JobFilter(ids=[job]), database=site.database)
        settings = HOOKS if has_hooks else Settings()
        cancel(found, person="zhang", why="wrong", settings=settings, database=site.database)

        assert [job] * has_hooks == [row.job_id for row in site.rows("select job_id from worker_events")]


@pytest.mark.every_database
@pytest.mark.parametrize(("end", "state"), [ender for ender in ENDERS if ender[0] in (answered, expired, recovered)])
def test_a_worker_without_the_hook_leaves_the_event_to_one_that_has_it(
    database: Database, driven_clock: DrivenClock, end: Callable[[Site], None], state: JobState
) -> None:
    """A process that only sends, or the release before that brings the first hook: whoever records the end."""
    driven_clock.micros = int(NOW) * SECOND

    with planted(database, driven_clock) as site:
        begun(database, driven_clock, "hooked", {"hr": frozenset({state})})
        end(site)
        found = site.rows("select job_state from worker_events where kind = 'job_done'")

    assert [state] == [row.job_state for row in found]


@pytest.mark.parametrize(("after_s", "events"), [(599, 1), (601, 0)])
def test_the_hooks_of_a_process_that_is_started_again_count(
    database: Database, driven_clock: DrivenClock, after_s: int, events: int
) -> None:
    """Meanwhile a process without hooks goes on sending; ten minutes later they are taken to be gone."""
    with planted(database, driven_clock) as site:
        begun(database, driven_clock, "hooked", ALL_ENDS)
        stopped(database, "hooked")
        driven_clock.advance(after_s)

        answered(site)

        assert events == len(site.rows("select id from worker_events"))


@pytest.mark.every_database
def test_the_hooks_of_all_living_processes_count(database: Database, driven_clock: DrivenClock) -> None:
    """While a release is rolled out they differ."""
    begun(database, driven_clock, "none", {})
    begun(database, driven_clock, "old", {"hr": frozenset({JobState.REJECTED})})
    begun(database, driven_clock, "new", {"hr": frozenset({JobState.EXPIRED}), "it": frozenset({JobState.UNKNOWN})})
    begun(database, driven_clock, "ended", ALL_ENDS)
    stopped(database, "ended")
    driven_clock.advance(3_600)

    assert counted(database) == {"hr": {JobState.REJECTED, JobState.EXPIRED}, "it": {JobState.UNKNOWN}}


@pytest.mark.every_database
def test_while_no_process_is_alive_the_last_one_counts(database: Database, driven_clock: DrivenClock) -> None:
    """It is started again soon."""
    begun(database, driven_clock, "older", ALL_ENDS)
    begun(database, driven_clock, "last", {"hr": frozenset({JobState.REJECTED})})
    stopped(database, "older", "last")
    driven_clock.advance(3_600)

    assert counted(database) == {"hr": {JobState.REJECTED}}


def test_what_a_newer_release_stores_is_passed_over(database: Database, driven_clock: DrivenClock) -> None:
    """A state that this release does not have cannot end a job in it."""
    begun(database, driven_clock, "newer", {})
    document = {"hooks": ["on_job_done", 5], "ends": {"hr": [int(JobState.REJECTED), 99], "it": [99]}, "tags": {"a": 1}}
    with database.writing() as connection:
        connection.exec_driver_sql(f"update worker_processes set hooks = '{json.dumps(document)}'".replace("%", "%%"))

    assert counted(database) == {"hr": {JobState.REJECTED}, "it": frozenset()}


@pytest.mark.parametrize("hooked", [True, False])
def test_a_receiver_without_hooks_in_its_settings_stores_the_events_of_workers_that_have_them(
    database: Database, driven_clock: DrivenClock, hooked: bool
) -> None:
    """Not `ignored`, from which only a person takes a press, and not none at all."""
    driven_clock.micros = int(NOW) * SECOND

    with planted(database, driven_clock) as site:
        if hooked:
            begun(database, driven_clock, "hooked", ALL_ENDS)
        job = site.card()
        door = channel("wecom_app").callback_verifier(
            site.accounts.get("hr"), {"token": TOKEN, "aes_key": AES_KEY}, 300
        )
        for told in (press(f"w{part_id(job, 0)}"), press("t", event="enter_agent")):
            callback = sent(told)
            inbound = door.read(callback.query, callback.body, NOW)
            CallbackStore(database, Settings(), site.accounts).store("hr", inbound)
        found = site.rows("select kind, state from worker_events order by kind")

    states = [(row.kind, EventState(row.state)) for row in found]
    expected = {
        True: [(EventKind.CALLBACK, EventState.WAITING), (EventKind.CARD_ACTION, EventState.WAITING)],
        False: [(EventKind.CARD_ACTION, EventState.IGNORED)],
    }
    assert states == expected[hooked]


# -- what the list of problems says ------------------------------------------------------------------------------------


def problems(database: Database) -> list[str]:
    """What it says about hooks."""
    with database.reading() as connection:
        found = find_problems(read_outbox(connection, database.now), FixedAccounts([]))
    return [problem.sentence(UTC) for problem in found if problem.kind.about == "hooks"]


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (ALL_ENDS, ALL_ENDS, ""),
        (ALL_ENDS, {}, "worker h 1 has hooks that worker h 2 has not: on_job_done"),
        ({}, ALL_ENDS, "worker h 2 has hooks that worker h 1 has not: on_job_done"),
        (ALL_ENDS, {"hr": ENDED}, "worker h 2 and worker h 1 have the same hooks for other accounts, states or tags"),
    ],
)
def test_processes_with_different_hooks_are_a_problem(
    database: Database, driven_clock: DrivenClock, first: Ends, second: Ends, says: str
) -> None:
    """Which of them has what, as an event may wait for minutes for a process with its hook."""
    for pid, ends in enumerate((first, second), 1):
        begun(database, driven_clock, f"p{pid}", ends, pid=pid)

    assert [sentence.split("; ")[0] for sentence in problems(database)] == [says] * bool(says)


def test_a_process_that_takes_no_events_may_have_other_hooks(database: Database, driven_clock: DrivenClock) -> None:
    """It only sends."""
    begun(database, driven_clock, "hooks", ALL_ENDS)
    begun(database, driven_clock, "sends", {}, queues=["normal", "bulk"])

    assert problems(database) == []


@pytest.mark.every_database
def test_a_hook_that_does_not_return_is_a_problem(database: Database, driven_clock: DrivenClock) -> None:
    """A later end of its job waits for it, and nobody would know."""
    begun(database, driven_clock, "p", ALL_ENDS)
    job = f"{7:032x}"
    row = event_row(f"{1:032x}", EventKind.JOB_DONE, driven_clock.micros, job_id=job, job_state=6)
    with database.writing() as connection:
        insert_rows(connection, tables.events, [row])
        claim_event(connection, database.now, row["id"], "p")
    driven_clock.advance(900)
    at_first = problems(database)
    driven_clock.advance(1)

    assert at_first == []
    [sentence] = problems(database)
    assert sentence.startswith(
        f"a hook has not returned in worker h 1: event {row['id']}, job_done of job {job} (since "
    )


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
    assert [query for query in asked if "job_state is not null" in query] == []
    assert asked


def test_ends_go_when_nothing_goes_before_them(database: Database, driven_clock: DrivenClock) -> None:
    """In the order in which they were due; a press that is due later holds up none."""
    driven_clock.micros = int(NOW) * SECOND
    at = driven_clock.micros
    written(database, ["a" * 32], EventKind.CARD_ACTION, at + SECOND)
    written(database, ["c" * 32], EventKind.JOB_DONE, at - 2, job_state=2)
    written(database, ["b" * 32], EventKind.JOB_DONE, at - 1, job_state=2)

    with database.reading() as connection:
        assert due_events(connection, database.now, ROOM) == ["c" * 32, "b" * 32]
        assert ["c" * 32] == due_events(connection, database.now, 1) == due_events(connection, database.now, 2)
        assert due_events(connection, database.now, 0) == []


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

    assert (len(first), len(again), len(people)) == (ROOM - KEPT, 0, KEPT)
    assert all(id.startswith("f") for id in people)
