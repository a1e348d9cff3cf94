"""The list of conversations and the conversation that is open, as values for the templates.

Does not know HTTP. Both are read page by page, however much there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from worker_simulator.inbox.conversations import Conversation, ConversationEntry, Conversations, PlainKey
from worker_simulator.inbox.entries import EntryView, app_name, preview, time_of, version_of, view
from worker_simulator.inbox.look import KINDS, ConversationKey
from worker_simulator.inbox.search import MOST, hits
from worker_simulator.inbox.shown import PageReader, speaker
from worker_simulator.settings import AppSettings, WebhookKey
from worker_simulator.settings.youdu import YouduApp
from worker_simulator.wecom_webhook.memory import Post

ROWS = 50
"""Conversations on a page of the list."""
ENTRIES = 40
"""Entries on a page of a conversation."""
PIECE = 1000
"""Conversations whose names are looked at before others get their turn."""


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation in the list."""

    key: ConversationKey
    title: str
    sub: str
    preview: str
    time: str
    count: int
    badge: int


async def list_part(reader: PageReader, conversations: Conversations) -> dict[str, Any]:
    """The list, filtered by kind and by what is searched for."""
    look = reader.look
    if look.kind or look.q:
        keys = await _wanted(reader, conversations)
        page, count = keys[look.skip : look.skip + ROWS], len(keys)
    else:
        page, count = list(islice(conversations.newest(), look.skip, look.skip + ROWS)), conversations.count
    return {
        "rows": [_row(reader, one) for key in page if (one := conversations.find(key))],
        "kinds": KINDS,
        "first": look.skip + 1,
        "last": look.skip + len(page),
        "count": count,
        "newer": look.url(skip=max(0, look.skip - ROWS), at=None) if look.skip else None,
        "older": look.url(skip=look.skip + ROWS, at=None) if look.skip + ROWS < count else None,
    }


async def _wanted(reader: PageReader, conversations: Conversations) -> list[PlainKey]:
    """The conversations that the list has, the newest first; lets calls of the vendor pass while it looks for names."""
    everything, found = list(conversations.newest()), list[PlainKey]()
    for start in range(0, len(everything), PIECE):
        found += [key for key in everything[start : start + PIECE] if _is_wanted(reader, ConversationKey._make(key))]
        await asyncio.sleep(0)
    return found


def _is_wanted(reader: PageReader, key: ConversationKey) -> bool:
    """Whether the list shows a conversation: by its kind, and by its name while names are searched for."""
    look = reader.look
    if look.kind and key.kind != look.kind:
        return False
    q = look.q.casefold()
    return not q or any(q in part.casefold() for part in (key.who, key.place, reader.name(key.who)))


def _row(reader: PageReader, conversation: Conversation) -> ConversationRow:
    last, key = conversation.entries[-1], conversation.key
    what = last.what
    badge = reader.world.youdu.badges.get(key.who, {}) if key.kind == "youdu" else {}
    return ConversationRow(
        key=key,
        title=title(reader, key),
        sub=subtitle(reader, key),
        preview=preview(reader, what) or view(reader, last, "").sender,
        time=reader.time(time_of(what))[5:16],
        count=len(conversation.entries),
        badge=badge["count"] if badge.get("app") == key.place else 0,
    )


def title(reader: PageReader, key: ConversationKey) -> str:
    """Whom a conversation is with."""
    if key.kind == "chat":
        chat = reader.world.chats.find(key.place, key.who)
        return (chat.name if chat else "") or key.who
    return reader.name(key.who)


def subtitle(reader: PageReader, key: ConversationKey) -> str:
    """What a conversation belongs to."""
    say = reader.say
    match key.kind:
        case "app":
            corpid, _, agentid = key.place.rpartition("/")
            return app_name(say, corpid, agentid)
        case "chat":
            chat = reader.world.chats.find(key.place, key.who)
            return say("of_chat", count=len(chat.members) if chat else 0, corpid=key.place)
        case "webhook":
            return f"{say('of_webhook')} · {say(key.place)}"
        case "campaign":
            return say("of_campaign", corpid=key.place)
        case "youdu":
            return say("of_youdu", app=key.place if len(key.place) < 20 else f"{key.place[:10]}…")


