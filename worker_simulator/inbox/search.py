"""Looks for texts in everything that was sent, newest first.

Does not know pages. Lets calls of the vendor pass while it reads a long log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from worker_simulator.inbox.conversations import ConversationEntry, What, keys_of, logs
from worker_simulator.inbox.look import ConversationKey
from worker_simulator.wecom_app.state.inbox import InboxMessage
from worker_simulator.wecom_external.tasks import GroupSendTask
from worker_simulator.wire.callbacks import Callback
from worker_simulator.world import World

MOST = 50
PIECE = 100
"""Messages that are read before others get their turn."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that holds what is searched for, and the first conversation it stands in."""

    key: ConversationKey
    entry: ConversationEntry


async def hits(world: World, q: str) -> list[Hit]:
    """The newest messages that hold a text, whatever its case, or that have it as msgid or task_id."""
    found: list[Hit] = []
    for log in logs(world):
        here = 0
        for n, what in enumerate(reversed(log)):
            if n % PIECE == 0:
                await asyncio.sleep(0)
            keys = keys_of(what) if holds(what, q) else []
            found += [Hit(key, ConversationEntry((_seq(what), 0), what)) for key in keys[:1]]
            here += bool(keys)
            if here >= MOST:
                break
    return sorted(found, key=lambda hit: -hit.entry.order[0])[:MOST]


def holds(what: What, q: str) -> bool:
    """Whether one of its texts or ids has what is searched for."""
    wanted = q.casefold()
    return q in _ids(what) or any(wanted in text.casefold() for text in texts(content_of(what)))


def texts(content: Any) -> Iterator[str]:
    """Every text of a message, in its order."""
    match content:
        case str():
            yield content
        case dict():
            for value in content.values():
                yield from texts(value)
        case list():
            for value in content:
                yield from texts(value)


def content_of(what: What) -> Any:
    """The vendor's object, or what was written."""
    return what.about.get("text", "") if isinstance(what, Callback) else what.content


def _ids(what: What) -> tuple[str | None, ...]:
    match what:
        case InboxMessage():
            return what.msgid, what.task_id
        case GroupSendTask():
            return (what.msgid,)
    return ()


def _seq(what: What) -> int:
    return what.after if isinstance(what, Callback) else what.seq
