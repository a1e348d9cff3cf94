"""What an account must say before anything can be sent with it. A wrong key is found at the start, not at the send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.wecom.limits import ip_problems
from worker.domain.account import Account, Secret
from worker.domain.errors import Problem

COUNTS = ("account_cap", "everyone_estimate", "party_estimate", "tag_estimate", "chat_estimate")
ESTIMATES = ("party_estimate", "tag_estimate")
ABILITIES = ("mini_program", "root_scope", "wechat_plugin_home", "chats_share_members")
UNITS = ("bytes", "characters")
CALLBACK_KEYS = ("token", "aes_key")
"""Token and EncodingAESKey of the app's callback settings (page 90930 回调配置)."""

KEYS = frozenset({"corpid", "agentid", "callback", "textcard_unit", "ip", *COUNTS, *ABILITIES})
"""Every key that is read."""


def problems(account: Account) -> list[Problem]:
    """Every wrong key."""
    return list(_found(account.settings))


def cautions(account: Account) -> Iterator[str]:
    """A sentence for each setting that is left out: what that means."""
    if not account.settings.get("account_cap") and "app_day" not in account.limits:
        yield "account_cap is not set: the corp's daily limit (200 times its account limit) is not kept before the call"
    if missing := [name for name in ESTIMATES if name not in account.settings]:
        yield f"{' and '.join(missing)} not set: one whose members nobody names is taken for one person"
    if "chat_estimate" not in account.settings:
        yield "chat_estimate not set: a chat is taken for one person in the corp's limits of sends to chats"
    callback = account.settings.get("callback")
    if callback is None:
        yield "callback is not set: no hook hears of a pressed card; an app without a callback URL has the card refused"
    elif callback is False:
        yield "callback is false: cards that call back (buttons, votes, choices) are refused at enqueue"
    elif callback is True:
        yield "callback is true, not a table: its callbacks go elsewhere, so no hook hears of a pressed card"


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
    yield from ip_problems(settings)
    yield from _callback_problems(settings.get("callback", True))


def _callback_problems(callback: Any) -> Iterator[Problem]:
    """true: the app has a callback address elsewhere; a table: `worker receiver` is that address."""
    if isinstance(callback, bool):
        return
    if not isinstance(callback, Mapping):
        remedy = 'use true, false, or { token = { env = "NAME" }, aes_key = { env = "NAME" } }'
        yield Problem("callback", "is neither a boolean nor a table", remedy)
        return
    for name in CALLBACK_KEYS:
        if not isinstance(callback.get(name), Secret):
            yield Problem(f"callback.{name}", "is missing", f'add {name} = {{ env = "NAME" }} or {{ file = "PATH" }}')
    for name in callback.keys() - set(CALLBACK_KEYS):
        yield Problem(f"callback.{name}", "is not a setting", f"use {' and '.join(CALLBACK_KEYS)}")


def _is_number(value: Any) -> bool:
    """An integer, or its digits: a variable of the environment is always a text."""
    if isinstance(value, str):
        return value.isascii() and value.isdecimal() and len(value) < 19
    return type(value) is int and value >= 0
