"""What this process knows of its lanes without asking SQL: blocked until when, how long calls take, how many are out.

A block is written to SQL by the writer; the gate stops the other threads of this process at once.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from worker.domain.lane import account_of

N = TypeVar("N", int, float)

_WEIGHT = 0.2
"""Of the newest sample in the running mean of a lane's latency."""

_NOTHING: Mapping[str, int] = {}
_NEVER = float("-inf")

MOST_OUT = 16
"""Calls in the air that are let fail besides those that stop a lane: with hundreds of threads each would cost one more.
Sixteen more in a row are no accident, even where the vendor refuses every other call.
"""
YOUNG_S = 5.0
"""A block of our own may need so long to get into SQL; until then SQL's not knowing it proves nothing."""
IDLE_S = 60.0
"""A lane that was not used for so long is forgotten: lanes may be as many as chats or members."""
AT_ONCE = 100
"""So many are forgotten under one hold of the lock."""


@dataclass(slots=True)
class _Lane:
    """What the calls of a lane have shown."""

    used_at: float
    air: int = 0
    latency: float | None = None
    cycle: float | None = None
    succeeded_at: float | None = None

    def told(self, now: float) -> list[int]:
        """Its entry in the heartbeat."""
        seen = [] if self.succeeded_at is None else [int(now - self.succeeded_at)]
        return [self.air, round((self.latency or 0.0) * 1000), round((self.cycle or 0.0) * 1000), *seen]


