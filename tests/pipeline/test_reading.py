"""Reading back: state, counts that always add up, receipts, failures, timeline; and waiting for an end."""

from __future__ import annotations

import json
import tracemalloc
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
from hypothesis import given, strategies as st
from sqlalchemy import insert, text, update
from sqlalchemy.orm import Session, sessionmaker

import worker
from tests.support.producing import ACCOUNTS, ANN, HELLO
from worker import CheckFailed, JobNotFound, JobState, PartState, Recipients, StillOpen, To
from worker.outbox import tables
from worker.outbox.engine.clock import SECOND, DrivenClock, micros_of
from worker.outbox.engine.database import Database
from worker.reporting.recipient_status import RecipientStatus, recipients_by_status

PEOPLE = To(users=[f"u{n}" for n in range(1500)])


@pytest.fixture(autouse=True)
def _accounts() -> Any:
    """This process's accounts are the tests' own."""
    worker.configure(ACCOUNTS)
    yield
    worker.configure(None)


def enqueue(database: Database, to: Recipients = ANN, **options: Any) -> str:
    """A committed job."""
    with database.writing() as connection:
        return worker.enqueue(connection, "hr", HELLO, to, **options).id


def sent(database: Database, clock: DrivenClock, job_id: str) -> None:
    """What the writer leaves of two calls: one taken whole after a retry, one with three refusals."""
    first, second, now = f"{job_id}-0", f"{job_id}-1", clock.micros
    call = {"incarnation": "p", "doubtful": False, "flagged": True, "reason": None, "errcode": 0, "http_status": 200}
    attempts = [
        call
        | {"part_id": first, "claim": 1, "outcome": "retry", "reason": "busy", "errcode": -1, "hint": "h1"}
        | {"duration_ms": 12, "started_at": now + 1, "ended_at": now + 2},
        call | {"part_id": first, "claim": 2, "outcome": "accepted", "started_at": now + 3, "ended_at": now + 4},
        call | {"part_id": second, "claim": 1, "outcome": "partial", "started_at": now + 5, "ended_at": now + 6},
    ]
    receipt = {"from_repeat": False, "not_sent": False}
    refusal = {"part_id": second, "kind": "user", "field": "invaliduser", "errcode": 0, "failed_at": now + 6}
    with database.writing() as connection:
        for one in attempts:
            connection.execute(insert(tables.attempts), one)
        for part, claim, at in ((first, 2, now + 4), (second, 1, now + 6)):
            msgid = {"part_id": part, "claim": claim, "msgid": f"m{claim}", "accepted_at": at}
            connection.execute(insert(tables.receipts), receipt | msgid)
        for who in ("u1000", "U1001", "u1002"):
            connection.execute(insert(tables.failures), refusal | {"recipient": who, "recipient_key": who.lower()})
        for part, state in ((first, 2), (second, 3)):
            values = {"state": state, "marked_at": now + 5, "first_marked_at": now + 1, "claim": 2 if state == 2 else 1}
            connection.execute(update(tables.parts).where(tables.parts.c.id == part).values(values))
        job = update(tables.jobs).where(tables.jobs.c.id == job_id)
        connection.execute(job.values(state=3, n_open=0, n_accepted=1, n_partial=1, finished_at=now + 6))


def test_a_new_job(database: Database, driven_clock: DrivenClock) -> None:
    """Right after the commit: open, everybody not yet, nothing received."""
    job_id = enqueue(database, PEOPLE, due_at=60, expires_at=600, tags=["t"], dedupe_key="k")
    with database.reading() as connection:
        report = worker.get_job(connection, job_id)
        events = worker.timeline(connection, job_id)

    assert (
        report.state,
        report.kind,
        report.account,
        report.tags,
        report.dedupe_key,
    ) == (JobState.OPEN, "send", "hr", ("t",), "k")
    assert (
        report.counts.asked,
        report.counts.waiting,
        report.counts.accepted,
        report.counts.refused,
        report.counts.unknown,
        report.counts.never_sent,
    ) == (1500, 1500, 0, 0, 0, 0)
    assert timedelta(seconds=60) == report.due_at - report.created_at
    assert report.expires_at is not None
    assert timedelta(seconds=600) == report.expires_at - report.created_at
    assert report.created_at.utcoffset() == timedelta(0)
    assert report.finished_at is None
    assert [part.state for part in report.parts] == [PartState.QUEUED, PartState.QUEUED]
    assert [event.what for event in events] == ["enqueued", "due"]
    assert "u1" not in repr(report)


