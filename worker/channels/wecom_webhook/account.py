"""The settings that an account needs before it can post. A wrong key is found at the start, not at a send.

The account is the webhook: its secret is the key of the webhook's address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.wecom.callback import secret_problems
from worker.channels.wecom_webhook.messages import UNADDRESSED
from worker.domain.account import Account
from worker.domain.errors import Problem
from worker.domain.job import JobKind

ROBOT, PUSH = "robot", "push"
EDITIONS = (ROBOT, PUSH)
"""The public group robot (群机器人), and message push (消息推送, 内测)."""
KEYS = frozenset({"edition", "subscribed", "chatid_for", "callback"})
"""Every key that is read."""


def cautions(account: Account) -> Iterator[str]:
    """Yields a sentence for each missing setting: what that means."""
    if edition(account) == PUSH and not isinstance(account.settings.get("callback"), Mapping):
        yield "callback is not set: chats stay unknown, and no hook runs when a button is pressed"


def edition(account: Account) -> str:
    """Returns `robot` or `push`."""
    return str(account.settings.get("edition"))


_MADE_BY_VENDOR = 32
"""Characters of the ids in the page's samples: wrkSFfCgAAtMQKg4xqDatM5C9IDHFpTw is a group's, wo... a single chat's."""


def is_member(chat_id: str) -> bool:
    """Returns True if the id cannot be a group's: it is a userid, or a single chat's."""
    return chat_id.startswith("wo") or not (chat_id.startswith("wr") or len(chat_id) == _MADE_BY_VENDOR)


def chat_lane(chat_id: str) -> str:
    """Returns the lane of everything that goes to one chat. A member's userid may come in any case."""
    return f"{JobKind.SEND.value}/chat/{chat_id.lower()}"


def problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    """Finds every wrong key."""
    if settings.get("edition") not in EDITIONS:
        text = "is missing or no edition"
        yield Problem("edition", text, f'use "{ROBOT}" (group robot) or "{PUSH}" (message push, chats named by chatid)')
    if not isinstance(settings.get("subscribed", True), bool):
        yield Problem("subscribed", "is not a boolean", "use true (people we write to are in its scope) or false")
    types = settings.get("chatid_for", [])
    if not isinstance(types, list | tuple) or not all(one in UNADDRESSED for one in types):
        yield Problem("chatid_for", "is not a list of message types", f"use some of {', '.join(UNADDRESSED)}")
    yield from _callback_problems(settings.get("callback"), settings.get("edition"))


def _callback_problems(callback: Any, of: Any) -> Iterator[Problem]:
    """Checks the table. With it, `worker receiver` is the webhook's callback address."""
    if callback is None:
        return
    if of == ROBOT:
        yield Problem("callback", "only message push calls back", "leave it out")
    if not isinstance(callback, Mapping):
        remedy = 'use { token = { env = "NAME" }, aes_key = { env = "NAME" } }'
        yield Problem("callback", "is not a table", remedy)
        return
    yield from secret_problems(callback)
