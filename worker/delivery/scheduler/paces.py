"""What the relay may offer of a lane now, by the paces of the lane and its account; and slow start after a silence.

Only offered parts can be in flight, so the relay keeps the bound of all processes together by what it offers. The
transactions that record answers move the paces, and double their bounds with each success.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection

from worker.delivery.scheduler.backlog import Backlog
from worker.domain.pacing.lane import SECOND, Pace, Room, Start, account_of, room_of
from worker.outbox.lanes.lanes import calls_in_flight
from worker.outbox.lanes.offering import still_offered


class Paces:
    """The paces of a turn's lanes and accounts, for one relay, and when each lane last succeeded or began to start."""

    def __init__(self, silence_s: float):
        self._silence_s = silence_s
        self._of: dict[str, Pace] = {}
        self._in_flight: Counter[str] | None = None
        """Calls in flight by lane and by account, of all processes; None: not read in this turn."""
        self._offered: dict[str, dict[str, None]] = {}
        """Bound accounts -> ids that were offered under the bound, over all of their lanes."""
        self._used: dict[str, None] = {}
        """Lanes of which parts were offered under their account's bound, the latest one last."""
        self._succeeded_at: dict[str, float] = {}
        """Lanes -> when they last succeeded, or began to start."""
        self.begun: list[Start] = []
        """Lanes that begin to start in this turn; written together with its offers."""

    def read(self, connection: Connection, now_sql: str, names: Iterable[str], paces: Mapping[str, Pace]) -> None:
        """Takes over the paces of these lanes and accounts; reads the calls in flight only while there are bounds."""
        self._of, self.begun, self._in_flight = dict(paces), [], None
        bound = {name for name, pace in paces.items() if pace.calls is not None}
        free = set(names) - bound
        self._offered = {name: of for name, of in self._offered.items() if name not in free}
        self._used = {lane: None for lane in self._used if account_of(lane) not in free}
        if ids := {part for of in self._offered.values() for part in of}:
            out = set(still_offered(connection, now_sql, ids))
            self._offered = {
                name: dict.fromkeys(part for part in of if part in out) for name, of in self._offered.items()
            }
        if bound:
            self.in_flight(connection)

    def in_flight(self, connection: Connection) -> Mapping[str, int]:
        """Calls in flight by lane and by account, of all processes; read once a turn."""
        if self._in_flight is None:
            self._in_flight = Counter()
            for lane, calls in calls_in_flight(connection).items():
                self._in_flight[lane] += calls
                self._in_flight[account_of(lane)] += calls
        return self._in_flight

    def learn(self, silent_s: Mapping[str, float], now: float) -> None:
        """Takes over from the heartbeats how many seconds ago each lane succeeded."""
        for lane, seconds in silent_s.items():
            self._succeeded_at[lane] = max(self._succeeded_at.get(lane, 0.0), now - seconds)
        self._succeeded_at = {lane: at for lane, at in self._succeeded_at.items() if now - at < self._silence_s}

    def most(self, lane: str) -> int | None:
        """How many calls a lane may have in flight at most, by its own bound and its account's; None: no bound."""
        paces = (self._of.get(name) for name in (lane, account_of(lane)))
        return min((pace.calls for pace in paces if pace and pace.calls is not None), default=None)

    def room(self, lane: str, now: float, *, due: int = 0, offered: int = 0) -> Room:
        """What may begin of a lane: nothing, as many more calls as its bound leaves, or as many as its share holds.

        `due`: its due parts; `offered`: its parts in the broker, as far as its head shows them.
        """
        account = account_of(lane)
        if due > 1 and self.most(lane) is None and self._was_silent(lane, now):
            self._succeeded_at[lane] = now
            self._of[lane] = Pace(lane, account, calls=1)
            self.begun.append(Start(lane))
        out = {account: len(self._offered.get(account, ())), lane: offered}
        counted = self._in_flight or Counter()
        paces = [(pace, counted[name] + out[name]) for name in out if (pace := self._of.get(name))]
        return room_of(paces, int(now * SECOND))

    def _was_silent(self, lane: str, now: float) -> bool:
        """True for a lane without a success for `silence_s`: with more than one part due it starts with one call."""
        # A single part is one call anyway, and needs no row of its lane.
        return self._silence_s > 0 and now - self._succeeded_at.get(lane, -self._silence_s) >= self._silence_s

    def offered(self, lane: str, ids: Iterable[str]) -> None:
        """Counts offered ids against the bound of their account until they are marked or left."""
        account = account_of(lane)
        if self.most(account) is not None:
            self._offered.setdefault(account, {}).update(dict.fromkeys(ids))
            self._used.pop(lane, None)
            self._used[lane] = None

    def by_turns(self, lanes: Sequence[Backlog]) -> Sequence[Backlog]:
        """The lanes in the order in which they last used their account's bound, those that did not use it first."""
        # Else a lane that fails could use the bound again and again while others of its account wait.
        place = {lane: n for n, lane in enumerate(self._used)}
        return sorted(lanes, key=lambda backlog: place.get(backlog.lane, -1)) if place else lanes
