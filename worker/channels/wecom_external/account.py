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

EXAMPLE = "{ month = 4 }"
"""A cap in numbers: the rule of 2022, which some corps still have."""

KEYS = frozenset({*CORP_KEYS, "customer_cap"})
"""Every key that may be said: agentid is not read, and stands in accounts that were copied from the app's."""


def problems(account: Account) -> list[Problem]:
    """Every wrong key."""
    return list(_found(account.settings))


def _found(settings: Mapping[str, Any]) -> Iterator[Problem]:
    yield from corp_problems(settings)
    period, most = cap_of(settings)
    if period not in tuple(CAPS) or type(most) is not int or not 0 <= most <= MOST:
        yield Problem("customer_cap", "is no cap", f"use one of {', '.join(CAPS)}, or a number as {EXAMPLE}")


MOST = 1_000_000


def cap_of(settings: Mapping[str, Any]) -> tuple[Any, Any]:
    """The period of `customer_cap`, and how many group messages it allows; 0: as many as that period has by default."""
    said = settings.get("customer_cap", "month")
    if not isinstance(said, Mapping):
        return said, 0
    return next(iter(said.items())) if len(said) == 1 else (None, 0)


def cap_in_words(settings: Mapping[str, Any]) -> str:
    """What one customer or group takes."""
    period, most = cap_of(settings)
    return f"{most} group messages a {period}" if most else CAPS[period]
