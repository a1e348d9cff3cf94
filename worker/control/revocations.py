"""Jobs that were revoked in Flower, or by `celery control revoke`, are cancelled: a restart does not forget it.

Celery tells only the processes that run, and these remember it until they end.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import partial

from sqlalchemy import Connection

from worker.control.audit import write_entry
from worker.control.cancel import stop_jobs
from worker.delivery.sender.runtime import Runtime
from worker.domain.job_filter import JobFilter
from worker.outbox.control.cancels import mark_cancelled

LOOK_S = 0.2
JOB_ID = re.compile(r"[0-9a-f]{32}")
PERSON, WHY = "Flower or celery control", "revoked"


class Revocations:
    """Cancels the jobs that were revoked since the last turn."""

    def __init__(self, runtime: Runtime, revoked: Collection[str]):
        self._runtime, self._revoked = runtime, revoked
        self._done: set[str] = set()

    def turn(self) -> float:
        """Goes once through the revoked jobs; returns the seconds until the next turn."""
        revoked = set(self._revoked)
        self._done &= revoked
        for job_id in revoked - self._done:
            if self._runtime.set_aside.carry_out("revoking", partial(self._revoke, job_id)):
                self._done.add(job_id)
        return LOOK_S

    def _revoke(self, job_id: str) -> None:
        # Celery revokes whatever id it is given.
        if not JOB_ID.fullmatch(job_id):
            return
        # Every process that hears of it does this: one of them marks the job, and any of them may die on the way.
        self._runtime.database.run(lambda connection: self._mark(connection, job_id))
        stop_jobs(self._runtime.database, [job_id], self._runtime.writer.change)

    def _mark(self, connection: Connection, job_id: str) -> None:
        now = self._runtime.database.now
        if marked := mark_cancelled(connection, now, [job_id]):
            asked = {"filter": JobFilter(ids=[job_id]).asked()}
            write_entry(connection, now, "cancel", person=PERSON, why=WHY, asked=asked, counts={"jobs": marked})
