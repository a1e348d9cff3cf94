"""How much of a lane is offered: its share of the sender threads alive, in doorbells of about a second's work.

Accounts share by their weight, the lanes of an account evenly. A lane alone gets all threads but two; a slow lane (over
a second a call) a quarter of its share. Only those threads count that take from the lane's road. In a lane bulk goes
after normal, and gets its part of a lane that is full.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from worker.delivery.mixing import BULK_EVERY, OTHERS, mix
from worker.domain.road import Road
from worker.outbox.offering import Head
from worker.outbox.processes import Process

DOORBELL_S = 1.0
SLOW_MS = 1000
KEEP_FREE = 2


@dataclass(frozen=True, slots=True)
class Bell:
    """The ids of one doorbell."""

    ids: tuple[str, ...]
    bulk: bool
    """The lane has nothing but bulk."""
    owed: int
    """What is owed to bulk behind it."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one lane may have in the broker and in the threads."""

    size: int
    """Ids per doorbell."""
    window: int
    """Parts at the head of the lane that are kept offered."""
    urgent_window: int
    threads: int

    def bulk_window(self, normal_due: int) -> int:
        """What normal parts leave of the window; where they fill it, its own part beside them."""
        return max(self.window - normal_due, -(-self.window // OTHERS))

    def within(self, most: int | None) -> Share:
        """No more than this at once, and in as few doorbells as hold it: threads that race know no order. Urgent parts
        leave of it what may be owed to bulk.
        """
        if most is None:
            return self
        urgent = max(1, most - -(-most // BULK_EVERY))
        threads = max(1, min(self.threads, most // self.size))
        return Share(self.size, min(self.window, most), min(self.urgent_window, urgent), threads)

    def doorbells(self, head: Head, window: int, *, patient: bool = True) -> list[tuple[str, ...]]:
        """The ids in doorbells. Few are spread over the threads; while half the window is out, only full ones ring
        (unless nothing rang for a while: what is out may be lost).
        """
        ids, size = head.ids, max(1, min(self.size, -(-len(head.ids) // self.threads)))
        if patient and 2 * (head.due - len(ids)) >= window:
            ids, size = ids[: len(ids) // self.size * self.size], self.size
        return [tuple(ids[at : at + size]) for at in range(0, len(ids), size)]

    def mixed(self, normal: Head, bulk: Head, owed: int, *, patient: bool = True) -> list[Bell]:
        """Normal and bulk in doorbells: normal first, and bulk where it is owed."""
        both = Head([*normal.ids, *bulk.ids], normal.due + bulk.due)
        line = mix(normal.ids, bulk.ids, owed)
        bells = []
        for bell in self.doorbells(both, self.window, patient=patient):
            parts = list(islice(line, len(bell)))
            # Beside normal parts also a doorbell of bulk alone goes their way: its own is emptied after theirs.
            bells.append(Bell(tuple(part for part, _, _ in parts), not normal.due, parts[-1][2]))
        return bells


class Sharing:
    """Threads and latencies as the heartbeats tell them."""

    def __init__(self, doorbell_size: int = 50, default_threads: int = 32):
        self._size, self._threads = doorbell_size, default_threads
        self._of_road: dict[Road, int] = {}
        """Threads that take from a road, where they are not the same that take normal parts."""
        self._latency_ms: dict[str, int] = {}
        self._cycle_ms: dict[str, int] = {}
        self.silent_s: dict[str, float] = {}
        """Lanes that succeeded -> how many seconds ago, as the heartbeats told it."""

    def learn(self, processes: Sequence[Process]) -> None:
        """Takes over what the living processes report."""
        fresh = [process for process in processes if process.fresh]
        if fresh:
            takers = {road: [process for process in fresh if road in process.roads] for road in Road}
            threads = {road: sum(process.threads for process in takers[road]) for road in Road}
            self._threads = threads[Road.NORMAL]
            aside = (road for road in Road if takers[road] and takers[road] != takers[Road.NORMAL])
            self._of_road = {road: threads[road] for road in aside}
        latency: dict[str, int] = {}
        cycle: dict[str, int] = {}
        silent: dict[str, float] = {}
        for process in fresh:
            for lane, (_, call_ms, *more) in json.loads(process.lanes).items():
                latency[lane] = max(call_ms, latency.get(lane, 0))
                cycle[lane] = max([*more[:1], cycle.get(lane, 0)])
                for seconds in more[1:]:
                    silent[lane] = min(seconds, silent.get(lane, seconds))
        self._latency_ms, self._cycle_ms, self.silent_s = latency, cycle, silent

    def road(self, wanted: Road) -> Road:
        """Whose threads it has: those of normal parts, unless other workers take it."""
        return wanted if wanted in self._of_road else Road.NORMAL

    def threads(self, part: float = 1.0, road: Road = Road.NORMAL) -> int:
        """An account's threads, by its part of all weights with work."""
        return max(1, int((self._of_road.get(road, self._threads) - KEEP_FREE) * part + 1e-9))

    def of(self, lane: str, lanes: int, part: float = 1.0, road: Road = Road.NORMAL) -> Share:
        """The share of one lane among so many of its account that have work on the road."""
        threads, urgent = (self._of_lane(lane, lanes, part, its) for its in (road, Road.URGENT))
        cycle_ms = self._cycle_ms.get(lane, 0)
        size = max(1, min(self._size, int(DOORBELL_S * 1000 / cycle_ms) if cycle_ms else self._size))
        # Twice over: one doorbell in work and one waiting behind it, so that no thread runs dry between two turns.
        return Share(size, threads * size * 2, max(size, urgent * size // 2), threads)

    def _of_lane(self, lane: str, lanes: int, part: float, road: Road) -> int:
        threads = max(1, self.threads(part, road) // max(1, lanes))
        return max(1, threads // 4) if self._latency_ms.get(lane, 0) > SLOW_MS else threads
