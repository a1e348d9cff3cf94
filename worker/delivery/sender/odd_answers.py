"""Logs where an answer does not look as the vendor's page says, with its shape: names, types and lengths, no values."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence

import structlog

from worker.domain.outcome import Contradiction

log = structlog.get_logger()

AGAIN_S = 3_600.0
MOST = 100
"""Facts of a channel that a process logs at most; a vendor may answer nonsense without end."""


class OddAnswers:
    """Logs each fact that an answer contradicts once an hour: a new field comes with every answer. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float]):
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._logged_at: dict[tuple[str, str], float] = {}
        self._facts: Counter[str] = Counter()

    def report(self, channel: str, account: str, part_id: str, contradictions: Sequence[Contradiction]) -> None:
        """Logs the facts that were not logged within the last hour."""
        for odd in contradictions:
            if self._is_due(channel, odd.fact):
                log.warning("drift", channel=channel, account=account, part=part_id, what=odd.fact, shape=odd.sample)

    def _is_due(self, channel: str, fact: str) -> bool:
        now = self._monotonic()
        with self._guard:
            logged_at = self._logged_at.get((channel, fact))
            if logged_at is None:
                if self._facts[channel] >= MOST:
                    return False
                self._facts[channel] += 1
            elif now - logged_at < AGAIN_S:
                return False
            self._logged_at[channel, fact] = now
            return True
