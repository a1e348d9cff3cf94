"""A person lets an order go on behind a part that keeps it waiting. Whose turn it is: `outbox/jobs/order_queue.py`."""

from __future__ import annotations

from worker.domain.errors import NotReplayable
from worker.outbox.engine.database import Database
from worker.outbox.jobs.order_queue import let_pass


def skip(database: Database, job_id: str) -> list[str]:
    """Takes those of a job's parts that others of their order wait for out of the order; their ids.

    They stay what they are: one held in doubt or exhausted is held or exhausted, a queued one (its lane is parked) goes
    whenever it can. NotReplayable when the job keeps nobody waiting, or its part is just in the air.
    """
    passed = database.run(lambda connection: let_pass(connection, database.now, job_id))
    if not passed:
        raise NotReplayable(f"job {job_id} keeps nobody waiting: nothing of it is first in an order", job=job_id)
    return passed
