"""The interval between two polls of a loop, which grows while there is nothing to do."""

from __future__ import annotations

from collections.abc import Callable


class PollInterval:
    """The interval between two polls of one loop: a share of the time since it last had work, within bounds."""

    def __init__(self, shortest_s: float, longest_s: float, monotonic: Callable[[], float], share: float = 0.1):
        """Work that comes after a quiet time waits for at most `share` of that time."""
        self._shortest_s, self._longest_s, self._share, self._monotonic = shortest_s, longest_s, share, monotonic
        self._worked_at = monotonic()

    def reset(self) -> None:
        """Notes that there was work, so that the interval is short again."""
        self._worked_at = self._monotonic()

    def delay(self) -> float:
        """Returns the seconds until the next poll."""
        return min(self._longest_s, max(self._shortest_s, self._share * (self._monotonic() - self._worked_at)))
