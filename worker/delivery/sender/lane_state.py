"""What one process knows of its lanes without asking SQL: blocks, call durations, calls in flight.

A block is also written to SQL, for all processes; noted here, it stops the other threads of this process at once.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from worker.domain.pacing.lane import account_of

N = TypeVar("N", int, float)

_WEIGHT = 0.2
"""Weight of the newest sample in the running means of a lane."""

_NOTHING: Mapping[str, int] = {}
_NEVER = float("-inf")

MOST_OUT = 16
"""Calls that were in flight when a row of failures began, and may fail too before the lane stops, at most.

With hundreds of threads each call in flight would otherwise cost one more. Sixteen more failures in a row are no
accident, even where the vendor refuses every other call.
"""
YOUNG_S = 5.0
"""Seconds that a block of this process may need to get into SQL; until then a block that SQL lacks is kept."""
IDLE_S = 60.0
"""Seconds without use after which a lane is forgotten; there may be as many lanes as chats or members."""
UNUSABLE_TOLD_S = 10.0
"""Seconds for which an account is still told of as unusable after the time in which it is not tried."""
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

    def heartbeat(self, now: float) -> list[int]:
        """The lane's entry in the heartbeat; see `LaneStates.summary`."""
        seen = [] if self.succeeded_at is None else [int(now - self.succeeded_at)]
        return [self.in_flight, round((self.latency or 0.0) * 1000), round((self.cycle or 0.0) * 1000), *seen]


