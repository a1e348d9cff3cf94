"""What one process knows of its lanes without asking SQL: their paces, call durations, calls in flight.

What happens to a lane changes its pace in SQL for all processes, and the copy here at once for the other threads of
this one. What SQL says at the next doorbell replaces the copy.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from worker.domain.pacing.lane import (
    FREE,
    RULES,
    SECOND,
    Capacity,
    LaneBlock,
    LaneChange,
    LaneRules,
    LaneState,
    account_of,
    apply_change,
    capacity_of,
    strictest,
)

_WEIGHT = 0.2
"""Weight of the newest sample in the running means of a lane."""
_NEVER = float("-inf")

YOUNG_S = 5.0
"""Seconds that a block or failure of this process may need to get into SQL; until then the stricter of both counts."""
IDLE_S = 60.0
"""Seconds without use after which a lane is forgotten; there may be as many lanes as chats or members."""
ALONE_TOLD_S = 10.0
"""Seconds for which an account that this process could not use is still told of when it may be tried again."""
AT_ONCE = 100
"""Lanes forgotten while the lock is held once."""


@dataclass(slots=True)
class _Lane:
    """What the calls of a lane have shown; instants and durations in seconds of the monotonic clock."""

    used_at: float
    in_flight: int = 0
    latency: float | None = None
    cycle: float | None = None
    succeeded_at: float | None = None
    moved_at: float = _NEVER
    """When a call of it was last begun or ended, or a part of it put off or ended without a call."""
    tightened_at: float = _NEVER
    """When this process itself last brought a block or a failure onto it."""

    def heartbeat(self, now: float) -> list[int]:
        """The lane's entry in the heartbeat; see `LaneStates.summary`."""
        seen = [] if self.succeeded_at is None else [int(now - self.succeeded_at)]
        return [self.in_flight, round((self.latency or 0.0) * 1000), round((self.cycle or 0.0) * 1000), *seen]


@dataclass(frozen=True, slots=True)
class _Alone:
    """An account that this process does not use for a while, though others may."""

    until: float
    why: str = ""
    """Empty: the others are in no better place."""
    is_wrong: bool = False
    """Its settings here are wrong; False: its vendor was not reached from here."""
    tries: int = 0
    """Connections that failed in a row."""
    thread: int | None = None
    """The thread that tries it again, while the others go on resting."""


