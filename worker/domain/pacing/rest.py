"""How long a loop waits before it looks again: the longer nothing came, the longer what comes next may wait."""

from __future__ import annotations

from collections.abc import Callable


class Rest:
    """The pause between two looks of one loop: a part of the time since a look last found something, within bounds."""

    def __init__(self, shortest_s: float, longest_s: float, monotonic: Callable[[], float], share: float = 0.1):
        """`share`: what is found after a quiet time has waited for at most this part of it."""
        self._shortest_s, self._longest_s, self._share, self._monotonic = shortest_s, longest_s, share, monotonic
        self._found_at = monotonic()

    def found(self) -> None:
        """Notes that a look has found something."""
        self._found_at = self._monotonic()

    def delay(self) -> float:
        """Returns the seconds until the next look."""
        return min(self._longest_s, max(self._shortest_s, self._share * (self._monotonic() - self._found_at)))
