"""Moves waiting parts to the lanes of another account. A job stays one job; the lane of a part says who sends it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from worker.domain.content.recipient import stored_recipients
from worker.domain.job import Kind, job_of
from worker.domain.pacing.lane import account_of
from worker.domain.state import PartState
from worker.domain.stored import object_or_empty
from worker.outbox import tables
from worker.outbox.control.cancels import job_sizes
from worker.outbox.engine.bulk import rows_by_id, update_rows
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import read_now

_OPEN = f"and state in ({PartState.QUEUED:d}, {PartState.SENDING:d}, {PartState.UNKNOWN:d})"
_FOLLOW_UPS = f"and kind in ('{Kind.RECALL}', '{Kind.UPDATE_CARD}') and n_open > 0"
LaneOf = Callable[["MovableJob", Mapping[str, Any], Mapping[str, Any]], str | None]
"""Returns the new lane of a part, given its job, the job's message and the part's spec; None if they say none."""


class _Part(NamedTuple):
    id: str
    lane: str
    state: int
    doubts: int
    claim: int
    unheard: int
    spec: str

    @property
    def may_move(self) -> bool:
        """True if it waits, and no call of it may have been carried out."""
        return self.state == PartState.QUEUED and not self.doubts


class MovableJob(NamedTuple):
    """An open job, as a move looks at it."""

    id: str
    channel: str
    kind: str
    tenant: str | None
    senders: frozenset[str]
    """The accounts that would send its waiting parts; empty if none waits."""
    is_busy: bool
    """Whether a part of it is in flight or in doubt, and stays."""
    is_bound: bool
    """Whether only its own account can send it: to a chat, by a member's name, or a card with a task_id of its own."""


def movable_jobs(connection: Connection, ids: Collection[str]) -> dict[str, MovableJob]:
    """Returns those of the jobs of which a part is open and that are not cancelled."""
    return _movable(connection, ids, _parts_of(connection, ids))


def bound_jobs(connection: Connection, ids: Collection[str]) -> set[str]:
    """Returns those of the jobs that only their own account can send."""
    jobs = rows_by_id(connection, "id, recipients", "worker_jobs", ids)
    parts = [part for job in job_sizes(connection, ids).values() for part in job.part_ids()]
    chosen = {job_of(part) for part in _with_chosen_task_id(connection, parts)}
    return {id for id, recipients in jobs if id in chosen or not _is_of_the_corp(recipients)}


def move_waiting(connection: Connection, now_sql: str, ids: Collection[str], account: str, lane_of: LaneOf) -> set[str]:
    """Moves the waiting parts of these jobs, and of recalls and updates of them, to lanes of the account.

    Returns those of the jobs of which something was moved. Parts in flight or in doubt stay.
    """
    columns, index = "id", "worker_jobs_target"
    follow_ups = rows_by_id(connection, columns, "worker_jobs", ids, "target_job_id", only=_FOLLOW_UPS, index=index)
    both = {*ids, *(row[0] for row in follow_ups)}
    # Who marks a part, ends it, cancels its job or gives that another time, locks the part first.
    parts = _parts_of(connection, both, dialect_of(connection).lock_in_order())
    due = dict(rows_by_id(connection, "id, due_at", "worker_jobs", both))
    jobs, messages, now = _movable(connection, both, parts), _messages(connection, both), read_now(connection, now_sql)
    movable = [part for part in parts if part.may_move and job_of(part.id) in jobs]
    specs = {part.id: object_or_empty(part.spec) for part in movable}
    lanes = {part.id: lane_of(jobs[id := job_of(part.id)], messages[id], specs[part.id]) for part in movable}
    rows = [
        {
            "id": part.id,
            "lane": lanes[part.id],
            # The claim changes, as after a mark whose call sent nothing. So a sender that has read the part cannot mark
            # it. What it waited for may not hold there: a pause, a limit, an upload of the first account.
            "claim": part.claim + 1,
            "unheard": part.unheard + 1,
            "not_before": max(due[job_of(part.id)], now),
            **dict.fromkeys(("offered_until", "waits_on", "reason", "limit_name")),
        }
        for part in movable
        # A recall or an update that has its target belongs to the account that sent that.
        if lanes[part.id] and not jobs[job_of(part.id)].is_bound and "target" not in specs[part.id]
        if account_of(part.lane) != account
    ]
    update_rows(connection, tables.parts, ("id",), rows)
    return {job_of(row["id"]) for row in rows} & {*ids}


def _parts_of(connection: Connection, ids: Collection[str], lock: str = "") -> list[_Part]:
    parts = [part for job in job_sizes(connection, ids).values() for part in job.part_ids()]
    rows = rows_by_id(connection, ", ".join(_Part._fields), "worker_parts", parts, only=_OPEN + lock)
    return [_Part(*row) for row in rows]


def _movable(connection: Connection, ids: Collection[str], parts: Sequence[_Part]) -> dict[str, MovableJob]:
    columns, by_job = "id, channel, kind, tenant, cancelled_at", dict[str, list[_Part]]()
    for part in parts:
        by_job.setdefault(job_of(part.id), []).append(part)
    bound = bound_jobs(connection, by_job)
    found = dict[str, MovableJob]()
    for id, channel, kind, tenant, cancelled_at in rows_by_id(connection, columns, "worker_jobs", by_job):
        own = by_job[id]
        if cancelled_at is not None:
            continue
        senders = frozenset(account_of(part.lane) for part in own if part.may_move)
        is_busy = any(not part.may_move for part in own)
        found[id] = MovableJob(id, channel, kind, tenant, senders, is_busy, id in bound)
    return found


def _with_chosen_task_id(connection: Connection, parts: Sequence[str]) -> set[str]:
    columns, index = "part_id", "worker_task_ids_part"
    return {row[0] for row in rows_by_id(connection, columns, "worker_task_ids", parts, "part_id", index=index)}


def _is_of_the_corp(recipients: str) -> bool:
    """Returns whether another account of the corp may name these recipients. A follow-up may name none."""
    to = stored_recipients(recipients)
    others = None if to is None else (to.everyone, to.chats, to.customers, to.emails, to.audience, to.by_sender)
    return others is not None and not any(others)


def _messages(connection: Connection, ids: Collection[str]) -> dict[str, dict[str, Any]]:
    return {id: object_or_empty(message) for id, message in rows_by_id(connection, "id, message", "worker_jobs", ids)}
