"""The list of conversations and the open conversation, as values for the templates. Both are split into pages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from worker_simulator.inbox.conversations import Conversation, ConversationEntry, Conversations, KeyParts
from worker_simulator.inbox.entries import EntryView, app_name, preview, time_of, version_of, view
from worker_simulator.inbox.message_views import PageContext, speaker
from worker_simulator.inbox.query import KINDS, ConversationKey
from worker_simulator.inbox.search import MAX_HITS, hits
from worker_simulator.settings import AppSettings, WebhookKey
from worker_simulator.settings.youdu import YouduApp
from worker_simulator.wecom_webhook.memory import Post

ROWS = 50
"""Conversations on one page of the list."""
ENTRIES = 40
"""Entries on one page of a conversation."""
PIECE = 1000
"""How many names are searched before other tasks may run."""


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


async def list_part(context: PageContext, conversations: Conversations) -> dict[str, Any]:
    """Returns the list, filtered by kind and by the search text."""
    query = context.query
    if query.kind or query.q:
        keys = await _filtered_keys(context, conversations)
        page, count = keys[query.skip : query.skip + ROWS], len(keys)
    else:
        page, count = list(islice(conversations.newest(), query.skip, query.skip + ROWS)), conversations.count
    return {
        "rows": [_row(context, conversation) for key in page if (conversation := conversations.find(key))],
        "kinds": KINDS,
        "first": query.skip + 1,
        "last": query.skip + len(page),
        "count": count,
        "newer": query.url(skip=max(0, query.skip - ROWS), at=None) if query.skip else None,
        "older": query.url(skip=query.skip + ROWS, at=None) if query.skip + ROWS < count else None,
    }


async def _filtered_keys(context: PageContext, conversations: Conversations) -> list[KeyParts]:
    """Returns the conversations that match, newest first. Lets other tasks run while it searches."""
    all_keys, matching = list(conversations.newest()), list[KeyParts]()
    for start in range(0, len(all_keys), PIECE):
        matching += [key for key in all_keys[start : start + PIECE] if _matches(context, ConversationKey._make(key))]
        await asyncio.sleep(0)
    return matching


def _matches(context: PageContext, key: ConversationKey) -> bool:
    """True if a conversation has the kind and a name with the search text."""
    query = context.query
    if query.kind and key.kind != query.kind:
        return False
    q = query.q.casefold()
    return not q or any(q in part.casefold() for part in (key.who, key.place, context.name(key.who)))


def _row(context: PageContext, conversation: Conversation) -> ConversationRow:
    last, key = conversation.entries[-1], conversation.key
    item = last.item
    badge = context.state.youdu.badges.get(key.who, {}) if key.kind == "youdu" else {}
    return ConversationRow(
        key=key,
        title=title(context, key),
        sub=subtitle(context, key),
        preview=preview(context, item) or view(context, last, "").sender,
        time=context.time(time_of(item))[5:16],
        count=len(conversation.entries),
        badge=badge["count"] if badge.get("app") == key.place else 0,
    )


def title(context: PageContext, key: ConversationKey) -> str:
    """Returns the name of the person or chat."""
    if key.kind == "chat":
        chat = context.state.chats.find(key.place, key.who)
        return (chat.name if chat else "") or key.who
    return context.name(key.who)


def subtitle(context: PageContext, key: ConversationKey) -> str:
    """Returns the name of the app, corp or server."""
    say = context.say
    match key.kind:
        case "app":
            corpid, _, agentid = key.place.rpartition("/")
            return app_name(say, corpid, agentid)
        case "chat":
            chat = context.state.chats.find(key.place, key.who)
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
    """The entries on one page of a conversation."""

    views: Sequence[EntryView]
    first: int
    last: int
    count: int
    earlier: str | None
    latest: str | None


async def talk_part(context: PageContext, conversations: Conversations) -> dict[str, Any]:
    """Returns the open conversation, or the messages that contain the search text."""
    query = context.query
    conversation = conversations.find(query.at) if query.at else None
    values: dict[str, Any] = {"conversation": conversation, "page": None, "hits": None}
    if query.at is None and query.q:
        values["hits"] = await _hits(context)
        values["limit"] = MAX_HITS
    if conversation is not None:
        values["page"] = _page(context, conversation)
        values |= header(context, conversation)
    return values


async def _hits(context: PageContext) -> list[tuple[ConversationKey, str, str, EntryView]]:
    """Returns each match with its conversation and that conversation's name."""
    hit_views = []
    for n, (key, entry) in enumerate(await hits(context.state, context.query.q)):
        hit_context = replace(context, query=replace(context.query, at=key))
        hit_views.append((key, title(context, key), subtitle(context, key), view(hit_context, entry, f"h{n}")))
    return hit_views


