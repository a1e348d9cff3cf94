"""Accounts and departments of the server: made up from the ids asked for, by the settings.

Does not know messages. Accounts are compared without regard to case.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from worker_simulator.request import Json
from worker_simulator.settings.youdu import YouduSettings
from worker_simulator.youdu.envelope import YouduRefused

MOST_USERS = 1000
MOST_DEPTS = 100


@dataclass(slots=True)
class ReachedAccounts:
    """The accounts a call reaches (lower case, each once), and those it does not know."""

    people: dict[str, None] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def reach(body: Json, settings: YouduSettings, *, to_all: bool = False, emails: bool = False) -> ReachedAccounts:
    """The recipients of a call: toUser and toDept, for a system message toAll, for a mail toEmail."""
    users, depts = _ids(body, "toUser"), [] if emails else _ids(body, "toDept")
    addresses = _ids(body, "toEmail") if emails and not users else []
    everyone = to_all and isinstance(body.get("toAll"), dict)
    if not (users or depts or addresses or everyone):
        raise YouduRefused(settings.body_code)
    if len(users) > MOST_USERS or len(addresses) > MOST_USERS:
        raise YouduRefused(200001)
    if len(depts) > MOST_DEPTS:
        raise YouduRefused(settings.body_code)
    reached = ReachedAccounts()
    for account in [*users, *addresses]:
        if _exists(account, settings):
            reached.people[account.lower()] = None
        else:
            reached.unknown.append(account)
    for dept in depts:
        reached.people |= dict.fromkeys(_members(dept, settings))
    if everyone:
        reached.people |= dict.fromkeys(_online(body["toAll"], settings))
    return reached


def is_known(account: str, settings: YouduSettings) -> bool:
    """Whether there is such an account."""
    return _exists(account, settings)


def _ids(body: Json, name: str) -> list[str]:
    """Ids between bars; an empty text is as good as none."""
    value: Any = body.get(name)
    if value is None:
        return []
    if not isinstance(value, str):
        raise YouduRefused(100003)
    return [part.strip() for part in value.split("|") if part.strip()]


def _exists(account: str, settings: YouduSettings) -> bool:
    missing = re.compile("|".join(f"(?:{one})" for one in settings.missing_users) or r"(?!)", re.IGNORECASE)
    return len(account) <= 64 + 64 * ("@" in account) and not missing.fullmatch(account)


def _members(dept: str, settings: YouduSettings) -> Iterator[str]:
    """The members of a department; 0 is the whole organisation, also in a list with others."""
    if dept == "0":
        yield from (one.lower() for one in settings.everyone)
    elif dept in settings.depts:
        yield from (one.lower() for one in settings.depts[dept])
    elif not dept.isdecimal() or int(dept) >= settings.first_missing_dept:
        if settings.unknown_dept_code:
            raise YouduRefused(settings.unknown_dept_code)
    else:
        yield from (f"d{dept}u{number + 1}" for number in range(settings.members_per_dept))


def _online(to_all: Json, settings: YouduSettings) -> Iterator[str]:
    """All accounts, or those online now, by the spelling of the flag that is read."""
    names = ("onlyOnline", "onliyOnline") if settings.only_online == "either" else (settings.only_online,)
    given = [to_all[name] for name in names if name in to_all]
    if not given:
        raise YouduRefused(settings.body_code)
    offline = {one.lower() for one in settings.offline}
    for one in settings.everyone:
        if not (given[0] is True and one.lower() in offline):
            yield one.lower()
