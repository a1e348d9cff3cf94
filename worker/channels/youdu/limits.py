"""Limits of our own: the vendor documents none, nor what it answers beyond one. All are off until an account sets them.

A proxy in front of the server can be given limits a second for each URL, which only its administrator knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from worker.channels.wecom.limits import as_kept, counted
from worker.channels.youdu.fields import UPLOAD
from worker.domain.account import Account
from worker.domain.job import Part
from worker.domain.outcome import Scope
from worker.domain.pacing.limit import Charge, Counted, Limit, Unit

OURS = "none published; ours, off unless an account sets an amount"

_CALLS = (
    Limit("calls_second", 1, 0, Unit.CALLS, Scope.LANE, "unknown", OURS),
    Limit("calls_minute", 60, 0, Unit.CALLS, Scope.LANE, "unknown", OURS),
    Limit("calls_hour", 3600, 0, Unit.CALLS, Scope.LANE, "unknown", OURS),
)
_UPLOADS = (Limit("uploads_minute", 60, 0, Unit.CALLS, Scope.LANE, "unknown", OURS),)
PROFILE: Mapping[str, Limit] = {limit.name: limit for limit in (*_CALLS, *_UPLOADS)}
"""Limits by the name under which an account sets the amount."""


def limits(part: Part, account: Account) -> list[Charge]:
    """What this call costs: one call of its app."""
    profile = (*_CALLS, *_UPLOADS) if part.kind == UPLOAD else _CALLS
    return [Charge(limit, _app(account)) for limit in as_kept(profile, account) if limit.amount]


def all_counted(account: Account, recipient: str | None) -> Iterator[Counted]:
    """Every limit of an account; none counts a recipient."""
    return counted(PROFILE.values(), account, "the app", _app(account))


def _app(account: Account) -> str:
    return f"{account.base_url}/{account.settings['buin']}/{account.settings['appid']}"
