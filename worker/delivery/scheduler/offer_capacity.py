"""How many parts of a lane the relay may offer now, and the slow start of a lane that was silent.

Only an offered part can be in flight. So the relay keeps the bound on a lane's calls, over all processes, by offering
no more parts than the bound allows. The bound itself grows elsewhere: the transactions that record answers double it
with each success.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection

from worker.delivery.scheduler.backlog import Backlog
from worker.domain.pacing.lane import SECOND, Capacity, LaneState, SlowStart, account_of, capacity_of
from worker.outbox.lanes.lanes import calls_in_flight
from worker.outbox.lanes.offering import still_offered


class OfferCapacity:
    """The states of the lanes and accounts of the relay's present turn, and when each lane last succeeded."""

    def __init__(self, cold_after_s: float):
        self._silence_s = cold_after_s
        self._states: dict[str, LaneState] = {}
        self._in_flight: Counter[str] | None = None
        """Calls in flight of all processes by lane and by account, or None if not read in this turn."""
        self._offered: dict[str, dict[str, None]] = {}
        """Bounded accounts -> ids that were offered under the bound, over all of their lanes."""
        self._served: dict[str, None] = {}
        """Lanes with parts offered under their account's bound; the lane that was served last comes last."""
        self._succeeded_at: dict[str, float] = {}
        """Lanes -> when they last succeeded, or began a slow start."""
        self.slow_starts: list[SlowStart] = []
        """Lanes that begin a slow start in this turn; written together with its offers."""

    def load(self, connection: Connection, now_sql: str, names: Iterable[str], states: Mapping[str, LaneState]) -> None:
        """Replaces the states of these lanes and accounts. Reads the calls in flight only if one of them is bounded."""
        self._states, self.slow_starts, self._in_flight = dict(states), [], None
        bounded = {name for name, state in states.items() if state.calls is not None}
        unbounded = set(names) - bounded
        self._offered = {name: ids for name, ids in self._offered.items() if name not in unbounded}
        self._served = {lane: None for lane in self._served if account_of(lane) not in unbounded}
        if offered := {part for ids in self._offered.values() for part in ids}:
            in_broker = set(still_offered(connection, now_sql, offered))
            self._offered = {
                name: dict.fromkeys(part for part in ids if part in in_broker) for name, ids in self._offered.items()
            }
        if bounded:
            self.in_flight(connection)

    def in_flight(self, connection: Connection) -> Mapping[str, int]:
        """Returns the calls in flight of all processes, by lane and by account. Reads them once a turn."""
        if self._in_flight is None:
            self._in_flight = Counter()
            for lane, calls in calls_in_flight(connection).items():
                self._in_flight[lane] += calls
                self._in_flight[account_of(lane)] += calls
        return self._in_flight

    def record_successes(self, since_success_s: Mapping[str, float], now: float) -> None:
        """Remembers when each lane last succeeded, from the seconds since then that the heartbeats report."""
        for lane, seconds in since_success_s.items():
            self._succeeded_at[lane] = max(self._succeeded_at.get(lane, 0.0), now - seconds)
        self._succeeded_at = {lane: at for lane, at in self._succeeded_at.items() if now - at < self._silence_s}

    def max_calls(self, lane: str) -> int | None:
        """Returns the lower bound on calls in flight of the lane and its account, or None if neither is bounded."""
        states = (self._states.get(name) for name in (lane, account_of(lane)))
        return min((state.calls for state in states if state and state.calls is not None), default=None)

    def capacity(self, lane: str, now: float, *, due: int = 0, offered: int = 0) -> Capacity:
        """Returns how many more parts of a lane may be offered under its bound and its account's.

        `due` is the number of its due parts, and `offered` the number of its parts in the broker. A silent lane with
        several due parts begins a slow start.
        """
        account = account_of(lane)
        if due > 1 and self.max_calls(lane) is None and self._was_silent(lane, now):
            self._succeeded_at[lane] = now
            self._states[lane] = LaneState(lane, account, calls=1)
            self.slow_starts.append(SlowStart(lane))
        in_broker = {account: len(self._offered.get(account, ())), lane: offered}
        calls = self._in_flight or Counter()
        states = [(state, calls[name] + in_broker[name]) for name in in_broker if (state := self._states.get(name))]
        return capacity_of(states, int(now * SECOND))

    def _was_silent(self, lane: str, now: float) -> bool:
        """Returns True if the lane had no success for `cold_after_s`."""
        # A single part is one call anyway, and needs no row of its lane.
        return self._silence_s > 0 and now - self._succeeded_at.get(lane, -self._silence_s) >= self._silence_s

    def record_offer(self, lane: str, ids: Iterable[str]) -> None:
        """Counts offered ids against the bound of their account, until they are marked or released."""
        account = account_of(lane)
        if self.max_calls(account) is not None:
            self._offered.setdefault(account, {}).update(dict.fromkeys(ids))
            self._served.pop(lane, None)
            self._served[lane] = None

    def least_served_first(self, lanes: Sequence[Backlog]) -> Sequence[Backlog]:
        """Sorts lanes by when they last used their account's bound, those that did not use it first."""
        # Otherwise a failing lane could use up the bound again and again while other lanes of its account wait.
        position = {lane: n for n, lane in enumerate(self._served)}
        return sorted(lanes, key=lambda backlog: position.get(backlog.lane, -1)) if position else lanes
