"""Parts that wait for the same member come back one behind the other, not all at once.

A backlog of n messages is then asked about n times, not n times a window.

Only what this process has said itself counts. It decides when a part asks again, never whether there is room.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable

MOST_KEYS = 20_000


class RetryTimes:
    """Instants (microseconds of the database's clock) told to those who wait, by limit key."""

    def __init__(self) -> None:
        self._told: dict[str, list[int]] = {}

    def told(self, key: str, now: int) -> list[int]:
        """When those come back who were told to and have not yet; in order."""
        told = self._told.get(key, [])
        del told[: bisect_right(told, now)]
        if not told:
            self._told.pop(key, None)
        return list(told)

    def note(self, told: Iterable[tuple[str, int]]) -> None:
        """These were told."""
        for key, at in told:
            insort(self._told.setdefault(key, []), at)
        if len(self._told) > MOST_KEYS:
            self._told.clear()  # they ask more often for a while
