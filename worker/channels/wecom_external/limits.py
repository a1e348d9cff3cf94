"""The published limits of group sends, and what one part costs against them. Counts nothing itself.

Nothing is published for these calls alone, so the base limits of every API hold (page 90312). The caps per customer are
told at enqueue and by tracking, never reserved: what members send by themselves counts in them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from worker.channels.wecom.limits import CORP, UPLOAD_IMAGE, adjusted, counted, counted_by_api
from worker.channels.wecom.uploading import IMAGE_PATH
from worker.channels.wecom_external import look_up
from worker.channels.wecom_external.render import PATHS, path_of
from worker.domain.account import Account
from worker.domain.job import Part
from worker.domain.limit import Charge, Counted, Limit, Unit
from worker.domain.outcome import Scope

REMINDERS = "page 97610 提醒成员群发 (its older introduction)"

REMIND = (Limit("remind_day", 86400, 3, Unit.CALLS, Scope.PART, "41094", REMINDERS),)

PROFILE: Mapping[str, Limit] = {limit.name: limit for limit in (*CORP, *UPLOAD_IMAGE, *REMIND)}
"""By the name under which an account overrides the amount."""


def limits(part: Part, account: Account) -> list[Charge]:
    """What this call costs; an account's amounts go before ours, 0 switches a limit off."""
    corpid, path = account.settings["corpid"], path_of(part)
    profile = (*CORP, *UPLOAD_IMAGE) if path == IMAGE_PATH else CORP
    calls = [Charge(limit, f"{corpid}/{path}") for limit in adjusted(profile, account)]
    return [*calls, *_reminders(part, account, corpid)] if part.kind == "remind" else calls


def _reminders(part: Part, account: Account, corpid: str) -> list[Charge]:
    return [Charge(limit, f"{corpid}/remind/{part.spec['msgid']}") for limit in adjusted(REMIND, account)]


def all_counted(account: Account, recipient: str | None) -> Iterator[Counted]:
    """Every limit of an account; that of a task's reminders for the msgid named."""
    corpid = account.settings["corpid"]
    task = ("each task", None) if recipient is None else (f"task {recipient}", f"{corpid}/remind/{recipient}")
    yield from counted(REMIND, account, *task)
    yield from counted_by_api(
        {*PATHS.values(), *look_up.PATHS.values(), IMAGE_PATH}, {IMAGE_PATH: UPLOAD_IMAGE}, account
    )
