"""The relay's times, all of them settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RelayTimes:
    """Seconds; all settings."""

    poll_s: float = 0.02
    idle_poll_s: float = 0.05
    lease_s: float = 10.0
    offer_s: float = 5.0
    offer_max_s: float = 60.0
    round_s: float = 1.0
    """A full round over all lanes takes at most this long."""
    park_probe_s: float = 600.0
    look_s: float = 0.2
    """How often the head of a lane with a backlog is looked at."""
    silence_s: float = 0.0
    """A lane without a success for so long starts with one call in the air; 0: never."""