def test_a_partial_job(database: Database, driven_clock: DrivenClock) -> None:
    """1,497 accepted and three refused, named; receipts, attempts and the timeline in order."""
    job_id = enqueue(database, PEOPLE)
    sent(database, driven_clock, job_id)
    with Session(database.engine) as session:
        report = worker.get_job(session, job_id)
        events = worker.timeline(session, job_id)
        receipts, failures = worker.receipts(session, job_id), worker.failures(session, job_id)
        refused = worker.recipients(session, job_id, "refused")
        pages = [
            worker.failures(session, job_id, limit=2),
            worker.failures(session, job_id, after=failures[1], limit=2),
        ]

    assert (report.state, report.counts.accepted, report.counts.refused) == (JobState.PARTIAL, 1497, 3)
    assert refused == ["u1000", "u1001", "u1002"]
    assert [failures[:2], failures[2:]] == pages
    assert [receipt.msgid for receipt in receipts] == ["m2", "m1"]
    assert (
        failures[1].recipient,
        failures[1].kind,
        failures[1].field_name,
        failures[1].errcode,
    ) == ("U1001", "user", "invaliduser", 0)
    assert tuple(receipts) == report.receipts
    assert [len(part.attempts) for part in report.parts] == [2, 1]
    assert (
        report.parts[0].attempts[0].outcome,
        report.parts[0].attempts[0].errcode,
        report.parts[0].attempts[0].hint,
        report.parts[0].attempts[0].duration_ms,
    ) == ("retry", -1, "h1", 12)
    assert [(event.what, (event.part or "").partition("-")[2]) for event in events] == [
        ("enqueued", ""),
        ("marked", "0"),
        ("retry", "0"),
        ("marked", "0"),
        ("accepted", "0"),
        ("recorded", "0"),
        ("marked", "1"),
        ("partial", "1"),
        ("recorded", "1"),
        ("refused", "1"),
        ("ended", ""),
    ]
    assert events[2].detail == "busy, HTTP 200, errcode -1, hint h1, 12 ms"
    assert (events[8].detail, events[9].detail, events[10].detail) == ("msgid", "3 named in invaliduser", "partial")


def test_a_report_of_many_recipients_is_as_light_as_one_of_few(database: Database, driven_clock: DrivenClock) -> None:
    """Counted part by part, and listed by the page: never all of those who were asked for."""
    job_id = enqueue(database, To(users=[f"member-{n:06}" for n in range(20_000)]))
    with database.writing() as connection:
        connection.execute(update(tables.parts).where(tables.parts.c.n == 3).values(state=4, first_marked_at=1))
    with database.reading() as connection:
        worker.get_job(connection, job_id)  # what is kept for every statement is there
        tracemalloc.start()
        report = worker.get_job(connection, job_id)
        page = worker.recipients(connection, job_id, RecipientStatus.REFUSED, after=990, limit=20)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert (report.counts.asked, report.counts.refused, report.counts.waiting) == (20_000, 1_000, 19_000)
    assert [f"member-{n:06}" for n in range(3_990, 4_000)] == page
    assert 2_000_000 > peak


