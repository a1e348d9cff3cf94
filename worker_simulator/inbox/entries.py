"""An entry of a conversation on the page: the drawn message, the result of an action, or a line in the list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from markupsafe import Markup
from wcwidth import iter_graphemes

from worker.drawing import Say, draw
from worker_simulator.inbox.conversations import ConversationEntry, LogItem
from worker_simulator.inbox.message_views import PageContext, message_view, speaker
from worker_simulator.wecom_app.state.inbox import InboxMessage
from worker_simulator.wecom_external.tasks import MEMBER_WAITS, GroupSendTask
from worker_simulator.wecom_webhook.memory import Post
from worker_simulator.wire.callbacks import Callback
from worker_simulator.youdu.memory import DeliveredMessage, YouduNotice

Tone = Literal["calm", "busy", "good", "mixed", "bad", "gone"]
TONES: Mapping[str, Tone] = {"open": "busy", "taken": "good", "given up": "bad"}

MAX_PREVIEW_CHARS = 80
TEXT_FIELDS = ("title", "subject", "main_title", "content", "sub_title_text", "articles", "text", "msg", "tip")
LAST_TEXT_FIELDS = ("digest", "description", "desc", "fromUser", "fromEmail")
"""Fields with readable text, the most important first. All others are ids, URLs and numbers."""
TYPES_WITH_WORD = ("image", "voice", "video", "file", "link", "sms", "mail", "pop_window", "badge")
TYPE_WORDS: Mapping[str, str] = {
    **{name: f"type_{name}" for name in TYPES_WITH_WORD},
    "miniprogram": "type_miniprogram",
    "miniprogram_notice": "type_miniprogram",
}
"""Message types that are named before their text, and the key of that word."""
TAG = re.compile(r"<(@[^<>\s]+)>|</?(?:a|div|font)\b[^<>]*>")
MARKDOWN = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)|^[^\S\n]*(?:[#>]+|[-+]|\d+\.)\s+|\*\*|`+", re.MULTILINE)
"""Markdown syntax that an app does not display."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A short label next to a message."""

    tone: Tone
    text: str


@dataclass(frozen=True, slots=True)
class EntryView:
    """An entry, ready for the template."""

    id: str
    version: str
    """Changes when the entry has to be drawn again."""
    shape: Literal["message", "missing", "act", "said"]
    seq: int
    """The number of its call; of a press, of the card's call; 0 for other actions."""
    time: str
    sender: str
    drawn: Markup | str = ""
    text: str = ""
    """For an action: the text that was written."""
    chips: tuple[Chip, ...] = ()
    tries: tuple[str, ...] = ()
    rules: int = 0
    """The number of rules that applied to its call."""


def version_of(context: PageContext, entry: ConversationEntry) -> str:
    """Returns a text that changes when an entry has to be drawn again. Cheaper than drawing it."""
    return "-".join(str(part) for part in (*entry.order, *_changing(context, entry.item)))


def _changing(context: PageContext, item: LogItem) -> tuple[object, ...]:
    """Returns the parts of an entry that can change later."""
    if isinstance(item, Callback):
        return item.state, len(item.tries)
    rules = len(context.state.rulings.of(item.seq))
    if isinstance(item, Post):
        return rules, *item.clicked.get(speaker(context.query).lower(), ())
    if isinstance(item, GroupSendTask):
        member = item.members.get(context.who)
        sent = (member.status, member.ignored, member.sent_at) if member else ()
        return rules, item.cancelled_at, len(item.reminders), *sent
    if isinstance(item, YouduNotice):
        return rules, _is_open(context, item)
    return (rules,)


def view(context: PageContext, entry: ConversationEntry, name: str) -> EntryView:
    """Returns an entry for the template, with an id that is unique on the page."""
    if isinstance(entry.item, Callback):
        return _action_view(context, entry, entry.item, name)
    item, chips = entry.item, tuple(_chips(context, entry))
    rules = len(context.state.rulings.of(item.seq))
    return EntryView(
        id=name,
        version=version_of(context, entry),
        shape="missing" if entry.missing else "message",
        seq=item.seq,
        time=context.time(time_of(item)),
        sender=_sender(context, item),
        drawn=draw(message_view(context, item), context.query.lang),
        chips=chips,
        rules=rules,
    )


