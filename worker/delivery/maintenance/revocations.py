"""Revoked jobs: their parts that were not sent yet are cancelled in SQL, so that a restart does not forget it.

Every process is notified of a revoked job and remembers it (`runtime.revoked`) until the process ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from worker.channels.base import Channel
from worker.delivery.resolver.follow_ups import STOPPABLE, is_looked_up, stop
from worker.delivery.sender.runtime import Runtime
from worker.domain.state import OPEN_STATES, PartState
from worker.outbox.commit.commands import Change
from worker.outbox.jobs.follow_ups import TargetPart, channel_of, content_of, target_parts

LOOK_S = 0.5
JOB_ID = re.compile(r"[0-9a-f]{32}")


class Revocations:
    """Cancels the parts of jobs that were revoked since the last turn."""

    def __init__(self, runtime: Runtime, channel: Callable[[str], Channel]):
        self._runtime, self._channel = runtime, channel
        self._done: set[str] = set()

    def turn(self) -> float:
        """Goes once through the revoked jobs; returns the seconds until the next turn."""
        revoked = set(self._runtime.revoked)
        self._done &= revoked
        for job_id in revoked - self._done:
            self._runtime.set_aside.carry_out("revoking", partial(self._revoke, job_id))
        return LOOK_S

    def _revoke(self, job_id: str) -> None:
        """Cancels the parts of one job that may still be sent."""
        if not JOB_ID.fullmatch(job_id):
            # The id of a task of Celery's own.
            self._done.add(job_id)
            return
        searched, parts = self._read(job_id)
        left = [part for part in parts if _may_be_sent(part) and not (part.doubts and part.id in searched)]
        self._runtime.writer.change(
            [Change(part.id, partial(stop, "revoked", part.id in searched)) for part in left if part.state in STOPPABLE]
        )
        # While a part is in the air the job is looked at again: the part may be queued once more after its answer.
        if not left:
            self._done.add(job_id)

    def _read(self, job_id: str) -> tuple[set[str], list[TargetPart]]:
        """The ids of the job's parts whose next call, while in doubt, is a search, and all parts of the job."""
        with self._runtime.database.reading() as connection:
            parts = {part.id: part for part in target_parts(connection, job_id)}
            name = channel_of(connection, job_id)
            if name is None:
                return set(), []
            kind, message = content_of(connection, job_id)
        channel = self._channel(name)
        return {part.id for part in parts.values() if is_looked_up(part, kind, message, channel)}, [*parts.values()]


def _may_be_sent(part: TargetPart) -> bool:
    return part.state in OPEN_STATES or (part.state is PartState.UNKNOWN and part.not_before is not None)
