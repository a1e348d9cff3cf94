"""Rules of a job's own: its state is true, it was called when it might be, and nobody received it twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from itertools import pairwise

from bench.explore.campaigns import CUSTOMERS
from bench.explore.database import instant_at, micros_at
from bench.explore.evidence import Evidence
from bench.explore.fibers import FOREVER
from bench.explore.hooks import NOTES
from bench.explore.producers import AGENTS, CHANGING, CHATS, PEOPLE, SEEN_S, Job
from bench.explore.stored import NEVER_SENT, TAKEN, Part, tables_naming, without_piece
from worker.domain.callbacks.hook import EventState
from worker.domain.pacing.quiet import QuietHours, quiet_hours
from worker.domain.settle import SWALLOWED
from worker.domain.state import JobState, PartState

_COUNTERS = ("open", "accepted", "partial", "rejected", "exhausted", "unknown", "expired", "cancelled")
PROOFS = ("42014", "a press proves")
"""A receipt's warning begins with one of them, where this is all that is known of a call: not whom it reached."""


def rows(known: Evidence) -> Iterator[str]:
    """Each commit has its rows, and the counters of each job are those of its parts."""
    jobs = {row["id"]: row for row in known.store.rows("select * from worker_jobs where kind = 'send'")}
    for job in known.producer.jobs:
        people = sorted(person for part in known.parts.get(job.id, ()) for person in part.people)
        if job.id not in jobs or people != sorted(job.people):
            yield f"{job.content} was committed for {sorted(job.people)}, and is there for {people}"
    if len(jobs) != len(known.producer.jobs):
        yield f"{len(known.producer.jobs)} jobs were committed, and there are {len(jobs)}"
    for id, row in jobs.items():
        counted = Counter(_counted(part.state) for part in known.parts[id])
        counts = {name: row[f"n_{name}"] for name in _COUNTERS}
        if counts != {name: counted[name] for name in _COUNTERS}:
            yield f"{known.producer.name_of(id)} has parts {dict(counted)}, and counts {counts}"
        if len(counted) == 1 and JobState(row["state"]).label not in counted:
            yield f"{known.producer.name_of(id)} has parts {dict(counted)}, and is {JobState(row['state']).label}"


def truth(known: Evidence) -> Iterator[str]:
    """What is accepted was received; what was certainly not sent was not."""
    received = known.received
    for job, part in known.undecided():
        missing = [person for person in part.people if not received[job.content, person]]
        unsaid = sorted({*missing} - {*part.refused_people})
        if part.state in TAKEN and unsaid and not _may_be_missing(known, job, part, unsaid):
            yield f"{job.content} is {part.state.label}, and {unsaid} never received it"
        was_received = len(missing) < len(part.people)
        if part.state in NEVER_SENT and was_received and job.id not in known.people.forgotten:
            yield f"{job.content} is {part.state.label}, and somebody received it"
    committed = {job.content for job in known.producer.jobs}
    for content in {one.content for one in known.vendor.deliveries} & known.producer.rolled_back - committed:
        yield f"{content} was rolled back, and received"


def _may_be_missing(known: Evidence, job: Job, part: Part, people: Collection[str]) -> bool:
    """True where nobody could know it, or the receipt warns of it.

    That a card exists does not say whom its call did not reach. A vendor whose duplicate check knows a refused call
    swallows the repeat, or the replay, that is made before that refusal is read. Nothing is left of a call that was
    answered after the backup.
    """
    if part.warning.startswith(PROOFS):
        return {*people} <= {*known.vendor.strangers}
    is_after_backup = job.original is not None and known.backup.restored_at is not None
    had_it = {one.person for one in known.vendor.deliveries if one.content == job.first.content}
    if is_after_backup and {*people} <= had_it:
        return True
    chain = [one for one in known.producer.jobs if one.first == job.first]
    parts = [one for job in chain for one in known.parts.get(job.id, ()) if {*one.people} & {*part.people}]
    is_unread = sum(_was_refused(known, job, part) for job in chain) > sum(one.refused for one in parts)
    may_be_unread = is_after_backup or any(one.unanswered for one in parts)
    return known.vendor.counts_refused and (SWALLOWED in part.warning or (may_be_unread and is_unread))


def _was_refused(known: Evidence, job: Job, part: Part) -> int:
    """How many calls of a job for these people the vendor has refused, after it looked at the message."""
    calls = [call for call in known.vendor.calls if call.seen and not call.taken and call.content == job.content]
    return sum(bool({*call.people} & {*part.people}) for call in calls)


