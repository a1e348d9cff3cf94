"""Doorbells for the head of a lane: which parts go now, which of them together, and how long they count as offered.

Knows no SQL and no broker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.delivery.scheduler.backlog import Backlog, Backlogs
from worker.delivery.scheduler.fair_share import Allotment, DoorbellIds
from worker.delivery.scheduler.lane_head import Look
from worker.delivery.scheduler.slow_start import SlowStart
from worker.domain.job import Priority
from worker.domain.pacing.bulk_quota import after
from worker.domain.pacing.lane import account_of

PATIENCE_S = 1.0
"""Seconds that the last few parts of a busy lane wait for a full doorbell."""


@dataclass(frozen=True, slots=True)
class Doorbell:
    """One doorbell to publish."""

    lane: str
    ids: tuple[str, ...]
    urgent: bool
    stands_s: float
    """Seconds for which these ids count as offered."""
    probe: bool = False
    """It holds the one part that tries a parked lane."""
    bulk: bool = False
    """It holds nothing but bulk."""
    files: bool = False
    """Its parts move files, which takes long."""


class Batches:
    """Makes the doorbells of one relay, and notes in each lane's backlog what was offered."""

    def __init__(
        self, backlogs: Backlogs, allotment: Allotment, slow_start: SlowStart, *, offer_s: float, offer_max_s: float
    ):
        self._backlogs, self._allotment, self._slow_start = backlogs, allotment, slow_start
        self._offer_s, self._offer_max_s = offer_s, offer_max_s

    def rings(self, look: Look, now: float) -> list[Doorbell]:
        """Doorbells for the head of a lane: urgent parts within a share of their own, then normal and bulk mixed."""
        known = look.known
        if not look.due:
            self._forget_unless_wanted(known)
            return []
        known.looked = now
        # Not for ever: the offered ids may be lost in the broker, and then no further part fills the doorbell.
        patient = now - known.rang < PATIENCE_S
        stands_s = known.stands_s(list(look.heads.values()), now, self._offer_s, self._offer_max_s)
        again = look.again
        self._bind(look, now)
        share, heads = look.share, look.heads
        pressing = share.doorbells(heads[Priority.URGENT], share.urgent_window, patient=patient)
        urgent = [Doorbell(known.lane, ids, urgent=True, stands_s=stands_s) for ids in pressing]
        for _ in [part for ring in urgent for part in ring.ids]:
            known.credit = after(known.credit, is_bulk=False)
        batches = share.mixed(heads[Priority.NORMAL], heads[Priority.BULK], known.credit, patient=patient)
        # Parts that no process took from a queue of their own in time go with the normal ones.
        files = look.files and not again
        rest = [
            Doorbell(known.lane, bell.ids, urgent=False, stands_s=stands_s, bulk=bell.bulk and not again, files=files)
            for bell in self._as_many_as_may_go(look, batches)
        ]
        if urgent or rest:
            known.rang = now
            self._slow_start.offered(known.lane, [part for ring in (*urgent, *rest) for part in ring.ids])
        return [*urgent, *rest]

    def _bind(self, look: Look, now: float) -> None:
        """Leaves in the look no more than a lane with a bound on its calls in the air may have."""
        room = self._slow_start.room(look.known.lane, look.due, look.offered(), now)
        if room is not None:
            look.narrow(room)

    def _forget_unless_wanted(self, known: Backlog) -> None:
        """Forgets a lane whose head is empty, unless it is to be looked at again."""
        # Its head may have been put aside, with more due parts behind it.
        if not self._backlogs.is_wanted(known.lane):
            self._backlogs.forget(known.lane)

    def _as_many_as_may_go(self, look: Look, batches: Sequence[DoorbellIds]) -> Sequence[DoorbellIds]:
        """The batches for which the account has room; a lane that got nothing is looked at again."""
        known, heads = look.known, (look.heads[Priority.NORMAL], look.heads[Priority.BULK])
        offered, size, air = sum(head.due - len(head.ids) for head in heads), look.share.size, look.air or 0
        # Each call in the air holds the other ids of its doorbell, which a thread has taken from the broker already.
        waiting = -(-max(0, offered - air * (size - 1)) // size)
        known.out = waiting + air
        room = min(self._allotment.room(account_of(known.lane), known.queue), look.most_bells() - waiting)
        may_go = batches[: max(0, room)]
        known.out += len(may_go)
        known.credit = may_go[-1].credit if may_go else known.credit
        if len(may_go) < len(batches) and not known.out:
            self._backlogs.want(known.lane)
        return may_go