@pytest.mark.fewer_databases("it is refused before any SQL")
def test_no_status_of_that_name(database: Database, driven_clock: DrivenClock) -> None:
    """The words that there are stand in the error."""
    job_id = enqueue(database)

    with database.reading() as connection, pytest.raises(CheckFailed, match="one of accepted, unknown"):
        worker.recipients(connection, job_id, "failed")


@pytest.mark.fewer_databases("it is refused before any SQL")
@pytest.mark.parametrize(("name", "value"), [("after", -1), ("limit", -1), ("after", "1"), ("limit", 2.5)])
def test_no_count_of_recipients(database: Database, driven_clock: DrivenClock, name: str, value: Any) -> None:
    """The argument is named."""
    job_id = enqueue(database)

    with database.reading() as connection, pytest.raises(CheckFailed, match=f"{name}: is not a count"):
        worker.recipients(connection, job_id, "waiting", **{name: value})


@pytest.mark.parametrize("year", [1, 9999])
def test_an_instant_that_utc_has_not(database: Database, driven_clock: DrivenClock, year: int) -> None:
    """It is refused by the name of the option; a row of an older release that has it is read all the same."""
    east = timezone(timedelta(hours=14 if year == 1 else -12))
    odd = datetime(year, 1, 1, tzinfo=east) if year == 1 else datetime(year, 12, 31, 23, tzinfo=east)
    for option in ("due_at", "expires_at"):
        with pytest.raises(CheckFailed, match=f"{option}: is before the year 1 or after 9999 in UTC"):
            enqueue(database, **{option: odd})

    job_id = enqueue(database)
    with database.writing() as connection:
        connection.execute(update(tables.jobs).values(due_at=micros_of(odd), expires_at=micros_of(odd)))

    with database.reading() as connection:
        assert job_id == worker.get_job(connection, job_id).id
        assert [job_id] == [job.id for job in worker.find_jobs(connection).jobs]


def test_a_call_in_flight_and_a_recalled_receipt(database: Database, driven_clock: DrivenClock) -> None:
    """A mark without an attempt yet is shown; so are a recall, a warning and a receipt without a call."""
    job_id, now = enqueue(database), driven_clock.micros
    receipt = {"part_id": f"{job_id}-0", "claim": 1, "accepted_at": now, "recalled_at": now + SECOND}
    with database.writing() as connection:
        values = {"state": 1, "marked_at": now + 1, "first_marked_at": now + 1, "claim": 2}
        connection.execute(update(tables.parts).values(values))
        connection.execute(
            insert(tables.receipts), receipt | {"from_repeat": True, "not_sent": True, "warning": "no msgid"}
        )
        events = worker.timeline(connection, job_id)

    assert [event.what for event in events] == ["enqueued", "recorded", "marked", "recalled"]
    assert events[1].detail == "from a repeat, nothing had to be sent, warning: no msgid"


def test_one_of_the_own_transaction(database: Database) -> None:
    """A job can be read before its commit; nobody else sees it."""
    with database.writing() as connection:
        ref = worker.enqueue(connection, "hr", HELLO, ANN)
        assert ref.id == worker.get_job(connection, ref.id).id


def test_no_such_job(database: Database) -> None:
    """A wrong id is said by every way to read."""
    with database.reading() as connection:
        for read in (worker.get_job, worker.timeline, worker.receipts, worker.failures):
            with pytest.raises(JobNotFound, match="no job"):
                read(connection, "0" * 32)


def test_lists(database: Database, driven_clock: DrivenClock) -> None:
    """Newest first, by state, account and kind, page by page."""
    ids = [enqueue(database) for _ in range(3)]
    with database.writing() as connection:
        other = worker.enqueue(connection, "ops", HELLO, ANN).id
        recall = worker.recall(connection, other).id
        connection.execute(text("update worker_jobs set state = 2 where id = :id"), {"id": ids[0]})

    def listed(wanted: worker.JobFilter | None = None, **more: Any) -> list[str]:
        with database.reading() as connection:
            return [job.id for job in worker.find_jobs(connection, wanted, **more).jobs]

    assert [recall, other, *reversed(ids)] == listed()
    assert [recall, other] == listed(worker.JobFilter(account="ops")) == listed(limit=2)
    assert [recall] == listed(worker.JobFilter(kind="recall"))
    assert [ids[0]] == listed(state=JobState.ACCEPTED) == listed(page_after=ids[1])
    assert [recall, ids[0]] == listed(state=[JobState.ACCEPTED, JobState.OPEN])[:1] + listed(
        worker.JobFilter(account="hr"), page_after=ids[1]
    )
    assert listed(state=[]) == []


