"""Events for application hooks: written in the transaction of their cause, then offered, claimed, run and ended.

A run belongs to a process incarnation and has no time limit. A hook is run again only if its process has ended without
recording a result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from worker.domain.callbacks.hook import EventKind, EventState
from worker.domain.state import JobState
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, rows_by_id
from worker.outbox.engine.counting import count
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, fetch, mappings

Rows = list[dict[str, Any]]
_COLUMNS = tables.columns_of(tables.events)
_WITH_ACCOUNT = f"select {tables.columns_of(tables.events, 'e')}, coalesce(j.account, i.account) as account from"
_OF_ACCOUNT = " left join worker_jobs j on j.id = e.job_id left join worker_inbound i on i.id = e.inbound_id"


def event_row(
    id: str,
    kind: EventKind,
    now: int,
    *,
    state: EventState = EventState.WAITING,
    job_id: str | None = None,
    part_id: str | None = None,
    inbound_id: str | None = None,
    job_state: int | None = None,
    tag: str | None = None,
    counts: str | None = None,
) -> dict[str, Any]:
    """Returns the row of a new event. It is due at once if its state is waiting, else it has ended already."""
    is_waiting = state is EventState.WAITING
    return {
        "id": id,
        "kind": str(kind),
        "job_id": job_id,
        "part_id": part_id,
        "inbound_id": inbound_id,
        "job_state": job_state,
        "state": int(state),
        "due_at": now if is_waiting else None,
        "created_at": now,
        "ended_at": None if is_waiting else now,
        "tag": tag,
        "counts": counts,
    }


def jobs_with_unknown_event(connection: Connection, jobs: Sequence[str]) -> set[str]:
    """Returns those of the jobs that have an event for their end as unknown, whether or not its hook has run."""
    only = f"and job_state = {int(JobState.UNKNOWN)}"
    rows = rows_by_id(connection, "job_id", "worker_events", jobs, "job_id", only=only, index="worker_events_job")
    return {row[0] for row in rows}


# -- offering ---------------------------------------------------------------------------------------------------------


def due_events(connection: Connection, now: str, batch_size: int) -> list[str]:
    """Events to offer now: due ones that are neither running nor in the broker, `window` in all.

    What people do goes first, and a quarter of the window is kept for it: a press does not wait for the ends of many
    jobs, nor for their slow hooks.
    """
    first, ends = _due_sql(connection, now)
    running = "select count(*) as running from worker_events where holder is not null"
    query = f"select running, due_at, id, offered from ({running}) r left join ({first}) people on 1 = 1"
    rows_of_people = fetch(connection, query, {"most": batch_size})
    capacity = batch_size - rows_of_people[0][0]
    people = sorted(tuple(values) for _, *values in rows_of_people if values[0] is not None)[: max(capacity, 0)]
    # The ends of jobs get what is left after the events of people and the quarter that is reserved for these.
    free = capacity - (batch_size - most_ends(batch_size)) - len(people)
    rows = [*people, *(fetch(connection, ends, {"most": free}) if free > 0 else [])]
    return [id for _, id, offered in rows if not offered]


def most_ends(threads: int) -> int:
    """How many of so many hook threads the ends of jobs may keep busy: all but a quarter, which is for people."""
    return min(threads, max(1, threads - max(1, threads // 4)))


def unoffered_events(connection: Connection, now: str, most: int, *, ends: bool) -> list[str]:
    """Due events that are neither running nor in the broker: what people do or else, with `ends`, the ends of jobs."""
    for query in _due_sql(connection, now)[: 1 + ends]:
        if ids := [id for _, id, offered in fetch(connection, query, {"most": most}) if not offered]:
            return ids
    return []


def _due_sql(connection: Connection, now: str) -> tuple[str, str]:
    """Returns the queries of the events to offer, `:most` at most: of what people do, and of the ends of jobs."""
    dialect = dialect_of(connection)
    now = dialect.stable_now(now)
    # Only waiting events have a `due_at`. So even on MariaDB, whose indexes hold all rows, no ended event is read.
    row = f"due_at, id, case when offered_until > {now} then 1 else 0 end as offered"
    due = f"state = 0 and due_at <= {now}"
    people = (
        f"select {row} from worker_events{dialect.in_index_order('worker_events_first')}"
        f" where {due} and job_state is null order by {dialect.null_column_order('job_state')}due_at, id limit :most"
    )
    ends = (
        f"select {row} from worker_events{dialect.in_index_order('worker_events_due')}"
        f" where {due} and job_state is not null order by due_at, id limit :most"
    )
    return people, ends


def offer_events(connection: Connection, now: str, ids: Sequence[str], wait_us: int) -> None:
    """Lets these events be offered again after `wait_us`. Until then they are in the broker or left to others."""
    update = dialect_of(connection).update_by_ids("worker_events", f"offered_until = {now} + :wait")
    execute(connection, f"{update} and state = 0", {"ids": ids_json(ids), "wait": wait_us})


# -- running ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClaimedEvent:
    """An event that a process has claimed, with its job and its callback."""

    id: str
    kind: str
    claim: int
    tries: int
    job_id: str | None
    part_id: str | None
    job_state: int | None
    created_at: int
    started_at: int
    account: str | None
    job_kind: str | None
    tags: str | None
    dedupe_key: str | None = field(repr=False)
    """The dedupe key of the job, or of its original if it is a replay."""
    replay_of: str | None
    trace: str | None
    """The trace context of the job's producer."""
    event: str | None
    person: str | None = field(repr=False)
    happened_at: int | None
    payload: str | None = field(repr=False)
    tag: str | None
    counts: str | None
    message: str | None = field(repr=False)
    """The job's message as JSON, for a press alone; None for other events."""


