"""The settings that an account needs before it can send, and what its app loses by some of them.

A wrong key is found at the start, not when something is sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.channels.checking.job import contents
from worker.channels.checking.plain import byte_size
from worker.channels.wecom.account import CORP_KEYS, corp_problems
from worker.channels.wecom.callback import secret_problems
from worker.channels.wecom_app.cards import calls_back, card_of
from worker.domain.account import Account
from worker.domain.errors import Problem
from worker.domain.job import Draft

ESTIMATES = ("everyone", "party", "tag", "chat")
MAX_ESTIMATE = 10**9
"""More members than any corp has."""
_UNSET = (
    "the corp's daily limit (200 times account_cap) is checked before the call only where it is"
    " known, and a department, tag or chat of unknown size counts as one person"
)
SWITCHES = ("wechat_plugin_home", "chats_share_members")
UNITS = ("bytes", "characters")

WINDOWS = ("duplicate", "task_id", "recall")
"""What the vendor remembers for a time. Its pages 90236 and 94867 do not describe it fully."""

KEYS = frozenset(
    {*CORP_KEYS, "callback", "textcard_unit", "account_cap", "estimates", "windows_s", "recalled_code", *SWITCHES}
)
"""Every key that is read."""


def cautions(account: Account) -> Iterator[str]:
    """Yields a sentence for each missing setting: what that means."""
    estimates = account.settings.get("estimates", {})
    missing = [f"estimates.{name}" for name in ESTIMATES if name != "everyone" and name not in estimates]
    if not account.settings.get("account_cap") and "app_day" not in account.limits:
        missing.insert(0, "account_cap")
    if missing:
        yield f"{', '.join(missing)} not set: {_UNSET}"
    callback = account.settings.get("callback")
    if callback is None:
        yield (
            "callback is not set: no hook runs when a card is pressed, and an app without a callback"
            " URL has the card refused"
        )
    elif callback is False:
        yield "callback is false: cards that call back (buttons, votes, choices) are refused at enqueue"
    elif callback is True:
        yield ("callback is true, not a table: its callbacks go elsewhere, so no hook runs when a card is pressed")


def problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    """Finds every wrong key."""
    yield from corp_problems(settings)
    if not _is_number(settings.get("agentid")):
        yield Problem("agentid", "is missing or not an integer", "add the app's AgentId, such as 1000002")
    yield from _number_problems({"account_cap": settings.get("account_cap", 0)}, MAX_ESTIMATE)
    yield from _table_problems(settings, "estimates", ESTIMATES, MAX_ESTIMATE)
    yield from _table_problems(settings, "windows_s", WINDOWS)
    yield from _number_problems({"recalled_code": settings.get("recalled_code", 0)})
    for name in SWITCHES:
        if not isinstance(settings.get(name, True), bool):
            yield Problem(name, "is not a boolean", "use true or false")
    if settings.get("textcard_unit", UNITS[0]) not in UNITS:
        yield Problem("textcard_unit", "is no unit", f"use one of {', '.join(UNITS)}")
    callback = settings.get("callback", True)
    # true: the app has a callback address elsewhere. A table: `worker receiver` is that address.
    if isinstance(callback, Mapping):
        yield from secret_problems(callback)
    elif not isinstance(callback, bool):
        remedy = 'use true, false, or { token = { env = "NAME" }, aes_key = { env = "NAME" } }'
        yield Problem("callback", "is neither a boolean nor a table", remedy)


def _table_problems(settings: Any, key: str, names: Sequence[str], most: float = math.inf) -> Iterator[Problem]:
    """Finds what is wrong with a table of numbers."""
    table = settings.get(key, {})
    if not isinstance(table, Mapping) or not table.keys() <= set(names):
        yield Problem(key, "is no table of numbers by name", f"use a table with some of {', '.join(names)}")
        return
    yield from _number_problems({f"{key}.{name}": value for name, value in table.items()}, most)


def _number_problems(numbers: Mapping[str, Any], most: float = math.inf) -> Iterator[Problem]:
    for name, value in numbers.items():
        if type(value) is not int or not 0 <= value <= most:
            yield Problem(name, "is not an integer of 0 or more", "give a whole number or leave it out")


def _is_number(value: Any) -> bool:
    """Accepts an integer, or its digits: a variable of the environment is always a text."""
    if isinstance(value, str):
        return value.isascii() and value.isdecimal() and len(value) < 19
    return type(value) is int and value >= 0


PLUGIN_BYTES = 20
UNSHOWN = ("markdown", "template_card", "miniprogram_notice")
"""Types that members in the WeChat plugin neither see nor are notified of (page 90236)."""


def plugin_problems(draft: Draft) -> Iterator[Problem]:
    """Finds what an app that always opens its home page in the WeChat plugin would lose in silence (page 90236)."""
    if draft.account.settings.get("wechat_plugin_home") is not True:
        return
    msgtype = draft.message.get("type")
    if msgtype in UNSHOWN:
        remedy = "send a text, news or a text card, or leave wechat_plugin_home out"
        yield Problem("msgtype", f"{msgtype} is not shown to members in the WeChat plugin", remedy)
    for content in contents(draft.message) if msgtype == "text" else ():
        if isinstance(text := content.get("content"), str) and (size := byte_size(text)) > PLUGIN_BYTES:
            remedy = "shorten it, send a text card (shown there as a pointer), or leave wechat_plugin_home out"
            cut = "is silently cut off for members in the WeChat plugin"
            yield Problem("text.content", cut, remedy, PLUGIN_BYTES, "bytes", size)


def callback_problems(draft: Draft) -> Iterator[Problem]:
    """Finds a card that calls back, from an app that cannot be called."""
    card = card_of(draft.message)
    if card is not None and calls_back(card) and draft.account.settings.get("callback") is False:
        remedy = "configure a callback URL for the app and set callback = true"
        yield Problem("template_card", "the app has no callback URL (vendor code 43012)", remedy)