# -- one conversation --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """The entries of one page of a conversation."""

    views: Sequence[EntryView]
    first: int
    last: int
    count: int
    earlier: str | None
    latest: str | None


async def talk_part(reader: PageReader, conversations: Conversations) -> dict[str, Any]:
    """The conversation that is open, or the messages that hold what is searched for."""
    look = reader.look
    conversation = conversations.find(look.at) if look.at else None
    values: dict[str, Any] = {"conversation": conversation, "page": None, "hits": None}
    if look.at is None and look.q:
        values["hits"] = await _hits(reader)
        values["most"] = MOST
    if conversation is not None:
        values["page"] = _page(reader, conversation)
        values |= header(reader, conversation)
    return values


async def _hits(reader: PageReader) -> list[tuple[ConversationKey, str, str, EntryView]]:
    """Each hit with its conversation and the name of that."""
    found = []
    for n, hit in enumerate(await hits(reader.world, reader.look.q)):
        there = replace(reader, look=replace(reader.look, at=hit.key))
        found.append((hit.key, title(reader, hit.key), subtitle(reader, hit.key), view(there, hit.entry, f"h{n}")))
    return found


def _page(reader: PageReader, conversation: Conversation) -> ConversationPage:
    first, last, entries = _span(reader, conversation)
    look, count = reader.look, len(conversation.entries)
    return ConversationPage(
        views=[view(reader, entry, f"e{n}") for n, entry in enumerate(entries, first)],
        first=first + 1,
        last=last,
        count=count,
        earlier=look.url(before=first) if first else None,
        latest=look.url(before=None) if last < count else None,
    )


def _span(reader: PageReader, conversation: Conversation) -> tuple[int, int, Sequence[ConversationEntry]]:
    """The first and the last entry of a page, and those between."""
    look, entries = reader.look, conversation.entries
    last = len(entries) if look.before is None else min(look.before, len(entries))
    first = max(0, last - ENTRIES)
    return first, last, entries[first:last]


def talk_version(reader: PageReader, conversation: Conversation) -> str:
    """What differs when the page of a conversation has to be drawn anew."""
    first, last, entries = _span(reader, conversation)
    versions = "|".join(version_of(reader, entry) for entry in entries)
    return f"{first}-{last}-{len(conversation.entries)}-{callee(reader, conversation)}-{versions}"


def header(reader: PageReader, conversation: Conversation) -> dict[str, Any]:
    """What stands above and below a conversation: whom it is with, who may write, and where that goes."""
    key = conversation.key
    return {
        "title": title(reader, key),
        "sub": subtitle(reader, key),
        "key": webhook_key(conversation),
        "speaker": _speaker(reader, key),
        "has_speakers": key.kind == "chat" or (key.kind == "webhook" and key.place != "single"),
        "callee": callee(reader, conversation),
        "badge": _badge(reader, key),
    }


def _speaker(reader: PageReader, key: ConversationKey) -> str:
    """The person who looks and acts: of a chat of several the one that was named."""
    if key.kind == "webhook":
        return speaker(reader.look)
    return reader.look.person if key.kind == "chat" else key.who


def _badge(reader: PageReader, key: ConversationKey) -> Mapping[str, Any]:
    badge = reader.world.youdu.badges.get(key.who, {}) if key.kind == "youdu" else {}
    return badge if badge.get("app") == key.place else {}


def webhook_key(conversation: Conversation) -> str:
    """The key of the newest message in a webhook's chat; empty elsewhere."""
    posts: Iterator[Post] = (one.what for one in reversed(conversation.entries) if isinstance(one.what, Post))
    return next((post.key for post in islice(posts, 1)), "")


def callee(reader: PageReader, conversation: Conversation) -> AppSettings | WebhookKey | YouduApp | None:
    """The app or webhook of the settings that gets what is pressed and written here; None where none is set."""
    key, settings = conversation.key, reader.world.settings
    match key.kind:
        case "app":
            corpid, _, agentid = key.place.rpartition("/")
            return reader.world.apps.named(corpid, int(agentid)) if agentid.isdecimal() else None
        case "webhook":
            own = webhook_key(conversation)
            return next((one for one in settings.webhook.keys if one.key == own), None)
        case "youdu":
            return next((one for one in settings.youdu.apps if one.appid == key.place), None)
    return None