def refusals(known: Evidence) -> Iterator[str]:
    """Who counts as refused is unknown to the vendor, and received nothing; a receipt warns where it has to."""
    received = known.received
    for job, part in known.undecided():
        refused = part.refused_people
        if any(received[job.content, person] for person in refused):
            yield f"{job.content} was refused for {refused}, and one of them received it"
        if part.state in TAKEN and not {*refused} <= {*known.vendor.strangers}:
            yield f"{job.content} counts as refused for {refused}, whom the vendor knows"
        if part.state is PartState.PARTIAL and not refused:
            yield f"{job.content} is partial, and was refused for nobody"
        # Where it is proved that a first call was accepted, its late answer may say whom it did not reach.
        if part.state is PartState.ACCEPTED and refused and not part.warning.startswith(PROOFS):
            yield f"{job.content} is accepted, and was refused for {refused}"
        if SWALLOWED in part.warning and not _was_refused(known, job, part):
            yield f"{job.content} warns of a refused call, and none was"


def twice(known: Evidence) -> Iterator[str]:
    """Nobody receives a message twice before a person decides, unless its producer wanted it sent again in doubt."""
    jobs = {job.content: job for job in known.told_apart}
    for (content, person), received in known.received.items():
        if (job := jobs.get(content)) is None or job.id in known.people.forgotten:
            continue
        decided_at = instant_at(known.people.decided.get(job.id, FOREVER))
        deliveries = [one for one in received if one.at < decided_at]
        if len(deliveries) < 2:
            continue
        # A restored database may have forgotten the repeat.
        was_repeated = known.backup.restored_at is not None or any(part.repeats for part in known.parts[job.id])
        if job.on_unknown != "resend" or not was_repeated:
            yield f"{person} received {content} {len(deliveries)} times"


def doubts(known: Evidence) -> Iterator[str]:
    """A part is in doubt about its unanswered calls, and is not called again where its producer wants it held."""
    for job, part in known.undecided():
        if part.doubts != part.unanswered and part.state is not PartState.REJECTED:
            yield f"{job.content} has {part.unanswered} calls without an answer, and {part.doubts} in doubt"
        if part.repeats and job.on_unknown == "hold":
            yield f"{job.content} was to be held in doubt, and was called again"


def forbidden(known: Evidence) -> Iterator[str]:
    """Nothing is marked that is paused, held, cancelled, expired or not due yet; in quiet hours repeats alone."""
    for job in known.producer.jobs:
        for part in known.parts.get(job.id, ()):
            before = 0
            for mark in known.marks.get(job.id, ()):
                if mark.part == part.id:
                    yield from _forbidden_call(known, job, part, before, mark.started_at)
                    before = mark.started_at


def _forbidden_call(known: Evidence, job: Job, part: Part, before: int, at: int) -> Iterator[str]:
    """`before`: the instant of the part's call before this one, 0 for the first."""
    people, was_in_doubt = known.people, before > 0 and part.doubted > 0
    if was_in_doubt and job.offer:
        return  # it looks for its task
    for span in (*people.pauses, *people.holds):
        if span.covers(job, at):
            yield f"{job.content} was marked while it was {'held' if isinstance(span.of, str) else 'paused'}"
    if at > people.cancelled.get(job.id, at):
        yield f"{job.content} was marked after it was cancelled"
    hours = _quiet_hours(known, job)
    if hours and hours.ends_at(at) and not was_in_doubt:
        yield f"{job.content} was marked in its quiet hours"
    due_at, expires_at = people.times(job, at, before)
    if at > expires_at and not (was_in_doubt and job.id in people.changes):
        yield f"{job.content} was marked after it expired"
    # What is in doubt keeps its times.
    if at < due_at - 1_000_000 and not was_in_doubt:
        yield f"{job.content} was marked before it was due"


def pieces(known: Evidence) -> Iterator[str]:
    """In a chat a piece of a long text is first called when the calls of the piece before it are over."""
    for job in known.producer.jobs:
        parts = sorted(known.parts.get(job.id, ()), key=lambda part: part.people)
        for before, behind in pairwise(parts):
            if "#" not in behind.people[0] or without_piece(before.people[0]) != without_piece(behind.people[0]):
                continue
            marks = known.marks.get(job.id, ())
            mine = [mark.started_at for mark in marks if mark.part == before.id]
            others = [mark.started_at for mark in marks if mark.part == behind.id]
            # Behind what waits for a person the next piece goes on; and a late answer may let that go on.
            if mine and others and not before.doubted and mine[-1] > others[0]:
                yield f"{job.content} was called for {before.people[0]} after it was for {behind.people[0]}"


