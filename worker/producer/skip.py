"""Lets an order go on behind a part that keeps it waiting. Which part goes next: `outbox/jobs/order_queue.py`."""

from __future__ import annotations

from worker.domain.errors import NotReplayable
from worker.outbox.engine.database import Database
from worker.outbox.jobs import order_queue


def skip(database: Database, job_id: str) -> list[str]:
    """Takes a job's parts that are first in an order out of it, so that the parts behind go on; returns their ids.

    Their states do not change: one held in doubt or exhausted stays so, a queued one (its lane is parked) is sent when
    it can be. NotReplayable when no part of the job is first in an order, or it is in the air.
    """
    passed = database.run(lambda connection: order_queue.skip(connection, database.now, job_id))
    if not passed:
        raise NotReplayable(f"job {job_id} keeps nobody waiting: nothing of it is first in an order", job=job_id)
    return passed
