"""How much of a lane is offered: its share of the sender threads alive, in doorbells of about a second's work.

Lanes share evenly. A lane alone gets all threads but two; a slow lane (over a second a call) a quarter of its share.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from worker.outbox.offering import Head
from worker.outbox.processes import Process

DOORBELL_S = 1.0
SLOW_MS = 1000
KEEP_FREE = 2


@dataclass(frozen=True, slots=True)
class Share:
    """What one lane may have in the broker and in the threads."""

    size: int
    """Ids per doorbell."""
    window: int
    """Parts at the head of the lane that are kept offered."""
    urgent_window: int
    threads: int

    def doorbells(self, head: Head, window: int, *, patient: bool = True) -> list[tuple[str, ...]]:
        """The ids in doorbells. Few are spread over the threads; while half the window is out, only full ones ring
        (unless nothing rang for a while: what is out may be lost).
        """
        ids, size = head.ids, max(1, min(self.size, -(-len(head.ids) // self.threads)))
        if patient and 2 * (head.due - len(ids)) >= window:
            ids, size = ids[: len(ids) // self.size * self.size], self.size
        return [tuple(ids[at : at + size]) for at in range(0, len(ids), size)]


class Sharing:
    """Threads and latencies as the heartbeats tell them."""

    def __init__(self, doorbell_size: int = 50, default_threads: int = 32):
        self._size, self._threads = doorbell_size, default_threads
        self._latency_ms: dict[str, int] = {}
        self._cycle_ms: dict[str, int] = {}

    def learn(self, processes: Sequence[Process]) -> None:
        """Takes over what the living processes report."""
        fresh = [process for process in processes if process.fresh]
        self._threads = sum(process.threads for process in fresh) or self._threads
        latency: dict[str, int] = {}
        cycle: dict[str, int] = {}
        for process in fresh:
            for lane, (_, call_ms, *more) in json.loads(process.lanes).items():
                latency[lane] = max(call_ms, latency.get(lane, 0))
                cycle[lane] = max([*more, cycle.get(lane, 0)])
        self._latency_ms, self._cycle_ms = latency, cycle

    def of(self, lane: str, lanes: int) -> Share:
        """The share of one lane among so many that have work."""
        latency_ms = self._latency_ms.get(lane, 0)
        threads = max(1, (self._threads - KEEP_FREE) // max(1, lanes))
        if latency_ms > SLOW_MS:
            threads = max(1, threads // 4)
        cycle_ms = self._cycle_ms.get(lane, 0)
        size = max(1, min(self._size, int(DOORBELL_S * 1000 / cycle_ms) if cycle_ms else self._size))
        # Twice over: one doorbell in work and one waiting behind it, so that no thread runs dry between two turns.
        return Share(size, threads * size * 2, max(size, threads * size // 2), threads)
