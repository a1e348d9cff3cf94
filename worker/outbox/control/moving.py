"""Moves waiting jobs to the lanes of another account. A job stays one job; the lane of a part says who sends it.

Nothing of the job, or of the jobs that it replays, may have been sent before: then one account sends all of its
messages, and a recall or an update has one to go by.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

from sqlalchemy import Connection

from worker.domain.content.recipient import stored_recipients
from worker.domain.errors import RetryTransaction
from worker.domain.job import Kind, job_of
from worker.domain.pacing.lane import account_of
from worker.domain.state import PartState
from worker.domain.stored import object_or_empty
from worker.outbox import tables
from worker.outbox.control.cancels import job_sizes
from worker.outbox.engine.bulk import rows_by_id, update_rows
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import read_now

_MAY_BE_SENT = "n_accepted + n_partial + n_unknown"
_CHAIN = f"id, coalesce(replay_of, id), n_open, {_MAY_BE_SENT}"
_FOLLOW_UPS = f"and kind in ('{Kind.RECALL}', '{Kind.UPDATE_CARD}') and n_open > 0"
LaneOf = Callable[["MovableJob", Mapping[str, Any], Mapping[str, Any]], str]
"""Returns the new lane of a part, given its job, the job's message and the part's spec."""


class Stays(Enum):
    """Why a job stays on its account."""

    SENT = auto()
    """Something of it, or of a job that it replays, was sent or may have been; or there is a newer replay."""
    BOUND = auto()
    """Its account alone can send it: to chats, customers or everyone, or a card with a task_id of the caller's."""
    CANCELLED = auto()


class MovableJob(NamedTuple):
    """A job, as a move looks at it."""

    id: str
    channel: str
    kind: str
    tenant: str | None
    sender: str
    """The account that sends it now."""
    is_open: bool
    stays: Stays | None
    """None: it can be moved."""


class _Part(NamedTuple):
    id: str
    lane: str
    state: int
    doubts: int
    claim: int
    unheard: int
    spec: str


def movable_jobs(connection: Connection, ids: Collection[str]) -> dict[str, MovableJob]:
    """Returns the jobs, each with what keeps it on its account."""
    return _look_at(connection, ids, _parts_of(connection, ids))


def move_waiting(connection: Connection, now_sql: str, ids: Collection[str], account: str, lane_of: LaneOf) -> set[str]:
    """Moves those of the jobs that can be moved, and the recalls and updates that wait for them. Returns these jobs."""
    sizes = job_sizes(connection, ids)
    # Who marks a part, ends it, cancels its job or gives that another time, locks the part first.
    parts = _parts_of(connection, ids, dialect_of(connection).lock_in_order())
    if job_sizes(connection, ids) != sizes:
        raise RetryTransaction("parts of a job changed before they were locked; run it again")
    found = _look_at(connection, ids, parts)
    jobs = {id for id, job in found.items() if job.is_open and job.stays is None and job.sender != account}
    chains = {original for _, original, *_ in rows_by_id(connection, _CHAIN, "worker_jobs", jobs)}
    index = "worker_jobs_target"
    rows = rows_by_id(connection, "id", "worker_jobs", {*jobs, *chains}, "target_job_id", only=_FOLLOW_UPS, index=index)
    about = {row[0] for row in rows}
    parts += _parts_of(connection, about, dialect_of(connection).lock_in_order())
    found |= _look_at(connection, about, parts)
    both, now = jobs | about, read_now(connection, now_sql)
    details = rows_by_id(connection, "id, due_at, message", "worker_jobs", both)
    due = {id: max(due_at, now) for id, due_at, _ in details}
    messages = {id: object_or_empty(message) for id, _, message in details}
    changed = [
        {
            "id": part.id,
            "lane": lane_of(found[id], messages[id], object_or_empty(part.spec)),
            # The claim changes, as after a mark whose call sent nothing. So a sender that has read the part cannot mark
            # it. What it waited for may not hold there: a pause, a limit, an upload of the first account.
            "claim": part.claim + 1,
            "unheard": part.unheard + 1,
            "not_before": due[id],
            **dict.fromkeys(("offered_until", "waits_on", "reason", "limit_name")),
        }
        for part in parts
        if (id := job_of(part.id)) in both and part.state == PartState.QUEUED
    ]
    update_rows(connection, tables.parts, ("id",), changed)
    return jobs


def _parts_of(connection: Connection, ids: Collection[str], lock: str = "") -> list[_Part]:
    parts = [part for job in job_sizes(connection, ids).values() for part in job.part_ids()]
    return [_Part(*row) for row in rows_by_id(connection, ", ".join(_Part._fields), "worker_parts", parts, only=lock)]


def _look_at(connection: Connection, ids: Collection[str], parts: Sequence[_Part]) -> dict[str, MovableJob]:
    by_job: dict[str, list[_Part]] = {}
    for part in parts:
        by_job.setdefault(job_of(part.id), []).append(part)
    columns = "id, channel, kind, tenant, recipients, cancelled_at, n_open"
    rows, kept = rows_by_id(connection, columns, "worker_jobs", ids), _of_newest(connection, ids)
    chosen = _with_chosen_task_id(connection, [part.id for id in ids for part in by_job.get(id, ())])
    found = dict[str, MovableJob]()
    for id, channel, kind, tenant, recipients, cancelled_at, n_open in rows:
        own = by_job.get(id, [])
        stays = None
        if cancelled_at is not None:
            stays = Stays.CANCELLED
        elif id not in kept or any(part.state in _IN_DOUBT or part.doubts for part in own):
            stays = Stays.SENT
        elif id in chosen or not _is_of_the_corp(recipients):
            stays = Stays.BOUND
        sender = account_of(own[0].lane) if own else ""
        found[id] = MovableJob(id, channel, kind, tenant, sender, n_open > 0, stays)
    return found


_IN_DOUBT = (PartState.SENDING, PartState.UNKNOWN)


def _of_newest(connection: Connection, ids: Collection[str]) -> set[str]:
    """Returns those of the jobs that have no newer replay, and of whose chain nothing was sent or is still to be."""
    originals = {row[1] for row in rows_by_id(connection, _CHAIN, "worker_jobs", ids)}
    index = "worker_jobs_replay"
    rows = rows_by_id(connection, _CHAIN, "worker_jobs", originals)
    rows += rows_by_id(connection, _CHAIN, "worker_jobs", originals, "replay_of", index=index)
    newest: dict[str, str] = {}
    for id, original, *_ in rows:
        newest[original] = max(id, newest.get(original, ""))
    taken = {original for id, original, n_open, sent in rows if sent or (n_open and id != newest[original])}
    return {id for original, id in newest.items() if original not in taken}


def _with_chosen_task_id(connection: Connection, parts: Sequence[str]) -> set[str]:
    columns, index = "part_id", "worker_task_ids_part"
    return {job_of(row[0]) for row in rows_by_id(connection, columns, "worker_task_ids", parts, "part_id", index=index)}


def _is_of_the_corp(recipients: str) -> bool:
    """Returns whether another account of the corp may name these recipients. A follow-up may name none."""
    to = stored_recipients(recipients)
    others = None if to is None else (to.everyone, to.chats, to.customers, to.emails, to.audience, to.by_sender)
    return others is not None and not any(others)
