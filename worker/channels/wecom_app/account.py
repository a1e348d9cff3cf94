"""What an account must say before anything can be sent with it. A wrong key is found at the start, not at the send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from worker.domain.account import Account
from worker.domain.errors import Problem

COUNTS = ("account_cap", "everyone_estimate", "party_estimate", "tag_estimate", "chat_estimate")
ABILITIES = ("callback", "mini_program", "root_scope", "wechat_plugin_home", "chats_share_members")
UNITS = ("bytes", "characters")


def problems(account: Account) -> list[Problem]:
    """Every wrong key."""
    return list(_found(account.settings))


def _found(settings: Any) -> Iterator[Problem]:
    corpid = settings.get("corpid")
    if not isinstance(corpid, str) or not corpid.strip():
        yield Problem("corpid", "is missing or not a text", "add the corp's id (企业ID), such as ww0123456789abcdef")
    if not _is_number(settings.get("agentid")):
        yield Problem("agentid", "is missing or not an integer", "add the app's AgentId, such as 1000002")
    for name in COUNTS:
        value = settings.get(name, 0)
        if type(value) is not int or value < 0:
            yield Problem(name, "is not an integer of 0 or more", "give a number of members or leave it out")
    for name in ABILITIES:
        if not isinstance(settings.get(name, True), bool):
            yield Problem(name, "is not a boolean", "use true or false")
    if settings.get("textcard_unit", UNITS[0]) not in UNITS:
        yield Problem("textcard_unit", "is no unit", f"use one of {', '.join(UNITS)}")


def _is_number(value: Any) -> bool:
    """An integer, or its digits: a variable of the environment is always a text."""
    if isinstance(value, str):
        return value.isascii() and value.isdecimal() and len(value) < 19
    return type(value) is int and value >= 0
