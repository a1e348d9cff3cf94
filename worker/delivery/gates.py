"""What this process knows of its lanes without asking SQL: blocked until when, how long calls take, how many are out.

A block is written to SQL by the writer; the gate stops the other threads of this process at once.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from worker.outbox.lanes import account_of

_WEIGHT = 0.2
"""Of the newest sample in the running mean of a lane's latency."""

YOUNG_S = 5.0
"""A block of our own may need so long to get into SQL; until then SQL's not knowing it proves nothing."""


class Gates:
    """Blocks, latency and calls in the air, by lane."""

    def __init__(self, monotonic: Callable[[], float]):
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._closed: dict[str, float] = {}
        self._closed_at: dict[str, float] = {}
        """When this process itself closed a lane last."""
        self._latency: dict[str, float] = {}
        self._cycle: dict[str, float] = {}
        self._last_end = 0.0
        self._air: dict[str, int] = {}
        self._failures: dict[str, int] = {}

    def close(self, lane: str, delay: float) -> None:
        """Blocks a lane (or an account) for so many seconds."""
        now = self._monotonic()
        with self._guard:
            self._closed[lane] = max(self._closed.get(lane, 0.0), now + delay)
            self._closed_at[lane] = now

    def learn(self, blocked: Mapping[str, int]) -> None:
        """Takes over what SQL says (microseconds to go); a block it does not know any more was lifted by somebody."""
        now = self._monotonic()
        told = {lane: now + left / 1_000_000 for lane, left in blocked.items()}
        with self._guard:
            self._closed_at = {lane: at for lane, at in self._closed_at.items() if now - at < YOUNG_S}
            for lane in self._closed_at:
                told[lane] = max(self._closed.get(lane, 0.0), told.get(lane, 0.0))
            self._closed = {lane: until for lane, until in told.items() if until > now}

    def open(self, lane: str) -> None:
        """Lifts a block at once."""
        with self._guard:
            self._closed.pop(lane, None)

    def closed(self, lane: str) -> bool:
        """True while the lane or its account is blocked."""
        now = self._monotonic()
        return now < self._closed.get(lane, 0.0) or now < self._closed.get(account_of(lane), 0.0)

    def failed(self, account: str, rng: random.Random) -> float:
        """A connection could not be made: seconds to leave the account alone, growing to a minute, with jitter."""
        with self._guard:
            count = self._failures[account] = self._failures.get(account, 0) + 1
        return min(60.0, 2.0 ** min(count, 6)) * rng.uniform(0.5, 1.0)

    def reached(self, account: str) -> None:
        """A connection was made."""
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
        """Lane -> [calls in the air, ms a call takes, ms a part's whole way takes], for the heartbeat."""
        with self._guard:
            lanes = sorted(set(self._air) | set(self._latency))
            return {lane: [self._air.get(lane, 0), _ms(self._latency, lane), _ms(self._cycle, lane)] for lane in lanes}


def _ms(seconds: Mapping[str, float], lane: str) -> int:
    return round(seconds.get(lane, 0.0) * 1000)
