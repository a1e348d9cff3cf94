"""Accounts and departments of the server. They are made up from the ids in a call, by the settings.

Accounts are compared without case.
"""

import re
from collections.abc import Iterator
from typing import Any

from worker_simulator.request import Json, is_number
from worker_simulator.settings.youdu import YouduSettings
from worker_simulator.youdu.answer import YouduRefused

MAX_USERS = 1000
MAX_DEPTS = 100


def reach(
    body: Json, settings: YouduSettings, *, to_all: bool = False, emails: bool = False
) -> tuple[list[str], list[str]]:
    """Returns the accounts that a call reaches (lower case, without repeats), and the unknown ones.

    They are those of toUser and toDept, of a system message toAll, of a mail toEmail.
    """
    users, depts = _ids(body, "toUser"), [] if emails else _ids(body, "toDept")
    addresses = _ids(body, "toEmail") if emails and not users else []
    everyone = to_all and isinstance(body.get("toAll"), dict)
    if not (users or depts or addresses or everyone):
        raise YouduRefused(settings.body_code)
    if len(users) > MAX_USERS or len(addresses) > MAX_USERS:
        raise YouduRefused(200001)
    if len(depts) > MAX_DEPTS:
        raise YouduRefused(settings.body_code)
    people, unknown = dict[str, None](), list[str]()
    for account in [*users, *addresses]:
        if exists(account, settings):
            people[account.lower()] = None
        else:
            unknown.append(account)
    for dept in depts:
        people |= dict.fromkeys(_members(dept, settings))
    if everyone:
        people |= dict.fromkeys(_online(body["toAll"], settings))
    return list(people), unknown


def _ids(body: Json, name: str) -> list[str]:
    """Returns ids separated by bars. An empty text counts as none."""
    value: Any = body.get(name)
    if value is None:
        return []
    if not isinstance(value, str):
        raise YouduRefused(100003)
    return [part.strip() for part in value.split("|") if part.strip()]


def exists(account: str, settings: YouduSettings) -> bool:
    """True if the account exists."""
    missing = re.compile("|".join(f"(?:{account})" for account in settings.missing_users) or r"(?!)", re.IGNORECASE)
    return len(account) <= 64 + 64 * ("@" in account) and not missing.fullmatch(account)


def _members(dept: str, settings: YouduSettings) -> Iterator[str]:
    """Yields the members of a department. 0 is the whole organisation, even in a list with others."""
    if dept == "0":
        yield from (account.lower() for account in settings.everyone)
    elif dept in settings.depts:
        yield from (account.lower() for account in settings.depts[dept])
    elif not is_number(dept) or int(dept) >= settings.first_missing_dept:
        if settings.unknown_dept_code:
            raise YouduRefused(settings.unknown_dept_code)
    else:
        yield from (f"d{dept}u{number + 1}" for number in range(settings.members_per_dept))


def _online(to_all: Json, settings: YouduSettings) -> Iterator[str]:
    """Yields all accounts, or those online now. A setting says which spelling of the flag is read."""
    names = ("onlyOnline", "onliyOnline") if settings.only_online == "either" else (settings.only_online,)
    flags = [to_all[name] for name in names if name in to_all]
    if not flags:
        raise YouduRefused(settings.body_code)
    offline = {account.lower() for account in settings.offline}
    for account in settings.everyone:
        if not (flags[0] is True and account.lower() in offline):
            yield account.lower()
