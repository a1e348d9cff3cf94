"""Changes the due time, expiry or priority of jobs that wait, and of their parts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from worker.domain.settle import FOREVER
from worker.domain.state import PartState
from worker.outbox.control.cancels import job_sizes
from worker.outbox.engine.bulk import ids_json, rows_by_id
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import run
from worker.outbox.jobs.order_queue import move_positions

_NOT_ENDED = f" and state in ({int(PartState.QUEUED)}, {int(PartState.SENDING)}, {int(PartState.UNKNOWN)})"
"""In doubt, too: what is repeated would else keep its old priority, behind parts of its own job that wait for it."""
_NOT_IN_DOUBT = f" and state = {int(PartState.QUEUED)} and doubts = 0"


class _OpenPart(NamedTuple):
    id: str
    job_id: str
    state: int
    order_id: str | None
    doubts: int


class NewTimes(NamedTuple):
    """The new values of jobs. None leaves a value as it is."""

    due_at: int | None
    expires_at: int | None
    priority: int | None


class Rescheduled(NamedTuple):
    """The result of a change to some jobs."""

    jobs: list[str]
    """The jobs that were changed."""
    parts: int
    """How many parts of these jobs wait."""
    expiring: int
    """Jobs that were not changed, because they would expire before they are due."""


def reschedule(connection: Connection, ids: Sequence[str], now: int, new: NewTimes) -> Rescheduled:
    """Changes those of the jobs of which a part waits and that are not cancelled.

    The due time changes parts of which nothing may have been sent. A repeat keeps its time: later it may not be safe.
    """
    dialect, sizes = dialect_of(connection), job_sizes(connection, ids)
    parts = [part for job in sizes.values() for part in job.part_ids()]
    # Parts and then jobs are locked, each in the order of the workers' commits, so that they cannot deadlock.
    columns, only = ", ".join(_OpenPart._fields), _NOT_ENDED + dialect.lock_in_order()
    rows = [_OpenPart(*row) for row in rows_by_id(connection, columns, "worker_parts", parts, only=only)]
    waiting = {part.job_id for part in rows if part.state == PartState.QUEUED}
    only = f"and cancelled_at is null{dialect.lock_in_order()}"
    jobs = rows_by_id(connection, "id, due_at, expires_at", "worker_jobs", waiting, only=only)
    if any(job.parts > sizes[id].parts for id, job in job_sizes(connection, [*waiting]).items()):
        return reschedule(connection, ids, now, new)  # parts were added to a job before it was locked
    fit = {id for id, due_at, expires_at in jobs if not _expires_first(new, due_at, expires_at)}
    values = {name: value for name, value in new._asdict().items() if value is not None}
    _set(connection, "worker_jobs", fit, values)
    of_parts = {name: value for name, value in values.items() if name != "due_at"}
    left = [part for part in rows if part.job_id in fit]
    _set(connection, "worker_parts", [part.id for part in left], of_parts, _NOT_ENDED)
    queued = [part for part in left if part.state == PartState.QUEUED]
    if new.due_at is not None:
        moved = {part.id: part.order_id for part in queued if not part.doubts}
        _make_due(connection, moved, max(new.due_at, now))
        move_positions(connection, moved, new.due_at)
    return Rescheduled(sorted(fit), len(queued), len(jobs) - len(fit))


def _expires_first(new: NewTimes, due_at: int, expires_at: int | None) -> bool:
    ends = expires_at if new.expires_at is None else new.expires_at
    return ends is not None and ends <= (due_at if new.due_at is None else new.due_at)


def _set(connection: Connection, table: str, ids: Collection[str], values: Mapping[str, Any], only: str = "") -> None:
    if ids and values:
        update = dialect_of(connection).update_by_ids(table, ", ".join(f"{name} = :{name}" for name in values))
        run(connection, update + only, {**values, "ids": ids_json(ids)})


def _make_due(connection: Connection, parts: Collection[str], at: int) -> None:
    """Makes parts due. A paused part gets the new time when the pause ends, and one in flight when it is tried again.

    A part that sleeps until its turn in an order, or until another job has ended, wakes at the new time and looks
    whether it still has to wait: what it waits for may end before that, and must not wake it.
    """
    update_by_ids = dialect_of(connection).update_by_ids
    # The claim changes, as after a mark whose call sent nothing. So a sender that has read the part cannot mark it.
    taken = update_by_ids("worker_parts", "claim = claim + 1, unheard = unheard + 1")
    run(connection, taken + _NOT_IN_DOUBT, {"ids": ids_json(parts)})
    sets = "not_before = :at, offered_until = null, waits_on = null, reason = null, limit_name = null"
    unpaused = f"{_NOT_IN_DOUBT} and not_before <= {FOREVER}"
    run(connection, update_by_ids("worker_parts", sets) + unpaused, {"at": at, "ids": ids_json(parts)})