class LaneStates:
    """Paces, latency and calls in flight, by lane. A lane that was not used for a while is forgotten."""

    def __init__(self, monotonic: Callable[[], float], idle_s: float = IDLE_S, rules: LaneRules = RULES):
        self._monotonic, self._idle_s, self._rules = monotonic, max(IDLE_S, idle_s), rules
        self._guard = threading.Lock()
        self._paces: dict[str, LaneState] = {}
        """Lanes and accounts whose pace says something; by the clock of this process."""
        self._alone: dict[str, _Alone] = {}
        self._lanes: dict[str, _Lane] = {}
        self._in_flight: dict[str, int] = {}
        """Calls in flight by account; an account without any has no entry."""
        self._last_end = 0.0

    # -- paces --------------------------------------------------------------------------------------------------------

    def clock(self) -> int:
        """Microseconds of this process's monotonic clock, by which its paces are."""
        return int(self._monotonic() * SECOND)

    def apply(self, change: LaneChange) -> None:
        """Moves the pace of a lane, and of its account where that counts for it, as SQL does for all processes."""
        names, now = {change.lane, account_of(change.lane)}, self.clock()
        with self._guard:
            before = {name: self._paces.get(name) for name in names}
            apply_change(self._paces, change, now, self._rules, self._out(change.lane))
            for name in names:
                pace, used = self._paces.get(name), self._of(name)
                if isinstance(change, LaneBlock) and pace != before[name]:
                    used.tightened_at = used.used_at
                self._keep(name, pace, now)

    def learn(self, names: Iterable[str], paces: Mapping[str, LaneState]) -> None:
        """Takes over what SQL says of these lanes and accounts, by this process's clock, and of no others.

        A block that SQL does not have any more was lifted by another process or a person, so it ends here, too; unless
        this process wrote it so recently that SQL may not have it yet.
        """
        now = self.clock()
        with self._guard:
            for name in names:
                used, mine, theirs = self._of(name), self._paces.get(name), paces.get(name)
                if mine and used.used_at - used.tightened_at < YOUNG_S:
                    theirs = strictest(mine, theirs) if theirs else mine
                self._keep(name, theirs, now)

    def _keep(self, name: str, pace: LaneState | None, now: int) -> None:
        if pace is None or pace.is_clear(now):
            self._paces.pop(name, None)
        else:
            self._paces[name] = pace

    def open(self, name: str) -> None:
        """Lifts the block of a lane or an account at once, in this process alone."""
        with self._guard:
            if pace := self._paces.get(name):
                self._keep(name, replace(pace, blocked_until=0), self.clock())

    def room(self, lane: str, *, has_permit: bool = False) -> Capacity:
        """How many more calls of the lane may begin in this process, as far as it knows; see `room_of`."""
        if self._alone and (alone := self._rest(lane)):
            return Capacity(0, int(alone.until * SECOND))
        return self._room(lane, has_permit=has_permit)

    def _room(self, lane: str, *, has_permit: bool = False) -> Capacity:
        """The same by what holds for all processes."""
        if not self._paces:
            return FREE
        names = (lane, account_of(lane))
        paces = [(pace, self._out(name)) for name in names if (pace := self._paces.get(name))]
        return capacity_of(paces, self.clock(), has_permit=has_permit) if paces else FREE

    def closed(self, lane: str) -> bool:
        """True while the lane or its account is blocked, for all or for this process."""
        return self.room(lane).blocked_until > 0

    def closed_for(self, lane: str) -> float:
        """Seconds until the lane and its account are blocked no more for all processes; 0 where neither is."""
        return max(0, self._room(lane).blocked_until - self.clock()) / SECOND

    def needs_feedback(self, lane: str) -> tuple[str, ...]:
        """The lane and its account, as far as the next answer must update their rows; usually neither."""
        if not self._paces:
            return ()
        names = (lane, account_of(lane))
        return tuple(name for name in names if (pace := self._paces.get(name)) and pace.needs_answer)

    def in_a_row(self, lane: str) -> int:
        """How many calls of the lane, or of its account, said one after another that the vendor is ill."""
        if not self._paces:
            return 0
        paces = (self._paces.get(name) for name in (lane, account_of(lane)))
        return max(pace.failures if pace else 0 for pace in paces)

    # -- this process alone -------------------------------------------------------------------------------------------

    def do_without(self, account: str, delay: float, why: str) -> None:
        """Notes that this process cannot use an account as it is configured, and tries it again in so many seconds."""
        self._alone[account] = _Alone(self._monotonic() + delay, why, is_wrong=True)

    def can_use(self, account: str) -> None:
        """Notes that the account was mended: its parts are tried again at once."""
        self._alone.pop(account, None)

    def leave_to_others(self, account: str, delay: float, why: str) -> None:
        """Notes that this process does not reach an account's vendor, and tries again in so many seconds."""
        self._alone[account] = _Alone(self._monotonic() + delay, why, tries=self._tries(account))

    def unreachable(self, account: str, rng: random.Random) -> float | None:
        """Leaves an account alone whose host could not be reached; returns for how many seconds.

        The pause grows to a minute, with jitter. None: this try began before the account was blocked, or left alone.
        """
        with self._guard:
            # One fault that many threads meet counts once.
            if self.room(account, has_permit=True).blocked_until:
                return None
            tries = self._tries(account) + 1
            delay = min(60.0, 2.0 ** min(tries, 6)) * rng.uniform(0.5, 1.0)
            self._alone[account] = _Alone(self._monotonic() + delay, tries=tries)
        return delay

    @contextmanager
    def trying(self, lane: str) -> Iterator[bool]:
        """Lets one thread at a time try an account again that was not reached; True: this one, and with one call."""
        account, me = account_of(lane), threading.get_ident()
        with self._guard:
            alone = self._alone.get(account)
            tries = alone is not None and alone.tries > 0 and self._rest(lane) is None
            if alone and tries:
                self._alone[account] = replace(alone, thread=me)
        try:
            yield tries
        finally:
            with self._guard:
                if tries and (alone := self._alone.get(account)) and alone.thread == me:
                    self._alone[account] = replace(alone, thread=None)

    def _tries(self, account: str) -> int:
        alone = self._alone.get(account)
        return alone.tries if alone else 0

    def reached(self, account: str) -> None:
        """Notes an answer of the account's host: the next failed connection pauses it briefly again."""
        if (alone := self._alone.get(account)) and not alone.is_wrong:
            self._alone.pop(account, None)

    def does_without(self, lane: str) -> bool:
        """True while parts of the lane are for other processes, or for the thread that tries its account again."""
        alone = self._rest(lane)
        return alone is not None and (alone.why != "" or alone.thread is not None)

    def _rest(self, lane: str) -> _Alone | None:
        """Why this process does not use the lane's account now; None: it does."""
        alone = self._alone.get(account_of(lane))
        if alone is None or (self._monotonic() >= alone.until and alone.thread in (None, threading.get_ident())):
            return None
        return alone

    def unusable(self) -> dict[str, str]:
        """The accounts that this process could not use lately as they are configured, and what to change."""
        return self._told(is_wrong=True)

    def left(self) -> dict[str, str]:
        """The accounts whose vendor this process did not reach lately, though others may, and why."""
        return self._told(is_wrong=False)

    def _told(self, *, is_wrong: bool) -> dict[str, str]:
        # Not for longer: it was tried again meanwhile and is usable, or has no job that would show it.
        since, alone = self._monotonic() - ALONE_TOLD_S, list(self._alone.items())
        return {name: its.why for name, its in alone if its.why and its.is_wrong is is_wrong and its.until >= since}

    # -- calls --------------------------------------------------------------------------------------------------------

    def begin_call(self, lane: str, deadline_s: float) -> None:
        """Counts a call in flight, which ends within `deadline_s` seconds."""
        account = account_of(lane)
        with self._guard:
            state = self._of(lane)
            state.in_flight += 1
            state.moved_at = state.used_at
            self._in_flight[account] = self._in_flight.get(account, 0) + 1
            self._last_end = max(self._last_end, state.used_at + deadline_s)

    def end_call(self, lane: str) -> None:
        """Counts a call as ended."""
        account = account_of(lane)
        with self._guard:
            # A lane with a call in flight is never forgotten.
            self._of(lane).in_flight -= 1
            self._in_flight[account] -= 1
            if not self._in_flight[account]:
                del self._in_flight[account]

    def _out(self, name: str) -> int:
        """Calls of a lane or an account in flight."""
        lane = self._lanes.get(name)
        return self._in_flight.get(name, lane.in_flight if lane else 0)

    def succeeded(self, lane: str) -> None:
        """Notes that the vendor accepted a call of this lane just now."""
        state = self._of(lane)
        state.succeeded_at = state.used_at

    def _of(self, lane: str) -> _Lane:
        """The record of a lane, which is marked as used now."""
        now = self._monotonic()
        state = self._lanes.get(lane)
        if state is None:
            state = self._lanes.setdefault(lane, _Lane(now))
        state.used_at = now
        return state

    def took(self, lane: str, seconds: float) -> None:
        """Adds one call's duration to the lane's mean."""
        state = self._of(lane)
        state.latency, state.moved_at = _mean(state.latency, seconds), state.used_at

    def moved(self, lane: str) -> None:
        """Notes that parts of the lane were put off, or ended without a call; not that this process passes them on."""
        if not self.does_without(lane):
            state = self._of(lane)
            state.moved_at = state.used_at

    def cycled(self, lane: str, seconds: float) -> None:
        """Adds the time for which one part held a slot, from its preparation to its end, to the lane's mean."""
        state = self._of(lane)
        state.cycle, state.moved_at = _mean(state.cycle, seconds), state.used_at

    def cycle(self, lane: str) -> float:
        """The running mean of the seconds for which a part holds a slot."""
        state = self._lanes.get(lane)
        return 0.1 if state is None or state.cycle is None else state.cycle

    def latency(self, lane: str, default: float = 0.05) -> float:
        """The running mean of a lane's call duration in seconds."""
        state = self._lanes.get(lane)
        return default if state is None or state.latency is None else state.latency

    def longest_s(self) -> float:
        """Seconds until the last deadline of any call made so far; the deadline of an upload grows with its file."""
        return max(0.0, self._last_end - self._monotonic())

    def in_flight(self) -> int:
        """Calls in flight now, over all lanes."""
        with self._guard:
            return sum(self._in_flight.values())

    def summary(self) -> dict[str, list[int]]:
        """What the heartbeat says of each lane of which a part moved lately; idle lanes are forgotten by this call.

        Lane -> [calls in flight, ms a call takes, ms a part takes in its thread], and behind them, where there was a
        success, the whole seconds since the last one.
        """
        now = self._monotonic()
        self._forget(now)
        # A copy in one step, so that no thread that begins a call waits while the summary is made.
        lanes = list(self._lanes.items())
        since = now - self._idle_s
        return {lane: state.heartbeat(now) for lane, state in lanes if state.in_flight or state.moved_at >= since}

    def _forget(self, now: float) -> None:
        """Drops all that is known of idle lanes."""
        # Looked for without the lock, which every call takes; what has changed since is checked again under it.
        idle = [lane for lane, state in list(self._lanes.items()) if self._is_idle(lane, state, now)]
        for at in range(0, len(idle), AT_ONCE):
            with self._guard:
                for lane in idle[at : at + AT_ONCE]:
                    if self._is_idle(lane, self._lanes[lane], now):
                        del self._lanes[lane]
                        self._paces.pop(lane, None)

    def _is_idle(self, lane: str, state: _Lane, now: float) -> bool:
        """True for a lane or account that is not used, not blocked, and has no call in flight."""
        if state.used_at >= now - self._idle_s or state.in_flight or lane in self._in_flight:
            return False
        pace = self._paces.get(lane)
        return pace is None or pace.blocked_until <= now * SECOND


def _mean(mean: float | None, seconds: float) -> float:
    return seconds if mean is None else mean + _WEIGHT * (seconds - mean)
