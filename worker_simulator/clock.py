"""The vendor's clock: the real time plus an offset that control calls move, or a frozen instant."""

import time


class Clock:
    """Virtual Unix time in seconds."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._frozen_at: float | None = None

    def now(self) -> float:
        """Returns the virtual time."""
        return self._frozen_at if self._frozen_at is not None else time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Moves the clock forward, or back if `seconds` is negative. A frozen clock stays frozen."""
        if self._frozen_at is not None:
            self._frozen_at += seconds
        else:
            self._offset += seconds

    def set(self, now: float, *, frozen: bool = False) -> None:
        """Sets the time to `now`. The clock runs on from there unless `frozen`."""
        self._offset = now - time.time()
        self._frozen_at = now if frozen else None

    @property
    def frozen(self) -> bool:
        """True while the clock is frozen."""
        return self._frozen_at is not None