def _page(context: PageContext, conversation: Conversation) -> ConversationPage:
    first, last, entries = _span(context, conversation)
    query, count = context.query, len(conversation.entries)
    return ConversationPage(
        views=[view(context, entry, f"e{n}") for n, entry in enumerate(entries, first)],
        first=first + 1,
        last=last,
        count=count,
        earlier=query.url(before=first) if first else None,
        latest=query.url(before=None) if last < count else None,
    )


def _span(context: PageContext, conversation: Conversation) -> tuple[int, int, Sequence[ConversationEntry]]:
    """Returns the first and the last position on a page, and the entries between."""
    query, entries = context.query, conversation.entries
    last = len(entries) if query.before is None else min(query.before, len(entries))
    first = max(0, last - ENTRIES)
    return first, last, entries[first:last]


def talk_version(context: PageContext, conversation: Conversation) -> str:
    """Returns a text that changes when the conversation has to be rendered again."""
    first, last, entries = _span(context, conversation)
    versions = "|".join(version_of(context, entry) for entry in entries)
    return f"{first}-{last}-{len(conversation.entries)}-{callback_target(context, conversation)}-{versions}"


def header(context: PageContext, conversation: Conversation) -> dict[str, Any]:
    """Returns the values above and below a conversation: its title, who can write, and where callbacks go."""
    key = conversation.key
    return {
        "title": title(context, key),
        "sub": subtitle(context, key),
        "key": webhook_key(conversation),
        "speaker": _speaker(context, key),
        "has_speakers": key.kind == "chat" or (key.kind == "webhook" and key.place != "single"),
        "target": callback_target(context, conversation),
        "badge": _badge(context, key),
    }


def _speaker(context: PageContext, key: ConversationKey) -> str:
    """Returns the person who reads and acts; in a chat with several members, the one of the query."""
    if key.kind == "webhook":
        return speaker(context.query)
    return context.query.person if key.kind == "chat" else key.who


def _badge(context: PageContext, key: ConversationKey) -> Mapping[str, Any]:
    badge = context.state.youdu.badges.get(key.who, {}) if key.kind == "youdu" else {}
    return badge if badge.get("app") == key.place else {}


def webhook_key(conversation: Conversation) -> str:
    """Returns the key of the newest message in a webhook's chat, else an empty text."""
    posts: Iterator[Post] = (entry.item for entry in reversed(conversation.entries) if isinstance(entry.item, Post))
    return next((post.key for post in islice(posts, 1)), "")


def callback_target(context: PageContext, conversation: Conversation) -> AppSettings | WebhookKey | YouduApp | None:
    """Returns the configured app or webhook that gets the callbacks of a conversation, or None."""
    key, settings = conversation.key, context.state.settings
    match key.kind:
        case "app":
            corpid, _, agentid = key.place.rpartition("/")
            return context.state.apps.find(corpid, int(agentid)) if agentid.isdecimal() else None
        case "webhook":
            webhook = webhook_key(conversation)
            return next((candidate for candidate in settings.webhook.keys if candidate.key == webhook), None)
        case "youdu":
            return next((candidate for candidate in settings.youdu.apps if candidate.appid == key.place), None)
    return None
