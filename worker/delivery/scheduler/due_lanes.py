"""Which lanes the relay looks at in a turn.

Lanes with newly due parts, lanes with work that were not looked at for a while, lanes whose block has ended, lanes with
a bound on their calls, and lanes that the full scan found: late commits, and all else that the turns did not see. Which
of their parts may go is decided when the head of the lane is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from worker.delivery.scheduler.backlog import Backlogs
from worker.domain.pacing.lane import account_of
from worker.outbox.engine.database import Database
from worker.outbox.lanes.agenda import Agenda, Work
from worker.outbox.lanes.full_scan import START, Place, lanes_with_due
from worker.outbox.lanes.offering import NewlyDue, lanes_newly_due

NEWLY_DUE = 2_000
"""Newly due parts read in one turn at most."""
TOGETHER_S = 0.02
"""Lanes of an account whose blocks end within so many seconds are opened together."""
OVERLAP_US = 500_000
"""Microseconds before the newest instant at which each reading begins; commits arrive out of order."""
BRIEF_US = 60_000
"""The same in microseconds while more than `MANY` parts are there that cannot be offered yet."""
MANY = 200
FAR_EVERY_S = 0.25
"""Seconds after which a reading begins `OVERLAP_US` before all the same."""
SLICE, LARGEST_SLICE = 100, 2_000
"""Lanes that one step looks at, at first and at most; few, because the threads beside it wait for a step."""
BETWEEN_S = 0.002
"""The shortest pause between two steps, in seconds."""
BREATHS = 3
"""The pause after a step, in multiples of its length."""
SEEN_WITHIN = 0.6
"""The part of `round_s` in which a commit behind the scan's place is found, while rounds are fast."""
SLOW = 0.2
"""A round that takes more than this part of `round_s` is slow, and the next ones look at more lanes a step."""


class DueLanes:
    """Puts the lanes to look at next into the backlogs, turn by turn."""

    def __init__(
        self,
        database: Database,
        backlogs: Backlogs,
        full_scan: FullScan,
        *,
        look_s: float,
        monotonic: Callable[[], float],
    ):
        self._database, self._backlogs, self._full_scan = database, backlogs, full_scan
        self._look_s, self._monotonic = look_s, monotonic
        self._since = 0
        self._stand = 0
        """Parts that the last reading with the long overlap found."""
        self._far_at = -FAR_EVERY_S
        self._reopens: dict[str, float] = {}
        """Blocked lanes with work -> when their block ends; they are looked at then, before the next full scan."""

    def begin(self, since: int) -> None:
        """Begins anew when the relay becomes active; `since` is now, in microseconds of the database's clock."""
        # Parts that were due before are found by the full scan: read by time, a long backlog would hold up new parts.
        self._since, self._stand = since, 0
        self._backlogs.clear()
        self._reopens.clear()

    def gather(self, agenda: Agenda | None = None) -> bool:
        """Reads what is newly due, and puts all lanes that this turn should look at into the backlogs.

        True where a part became due since the last turn. With an agenda it first asks whether there is anything at all.
        """
        now, since = self._monotonic(), self._since
        is_any = agenda is None or Work.NEWLY_DUE in agenda.look(since - OVERLAP_US)
        due = self._newly_due(now) if is_any else {}
        new = sorted(lane for lane, found in due.items() if self._may_go_at_once(lane, found.priority))
        later = self._backlogs.overdue(now - self._look_s)
        found = sorted(lane for lane in self._full_scan.found() if not self._is_looked_after(lane))
        for lane in new:
            self._backlogs.want(lane, due[lane].priority)
        for lane in (*later, *found, *self._open_again()):
            self._backlogs.want(lane)
        # Not whether anything is read: parts of a parked lane are read again in every turn.
        return self._since > since

    def opens_in_s(self) -> float:
        """Seconds until the next block of a lane with work ends; infinity where no lane is blocked."""
        return min(self._reopens.values(), default=float("inf")) - self._monotonic()

    def _newly_due(self, now: float) -> dict[str, NewlyDue]:
        """Lanes with parts that became due since the last turn, commits that came late included."""
        # In a backlog that comes in fast, the long overlap would read the same parts again in some twenty turns.
        far = self._stand < MANY or now - self._far_at >= FAR_EVERY_S
        since = self._since - (OVERLAP_US if far else BRIEF_US)
        with self._database.reading() as connection:
            due = lanes_newly_due(connection, self._database.now, since, NEWLY_DUE)
        if far:
            self._far_at, self._stand = now, sum(found.parts for found in due.values())
        self._since = max([self._since, *(found.newest for found in due.values())])
        return due

    def close(self, lane: str, until: float) -> None:
        """Takes a blocked lane out of the backlogs until its block ends."""
        self._backlogs.forget(lane)
        self._reopens[lane] = until

    def _open_again(self) -> list[str]:
        """Lanes whose block has ended."""
        now = self._monotonic()
        open_again = {account_of(lane) for lane, ends_at in self._reopens.items() if ends_at <= now}
        # Lanes of one account together: urgent parts of one of them must not come a turn after the others.
        soon = [lane for lane, ends_at in self._reopens.items() if ends_at <= now + TOGETHER_S]
        lanes = [lane for lane in soon if account_of(lane) in open_again]
        for lane in lanes:
            del self._reopens[lane]
        return lanes

    def _may_go_at_once(self, lane: str, priority: int) -> bool:
        backlog = self._backlogs.of(lane)
        return backlog is None or priority < backlog.full

    def _is_looked_after(self, lane: str) -> bool:
        backlog = self._backlogs.of(lane)
        return backlog is not None and backlog.read_at is not None


class FullScan:
    """Rounds over all lanes, once a second, made step by step by one thread and read by another.

    A step takes time for each lane, also for lanes with nothing due. So it has a thread of its own: a turn of the
    relay, and with it the time from enqueue to call, must not grow with the number of lanes.
    """

    def __init__(self, database: Database, *, round_s: float, monotonic: Callable[[], float]):
        self._database, self._round_s, self._monotonic = database, round_s, monotonic
        self._found: set[str] = set()
        self._guard = threading.Lock()
        self._place: Place = START
        self._slice = SLICE
        self._began = 0.0

    @property
    def between_rounds(self) -> bool:
        """True when the next step begins a round."""
        return self._place == START

    def step(self) -> float:
        """Looks at the next few lanes; the seconds until the next step."""
        started = self._monotonic()
        if self.between_rounds:
            self._began = started
        with self._database.reading() as connection:
            lanes, place = lanes_with_due(connection, self._database.now, self._place, self._slice)
        with self._guard:
            self._found |= lanes
        ended = self._monotonic()
        self._place = START if place is None else place
        return self._rest(ended - self._began) if place is None else max(BETWEEN_S, BREATHS * (ended - started))

    def _rest(self, round_s: float) -> float:
        """Seconds until the next round; adapts the number of lanes a step."""
        if round_s > self._round_s * SLOW:
            self._slice = min(LARGEST_SLICE, self._slice * 2)
        elif round_s < self._round_s * SLOW / 4:
            self._slice = max(SLICE, self._slice // 2)
        # A commit just behind the scan's place waits for the rest of this round, the pause and most of the next round:
        # the pause is what two rounds leave of the time. At least one round long, so that half of the time is free.
        return max(round_s, self._round_s * SEEN_WITHIN - 2 * round_s)

    def found(self) -> set[str]:
        """Lanes in which the scan found due parts since the last call of this."""
        with self._guard:
            lanes, self._found = self._found, set()
        return lanes
