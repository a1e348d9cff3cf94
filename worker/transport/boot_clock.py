"""A clock that also counts the time in which the machine sleeps."""

from __future__ import annotations

import time

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_clock() -> float:
    """Seconds that also pass while the machine sleeps, where there is such a clock. It costs what `monotonic` does."""
    return time.clock_gettime(_BOOT_CLOCK)
