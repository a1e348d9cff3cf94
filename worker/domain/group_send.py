"""How a customer group-send is followed where the producer does not say."""

from __future__ import annotations

PACE_S = 300
"""The least time between two rounds: people confirm, and the vendor asks for slow polling."""


AGE_S = 30 * 86_400
"""How long a task is followed where the producer does not say."""
