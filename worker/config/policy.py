"""Builds the policy of attempts, repeats and lanes from the settings."""

from __future__ import annotations

from worker.config.settings import DeliverySettings
from worker.domain.pacing.lane import LaneRules
from worker.domain.settle import Policy


def policy_of(settings: DeliverySettings) -> Policy:
    """Returns the policy that the settings describe."""
    return Policy(
        attempts=settings.attempts,
        repeats=settings.repeats,
        max_age_s=settings.max_age_s,
        doubt_margin_s=settings.deadline_margin_s,
        lanes=LaneRules(
            rate_limit_block_s=settings.rate_limit_block_s,
            rate_limit_block_again_s=settings.rate_limit_block_again_s,
            failures=settings.breaker_failures,
        ),
    )