_CLAIMED = (
    "select e.id, e.kind, e.claim, e.tries, e.job_id, e.part_id, e.job_state, e.created_at, e.started_at,"
    " coalesce(j.account, i.account), j.kind, j.tags, coalesce(j.dedupe_key, o.dedupe_key), j.replay_of, j.trace,"
    " i.event, i.person, i.happened_at, i.payload, e.tag, e.counts,"
    f" case when e.kind = '{EventKind.CARD_ACTION}' then j.message end"
    " from worker_events e left join worker_jobs j on j.id = e.job_id left join worker_jobs o on o.id = j.replay_of"
    " left join worker_inbound i on i.id = e.inbound_id where e.id = :id"
)


TURN_US = 1_000_000
"""How long after the earlier end of its job an event is due, at least."""
_UNKNOWN = int(JobState.UNKNOWN)
# By the states, not by the time, for a clock may be set back. Only an unknown job can end once more.
_ENDS = (
    "from worker_events e join worker_events o on o.job_id = e.job_id"
    f" and e.job_state <> {_UNKNOWN} and o.job_state = {_UNKNOWN}"
)
"""Joins an end of a job, `e`, to the earlier one, `o`."""
_EARLIER_END = f"select o.due_at {_ENDS} where e.id = :id and o.ended_at is null limit 1"
_LATER_END = f"select e.id {_ENDS} where o.id = :id limit 1"


def claim_event(connection: Connection, now: str, id: str, holder: str) -> ClaimedEvent | None:
    """Claims an event that is due. Returns None if another process has it, it has ended, or it is not its turn.

    A job that was unknown may end once more. That event's turn is after the first one's, or an application that stores
    each state could be left with `unknown`.
    """
    if (earlier := execute(connection, _EARLIER_END, {"id": id}).first()) is not None:
        _put_behind(connection, now, id, earlier[0])
        return None
    take = (
        "update worker_events set state = 1, claim = claim + 1, tries = tries + 1, holder = :holder,"
        f" started_at = {now}, due_at = null, offered_until = null where id = :id and state = 0 and due_at <= {now}"
    )
    if not execute(connection, take, {"id": id, "holder": holder}).rowcount:
        return None
    return ClaimedEvent(*execute(connection, _CLAIMED, {"id": id}).one())


def _put_behind(connection: Connection, now: str, id: str, due_at: int | None) -> None:
    """Makes an event due after one that is due at an instant, or runs now.

    If it stayed due before that one, such events could fill all offers, and their turn would never come.
    """
    later = f"case when :due > {now} then :due else {now} end + :wait"
    wait = f"update worker_events set due_at = {later}, offered_until = null where id = :id and state = 0"
    execute(connection, wait, {"id": id, "due": due_at or 0, "wait": TURN_US})


def return_event(connection: Connection, now: str, id: str, holder: str) -> None:
    """Returns an event that this process may have claimed but does not run. It is due again, and no run is counted."""
    execute(connection, f"{_return_sql(now)} and holder = :holder", {"id": id, "holder": holder, "wait": 0})


def return_without_hook(connection: Connection, now: str, event: ClaimedEvent, wait_us: int) -> None:
    """Returns an event for which this process has no hook. It is due again after `wait_us`, and no run is counted."""
    values = {"id": event.id, "claim": event.claim, "wait": wait_us}
    execute(connection, f"{_return_sql(now)} and claim = :claim", values)


