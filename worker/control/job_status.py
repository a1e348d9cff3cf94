"""What decides which commands have something to do about one job: a few reads of it, in place of their searches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from worker.control.selection import has_recall, is_send
from worker.domain.state import JobState, PartState
from worker.outbox.control.cancels import job_sizes, part_statuses
from worker.outbox.control.moving import movable_jobs
from worker.outbox.control.sent import corrected_jobs
from worker.outbox.control.withdrawals import recalled_jobs
from worker.outbox.jobs.order_queue import parts_in_orders
from worker.outbox.lanes.pauses import active_pauses

if TYPE_CHECKING:
    from worker.reporting.report import JobSummary

_SENT = (JobState.ACCEPTED, JobState.PARTIAL, JobState.UNKNOWN)
MAX_PARTS = 1_000
"""Most parts of a job that are read. Of others it is taken that they wait, for a time or for a person."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job as commands look at it."""

    state: JobState
    is_send: bool
    """Whether it sends a message to people."""
    has_recall: bool
    """Whether its channel can recall what it sends."""
    is_cancelled: bool
    is_paused: bool
    """Whether this very job is paused."""
    is_recalled: bool
    """Whether a recall of it was accepted, or may still be."""
    is_corrected: bool
    """Whether a correction took its place."""
    is_ordered: bool
    """Whether a part of it has a place in an order, where others may wait behind it."""
    has_waiting: bool
    """Whether a part of it waits to be sent."""
    stays: bool
    """Whether its own account has to send it; see `moving.Stays`."""
    has_held_doubt: bool
    """Whether a part of it is in doubt and waits for a person."""

    @property
    def goes_on(self) -> bool:
        """True if something of it may still be sent."""
        return self.state in (JobState.OPEN, JobState.UNKNOWN)


def read_job_status(connection: Connection, job: JobSummary) -> JobStatus:
    """Reads the status of a job."""
    sizes = [*job_sizes(connection, [job.id]).values()]
    parts = [id for size in sizes for id in size.part_ids()[:MAX_PARTS]]
    has_more = any(size.parts > MAX_PARTS for size in sizes)
    statuses = part_statuses(connection, parts)
    return JobStatus(
        job.state,
        is_send=is_send(job),
        has_recall=has_recall(job),
        is_cancelled=any(size.cancelled_at is not None for size in sizes),
        is_paused=any(pause.job_id for pause in active_pauses(connection, [job.id])),
        is_recalled=bool(recalled_jobs(connection, [job.id], or_open=True)),
        is_corrected=bool(corrected_jobs(connection, [job.id])),
        is_ordered=bool(parts_in_orders(connection, parts)),
        has_waiting=has_more or any(part.state is PartState.QUEUED for part in statuses),
        stays=job.state in _SENT or any(one.stays for one in movable_jobs(connection, [job.id]).values()),
        has_held_doubt=has_more or any(part.state is PartState.UNKNOWN and not part.goes_on for part in statuses),
    )