def time_of(item: LogItem) -> float:
    """Returns the virtual time of an entry."""
    match item:
        case InboxMessage() | DeliveredMessage():
            return item.sent_at
        case GroupSendTask():
            return item.created_at
    return item.time


def _sender(context: PageContext, item: LogItem) -> str:
    match item:
        case InboxMessage() if item.chatid:
            return app_name(context.say, item.app.corpid, str(item.agentid or ""))
        case Post():
            return f"{context.say('of_webhook')} {item.key[:8]}"
    return ""


def app_name(say: Say, corpid: str, agentid: str) -> str:
    """Returns the name of an app."""
    return say("of_app", agentid=agentid, corpid=corpid) if agentid else say("of_unknown_app", corpid=corpid)


def _chips(context: PageContext, entry: ConversationEntry) -> Iterator[Chip]:
    say, item = context.say, entry.item
    if entry.missing:
        yield Chip("bad", _drop_reason(context, item))
    match item:
        case InboxMessage():
            dropped = len(item.recipients) - len(item.shown_to)
            if item.chatid and dropped > 0:
                yield Chip("bad", say("dropped_some", count=dropped))
            elif len(item.recipients) > 1 and not item.chatid:
                yield Chip("calm", say("to_many", count=len(item.recipients)))
        case DeliveredMessage() if len(item.shown_to) > 1:
            yield Chip("calm", say("to_many", count=len(item.shown_to)))
        case YouduNotice() if not _is_open(context, item):
            yield Chip("gone", say("replaced"))
        case Post():
            if item.visible_to:
                yield Chip(
                    "mixed", say("visible_to", people=", ".join(context.name(userid) for userid in item.visible_to))
                )
            if item.post_id:
                yield Chip("calm", say("answers_post", post=item.post_id))
        case GroupSendTask():
            yield from _of_campaign(context, item)


def _drop_reason(context: PageContext, item: LogItem) -> str:
    """Returns the limit that kept this person from getting a message."""
    seq = 0 if isinstance(item, Callback) else item.seq
    drops = (ruling.about for ruling in context.state.rulings.of(seq) if ruling.rule == "drop")
    drop = next((values for values in drops if context.who in values["people"]), None)
    if drop is None:  # forgotten: only the newest rulings are kept
        return context.say("dropped_plain")
    return context.say("dropped", limit=drop["limit"], window=context.window(drop["window_s"]))


def _of_campaign(context: PageContext, task: GroupSendTask) -> Iterator[Chip]:
    """Yields the progress of a group send at this member, and its recipients by result."""
    say, member = context.say, task.members.get(context.who)
    if task.creator:
        yield Chip("calm", say("made_in_console", creator=task.creator))
    if task.reminders:
        yield Chip("mixed", say("reminded", count=len(task.reminders)))
    if task.cancelled_at is not None:
        yield Chip("gone", say("cancelled"))
    if member is None:
        return
    if member.ignored:
        yield Chip("gone", say("ignored"))
    if member.status == MEMBER_WAITS and not member.ignored and task.cancelled_at is None:
        yield Chip("busy", say("waits_for", count=len(member.results)))
        return
    statuses = [result.status for result in member.results.values()]
    for status, tone in ((0, "gone"), (1, "good"), (2, "bad"), (3, "bad")):
        if count := statuses.count(status):
            yield Chip(tone, f"{say(f'result_{status}')} {count}")  # type: ignore[arg-type]  # of the tuple above