class LaneStates:
    """Blocks, latency and calls in flight, by lane. A lane that was not used for a while is forgotten."""

    def __init__(self, monotonic: Callable[[], float], idle_s: float = IDLE_S):
        self._monotonic, self._idle_s = monotonic, max(IDLE_S, idle_s)
        self._guard = threading.Lock()
        self._closed: dict[str, float] = {}
        self._stopped: dict[str, float] = {}
        """Lanes in `_closed` that are blocked by something else than a used-up limit of ours, and until when."""
        self._closed_at: dict[str, float] = {}
        """When this process itself closed a lane last."""
        self._unusable: dict[str, tuple[float, str]] = {}
        """Accounts that this process cannot use as it is configured: until when it does not try them again, and why."""
        self._left: dict[str, tuple[float, str]] = {}
        """Accounts whose vendor this process did not reach: until when it leaves them to other processes, and why."""
        self._lanes: dict[str, _Lane] = {}
        self._in_flight: dict[str, int] = {}
        """Calls in flight by account; an account without any has no entry."""
        self._last_end = 0.0
        self._failures: dict[str, int] = {}
        self._calls: dict[str, int] = {}
        self._wants_feedback: set[str] = set()
        self._in_a_row: dict[str, int] = {}
        """Calls of a lane or account in a row, as read from SQL, that say the vendor is ill."""
        self._streak: dict[str, int] = {}
        """How many more such calls of this process alone stop the lane or account here."""
        self._noted_at: dict[str, float] = {}
        """When this process itself last brought a penalty or a failure onto a lane or account."""

    def close(self, lane: str, delay: float, *, used_up: bool = False) -> None:
        """Blocks a lane or an account for so many seconds.

        `used_up`: by a limit of ours, so calls that have a permit may still be made.
        """
        with self._guard:
            self._close(lane, delay, (self._closed,) if used_up else (self._closed, self._stopped))

    def _close(self, lane: str, delay: float, ends: Iterable[dict[str, float]]) -> None:
        now = self._of(lane).used_at
        for end in ends:
            # Of two blocks the later end counts: a short wait must not lift a long one.
            end[lane] = max(end.get(lane, 0.0), now + delay)
        self._closed_at[lane] = now

    def learn(
        self,
        names: Iterable[str],
        blocked: Mapping[str, int] = _NOTHING,
        calls: Mapping[str, int] = _NOTHING,
        needs_feedback: Collection[str] = (),
        used_up: Collection[str] = (),
        in_a_row: Mapping[str, int] = _NOTHING,
    ) -> None:
        """Takes over what SQL says of these lanes and accounts, and of no others.

        `blocked`: microseconds that a block still lasts. `calls`: how many may be in flight. `needs_feedback`: lanes
        and accounts whose row the next answer must update. `used_up`: lanes and accounts that are blocked only by a
        limit of ours. `in_a_row`: calls one after another that say the vendor is ill.
        """
        now = self._monotonic()
        with self._guard:
            for name in names:
                self._of(name)
                # A block that SQL does not have any more was lifted by another process or a person, so it ends here,
                # too; unless this process wrote it so recently that SQL may not have it yet.
                until = now + blocked.get(name, 0) / 1_000_000
                is_ours = now - self._closed_at.get(name, _NEVER) < YOUNG_S
                for ends, end in ((self._closed, until), (self._stopped, now if name in used_up else until)):
                    _keep(ends, name, max(end, ends.get(name, 0.0)) if is_ours else end, now)
                _keep(self._calls, name, calls.get(name, 0), 0)
                (self._wants_feedback.add if name in needs_feedback else self._wants_feedback.discard)(name)
                _keep(self._in_a_row, name, in_a_row.get(name, 0), 0)
                _keep(self._closed_at, name, self._closed_at.get(name, _NEVER), now - YOUNG_S)
                _keep(self._noted_at, name, self._noted_at.get(name, _NEVER), now - YOUNG_S)

    def open(self, lane: str) -> None:
        """Lifts a block at once."""
        with self._guard:
            self._closed.pop(lane, None)
            self._stopped.pop(lane, None)

    def do_without(self, account: str, delay: float, why: str) -> None:
        """Notes that this process cannot use an account, for so many seconds; other processes may know it."""
        self._unusable[account] = (self._monotonic() + delay, why)

    def can_use(self, account: str) -> None:
        """Notes that the account was mended: its parts are tried again at once."""
        self._unusable.pop(account, None)
        self._left.pop(account, None)

    def leave_to_others(self, account: str, delay: float, why: str) -> None:
        """Notes that this process does not reach an account's vendor, and tries again in so many seconds."""
        self._left[account] = (self._monotonic() + delay, why)

    def does_without(self, lane: str) -> bool:
        """True while parts of the lane are for other processes."""
        if not self._unusable and not self._left:
            return False
        account, never = account_of(lane), (_NEVER, "")
        return self._monotonic() < max(self._unusable.get(account, never)[0], self._left.get(account, never)[0])

    def unusable(self) -> dict[str, str]:
        """The accounts that this process could not use lately, and what to change; others are forgotten."""
        return self._told(self._unusable)

    def left(self) -> dict[str, str]:
        """The accounts whose vendor this process did not reach lately, and why; others are forgotten."""
        return self._told(self._left)

    def _told(self, accounts: dict[str, tuple[float, str]]) -> dict[str, str]:
        now = self._monotonic()
        # Tried again meanwhile and usable, or without any job that would show it.
        for account, (until, _) in list(accounts.items()):
            if until + UNUSABLE_TOLD_S < now:
                accounts.pop(account, None)
        return {account: why for account, (_, why) in list(accounts.items())}

    def closed(self, lane: str) -> bool:
        """True while the lane or its account is blocked, for all or for this process."""
        return self.does_without(lane) or self.closed_for(lane) > 0

    def closed_for(self, lane: str) -> float:
        """Seconds until the lane and its account are blocked no more; 0 where neither is."""
        ends = max(self._closed.get(lane, 0.0), self._closed.get(account_of(lane), 0.0))
        return max(0.0, ends - self._monotonic())

    def stopped(self, lane: str) -> bool:
        """True while the lane or its account is blocked by more than a limit, so also for calls that have a permit."""
        now = self._monotonic()
        return now < self._stopped.get(lane, 0.0) or now < self._stopped.get(account_of(lane), 0.0)

    def is_bound(self, lane: str) -> bool:
        """True while the lane, or its account, has a bound on its calls in flight, over all processes."""
        return lane in self._calls or account_of(lane) in self._calls

    def full(self, lane: str, beside: int = 0) -> bool:
        """True while this process alone has as many calls in flight as the lane, or its account, may have in all.

        `beside`: calls that are about to begin.
        """
        account = account_of(lane)
        mine = self._calls.get(lane), self._calls.get(account)
        if mine == (None, None):
            return False
        with self._guard:
            state = self._lanes.get(lane)
            out = state.in_flight if state else 0, self._in_flight.get(account, 0)
        return any(most is not None and n + beside >= most for n, most in zip(out, mine, strict=True))

    def note(self, lane: str) -> None:
        """Notes that a penalty or a failure is on its way into the row of this lane or account.

        Until SQL has it, the next answers are taken to update that row.
        """
        with self._guard:
            self._noted_at[lane] = self._of(lane).used_at

    def needs_feedback(self, lane: str) -> tuple[str, ...]:
        """The lane and its account, as far as the next answer must update their rows; usually neither."""
        if not self._wants_feedback and not self._noted_at:
            return ()
        names = (lane, account_of(lane))
        return tuple(name for name in names if name in self._wants_feedback or name in self._noted_at)

    def in_a_row(self, lane: str) -> int:
        """How many calls of the lane, or of its account, said one after another that the vendor is ill."""
        counts = self._in_a_row
        return max(counts.get(lane, 0), counts.get(account_of(lane), 0)) if counts else 0

    def succeeded(self, lane: str) -> None:
        """Notes that the vendor accepted a call of this lane just now."""
        state = self._of(lane)
        state.succeeded_at = state.used_at

    def ailed(self, name: str, most: int, rest_s: float) -> None:
        """Notes a call of the lane or account which says that the vendor is ill.

        After `most` of them in a row, besides the calls that were in flight when the row began (`MOST_OUT` at most),
        this process makes no call for `rest_s` seconds.
        """
        with self._guard:
            # Every process counts for itself at once; by the end of the rest SQL holds what all of them have found.
            left = self._streak.get(name) or most + min(MOST_OUT, self._out(name))
            if left > 1:
                self._streak[name] = left - 1
                return
            self._streak.pop(name, None)
            self._close(name, rest_s, (self._closed, self._stopped))

    def _out(self, name: str) -> int:
        """Calls of a lane or account in flight."""
        state = self._lanes.get(name)
        return self._in_flight.get(name, state.in_flight if state else 0)

    def well(self, lane: str) -> None:
        """Notes an answered call of the lane: the vendor is not ill, so counting begins anew."""
        if not self._streak:
            return
        names = [name for name in (lane, account_of(lane)) if name in self._streak]
        if names:
            with self._guard:
                for name in names:
                    self._streak.pop(name, None)

    def failed(self, account: str, rng: random.Random) -> float | None:
        """Blocks an account whose host could not be reached; returns for how many seconds.

        The pause grows to a minute, with jitter. None: the account is blocked already.
        """
        with self._guard:
            # This try began before the block: one fault that many threads meet counts once.
            if self._monotonic() < self._stopped.get(account, 0.0):
                return None
            count = self._failures[account] = self._failures.get(account, 0) + 1
            delay = min(60.0, 2.0 ** min(count, 6)) * rng.uniform(0.5, 1.0)
            self._close(account, delay, (self._closed, self._stopped))
        return delay

    def reached(self, account: str) -> None:
        """Notes an answer of the account's host: the next failed connection pauses it briefly again."""
        self._failures.pop(account, None)
        self._left.pop(account, None)

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
            _keep(self._in_flight, account, self._in_flight[account] - 1, 0)

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
                        self._let_go(lane)

    def _is_idle(self, lane: str, state: _Lane, now: float) -> bool:
        """True for a lane or account that is not used, not blocked, and has no call in flight."""
        is_out = state.in_flight or lane in self._in_flight
        return state.used_at < now - self._idle_s and not is_out and self._closed.get(lane, 0.0) <= now

    def _let_go(self, lane: str) -> None:
        del self._lanes[lane]
        for times in (self._closed, self._stopped, self._closed_at, self._noted_at):
            times.pop(lane, None)
        for counts in (self._calls, self._in_a_row, self._streak):
            counts.pop(lane, None)
        self._wants_feedback.discard(lane)


def _keep(values: dict[str, N], name: str, value: N, nothing: N) -> None:
    """Keeps a value above `nothing`; drops the entry otherwise."""
    if value > nothing:
        values[name] = value
    else:
        values.pop(name, None)


def _mean(mean: float | None, seconds: float) -> float:
    return seconds if mean is None else mean + _WEIGHT * (seconds - mean)
