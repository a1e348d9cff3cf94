"""The vendor's clock: real time plus an offset that control moves, or a frozen instant.

Does not know what the time is used for.
"""

import time


class Clock:
    """Virtual Unix time in float seconds."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._frozen_at: float | None = None

    def now(self) -> float:
        """The virtual time."""
        return self._frozen_at if self._frozen_at is not None else time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Move forward (or back, when negative); a frozen clock stays frozen."""
        if self._frozen_at is not None:
            self._frozen_at += seconds
        else:
            self._offset += seconds

    def set(self, now: float, *, frozen: bool = False) -> None:
        """Make it `now`, running on from there unless frozen."""
        self._offset = now - time.time()
        self._frozen_at = now if frozen else None

    @property
    def frozen(self) -> bool:
        """Whether time stands still."""
        return self._frozen_at is not None