def _quiet_hours(known: Evidence, job: Job) -> QuietHours | None:
    return None if job.account == CHANGING else quiet_hours(known.producer.accounts.get(job.account).quiet_hours)


def unmarked(known: Evidence) -> Iterator[str]:
    """Each call has a mark of its own that was durable before it."""
    jobs = {job.content: job for job in known.producer.jobs}
    calls = Counter(call.content for call in known.calls)
    first = {call.content: call.at for call in reversed(known.calls)}
    for content, count in calls.items():
        if content in known.producer.twins:
            continue
        job = jobs.get(content)
        marks = known.marks.get(job.id, ()) if job else ()
        if count > len(marks):
            yield f"{content} was called {count} times, and has {len(marks)} marks"
        elif marks and marks[0].started_at > micros_at(first[content]):
            yield f"{content} was called before it was marked"


def overdue(known: Evidence) -> Iterator[str]:
    """No call begins once the deadline of its mark is over: from then on another process may repeat it."""
    jobs = {job.content: job for job in known.producer.jobs}
    for call in known.calls:
        at = micros_at(call.at)
        if (job := jobs.get(call.content)) is None:
            yield f"{call.content or 'nothing'} was called, which nobody committed"
            continue
        if call.content in known.producer.twins:
            continue
        marked = [mark.started_at for mark in known.marks.get(job.id, ()) if mark.started_at <= at]
        if marked and at - marked[-1] > known.settings.delivery.call_deadline_s * 1.01e6:
            yield f"{call.content} was called {(at - marked[-1]) / 1e6:.1f} s after its mark"


def disabled(known: Evidence) -> Iterator[str]:
    """Nothing is called with a disabled account, once what was prepared before is called or its lease is over."""
    grace_us = int((SEEN_S + known.settings.delivery.lease_s + known.settings.delivery.call_deadline_s) * 1e6)
    for call in known.vendor.calls:
        for span in known.people.disabled if AGENTS[call.account] == CHANGING else ():
            if span.began_at + grace_us < micros_at(call.at) < (span.ended_at or 0):
                yield f"{call.content} was called while its account was disabled"


def heard(known: Evidence) -> Iterator[str]:
    """The hook heard of each end by one event, in their order; what it wrote in its transaction is there once."""
    if not known.hooks.there:
        return
    notes = [row["event"] for row in known.store.rows(f"select event from {NOTES} order by n")]
    query = "select id, job_id, job_state, state from worker_events where job_id is not null order by created_at"
    events = known.store.rows(query)
    ends = Counter((row["job_id"], row["job_state"]) for row in events if row["job_state"] is not None)
    for (job, state), times in ends.items():
        if times > 1:
            yield f"{known.producer.name_of(job)} is {JobState(state).label}, and {times} events say so"
    done: dict[str, list[str]] = defaultdict(list)
    for row in events:
        if row["state"] == EventState.DONE:
            done[row["job_id"]].append(row["id"])
    for job, ids in done.items():
        if (noted := [event for event in notes if event in ids]) != ids:
            yield f"the hook of {known.producer.name_of(job)} ended for {ids} in this order, and noted {noted}"
    for row in known.store.rows(f"select id, state from worker_jobs where state <> {JobState.OPEN:d}"):
        if (row["id"], JobState(row["state"])) not in known.hooks.began:
            yield f"{known.producer.name_of(row['id'])} is {JobState(row['state']).label}, and no hook heard of it"


def erased(known: Evidence) -> Iterator[str]:
    """Nothing is called for a placeholder, and at the end no table names who was erased."""
    called = {without_piece(person) for call in known.vendor.calls for person in call.people}
    if not called <= {*PEOPLE, *CUSTOMERS, *CHATS}:
        yield "somebody was called who is not there"
    if (leaver := known.people.leaver) and (tables := tables_naming(known.store, leaver)):
        yield f"{leaver} was erased, and is named in {', '.join(tables)}"


def _counted(state: PartState) -> str:
    return "open" if state in (PartState.QUEUED, PartState.SENDING) else state.label


RULES = (rows, truth, refusals, twice, doubts, forbidden, pieces, unmarked, overdue, disabled, heard, erased)
