"""A clock that also counts the time in which the machine sleeps."""

from __future__ import annotations

import time

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_clock() -> float:
    """Seconds that go on while the machine sleeps, where the system has such a clock; as fast as `monotonic`."""
    return time.clock_gettime(_BOOT_CLOCK)
