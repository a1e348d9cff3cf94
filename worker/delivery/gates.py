"""What this process knows of its lanes without asking SQL: blocked until when, how long calls take, how many are out.

A block is written to SQL by the writer; the gate stops the other threads of this process at once.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from worker.outbox.lanes import account_of

N = TypeVar("N", int, float)

_WEIGHT = 0.2
"""Of the newest sample in the running mean of a lane's latency."""

_NOTHING: Mapping[str, int] = {}
_NEVER = float("-inf")

YOUNG_S = 5.0
"""A block of our own may need so long to get into SQL; until then SQL's not knowing it proves nothing."""


class Gates:
    """Blocks, latency and calls in the air, by lane."""

    def __init__(self, monotonic: Callable[[], float]):
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._closed: dict[str, float] = {}
        self._stopped: dict[str, float] = {}
        """Those of them that are closed for something else than a limit of ours that is used up."""
        self._closed_at: dict[str, float] = {}
        """When this process itself closed a lane last."""
        self._unknown: dict[str, float] = {}
        """Accounts that this process cannot use as it is configured, and until when it does not look again."""
        self._latency: dict[str, float] = {}
        self._cycle: dict[str, float] = {}
        self._last_end = 0.0
        self._air: dict[str, int] = {}
        self._failures: dict[str, int] = {}
        self._calls: dict[str, int] = {}
        self._uneasy: set[str] = set()
        self._noted_at: dict[str, float] = {}
        """When this process itself brought something on a lane."""
        self._succeeded: dict[str, float] = {}

    def close(self, lane: str, delay: float, *, used_up: bool = False) -> None:
        """Blocks a lane (or an account) for so many seconds; `used_up`: by a limit of ours, so what has room may go."""
        with self._guard:
            self._close(lane, delay, (self._closed,) if used_up else (self._closed, self._stopped))

    def _close(self, lane: str, delay: float, ends: Iterable[dict[str, float]]) -> None:
        now = self._monotonic()
        for end in ends:
            end[lane] = max(end.get(lane, 0.0), now + delay)
        self._closed_at[lane] = now

    def learn(
        self,
        names: Iterable[str],
        blocked: Mapping[str, int] = _NOTHING,
        calls: Mapping[str, int] = _NOTHING,
        uneasy: Collection[str] = (),
        used_up: Collection[str] = (),
    ) -> None:
        """Takes over what SQL says of these lanes and accounts, and of no others (microseconds to go); a block it does
        not know any more was lifted by somebody.

        `calls`: how many may be in the air; `uneasy`: those that an answer means something to; `used_up`: those that
        are blocked by nothing but a limit of ours.
        """
        now = self._monotonic()
        with self._guard:
            for name in names:
                until = now + blocked.get(name, 0) / 1_000_000
                is_ours = now - self._closed_at.get(name, _NEVER) < YOUNG_S
                for ends, told in ((self._closed, until), (self._stopped, now if name in used_up else until)):
                    _keep(ends, name, max(told, ends.get(name, 0.0)) if is_ours else told, now)
                _keep(self._calls, name, calls.get(name, 0), 0)
                (self._uneasy.add if name in uneasy else self._uneasy.discard)(name)
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
            out = self._air.get(lane, 0), sum(n for name, n in self._air.items() if account_of(name) == account)
        return any(most is not None and n >= most for n, most in zip(out, mine, strict=True))

    def note(self, lane: str) -> None:
        """Something is about to stand on this lane or account; the next answer means something to it."""
        with self._guard:
            self._noted_at[lane] = self._monotonic()

    def uneasy(self, lane: str) -> tuple[str, ...]:
        """The lane and its account, as far as an answer means something to them."""
        if not self._uneasy and not self._noted_at:
            return ()
        names = (lane, account_of(lane))
        return tuple(name for name in names if name in self._uneasy or name in self._noted_at)

    def succeeded(self, lane: str) -> None:
        """The vendor took a call of this lane just now."""
        self._succeeded[lane] = self._monotonic()

    def failed(self, account: str, rng: random.Random) -> float | None:
        """A connection could not be made: blocks the account and returns for how many seconds, growing to a minute,
        with jitter. None: it is blocked, so this try began before that; one fault that many threads meet is one.
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
        with self._guard:
            self._air[lane] = self._air.get(lane, 0) + 1
            self._last_end = max(self._last_end, self._monotonic() + deadline_s)
        try:
            yield
        finally:
            with self._guard:
                self._air[lane] -= 1

    def took(self, lane: str, seconds: float) -> None:
        """One call's duration."""
        known = self._latency.get(lane)
        self._latency[lane] = seconds if known is None else known + _WEIGHT * (seconds - known)

    def cycled(self, lane: str, seconds: float) -> None:
        """One part's whole way in its thread, from the mark to the next."""
        known = self._cycle.get(lane)
        self._cycle[lane] = seconds if known is None else known + _WEIGHT * (seconds - known)

    def cycle(self, lane: str) -> float:
        """The running mean of a part's whole way in seconds."""
        return self._cycle.get(lane, 0.1)

    def latency(self, lane: str, default: float = 0.05) -> float:
        """The running mean of a lane's call duration in seconds."""
        return self._latency.get(lane, default)

    def longest_s(self) -> float:
        """Seconds until the last deadline of any call made so far; an upload's is as long as its file."""
        return max(0.0, self._last_end - self._monotonic())

    def in_the_air(self) -> int:
        """Calls out now, over all lanes."""
        with self._guard:
            return sum(self._air.values())

    def summary(self) -> dict[str, list[int]]:
        """Lane -> [calls in the air, ms a call takes, ms a part's whole way takes], for the heartbeat; behind them,
        where there was one, the whole seconds since the last success.
        """
        now = self._monotonic()
        with self._guard:
            lanes = sorted(set(self._air) | set(self._latency))
            seen = {lane: [int(now - at)] for lane, at in self._succeeded.items()}
            return {
                lane: [self._air.get(lane, 0), _ms(self._latency, lane), _ms(self._cycle, lane), *seen.get(lane, ())]
                for lane in lanes
            }


def _keep(known: dict[str, N], name: str, value: N, nothing: N) -> None:
    """What is no more than nothing is forgotten."""
    if value > nothing:
        known[name] = value
    else:
        known.pop(name, None)


def _ms(seconds: Mapping[str, float], lane: str) -> int:
    return round(seconds.get(lane, 0.0) * 1000)
