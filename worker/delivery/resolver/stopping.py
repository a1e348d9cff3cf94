"""Stops a part that was not sent, or that is in doubt: it is cancelled, or not repeated any more."""

from __future__ import annotations

from functools import partial
from typing import Literal

from worker.domain import settle
from worker.domain.settle import PartFacts
from worker.domain.state import PartState
from worker.outbox.commit.commands import Change

STOPPABLE = (PartState.QUEUED, PartState.UNKNOWN)
"""States in which `stop` changes a part."""


Was = Literal["recalled", "cancelled"]


def stop(was: Was, part_id: str, *, looked_up: bool) -> Change:
    """The change that cancels a queued part and holds a part in doubt.

    `looked_up`: while in doubt the part is searched for, which goes on because it sends nothing.
    """
    return Change(part_id, partial(_stop, was, looked_up))


def _stop(was: Was, looked_up: bool, part: PartFacts, now: int) -> None:
    if looked_up and part.doubts:
        return
    if part.state is PartState.QUEUED:
        settle.cancel(part, f"{was} before it was sent")
    elif part.state is PartState.UNKNOWN and part.not_before is not None:
        settle.hold(part, f"{was} while in doubt: not repeated any more")
