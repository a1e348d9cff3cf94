"""Stops a recalled or cancelled part: cancels it if it was not sent, and stops its repeats if it is in doubt."""

from __future__ import annotations

from functools import partial
from typing import Literal

from worker.domain import settle
from worker.domain.settle import PartFacts
from worker.domain.state import PartState
from worker.outbox.commit.commands import Change

STOPPABLE = (PartState.QUEUED, PartState.UNKNOWN)
"""States in which `stop` changes a part."""


StopCause = Literal["recalled", "cancelled"]


def stop(cause: StopCause, part_id: str, *, is_searched: bool) -> Change:
    """Returns the change that cancels a queued part, or holds a part in doubt.

    `is_searched`: a part in doubt is only searched for. That sends nothing, so it goes on.
    """
    return Change(part_id, partial(_stop, cause, is_searched))


def _stop(cause: StopCause, is_searched: bool, part: PartFacts, now: int) -> None:
    if is_searched and part.doubts:
        return
    if part.state is PartState.QUEUED:
        settle.cancel(part, f"{cause} before it was sent")
    elif part.state is PartState.UNKNOWN and part.not_before is not None:
        settle.hold(part, f"{cause} while in doubt: not repeated any more")