def _is_open(context: PageContext, notice: YouduNotice) -> bool:
    """True if a pop-up window is still open, or a badge count is still displayed."""
    youdu, person = context.state.youdu, context.who
    if notice.kind == "pop_window":
        return any(window["seq"] == notice.seq for window in youdu.windows.get(person, ()))
    return bool(youdu.badges.get(person, {}).get("count", 0) == notice.content["count"])


# -- acts --------------------------------------------------------------------------------------------------------------


def _action_view(context: PageContext, entry: ConversationEntry, callback: Callback, name: str) -> EntryView:
    about, say = callback.about, context.say
    kind = "verify" if callback.kind == "verify" else str(about.get("act", "press"))
    person = context.name(str(about.get("person", "")))
    return EntryView(
        id=name,
        version=version_of(context, entry),
        shape="said" if kind == "message" else "act",
        seq=int(about.get("seq", 0)),
        time=context.time(callback.time),
        sender=say(f"act_{kind}", person=person, key=about.get("key", "")),
        text=str(about.get("text", "")),
        chips=(Chip(TONES.get(callback.state, "busy"), say(f"state_{callback.state}")),),
        tries=tuple(_tries(say, callback)),
    )


def _tries(say: Say, callback: Callback) -> Iterator[str]:
    """Yields the result of each failed try."""
    for n, attempt in enumerate(callback.tries, 1):
        ms = round(float(attempt["took_s"]) * 1000)
        if attempt["failure"] is not None:
            reason = say(f"fail_{attempt['failure']}")
            yield say("try_failure", n=n, failure=reason.removeprefix("fail_"), ms=ms)
        elif attempt["status"] != 200 or callback.state != "taken":
            yield say("try_status", n=n, status=attempt["status"], ms=ms)


# -- in the list -------------------------------------------------------------------------------------------------------


def preview(context: PageContext, item: LogItem) -> str:
    """Returns the first line of a message. Empty for an action without a text."""
    if isinstance(item, Callback):
        return _shortened([str(item.about.get("text", ""))])
    msgtype = _type(item)
    if msgtype == "campaign":
        return _campaign_line(context, item.content)
    return _shortened(_parts(context, msgtype, item.content))


def _type(item: LogItem) -> str:
    match item:
        case GroupSendTask():
            return "campaign"
        case YouduNotice():
            return item.kind
        case Callback():
            return ""
    return item.msgtype


def _campaign_line(context: PageContext, content: Any) -> str:
    """Returns the text that customers get, or the first attachment."""
    text = _first(content.get("text"))
    attachment: Any = next(iter(content.get("attachments", ())), {})
    kind = str(attachment.get("msgtype", ""))
    return _shortened([text] if text else _parts(context, kind, attachment.get(kind)))


def _parts(context: PageContext, msgtype: str, content: Any) -> Iterator[str]:
    word = TYPE_WORDS.get(msgtype)
    text = _first(content)
    if word:
        yield f"[{context.say(word)}]"
    elif not text:
        yield f"[{msgtype}]"
    match content:
        case {"unreadCount": int(count)}:
            yield context.say("unread", count=count)
        case {"count": int(count)}:
            yield str(count)
        case {"media_id": str(key)} if word and not text and (file := context.state.files.find(key)):
            yield file.name if msgtype == "file" else ""
    plain_text = TAG.sub(r"\1", text)
    yield MARKDOWN.sub(r"\1", plain_text) if msgtype.startswith("markdown") else plain_text


def _first(content: Any) -> str:
    """Returns the text that a person reads first."""
    match content:
        case str():
            return content if content.strip() else ""
        case list():
            return next(filter(None, map(_first, content)), "")
        case dict():
            return next((text for name in (*TEXT_FIELDS, *LAST_TEXT_FIELDS) if (text := _first(content.get(name)))), "")
    return ""


def _shortened(parts: Iterable[str]) -> str:
    """Returns the parts as one line of limited length."""
    line = " ".join(" ".join(part[: 40 * MAX_PREVIEW_CHARS].split()) for part in parts if part)
    return "".join(islice(iter_graphemes(line), MAX_PREVIEW_CHARS))
