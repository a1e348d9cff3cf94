"""Limits of our own: the vendor documents none, nor what it answers beyond one. All are off until an account sets them.

A proxy in front of the server can be given limits a second for each URL, which only its administrator knows.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.youdu.content import UPLOAD
from worker.domain.account import Account
from worker.domain.job import Part
from worker.domain.limit import Charge, Limit, Unit
from worker.domain.outcome import Scope

OURS = "none published; ours, off unless an account sets an amount"

_CALLS = (
    Limit("calls_second", 1, 0, Unit.CALLS, Scope.LANE, "unknown", OURS),
    Limit("calls_minute", 60, 0, Unit.CALLS, Scope.LANE, "unknown", OURS),
    Limit("calls_hour", 3600, 0, Unit.CALLS, Scope.LANE, "unknown", OURS),
)
_UPLOADS = (Limit("uploads_minute", 60, 0, Unit.CALLS, Scope.LANE, "unknown", OURS),)
PROFILE: Mapping[str, Limit] = {limit.name: limit for limit in (*_CALLS, *_UPLOADS)}
"""By the name under which an account sets the amount."""


def limits(part: Part, account: Account) -> list[Charge]:
    """What this call costs: one call of its app."""
    if not account.limits:
        return []
    subject = f"{account.base_url}/{account.settings['buin']}/{account.settings['appid']}"
    profile = (*_CALLS, *_UPLOADS) if part.kind == UPLOAD else _CALLS
    return [
        Charge(Limit(one.name, one.window_s, amount, one.unit, one.scope, one.penalty, one.source), subject)
        for one in profile
        if (amount := account.limits.get(one.name, 0))
    ]