@pytest.mark.parametrize(
    ("filter", "state"),
    [
        (None, None),
        (worker.JobFilter(account="hr"), None),
        (worker.JobFilter(account="hr"), JobState.OPEN),
        (None, [JobState.ACCEPTED, JobState.OPEN]),
    ],
    ids=["all", "of an account", "open", "two states"],
)
@pytest.mark.parametrize("oldest_first", [False, True])
def test_a_last_page_that_is_full_names_no_next_one(
    database: Database, filter: worker.JobFilter | None, state: Any, oldest_first: bool
) -> None:
    """Its link would lead to an empty page; one job more, and it names the next."""
    for _ in range(4):
        enqueue(database)

    with database.reading() as connection:
        list_jobs = partial(worker.find_jobs, connection, filter, state=state, oldest_first=oldest_first)
        full, short = list_jobs(limit=4), list_jobs(limit=3)
        rest = list_jobs(limit=1, page_after=short.page_after)

    assert [len(page.jobs) for page in (full, short, rest)] == [4, 3, 1]
    assert (full.page_after, rest.page_after) == (None, None)
    assert short.page_after == short.jobs[-1].id


BOTH = '{"users": ["ann", "bob"]}'
ASKED = Recipients(users=("Ann", "bob", "cy"), parties=("1",), tags=("1",))
PART = st.fixed_dictionaries(
    {
        "state": st.sampled_from([int(state) for state in PartState]),
        "doubts": st.integers(0, 2),
        "first_marked_at": st.sampled_from([None, 1]),
        "spec": st.sampled_from(
            [
                json.dumps(spec)
                for spec in ({}, {"users": ["ann"]}, {"users": ["BOB", "cy"], "parties": ["1"]}, {"everyone": True})
            ]
        ),
    }
)
REFUSED = st.sampled_from([("user", "ann"), ("user", "bob"), ("party", "1"), ("tag", "9"), ("user", "stranger")])


@given(st.lists(PART, max_size=4), st.lists(REFUSED), st.booleans())
def test_the_counts_always_add_up(parts: list[dict[str, Any]], refused: list[tuple[str, str]], is_open: bool) -> None:
    """Whatever the rows say: every recipient asked for has exactly one status, as the producer wrote it."""
    rows = [part | {"id": f"p{n}"} for n, part in enumerate(parts)]
    named = [{"part_id": "p0", "kind": kind, "recipient_key": key} for kind, key in refused]

    found = recipients_by_status(ASKED, is_open, rows, named)

    assert sorted([*ASKED.users, *ASKED.parties, *ASKED.tags]) == sorted(one for ids in found.values() for one in ids)


