"""Selects the lanes that the relay reads in a turn.

These are lanes with newly due parts, lanes with a backlog that were not read for a while, lanes whose block has ended,
lanes with a bound on their calls, and lanes that the full scan reports. The full scan finds late commits and everything
else that the turns missed. Which parts of a lane may go is decided later, when the lane is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from worker.delivery.scheduler.backlog import Backlogs
from worker.domain.pacing.lane import account_of
from worker.outbox.engine.database import Database
from worker.outbox.lanes.agenda import Agenda, Work
from worker.outbox.lanes.full_scan import START, ScanPosition, lanes_with_due
from worker.outbox.lanes.offering import NewlyDue, lanes_newly_due

MAX_NEWLY_DUE = 2_000
"""The largest number of newly due parts that one turn reads."""
REOPEN_TOGETHER_S = 0.02
"""Lanes of one account whose blocks end within so many seconds are reopened together."""
OVERLAP_US = 500_000
"""Microseconds by which each reading of newly due parts overlaps the one before; commits arrive out of order."""
SHORT_OVERLAP_US = 60_000
"""The overlap while it would hold more than `MANY_PARTS` parts that cannot be offered yet."""
MANY_PARTS = 200
FULL_OVERLAP_EVERY_S = 0.25
"""Seconds after which a reading has the full overlap, however many parts it holds."""
MIN_SLICE, MAX_SLICE = 100, 2_000
"""Lanes that one step of the full scan reads: few at first, because the threads beside it wait for a step."""
MIN_PAUSE_S = 0.002
"""The shortest pause between two steps, in seconds."""
PAUSE_FACTOR = 3
"""The pause after a step, as a multiple of the step's duration."""
FOUND_WITHIN = 0.6
"""The part of `round_s` within which the scan finds a commit just behind its position, while rounds are fast."""
SLOW_ROUND = 0.2
"""A round that takes more than this part of `round_s` is slow, and the next rounds read more lanes a step."""


class DueLanes:
    """Requests, turn by turn, a reading of the lanes that may have parts to offer."""

    def __init__(
        self,
        database: Database,
        backlogs: Backlogs,
        full_scan: FullScan,
        *,
        reread_s: float,
        monotonic: Callable[[], float],
    ):
        self._database, self._backlogs, self._full_scan = database, backlogs, full_scan
        self._reread_s, self._monotonic = reread_s, monotonic
        self._since = 0
        """The newest instant at which a part read so far became due, in microseconds."""
        self._overlap_parts = 0
        """Parts that the last reading with the full overlap returned."""
        self._full_overlap_at = -FULL_OVERLAP_EVERY_S
        self._reopen_at: dict[str, float] = {}
        """Blocked lanes with a backlog -> when their block ends; they are read then, before the next full scan."""

    def begin(self, since: int) -> None:
        """Starts over when the relay becomes active; `since` is now, in microseconds of the database's clock."""
        # Parts that were due before are left to the full scan: read by time, a long backlog would delay new parts.
        self._since, self._overlap_parts = since, 0
        self._backlogs.clear()
        self._reopen_at.clear()

    def gather(self, agenda: Agenda | None = None) -> bool:
        """Requests a reading of every lane that this turn should read.

        Returns True if a part became due since the last turn. With an agenda it first checks whether anything is due.
        """
        now, since = self._monotonic(), self._since
        is_any = agenda is None or Work.NEWLY_DUE in agenda.refresh(since - OVERLAP_US)
        newly_due = self._newly_due(now) if is_any else {}
        new = sorted(lane for lane, parts in newly_due.items() if self._has_free_window(lane, parts.priority))
        overdue = self._backlogs.overdue(now - self._reread_s)
        scanned = sorted(lane for lane in self._full_scan.take_lanes() if not self._is_followed(lane))
        for lane in new:
            self._backlogs.request(lane, newly_due[lane].priority)
        for lane in (*overdue, *scanned, *self._reopen()):
            self._backlogs.request(lane)
        # Not whether the query returned rows: parts of a parked lane are returned again in every turn.
        return self._since > since

    def opens_in_s(self) -> float:
        """Returns the seconds until the next block of a lane with a backlog ends, or infinity if none is blocked."""
        return min(self._reopen_at.values(), default=float("inf")) - self._monotonic()

    def _newly_due(self, now: float) -> dict[str, NewlyDue]:
        """Returns the lanes with parts that became due since the last turn, late commits included."""
        # While parts come in fast, the full overlap would return the same parts again in some twenty turns.
        is_full = self._overlap_parts < MANY_PARTS or now - self._full_overlap_at >= FULL_OVERLAP_EVERY_S
        since = self._since - (OVERLAP_US if is_full else SHORT_OVERLAP_US)
        with self._database.reading() as connection:
            newly_due = lanes_newly_due(connection, self._database.now, since, MAX_NEWLY_DUE)
        if is_full:
            self._full_overlap_at, self._overlap_parts = now, sum(lane.parts for lane in newly_due.values())
        self._since = max([self._since, *(lane.newest for lane in newly_due.values())])
        return newly_due

    def close(self, lane: str, until: float) -> None:
        """Stops the reading of a blocked lane until its block ends."""
        self._backlogs.remove(lane)
        self._reopen_at[lane] = until

    def _reopen(self) -> list[str]:
        """Returns the lanes whose block has ended, and closes them no more."""
        now = self._monotonic()
        accounts = {account_of(lane) for lane, ends_at in self._reopen_at.items() if ends_at <= now}
        # Lanes of one account together: the urgent parts of one must not come a turn after the parts of the others.
        soon = [lane for lane, ends_at in self._reopen_at.items() if ends_at <= now + REOPEN_TOGETHER_S]
        lanes = [lane for lane in soon if account_of(lane) in accounts]
        for lane in lanes:
            del self._reopen_at[lane]
        return lanes

    def _has_free_window(self, lane: str, priority: int) -> bool:
        """Returns True if a newly due part of this priority can be offered at once."""
        backlog = self._backlogs.get(lane)
        return backlog is None or priority < backlog.full_from

    def _is_followed(self, lane: str) -> bool:
        """Returns True for a lane that is read again and again anyway, because it has a backlog."""
        backlog = self._backlogs.get(lane)
        return backlog is not None and backlog.read_at is not None


