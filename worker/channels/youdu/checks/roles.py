"""Which app may send which type. A Youdu enterprise has several apps, each with an appId, a key and a token.

Source: a01_00001 (the table of appIds). The wrong kind of app is answered with `invalid appId` (100005).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from worker.domain.account import Account


class Role(StrEnum):
    """What an account's app is for."""

    MESSAGE = "message"
    """A self-built app: text, image, file, mpnews, link, exlink, pop-up windows, badge counts, uploads."""
    SYSMSG = "sysmsg"
    SMS = "sms"
    """Passing on what the SMS gateway received."""
    MAIL = "mail"
    ORG = "org"
    """The directory; sends nothing."""


BUILT_IN: Mapping[str, Role] = {
    "sysMsgAssistant": Role.SYSMSG,
    "sysSmsAssistant": Role.SMS,
    "sysExmailAssistant": Role.MAIL,
    "sysOrgAssistant": Role.ORG,
}
"""The fixed appIds. `sysMsgMonitor` (message audit) only receives."""

ONLY_BUILT_IN = frozenset({Role.SYSMSG, Role.MAIL, Role.ORG})
"""Roles no self-built app can have. Whether one may send `sms` is not confirmed: the vendor's gateway demo uses
sysSmsAssistant, a test of its SDK an ordinary app."""

WHERE: Mapping[Role, str] = {
    Role.MESSAGE: "a self-built app: its appId (yd and 32 digits) and key are on its detail page in the console",
    Role.SYSMSG: "appId sysMsgAssistant, its key in the console under Admin tools, System messages",
    Role.SMS: "appId sysSmsAssistant, or the app your SMS gateway answers through",
    Role.MAIL: "appId sysExmailAssistant, its key in the console under Enterprise apps, Enterprise mail, other mailbox",
    Role.ORG: "appId sysOrgAssistant",
}
"""Where an administrator finds the appId and the key."""

NEEDED: Mapping[str, Role] = {"sysMsg": Role.SYSMSG, "sms": Role.SMS, "mail": Role.MAIL}
"""The role a msgType needs; all others, and all other kinds of jobs, need `message`."""


def role_of(account: Account) -> Role:
    """The role of an account: its `role`, else by its appId."""
    return role_in(account.settings)


def role_in(settings: Mapping[str, Any]) -> Role:
    """The role in an account's settings; a word that is no role counts as unset (the account is refused for it)."""
    said = settings.get("role")
    if said in set(Role):
        return Role(said)
    return BUILT_IN.get(str(settings.get("appid")), Role.MESSAGE)