class LaneStates:
    """Blocks, latency and calls in the air, by lane; of lanes that were not used for a while it knows nothing."""

    def __init__(self, monotonic: Callable[[], float], idle_s: float = IDLE_S):
        self._monotonic, self._idle_s = monotonic, max(IDLE_S, idle_s)
        self._guard = threading.Lock()
        self._closed: dict[str, float] = {}
        self._stopped: dict[str, float] = {}
        """Those of them that are closed for something else than a limit of ours that is used up."""
        self._closed_at: dict[str, float] = {}
        """When this process itself closed a lane last."""
        self._unknown: dict[str, float] = {}
        """Accounts that this process cannot use as it is configured, and until when it does not look again."""
        self._lanes: dict[str, _Lane] = {}
        self._air: dict[str, int] = {}
        """Calls in the air by account; those without are not in it."""
        self._last_end = 0.0
        self._failures: dict[str, int] = {}
        self._calls: dict[str, int] = {}
        self._uneasy: set[str] = set()
        self._in_a_row: dict[str, int] = {}
        """Calls of a lane or account in a row, as SQL told, that say the vendor is ill."""
        self._streak: dict[str, int] = {}
        """How many more of them in this process alone make it stop."""
        self._noted_at: dict[str, float] = {}
        """When this process itself brought something on a lane."""

    def close(self, lane: str, delay: float, *, used_up: bool = False) -> None:
        """Blocks a lane (or an account) for so many seconds; `used_up`: by a limit of ours, so what has room may go."""
        with self._guard:
            self._close(lane, delay, (self._closed,) if used_up else (self._closed, self._stopped))

    def _close(self, lane: str, delay: float, ends: Iterable[dict[str, float]]) -> None:
        now = self._of(lane).used_at
        for end in ends:
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
        """Take over what SQL says of these lanes and accounts, and of no others.

        Instants are microseconds to go. A block that SQL does not know any more was lifted by another process.

        `calls`: how many may be in the air. `needs_feedback`: lanes and accounts whose row the next answer must update.
        `used_up`: those that are blocked only by a limit of ours. `in_a_row`: calls that say the vendor is ill.
        """
        now = self._monotonic()
        with self._guard:
            for name in names:
                self._of(name)
                until = now + blocked.get(name, 0) / 1_000_000
                is_ours = now - self._closed_at.get(name, _NEVER) < YOUNG_S
                for ends, told in ((self._closed, until), (self._stopped, now if name in used_up else until)):
                    _keep(ends, name, max(told, ends.get(name, 0.0)) if is_ours else told, now)
                _keep(self._calls, name, calls.get(name, 0), 0)
                (self._uneasy.add if name in needs_feedback else self._uneasy.discard)(name)
                _keep(self._in_a_row, name, in_a_row.get(name, 0), 0)
                _keep(self._closed_at, name, self._closed_at.get(name, _NEVER), now - YOUNG_S)
                _keep(self._noted_at, name, self._noted_at.get(name, _NEVER), now - YOUNG_S)

    def open(self, lane: str) -> None:
        """Lifts a block at once."""
        with self._guard:
            self._closed.pop(lane, None)
            self._stopped.pop(lane, None)

    def do_without(self, account: str, delay: float) -> None:
        """This process cannot use an account, and looks again after so many seconds; others may know it."""
        self._unknown[account] = self._monotonic() + delay

    def does_without(self, lane: str) -> bool:
        """True while parts of the lane are for other processes."""
        return bool(self._unknown) and self._monotonic() < self._unknown.get(account_of(lane), 0.0)

    def closed(self, lane: str) -> bool:
        """True while the lane or its account is blocked, for all or for this process."""
        now = self._monotonic()
        if self.does_without(lane):
            return True
        return now < self._closed.get(lane, 0.0) or now < self._closed.get(account_of(lane), 0.0)

    def stopped(self, lane: str) -> bool:
        """True while the lane or its account is blocked for those too who have room in every limit."""
        now = self._monotonic()
        return now < self._stopped.get(lane, 0.0) or now < self._stopped.get(account_of(lane), 0.0)

    def is_bound(self, lane: str) -> bool:
        """True while there is a number of calls that the lane, or its account, may have out in all."""
        return lane in self._calls or account_of(lane) in self._calls

    def full(self, lane: str) -> bool:
        """True while this process alone has as many calls out as its lane, or its account, may have in all."""
        account = account_of(lane)
        mine = self._calls.get(lane), self._calls.get(account)
        if mine == (None, None):
            return False
        with self._guard:
            known = self._lanes.get(lane)
            out = known.air if known else 0, self._air.get(account, 0)
        return any(most is not None and n >= most for n, most in zip(out, mine, strict=True))

    def note(self, lane: str) -> None:
        """Something is about to stand on this lane or account; the next answer means something to it."""
        with self._guard:
            self._noted_at[lane] = self._of(lane).used_at

    def needs_feedback(self, lane: str) -> tuple[str, ...]:
        """The lane and its account, as far as an answer means something to them."""
        if not self._uneasy and not self._noted_at:
            return ()
        names = (lane, account_of(lane))
        return tuple(name for name in names if name in self._uneasy or name in self._noted_at)

    def in_a_row(self, lane: str) -> int:
        """So many calls of the lane, or of its account, said one after the other that the vendor is ill."""
        known = self._in_a_row
        return max(known.get(lane, 0), known.get(account_of(lane), 0)) if known else 0

    def succeeded(self, lane: str) -> None:
        """The vendor took a call of this lane just now."""
        known = self._of(lane)
        known.succeeded_at = known.used_at

    def ailed(self, name: str, most: int, rest_s: float) -> None:
        """A call of the lane or account says that the vendor is ill.

        After so many in a row, besides those that were in the air when the row began (`MOST_OUT` at most), this process
        makes no call for so long, whatever is offered to it. By then SQL holds what all processes have found.
        """
        with self._guard:
            left = self._streak.get(name) or most + min(MOST_OUT, self._out(name))
            if left > 1:
                self._streak[name] = left - 1
                return
            self._streak.pop(name, None)
            self._close(name, rest_s, (self._closed, self._stopped))

    def _out(self, name: str) -> int:
        """Calls of a lane or account in the air."""
        known = self._lanes.get(name)
        return self._air.get(name, known.air if known else 0)

    def well(self, lane: str) -> None:
        """A call of the lane says the opposite."""
        if not self._streak:
            return
        names = [name for name in (lane, account_of(lane)) if name in self._streak]
        if names:
            with self._guard:
                for name in names:
                    self._streak.pop(name, None)

    def failed(self, account: str, rng: random.Random) -> float | None:
        """A connection could not be made: block the account, and return for how many seconds.

        The pause grows to a minute, with jitter. None: the account is blocked, so this try began before that; one fault
        that many threads meet counts once.
        """
        with self._guard:
            if self._monotonic() < self._stopped.get(account, 0.0):
                return None
            count = self._failures[account] = self._failures.get(account, 0) + 1
            delay = min(60.0, 2.0 ** min(count, 6)) * rng.uniform(0.5, 1.0)
            self._close(account, delay, (self._closed, self._stopped))
        return delay

    def reached(self, account: str) -> None:
        """An answer came."""
        self._failures.pop(account, None)

    @contextmanager
    def call(self, lane: str, deadline_s: float) -> Iterator[None]:
        """Counts a call in the air, which ends within `deadline_s`."""
        account = account_of(lane)
        with self._guard:
            known = self._of(lane)
            known.air += 1
            self._air[account] = self._air.get(account, 0) + 1
            self._last_end = max(self._last_end, known.used_at + deadline_s)
        try:
            yield
        finally:
            with self._guard:
                known.air -= 1
                known.used_at = self._monotonic()
                _keep(self._air, account, self._air[account] - 1, 0)

    def _of(self, lane: str) -> _Lane:
        """The lane, which is used now."""
        now = self._monotonic()
        known = self._lanes.get(lane)
        if known is None:
            known = self._lanes.setdefault(lane, _Lane(now))
        known.used_at = now
        return known

    def took(self, lane: str, seconds: float) -> None:
        """One call's duration."""
        known = self._of(lane)
        known.latency = _mean(known.latency, seconds)

    def cycled(self, lane: str, seconds: float) -> None:
        """One part's whole way in its thread, from the mark to the next."""
        known = self._of(lane)
        known.cycle = _mean(known.cycle, seconds)

    def cycle(self, lane: str) -> float:
        """The running mean of a part's whole way in seconds."""
        known = self._lanes.get(lane)
        return 0.1 if known is None or known.cycle is None else known.cycle

    def latency(self, lane: str, default: float = 0.05) -> float:
        """The running mean of a lane's call duration in seconds."""
        known = self._lanes.get(lane)
        return default if known is None or known.latency is None else known.latency

    def longest_s(self) -> float:
        """Seconds until the last deadline of any call made so far; an upload's is as long as its file."""
        return max(0.0, self._last_end - self._monotonic())

    def in_the_air(self) -> int:
        """Calls out now, over all lanes."""
        with self._guard:
            return sum(self._air.values())

    def summary(self) -> dict[str, list[int]]:
        """What the heartbeat tells of each lane that was used lately.

        Lane -> [calls in the air, ms a call takes, ms a part's whole way takes], and behind them, where there was a
        success, the whole seconds since the last one. Other lanes are forgotten by this call.
        """
        now = self._monotonic()
        self._forget(now)
        lanes = list(self._lanes.items())  # at once: no thread that begins a call waits for the rest
        return {lane: known.told(now) for lane, known in lanes if known.air or known.latency is not None}

    def _forget(self, now: float) -> None:
        """Everything of idle lanes. They are looked for without the lock, which every call takes."""
        idle = [lane for lane, known in list(self._lanes.items()) if self._is_idle(lane, known, now)]
        for at in range(0, len(idle), AT_ONCE):
            with self._guard:
                for lane in idle[at : at + AT_ONCE]:
                    if self._is_idle(lane, self._lanes[lane], now):
                        self._let_go(lane)

    def _is_idle(self, lane: str, known: _Lane, now: float) -> bool:
        """Not used, not blocked, and (an account) without a call in the air."""
        is_out = known.air or lane in self._air
        return known.used_at < now - self._idle_s and not is_out and self._closed.get(lane, 0.0) <= now

    def _let_go(self, lane: str) -> None:
        del self._lanes[lane]
        for times in (self._closed, self._stopped, self._closed_at, self._noted_at):
            times.pop(lane, None)
        for counts in (self._calls, self._in_a_row, self._streak):
            counts.pop(lane, None)
        self._uneasy.discard(lane)


def _keep(known: dict[str, N], name: str, value: N, nothing: N) -> None:
    """What is no more than nothing is forgotten."""
    if value > nothing:
        known[name] = value
    else:
        known.pop(name, None)


def _mean(known: float | None, seconds: float) -> float:
    return seconds if known is None else known + _WEIGHT * (seconds - known)
