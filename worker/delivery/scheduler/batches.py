"""Doorbells for the head of a lane: what of it goes now, in which company, and how long it counts as offered.

Knows no SQL and no broker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.delivery.scheduler.backlog import Backlog, Backlogs
from worker.delivery.scheduler.fair_share import Allotment, Batch
from worker.delivery.scheduler.lane_head import Look
from worker.delivery.scheduler.slow_start import SlowStart
from worker.domain.bulk_quota import after
from worker.domain.job import Priority
from worker.domain.lane import account_of

PATIENCE_S = 1.0
"""How long a busy lane's remainder waits for a full doorbell (its offered ids may be lost, and then none comes)."""


@dataclass(frozen=True, slots=True)
class Doorbell:
    """One doorbell to publish."""

    lane: str
    ids: tuple[str, ...]
    urgent: bool
    stands_s: float
    """How long these ids count as offered."""
    probe: bool = False
    """The one job that tries a parked lane."""
    bulk: bool = False
    """Nothing but bulk is in it."""
    files: bool = False
    """It moves files, which takes long."""


class Batches:
    """Makes the doorbells of one relay, and remembers of each lane what it rang."""

    def __init__(
        self, backlogs: Backlogs, allotment: Allotment, slow_start: SlowStart, *, offer_s: float, offer_max_s: float
    ):
        self._backlogs, self._allotment, self._slow_start = backlogs, allotment, slow_start
        self._offer_s, self._offer_max_s = offer_s, offer_max_s

    def rings(self, look: Look, now: float) -> list[Doorbell]:
        """Doorbells for the head of a lane: urgent parts in their own share, normal and bulk mixed as they deserve."""
        known = look.known
        if not look.due:
            self._forget_unless_wanted(known)
            return []
        known.looked = now
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
        files = look.files and not again
        rest = [
            # What its own queue did not bring to anybody in time goes with the others.
            Doorbell(known.lane, bell.ids, urgent=False, stands_s=stands_s, bulk=bell.bulk and not again, files=files)
            for bell in self._as_many_as_may_go(look, batches)
        ]
        if urgent or rest:
            known.rang = now
            self._slow_start.offered(known.lane, [part for ring in (*urgent, *rest) for part in ring.ids])
        return [*urgent, *rest]

    def _bind(self, look: Look, now: float) -> None:
        """A lane that starts, or was told to call less in parallel, has less than its share."""
        room = self._slow_start.room(look.known.lane, look.due, look.offered(), now)
        if room is not None:
            look.narrow(room)

    def _forget_unless_wanted(self, known: Backlog) -> None:
        """Nothing is due; unless what was is put aside, and more stands behind it."""
        if not self._backlogs.is_wanted(known.lane):
            self._backlogs.forget(known.lane)

    def _as_many_as_may_go(self, look: Look, batches: Sequence[Batch]) -> Sequence[Batch]:
        """No more than its account has room for; a lane that got nothing comes first when there is room again."""
        known, heads = look.known, (look.heads[Priority.NORMAL], look.heads[Priority.BULK])
        offered, size, air = sum(head.due - len(head.ids) for head in heads), look.share.size, look.air or 0
        waiting = -(-max(0, offered - air * (size - 1)) // size)  # behind each call stand the others of its doorbell
        known.out = waiting + air
        room = min(self._allotment.room(account_of(known.lane), known.road), look.most_bells() - waiting)
        may_go = batches[: max(0, room)]
        known.out += len(may_go)
        known.credit = may_go[-1].credit if may_go else known.credit
        if len(may_go) < len(batches) and not known.out:
            self._backlogs.want(known.lane)
        return may_go
