"""Jobs that a person revoked: what of them was not sent yet is cancelled in SQL, so that a restart does not forget it.

Every process hears of a revoked job and remembers it (`runtime.revoked`) until it ends. Knows nothing of who tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from worker.channels.base import Channel
from worker.delivery.resolver.follow_ups import STOPPABLE, is_looked_up, stop
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.set_aside import SetAside
from worker.domain.state import OPEN_STATES, PartState
from worker.outbox.commit.commands import Change
from worker.outbox.jobs.follow_ups import TargetPart, channel_of, content_of, target_parts

LOOK_S = 0.5
JOB_ID = re.compile(r"[0-9a-f]{32}")


class Revocations:
    """Carries out what was revoked since the last look."""

    def __init__(self, runtime: Runtime, channel: Callable[[str], Channel]):
        self._runtime, self._channel = runtime, channel
        self._set_aside = SetAside(runtime.database, runtime.monotonic)
        self._done: set[str] = set()

    def turn(self) -> float:
        """One look; the seconds until the next."""
        revoked = set(self._runtime.revoked)
        self._done &= revoked
        for job_id in revoked - self._done:
            self._set_aside.carry_out("revoking", partial(self._revoke, job_id))
        return LOOK_S

    def _revoke(self, job_id: str) -> None:
        """Done once nothing of the job can be sent any more: what is in the air may come back to be sent again."""
        if not JOB_ID.fullmatch(job_id):  # one of Celery's own
            self._done.add(job_id)
            return
        searched, parts = self._read(job_id)
        left = [part for part in parts if _may_be_sent(part) and not (part.doubts and part.id in searched)]
        self._runtime.writer.change(
            [Change(part.id, partial(stop, "revoked", part.id in searched)) for part in left if part.state in STOPPABLE]
        )
        if not left:
            self._done.add(job_id)

    def _read(self, job_id: str) -> tuple[set[str], list[TargetPart]]:
        """A job's parts, and the ids of those that are searched for while in doubt, where no call sends anything."""
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
