"""What an account must say before anything can be sent with it. A wrong key is found at the start, not at the send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.wecom.account import CORP_KEYS, corp_problems
from worker.domain.account import Account
from worker.domain.errors import Problem

CAPS: Mapping[str, str] = {
    "month": "as many group messages a month as the month has days",
    "week": "7 group messages a week",
    "day": "1 group message a day",
}
"""`customer_cap`: what one customer or group may be sent, corp-made and member-made together (page 92135). The first is
the vendor's default; an administrator can choose the others in the group-send assistant."""

KEYS = frozenset({*CORP_KEYS, "customer_cap"})
"""Every key that may be said: agentid is not read, and stands in accounts that were copied from the app's."""


def problems(account: Account) -> list[Problem]:
    """Every wrong key."""
    return list(_found(account.settings))


def _found(settings: Mapping[str, Any]) -> Iterator[Problem]:
    yield from corp_problems(settings)
    if settings.get("customer_cap", "month") not in tuple(CAPS):
        yield Problem("customer_cap", "is no cap", f"use one of {', '.join(CAPS)}")
