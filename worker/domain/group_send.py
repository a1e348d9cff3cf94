"""Defaults for following a customer group-send."""

from __future__ import annotations

PACE_S = 300
"""Seconds between two rounds at least: members confirm by hand, and the vendor asks for slow polling."""


AGE_S = 30 * 86_400
"""Seconds for which a task is followed unless the producer says otherwise."""
