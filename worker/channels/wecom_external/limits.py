"""The published limits of group sends, and what one part costs against them. Counts nothing itself.

Nothing is published for these calls alone, so the base limits of every API hold (page 90312). The caps per customer are
named at enqueue and shown by tracking, never reserved: what members send by themselves counts in them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from worker.channels.wecom.limits import CORP, IP, UNKEPT, UPLOAD_IMAGE, adjusted, api_charges, counted, counted_by_api
from worker.channels.wecom.upload import IMAGE_PATH
from worker.channels.wecom_external import look_up
from worker.channels.wecom_external.account import cap_of
from worker.channels.wecom_external.call import PATHS, path_of
from worker.domain.account import Account
from worker.domain.job import Part
from worker.domain.outcome import Scope
from worker.domain.pacing.limit import Charge, Counted, Limit, Unit

REMINDERS = "page 97610 提醒成员群发 (its older introduction)"

REMIND = (Limit("remind_day", 86400, 3, Unit.CALLS, Scope.PART, "41094", REMINDERS),)
_OF_PATH = {IMAGE_PATH: UPLOAD_IMAGE}
_MASS = "page 92135 创建企业群发 (read 2026-02-12)"
_BY_HAND = "what members send by themselves counts too; told at enqueue, and tracking tells whom it passed over"
# A month's amount is the number of its days; here that of the shortest month.
CUSTOMER: Mapping[str, Limit] = {
    cap: Limit(f"customer_{cap}", days * 86400, amount, Unit.CALLS, Scope.PART, "status 3, no message", _MASS, _BY_HAND)
    for cap, days, amount in (("month", 31, 28), ("week", 7, 7), ("day", 1, 1))
}
"""The cap of messages to a customer or group, by `customer_cap`; the administrator has chosen one."""

PROFILE: Mapping[str, Limit] = {
    limit.name: limit for limit in (*CORP, *UPLOAD_IMAGE, *REMIND, *IP, *CUSTOMER.values(), *UNKEPT)
}
"""Limits by the name under which an account overrides the amount."""


def limits(part: Part, account: Account) -> list[Charge]:
    """What this call costs; an account's amounts go before ours, 0 switches a limit off."""
    charges = api_charges(account, path_of(part), _OF_PATH)
    if part.kind == "remind":
        subject = f"{account.settings['corpid']}/remind/{part.spec['msgid']}"
        charges += [Charge(limit, subject) for limit in adjusted(REMIND, account)]
    return charges


def all_counted(account: Account, recipient: str | None) -> Iterator[Counted]:
    """Every limit of an account; with a msgid as `recipient`, the limit of reminders names that task's count."""
    corpid = account.settings["corpid"]
    task = ("each task", None) if recipient is None else (f"task {recipient}", f"{corpid}/remind/{recipient}")
    yield from counted(REMIND, account, *task)
    chosen, most = cap_of(account.settings)
    for cap, limit in CUSTOMER.items():
        kept = replace(limit, amount=most or limit.amount) if cap == chosen else None
        yield Counted(kept or replace(limit, not_kept=f"customer_cap is {chosen}"), "each customer or group")
    yield from counted_by_api({*PATHS.values(), *look_up.PATHS.values(), IMAGE_PATH}, _OF_PATH, account)