def _return_sql(now: str) -> str:
    return (
        f"update worker_events set state = 0, due_at = {now} + :wait, holder = null, tries = tries - 1"
        " where id = :id and state = 1"
    )


def end_event(connection: Connection, now: str, event: ClaimedEvent, state: EventState) -> bool:
    """Ends a run in the transaction of the hook's own work, so that both are stored or neither.

    Returns False if the event no longer belongs to this run, because its process counts as dead. Then the caller has to
    roll back.
    """
    end = (
        f"update worker_events set state = :state, ended_at = {now}, holder = null"
        " where id = :id and claim = :claim and state = 1"
    )
    if not execute(connection, end, {"id": event.id, "claim": event.claim, "state": int(state)}).rowcount:
        return False
    count(connection, "hook_runs", event.kind, state.label)
    return True


def fail_event(connection: Connection, now: str, event: ClaimedEvent, error: str, delay_us: int | None) -> None:
    """Records a failed run. The event is due again after the delay, or parked for a person if that is None."""
    is_parked = delay_us is None
    due = "null" if is_parked else f"{now} + :delay"
    # State 1 is `running`. A claim that is not this run's any more changes nothing.
    fail = (
        f"update worker_events set state = :state, due_at = {due}, holder = null, error = :error,"
        f" ended_at = {now if is_parked else 'null'} where id = :id and claim = :claim and state = 1"
    )
    state = EventState.PARKED if is_parked else EventState.WAITING
    values = {"id": event.id, "claim": event.claim, "error": error, "state": int(state), "delay": delay_us}
    if execute(connection, fail, values).rowcount:
        count(connection, "hook_runs", event.kind, "parked" if is_parked else "failed")


_OF_ENDED_PROCESSES = "holder is not null and holder in (select id from worker_processes where ended_at is not null)"


def has_events_of_ended_processes(connection: Connection) -> bool:
    """Returns whether a process has ended without recording the result of an event that it claimed."""
    return execute(connection, f"select id from worker_events where {_OF_ENDED_PROCESSES} limit 1").first() is not None


def free_events_of_ended_processes(connection: Connection, now: str) -> None:
    """Makes events due again at once that processes had claimed before they ended."""
    execute(
        connection, f"update worker_events set state = 0, due_at = {now}, holder = null where {_OF_ENDED_PROCESSES}"
    )


# -- people -----------------------------------------------------------------------------------------------------------


def retry_event(connection: Connection, now: str, id: str) -> bool:
    """Makes a parked or ignored event due again and resets its tries.

    Returns False if it is neither, if its card is not ours, or if its job has ended once more.
    """
    if has_later_end(connection, id):
        return False
    retry = (
        f"update worker_events set state = 0, due_at = {now}, offered_until = null, ended_at = null, tries = 0"
        " where id = :id and state in (3, 4)"
        f" and (job_id is not null or kind in ('{EventKind.MESSAGE}', '{EventKind.CALLBACK}', '{EventKind.TAG_DONE}'))"
    )
    return bool(execute(connection, retry, {"id": id}).rowcount)


def has_later_end(connection: Connection, id: str) -> bool:
    """Returns whether the event is about an unknown job, and another event is about how that job ended.

    The hook may have run for the other event, and would be left with `unknown`.
    """
    return execute(connection, _LATER_END, {"id": id}).first() is not None


def list_events(connection: Connection, *, state: int | None, limit: int, before: str | None = None) -> Rows:
    """Returns events, the newest first, each with its `account`. With `before`, an event's id, only older events."""
    # A literal, because no partial index is used with a bound value.
    where = "" if state is None else f"state = {int(state)} and "
    newest = f"select {_COLUMNS} from worker_events where {where}id < :before order by id desc limit :limit"
    query = f"{_WITH_ACCOUNT} ({newest}) e{_OF_ACCOUNT} order by e.id desc"
    return mappings(connection, query, {"limit": limit, "before": before or "g"})


def read_event(connection: Connection, id: str) -> Mapping[str, Any] | None:
    """Returns an event's row with the `account` of its job or callback."""
    query = f"{_WITH_ACCOUNT} worker_events e{_OF_ACCOUNT} where e.id = :id"
    return next(iter(mappings(connection, query, {"id": id})), None)


def events_of_job(connection: Connection, job_id: str) -> Rows:
    """Returns a job's events with the callbacks that caused them."""
    query = (
        f"select {tables.columns_of(tables.events, 'e')}, i.event, i.person, i.payload, i.received_at"
        " from worker_events e"
        " left join worker_inbound i on i.id = e.inbound_id where e.job_id = :job order by e.id"
    )
    return mappings(connection, query, {"job": job_id})
