"""Searches all messages for a text, newest first. Lets other tasks run while it reads a long log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from worker_simulator.inbox.conversations import ConversationEntry, LogItem, keys_of, logs
from worker_simulator.inbox.query import ConversationKey
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.state.inbox import InboxMessage
from worker_simulator.wecom_external.tasks import GroupSendTask
from worker_simulator.wire.callbacks import Callback

MAX_HITS = 50
PIECE = 100
"""How many messages are searched before other tasks may run."""


async def hits(state: VendorState, q: str) -> list[tuple[ConversationKey, ConversationEntry]]:
    """Returns the newest messages that contain a text in any case, or have it as msgid or task_id.

    Each has the first conversation that it belongs to.
    """
    matches: list[tuple[ConversationKey, ConversationEntry]] = []
    for log in logs(state):
        count = 0
        for n, item in enumerate(reversed(log)):
            if n % PIECE == 0:
                await asyncio.sleep(0)
            keys = keys_of(item) if contains(item, q) else []
            matches += [(key, ConversationEntry((_seq(item), 0), item)) for key in keys[:1]]
            count += bool(keys)
            if count >= MAX_HITS:
                break
    return sorted(matches, key=lambda hit: -hit[1].order[0])[:MAX_HITS]


def contains(item: LogItem, q: str) -> bool:
    """True if one of the texts or ids of an item contains `q`."""
    folded = q.casefold()
    return q in _ids(item) or any(folded in text.casefold() for text in texts(content_of(item)))


def texts(content: Any) -> Iterator[str]:
    """Yields every text of a message, in order."""
    match content:
        case str():
            yield content
        case dict():
            for value in content.values():
                yield from texts(value)
        case list():
            for value in content:
                yield from texts(value)


def content_of(item: LogItem) -> Any:
    """Returns the vendor's object, or the text that was written."""
    return item.about.get("text", "") if isinstance(item, Callback) else item.content


def _ids(item: LogItem) -> tuple[str | None, ...]:
    match item:
        case InboxMessage():
            return item.msgid, item.task_id
        case GroupSendTask():
            return (item.msgid,)
    return ()


def _seq(item: LogItem) -> int:
    return item.after if isinstance(item, Callback) else item.seq
