"""The published limits of group sends, and what a part costs against them. Counts nothing itself.

Nothing is published for these calls alone, so the base limits of every API apply (page 90312). Tracking shows the caps
per customer, which are never reserved: what members send by themselves counts too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from worker.channels.wecom.limits import CORP, IP, UPLOAD_IMAGE, adjusted, api_charges, counted, counted_by_api
from worker.channels.wecom.upload import IMAGE_PATH
from worker.channels.wecom_external import look_up
from worker.channels.wecom_external.call import PATHS, path_of
from worker.domain.account import Account
from worker.domain.job import Part
from worker.domain.outcome import Scope
from worker.domain.pacing.limit import Charge, Limit, LimitCounter, Unit

REMINDERS = "page 97610 提醒成员群发 (its older introduction)"

REMIND = (Limit("remind_day", 86400, 3, Unit.CALLS, Scope.PART, "41094", REMINDERS),)
_OF_PATH = {IMAGE_PATH: UPLOAD_IMAGE}

PROFILE: Mapping[str, Limit] = {limit.name: limit for limit in (*CORP, *UPLOAD_IMAGE, *REMIND, *IP)}
"""Limits by the name under which an account overrides the amount."""


def limits(part: Part, account: Account) -> list[Charge]:
    """Returns what this call costs. An account's amounts replace ours, and 0 switches a limit off."""
    charges = api_charges(account, path_of(part), _OF_PATH)
    if part.kind == "remind":
        subject = f"{account.settings['corpid']}/remind/{part.spec['msgid']}"
        charges += [Charge(limit, subject) for limit in adjusted(REMIND, account)]
    return charges


def all_counted(account: Account, recipient: str | None) -> Iterator[LimitCounter]:
    """Yields every limit of an account. With a msgid as `recipient`, the limit of reminders names that task's count."""
    corpid = account.settings["corpid"]
    task = ("each task", None) if recipient is None else (f"task {recipient}", f"{corpid}/remind/{recipient}")
    yield from counted(REMIND, account, *task)
    yield from counted_by_api({*PATHS.values(), *look_up.PATHS.values(), IMAGE_PATH}, _OF_PATH, account)
