"""Slow start: how many calls a lane may have in flight, its whole share or, while it starts, as many as SQL says.

Only offered parts can be in flight, so the relay keeps the bound of all processes together by what it offers. A lane
starts with one call when it had no success for a while, when it was resumed, after a penalty, and after its breaker was
open. The bound is doubled in the transactions that record successes. Decides nothing about penalties.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from worker.delivery.scheduler.backlog import Backlog
from worker.domain.pacing.lane import account_of
from worker.outbox.lanes.lanes import Noted, calls_in_flight
from worker.outbox.lanes.offering import still_offered


@dataclass(slots=True)
class _InFlight:
    """Calls in flight, as read in one turn."""

    by_lane: Mapping[str, int] = field(default_factory=dict)
    by_account: Mapping[str, int] = field(default_factory=dict)


class SlowStart:
    """The bounds for one relay, and when each lane last succeeded or began to start."""

    def __init__(self, silence_s: float):
        self._silence_s = silence_s
        self._calls: dict[str, int] = {}
        """Bounds of this turn's lanes and their accounts."""
        self._bound: dict[str, None] = {}
        """Lanes and accounts that had a bound when last read."""
        self._in_flight = _InFlight()
        self._counted = False
        """True when the calls in flight were read in this turn."""
        self._offered: dict[str, dict[str, None]] = {}
        """Bound lanes and accounts -> ids that were offered under the bound, over all of their lanes."""
        self._turns: dict[str, dict[str, None]] = {}
        """Bound accounts -> the lanes of which parts were offered under the bound, the latest one last."""
        self._succeeded_at: dict[str, float] = {}
        """Lanes -> when they last succeeded, or began to start."""
        self.begun: list[str] = []
        """Lanes that begin to start in this turn; written together with its offers."""

    def read_bounds(self, connection: Connection, now_sql: str, names: Iterable[str], noted: Noted) -> None:
        """Takes over the bounds of these lanes and accounts; reads the calls in flight only while there are bounds."""
        self._calls, self.begun, self._counted = dict(noted.calls), [], False
        for name in names:
            if name in noted.calls:
                self._bound[name] = None
                continue
            self._bound.pop(name, None)
            self._offered.pop(name, None)
            self._turns.pop(name, None)
        if not noted.calls:
            return
        self.in_flight(connection)
        if ids := {part for of in self._offered.values() for part in of}:
            out = set(still_offered(connection, now_sql, ids))
            self._offered = {
                name: dict.fromkeys(part for part in of if part in out) for name, of in self._offered.items()
            }

    def in_flight(self, connection: Connection) -> Mapping[str, int]:
        """Calls in flight by lane, of all processes; read once a turn."""
        if not self._counted:
            by_lane = calls_in_flight(connection)
            by_account: dict[str, int] = {}
            for lane, calls in by_lane.items():
                by_account[account_of(lane)] = by_account.get(account_of(lane), 0) + calls
            self._in_flight, self._counted = _InFlight(by_lane, by_account), True
        return self._in_flight.by_lane

    def learn(self, silent_s: Mapping[str, float], now: float) -> None:
        """Takes over from the heartbeats how many seconds ago each lane succeeded."""
        for lane, seconds in silent_s.items():
            self._succeeded_at[lane] = max(self._succeeded_at.get(lane, 0.0), now - seconds)
        self._succeeded_at = {lane: at for lane, at in self._succeeded_at.items() if now - at < self._silence_s}

    def names(self) -> list[str]:
        """Lanes and accounts that had a bound when last read."""
        return list(self._bound)

    def forget(self, name: str) -> None:
        """Drops a lane or account without work; its bound is read again when it has some."""
        self._bound.pop(name, None)

    def most(self, lane: str) -> int | None:
        """How many calls a lane may have in flight at most, by its own bound and its account's; None: no bound."""
        bounds = [self._calls[name] for name in (lane, account_of(lane)) if name in self._calls]
        return min(bounds, default=None)

    def room(self, lane: str, due: int, offered: int, now: float) -> int | None:
        """How many more parts of a lane may be offered; None: as many as its share holds.

        `due`: its due parts; `offered`: its parts in the broker, as far as its head shows them.
        """
        account = account_of(lane)
        if lane not in self._calls and account not in self._calls and not self._begins(lane, due, now):
            return None
        rooms = []
        if lane in self._calls:
            rooms.append(self._calls[lane] - self._in_flight.by_lane.get(lane, 0) - offered)
        if account in self._calls:
            out = self._in_flight.by_account.get(account, 0) + len(self._offered.get(account, ()))
            rooms.append(self._calls[account] - out)
        return min(rooms)

    def _begins(self, lane: str, due: int, now: float) -> bool:
        """True when a lane without a success for `silence_s` has more than one part due: it starts with one call."""
        # A single part is one call anyway, and needs no row of its lane.
        if not self._silence_s or due < 2 or now - self._succeeded_at.get(lane, -self._silence_s) < self._silence_s:
            return False
        self._succeeded_at[lane] = now
        self._calls[lane] = 1
        self._bound[lane] = None
        self.begun.append(lane)
        return True

    def offered(self, lane: str, ids: Iterable[str]) -> None:
        """Counts offered ids against the bounds of their lane and account until they are marked or left."""
        account = account_of(lane)
        for name in {lane, account} & self._calls.keys():
            self._offered.setdefault(name, {}).update(dict.fromkeys(ids))
        if account in self._calls:
            turns = self._turns.setdefault(account, {})
            turns.pop(lane, None)
            turns[lane] = None

    def by_turns(self, lanes: Sequence[Backlog]) -> Sequence[Backlog]:
        """The lanes in the order in which they last used their account's bound, those that did not use it first."""
        # Else a lane that fails could use the bound again and again while others of its account wait.
        if not self._turns:
            return lanes
        place = {lane: n for turns in self._turns.values() for n, lane in enumerate(turns)}
        return sorted(lanes, key=lambda backlog: place.get(backlog.lane, -1))
