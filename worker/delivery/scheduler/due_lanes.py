"""Which lanes the relay looks at in a turn.

Those with newly due parts, those known to have work that were not looked at for a while, those that the full scan
found, those whose block has ended, and those with a bound on their calls. Knows no part: what of a lane may go is seen
when its head is read.
"""

from __future__ import annotations

from collections.abc import Callable

from worker.delivery.scheduler.backlog import Backlogs
from worker.delivery.scheduler.full_scan import FullScan
from worker.delivery.scheduler.slow_start import SlowStart
from worker.domain.lane import account_of
from worker.outbox.engine.database import Database
from worker.outbox.lanes.offering import NewlyDue, lanes_newly_due

NEWLY_DUE = 2_000
TOGETHER_S = 0.02
OVERLAP_US = 500_000
"""How far behind the newest instant the walk by time starts again: commits arrive out of order."""
BRIEF_US = 60_000
"""The same where many parts stand there that cannot be offered yet."""
MANY = 200
FAR_EVERY_S = 0.25
"""So often it starts far behind all the same."""


class DueLanes:
    """Has the backlogs want what is to be looked at next, turn by turn."""

    def __init__(
        self,
        database: Database,
        backlogs: Backlogs,
        full_scan: FullScan,
        slow_start: SlowStart,
        *,
        look_s: float,
        monotonic: Callable[[], float],
    ):
        self._database, self._backlogs, self._full_scan, self._slow_start = database, backlogs, full_scan, slow_start
        self._look_s, self._monotonic = look_s, monotonic
        self._since = 0
        self._stand = 0
        """So many parts were found far behind the newest instant, not offered."""
        self._far_at = -FAR_EVERY_S
        self._reopens: dict[str, float] = {}
        """Blocked lanes with work -> when their block ends: they are looked at then, not when the walk comes by."""

    def begin(self, since: int) -> None:
        """A relay that becomes active knows nothing yet; what was due before this instant is the walk's to find."""
        self._since, self._stand = since, 0
        self._backlogs.clear()
        self._reopens.clear()

    def gather(self) -> None:
        """Asks what is newly due, and has all lanes wanted that this turn should look at."""
        now = self._monotonic()
        due = self._newly_due(now)
        new = sorted(lane for lane, found in due.items() if self._may_go_at_once(lane, found.priority))
        later = self._backlogs.overdue(now - self._look_s)
        found = sorted(lane for lane in self._full_scan.found() if not self._is_looked_after(lane))
        for lane in new:
            self._backlogs.want(lane, due[lane].priority)
        for lane in (*later, *found, *self._open_again(), *self._bound()):
            self._backlogs.want(lane)

    def _newly_due(self, now: float) -> dict[str, NewlyDue]:
        """Behind a backlog that comes in fast the same parts would be read turn after turn, each some twenty times."""
        far = self._stand < MANY or now - self._far_at >= FAR_EVERY_S
        since = self._since - (OVERLAP_US if far else BRIEF_US)
        with self._database.reading() as connection:
            due = lanes_newly_due(connection, self._database.now, since, NEWLY_DUE)
        if far:
            self._far_at, self._stand = now, sum(found.parts for found in due.values())
        self._since = max([self._since, *(found.newest for found in due.values())])
        return due

    def close(self, lane: str, until: float) -> None:
        """Nothing of a blocked lane may go before this instant; then it is looked at again."""
        self._backlogs.forget(lane)
        self._reopens[lane] = until

    def _open_again(self) -> list[str]:
        """Lanes whose block has ended."""
        now = self._monotonic()
        open_again = {account_of(lane) for lane, ends_at in self._reopens.items() if ends_at <= now}
        # Those of one account together: what is urgent in one of them must not come a turn after the others.
        soon = [lane for lane, ends_at in self._reopens.items() if ends_at <= now + TOGETHER_S]
        lanes = [lane for lane in soon if account_of(lane) in open_again]
        for lane in lanes:
            del self._reopens[lane]
        return lanes

    def _bound(self) -> list[str]:
        """Lanes with work that have a bound: each success may double it, so they are looked at in every turn."""
        found: list[str] = []
        for name in self._slow_start.names():
            lanes = [lane for lane in (name, *self._backlogs.names(name)) if self._backlogs.of(lane)]
            if not lanes:
                self._slow_start.forget(name)
            found += [lane for lane in lanes if self._is_looked_after(lane)]
        return found

    def _may_go_at_once(self, lane: str, priority: int) -> bool:
        known = self._backlogs.of(lane)
        return known is None or priority < known.full

    def _is_looked_after(self, lane: str) -> bool:
        known = self._backlogs.of(lane)
        return known is not None and known.looked is not None