class FullScan:
    """Rounds over all lanes, once a second. One thread makes the steps, another one takes the results.

    A step takes time for each lane, also for lanes with nothing due. A thread of its own keeps that out of the relay's
    turns: the time from enqueue to call must not grow with the number of lanes.
    """

    def __init__(self, database: Database, *, round_s: float, monotonic: Callable[[], float]):
        self._database, self._round_s, self._monotonic = database, round_s, monotonic
        self._lanes: set[str] = set()
        self._lock = threading.Lock()
        self._position: ScanPosition = START
        self._slice = MIN_SLICE
        self._began = 0.0

    @property
    def between_rounds(self) -> bool:
        """True when the next step begins a round."""
        return self._position == START

    def step(self) -> float:
        """Reads the next slice of lanes. Returns the seconds until the next step."""
        started = self._monotonic()
        if self.between_rounds:
            self._began = started
        with self._database.reading() as connection:
            lanes, position = lanes_with_due(connection, self._database.now, self._position, self._slice)
        with self._lock:
            self._lanes |= lanes
        ended = self._monotonic()
        self._position = START if position is None else position
        if position is None:
            return self._pause_s(ended - self._began)
        return max(MIN_PAUSE_S, PAUSE_FACTOR * (ended - started))

    def _pause_s(self, took_s: float) -> float:
        """Returns the seconds until the next round after one that took so long, and adapts the lanes per step."""
        if took_s > self._round_s * SLOW_ROUND:
            self._slice = min(MAX_SLICE, self._slice * 2)
        elif took_s < self._round_s * SLOW_ROUND / 4:
            self._slice = max(MIN_SLICE, self._slice // 2)
        # A commit just behind the scan's position waits for the rest of this round, the pause, and most of the next
        # round: so the pause is the time that two rounds leave. It is at least as long as a round, so that the
        # database is free for half of the time.
        return max(took_s, self._round_s * FOUND_WITHIN - 2 * took_s)

    def take_lanes(self) -> set[str]:
        """Returns the lanes in which the scan found due parts since this was last called."""
        with self._lock:
            lanes, self._lanes = self._lanes, set()
        return lanes
