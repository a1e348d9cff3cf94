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
from worker.domain.job import JobKind, job_of
from worker.domain.pacing.lane import account_of
from worker.domain.state import PartState
from worker.domain.stored import object_or_empty
from worker.outbox import tables
from worker.outbox.control.cancels import job_sizes
from worker.outbox.engine.bulk import rows_by_id, update_rows
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import read_now

_CHAIN = "coalesce(replay_of, id), id, created_at, asked, n_open, n_accepted + n_partial + n_unknown"
_FOLLOW_UPS = f"and kind in ('{JobKind.RECALL}', '{JobKind.UPDATE_CARD}') and n_open > 0"
_IN_DOUBT = (PartState.SENDING, PartState.UNKNOWN)
LaneOf = Callable[["MovableJob", Mapping[str, Any], Mapping[str, Any]], str]
"""Returns the new lane of a part, given its job, the job's message and the part's spec."""


class Stays(Enum):
    """Why a job stays on its account."""

    SENT = auto()
    """Something of it, of the job that it replays or of another replay, was sent or may have been."""
    REPLAYED = auto()
    """It has ended, and another job of its chain goes to the same recipients, or to more."""
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


class _ChainJob(NamedTuple):
    original: str
    id: str
    created_at: int
    asked: int
    n_open: int
    sent: int


def movable_jobs(connection: Connection, ids: Collection[str]) -> dict[str, MovableJob]:
    """Returns the jobs, each with what keeps it on its account."""
    return _look_at(connection, ids, _chains(connection, ids))


def move_waiting(connection: Connection, now_sql: str, ids: Collection[str], account: str, lane_of: LaneOf) -> set[str]:
    """Moves those of the jobs that wait and can be moved, and returns them.

    With each go the other jobs of its chain that wait, and the recalls and updates that wait for one of the chain.
    """
    of_chains = {job.id for chain in _chains(connection, ids).values() for job in chain}
    # Who marks a part, ends it, cancels its job or gives that another time, locks the part first.
    parts = _parts_of(connection, of_chains, dialect_of(connection).lock_in_order())
    chains = _chains(connection, ids)
    if {job.id for chain in chains.values() for job in chain} != of_chains:
        raise RetryTransaction("a job was replayed before its parts were locked; run it again")
    found = _look_at(connection, of_chains, chains)
    moved = {id for id in ids if found[id].is_open and found[id].stays is None and found[id].sender != account}
    whole = {job.id for id in moved for job in chains[id]}
    index = "worker_jobs_target"
    rows = rows_by_id(connection, "id", "worker_jobs", whole, "target_job_id", only=_FOLLOW_UPS, index=index)
    about = {row[0] for row in rows}
    parts += _parts_of(connection, about, dialect_of(connection).lock_in_order())
    found |= _look_at(connection, about, _chains(connection, about))
    now, details = read_now(connection, now_sql), "id, due_at, message"
    jobs = {id: (due_at, text) for id, due_at, text in rows_by_id(connection, details, "worker_jobs", whole | about)}
    messages = {id: object_or_empty(text) for id, (_, text) in jobs.items()}
    waiting, ended = list[dict[str, Any]](), list[dict[str, Any]]()
    for part in parts:
        if (id := job_of(part.id)) not in jobs:
            continue
        row: dict[str, Any] = {"id": part.id, "lane": lane_of(found[id], messages[id], object_or_empty(part.spec))}
        if part.state != PartState.QUEUED:
            ended.append(row)  # so that all parts of a job name one sender
            continue
        # The claim changes, as after a mark whose call sent nothing. So a sender that has read the part cannot mark it.
        # What it waited for may not hold there: a pause, a limit, an upload of the first account.
        row |= {"claim": part.claim + 1, "unheard": part.unheard + 1, "not_before": max(jobs[id][0], now)}
        waiting.append(row | dict.fromkeys(("offered_until", "waits_on", "reason", "limit_name")))
    update_rows(connection, tables.parts, ("id",), waiting)
    update_rows(connection, tables.parts, ("id",), ended)
    return moved


def _chains(connection: Connection, ids: Collection[str]) -> dict[str, list[_ChainJob]]:
    """Returns job -> its original with all of that one's replays."""
    own = {row[1]: row[0] for row in rows_by_id(connection, _CHAIN, "worker_jobs", ids)}
    originals, index = {*own.values()}, "worker_jobs_replay"
    rows = rows_by_id(connection, _CHAIN, "worker_jobs", originals)
    rows += rows_by_id(connection, _CHAIN, "worker_jobs", originals, "replay_of", index=index)
    chains: dict[str, list[_ChainJob]] = {}
    for row in sorted(rows):
        chains.setdefault(row[0], []).append(_ChainJob(*row))
    return {id: chains[original] for id, original in own.items()}


def _parts_of(connection: Connection, ids: Collection[str], lock: str = "") -> list[_Part]:
    parts = [part for job in job_sizes(connection, ids).values() for part in job.part_ids()]
    return [_Part(*row) for row in rows_by_id(connection, ", ".join(_Part._fields), "worker_parts", parts, only=lock)]


def _look_at(
    connection: Connection, ids: Collection[str], chains: Mapping[str, Sequence[_ChainJob]]
) -> dict[str, MovableJob]:
    by_job: dict[str, list[_Part]] = {}
    for part in _parts_of(connection, {*ids} | {job.id for chain in chains.values() for job in chain if job.n_open}):
        by_job.setdefault(job_of(part.id), []).append(part)
    columns = "id, channel, kind, tenant, recipients, cancelled_at, n_open"
    chosen = _with_chosen_task_id(connection, [part.id for id in ids for part in by_job.get(id, ())])
    found = dict[str, MovableJob]()
    for id, channel, kind, tenant, recipients, cancelled_at, n_open in rows_by_id(
        connection, columns, "worker_jobs", ids
    ):
        chain, own = chains.get(id, ()), by_job.get(id, ())
        in_chain = [part for job in chain for part in by_job.get(job.id, ())]
        is_widest = id == max(chain, key=lambda job: (job.asked, job.created_at, job.id)).id if chain else True
        stays = None
        if cancelled_at is not None:
            stays = Stays.CANCELLED
        elif any(job.sent for job in chain) or any(part.state in _IN_DOUBT or part.doubts for part in in_chain):
            stays = Stays.SENT
        elif not n_open and (not is_widest or any(job.n_open for job in chain)):
            stays = Stays.REPLAYED
        elif id in chosen or not _is_of_the_corp(recipients):
            stays = Stays.BOUND
        sender = account_of(own[0].lane) if own else ""
        found[id] = MovableJob(id, channel, kind, tenant, sender, n_open > 0, stays)
    return found


def _with_chosen_task_id(connection: Connection, parts: Sequence[str]) -> set[str]:
    columns, index = "part_id", "worker_task_ids_part"
    return {job_of(row[0]) for row in rows_by_id(connection, columns, "worker_task_ids", parts, "part_id", index=index)}


def _is_of_the_corp(recipients: str) -> bool:
    """Returns whether another account of the corp may name these recipients. A follow-up may name none."""
    to = stored_recipients(recipients)
    others = None if to is None else (to.everyone, to.chats, to.customers, to.emails, to.audience, to.by_sender)
    return others is not None and not any(others)