@pytest.mark.parametrize(
    ("state", "doubts", "marked", "status"),
    [
        (PartState.QUEUED, 0, None, RecipientStatus.WAITING),
        (PartState.QUEUED, 1, 1, RecipientStatus.UNKNOWN),
        (PartState.SENDING, 0, 1, RecipientStatus.WAITING),
        (PartState.ACCEPTED, 0, 1, RecipientStatus.ACCEPTED),
        (PartState.PARTIAL, 0, 1, RecipientStatus.ACCEPTED),
        (PartState.UNKNOWN, 1, 1, RecipientStatus.UNKNOWN),
        (PartState.REJECTED, 0, 1, RecipientStatus.REFUSED),
        (PartState.REJECTED, 0, None, RecipientStatus.NEVER_SENT),
        (PartState.EXHAUSTED, 0, 1, RecipientStatus.NEVER_SENT),
        (PartState.EXPIRED, 0, None, RecipientStatus.NEVER_SENT),
        (PartState.CANCELLED, 0, None, RecipientStatus.NEVER_SENT),
    ],
)
def test_what_a_state_says_of_a_recipient(
    state: PartState, doubts: int, marked: int | None, status: RecipientStatus
) -> None:
    """One row per state; a call that never was refused nobody."""
    part = {"id": "p", "state": int(state), "doubts": doubts, "first_marked_at": marked, "spec": '{"users": ["ann"]}'}

    assert recipients_by_status(ANN, True, [part], [])[status] == ("ann",)


@pytest.mark.parametrize(("doubts", "status"), [(1, RecipientStatus.REFUSED), (2, RecipientStatus.UNKNOWN)])
def test_who_is_named_by_the_only_doubtful_answer_is_refused(doubts: int, status: RecipientStatus) -> None:
    """An answer may refuse some and leave the others open; a further call in doubt may have reached the named too."""
    part = {"id": "p", "state": int(PartState.UNKNOWN), "doubts": doubts, "first_marked_at": 1, "spec": BOTH}
    named = [{"part_id": "p", "kind": "user", "recipient_key": "ann"}]

    found = recipients_by_status(Recipients(users=("Ann", "bob")), False, [part], named)

    assert "Ann" in found[status]
    assert "bob" in found[RecipientStatus.UNKNOWN]


def test_everyone_is_one() -> None:
    """A broadcast counts as one recipient."""
    part = {"id": "p", "state": 2, "doubts": 0, "first_marked_at": 1, "spec": '{"everyone": true}'}

    assert recipients_by_status(Recipients(everyone=True), False, [part], [])[RecipientStatus.ACCEPTED] == ("@all",)


def test_the_strongest_status_wins_across_parts() -> None:
    """A card updated by two calls: who got it by one of them has it."""
    spec = '{"users": ["ann"]}'
    parts = [
        {"id": name, "state": int(state), "doubts": 0, "first_marked_at": 1, "spec": spec}
        for name, state in (("a", PartState.REJECTED), ("b", PartState.ACCEPTED))
    ]

    assert recipients_by_status(ANN, False, parts, [])[RecipientStatus.ACCEPTED] == ("ann",)


class Watch:
    """A monotonic clock that moves by being waited on."""

    def __init__(self, then: Any = None):
        self.now, self.rests, self.then = 0.0, 0, then

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        """Moves on; the third time something happens."""
        self.now += seconds
        self.rests += 1
        if self.rests == 3 and self.then:
            self.then()


def test_waiting_for_the_end(database: Database, driven_clock: DrivenClock) -> None:
    """An engine, a Database or a session factory; the report comes with the end, or with the state that is asked."""
    for source in (database.engine, database, sessionmaker(database.engine)):
        job_id = enqueue(database, PEOPLE)
        assert worker.wait_until_ended(source, job_id, 0, states=[JobState.OPEN]).state is JobState.OPEN
        watch = Watch(lambda job_id=job_id: sent(database, driven_clock, job_id))
        report = worker.wait_until_ended(source, job_id, 5, monotonic=watch, pause=watch.pause)
        assert (report.state, watch.rests) == (JobState.PARTIAL, 3)


def test_waiting_in_vain(database: Database, driven_clock: DrivenClock) -> None:
    """Still open at the limit: StillOpen; never seen: JobNotFound."""
    job_id = enqueue(database)
    for wanted, error in ((job_id, StillOpen), ("0" * 32, JobNotFound)):
        watch = Watch()
        with pytest.raises(error):
            worker.wait_until_ended(database.engine, wanted, 1, monotonic=watch, pause=watch.pause)
        assert 1 <= watch.now < 1.2
