"""What an account must say before anything can be sent with it. A wrong key is found at the start, not at the send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.wecom.limits import ip_problems
from worker.domain.account import Account
from worker.domain.errors import Problem

CAPS: Mapping[str, str] = {
    "month": "as many group messages a month as the month has days",
    "week": "7 group messages a week",
    "day": "1 group message a day",
}
"""`customer_cap`: what one customer or group may be sent, corp-made and member-made together (page 92135). The first is
the vendor's default; an administrator can choose the others in the group-send assistant."""

KEYS = frozenset({"corpid", "agentid", "customer_cap", "ip"})
"""Every key that may be said: agentid is not read, and stands in accounts that were copied from the app's."""


def problems(account: Account) -> list[Problem]:
    """Every wrong key."""
    return list(_found(account.settings))


def _found(settings: Mapping[str, Any]) -> Iterator[Problem]:
    corpid = settings.get("corpid")
    if not isinstance(corpid, str) or not corpid.strip():
        yield Problem("corpid", "is missing or not a text", "add the corp's id (企业ID), such as ww0123456789abcdef")
    if settings.get("customer_cap", "month") not in CAPS:
        yield Problem("customer_cap", "is no cap", f"use one of {', '.join(CAPS)}")
    yield from ip_problems(settings)
