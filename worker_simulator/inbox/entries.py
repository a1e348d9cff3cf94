"""One entry of a conversation as the page shows it: the message drawn, what became of an act, or a line in the list.

Does not know conversations and requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from markupsafe import Markup
from wcwidth import iter_graphemes

from worker.drawing import Say, draw
from worker_simulator.inbox.conversations import ConversationEntry, What
from worker_simulator.inbox.shown import PageReader, shown, speaker
from worker_simulator.wecom_app.state.inbox import InboxMessage
from worker_simulator.wecom_external.tasks import MEMBER_WAITS, GroupSendTask
from worker_simulator.wecom_webhook.memory import Post
from worker_simulator.wire.callbacks import Callback
from worker_simulator.youdu.memory import DeliveredMessage, YouduNotice

Tone = Literal["calm", "busy", "good", "mixed", "bad", "gone"]
TONES: Mapping[str, Tone] = {"open": "busy", "taken": "good", "given up": "bad"}

LONGEST_LINE = 80
READ = ("title", "subject", "main_title", "content", "sub_title_text", "articles", "text", "msg", "tip")
READ_LAST = ("digest", "description", "desc", "fromUser", "fromEmail")
"""Fields that have a text to read, the best first; all others hold ids, addresses and figures."""
TYPED = ("image", "voice", "video", "file", "link", "sms", "mail", "pop_window", "badge")
WORDED: Mapping[str, str] = {
    **{name: f"type_{name}" for name in TYPED},
    "miniprogram": "type_miniprogram",
    "miniprogram_notice": "type_miniprogram",
}
"""Types that the apps name before the text, and the word for them; most others are known by their text."""
TAG = re.compile(r"<(@[^<>\s]+)>|</?(?:a|div|font)\b[^<>]*>")
MARKDOWN = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)|^[^\S\n]*(?:[#>]+|[-+]|\d+\.)\s+|\*\*|`+", re.MULTILINE)
"""Marks that an app draws and does not write."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A short note beside a message."""

    tone: Tone
    text: str


@dataclass(frozen=True, slots=True)
class EntryView:
    """An entry ready for the template."""

    id: str
    version: str
    """Differs when the entry has to be drawn anew."""
    shape: Literal["message", "missing", "act", "said"]
    seq: int
    """The number of its call, of a press that of the card's; 0 for other acts."""
    time: str
    sender: str
    drawn: Markup | str = ""
    said: str = ""
    """Of an act: what was done, or the text that was written."""
    chips: tuple[Chip, ...] = ()
    tries: tuple[str, ...] = ()
    rules: int = 0
    """How many rules acted on its call."""


def version_of(reader: PageReader, entry: ConversationEntry) -> str:
    """What differs when an entry has to be drawn anew; costs less than drawing it."""
    return "-".join(str(part) for part in (*entry.order, *_moving(reader, entry.what)))


def _moving(reader: PageReader, what: What) -> tuple[object, ...]:
    """What of an entry may change after it came."""
    if isinstance(what, Callback):
        return what.state, len(what.tries)
    rules = len(reader.world.rulings.of(what.seq))
    if isinstance(what, Post):
        return rules, *what.clicked.get(speaker(reader.look).lower(), ())
    if isinstance(what, GroupSendTask):
        member = what.members.get(reader.who)
        sent = (member.status, member.ignored, member.sent_at) if member else ()
        return rules, what.cancelled_at, len(what.reminders), *sent
    if isinstance(what, YouduNotice):
        return rules, _is_open(reader, what)
    return (rules,)


def view(reader: PageReader, entry: ConversationEntry, name: str) -> EntryView:
    """An entry for the template, under a name that no other on the page has."""
    if isinstance(entry.what, Callback):
        return _act(reader, entry, entry.what, name)
    what, chips = entry.what, tuple(_chips(reader, entry))
    rules = len(reader.world.rulings.of(what.seq))
    return EntryView(
        id=name,
        version=version_of(reader, entry),
        shape="missing" if entry.missing else "message",
        seq=what.seq,
        time=reader.time(time_of(what)),
        sender=_sender(reader, what),
        drawn=draw(shown(reader, what), reader.look.lang),
        chips=chips,
        rules=rules,
    )


def time_of(what: What) -> float:
    """The virtual instant of an entry."""
    match what:
        case InboxMessage() | DeliveredMessage():
            return what.sent_at
        case GroupSendTask():
            return what.created_at
    return what.time


def _sender(reader: PageReader, what: What) -> str:
    match what:
        case InboxMessage() if what.chatid:
            return app_name(reader.say, what.app.corpid, str(what.agentid or ""))
        case Post():
            return f"{reader.say('of_webhook')} {what.key[:8]}"
    return ""


def app_name(say: Say, corpid: str, agentid: str) -> str:
    """An app in words."""
    return say("of_app", agentid=agentid, corpid=corpid) if agentid else say("of_unknown_app", corpid=corpid)


def _chips(reader: PageReader, entry: ConversationEntry) -> Iterator[Chip]:
    say, what = reader.say, entry.what
    if entry.missing:
        yield Chip("bad", _why_missing(reader, what))
    match what:
        case InboxMessage():
            dropped = len(what.recipients) - len(what.shown_to)
            if what.chatid and dropped > 0:
                yield Chip("bad", say("dropped_some", count=dropped))
            elif len(what.recipients) > 1 and not what.chatid:
                yield Chip("calm", say("to_many", count=len(what.recipients)))
        case DeliveredMessage() if len(what.shown_to) > 1:
            yield Chip("calm", say("to_many", count=len(what.shown_to)))
        case YouduNotice() if not _is_open(reader, what):
            yield Chip("gone", say("replaced"))
        case Post():
            if what.visible_to:
                yield Chip("mixed", say("visible_to", people=", ".join(reader.name(one) for one in what.visible_to)))
            if what.post_id:
                yield Chip("calm", say("answers_post", post=what.post_id))
        case GroupSendTask():
            yield from _of_campaign(reader, what)


def _why_missing(reader: PageReader, what: What) -> str:
    """The limit that kept this person from a message, as the rule itself noted it."""
    seq = 0 if isinstance(what, Callback) else what.seq
    drops = (ruling.about for ruling in reader.world.rulings.of(seq) if ruling.rule == "drop")
    own = next((about for about in drops if reader.who in about["people"]), None)
    if own is None:  # forgotten: only the newest rulings are kept
        return reader.say("dropped_plain")
    return reader.say("dropped", limit=own["limit"], window=reader.window(own["window_s"]))


def _of_campaign(reader: PageReader, task: GroupSendTask) -> Iterator[Chip]:
    """How far a campaign is at this member, and its recipients by result."""
    say, member = reader.say, task.members.get(reader.who)
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


def _is_open(reader: PageReader, notice: YouduNotice) -> bool:
    """Whether a pop-up still stands, or a count is still the one that shows."""
    youdu, person = reader.world.youdu, reader.who
    if notice.what == "pop_window":
        return any(window["seq"] == notice.seq for window in youdu.windows.get(person, ()))
    return bool(youdu.badges.get(person, {}).get("count", 0) == notice.content["count"])


# -- acts --------------------------------------------------------------------------------------------------------------


def _act(reader: PageReader, entry: ConversationEntry, act: Callback, name: str) -> EntryView:
    about, say = act.about, reader.say
    kind = "verify" if act.kind == "verify" else str(about.get("act", "press"))
    person = reader.name(str(about.get("person", "")))
    return EntryView(
        id=name,
        version=version_of(reader, entry),
        shape="said" if kind == "message" else "act",
        seq=int(about.get("seq", 0)),
        time=reader.time(act.time),
        sender=say(f"act_{kind}", person=person, key=about.get("key", "")),
        said=str(about.get("text", "")),
        chips=(Chip(TONES.get(act.state, "busy"), say(f"state_{act.state}")),),
        tries=tuple(_tries(say, act)),
    )


def _tries(say: Say, act: Callback) -> Iterator[str]:
    """What became of each try that was not taken."""
    for n, one in enumerate(act.tries, 1):
        ms = round(float(one["took_s"]) * 1000)
        if one["failure"] is not None:
            known = say(f"fail_{one['failure']}")
            yield say("try_failure", n=n, failure=known.removeprefix("fail_"), ms=ms)
        elif one["status"] != 200 or act.state != "taken":
            yield say("try_status", n=n, status=one["status"], ms=ms)


# -- in the list -------------------------------------------------------------------------------------------------------


def preview(reader: PageReader, what: What) -> str:
    """What is shown of a message; empty for an act without a text."""
    if isinstance(what, Callback):
        return _line([str(what.about.get("text", ""))])
    msgtype = _type(what)
    if msgtype == "campaign":
        return _campaign_line(reader, what.content)
    return _line(_parts(reader, msgtype, what.content))


def _type(what: What) -> str:
    match what:
        case GroupSendTask():
            return "campaign"
        case YouduNotice():
            return what.what
        case Callback():
            return ""
    return what.msgtype


def _campaign_line(reader: PageReader, content: Any) -> str:
    """The text that customers get, or the first attachment."""
    text = _first(content.get("text"))
    one: Any = next(iter(content.get("attachments", ())), {})
    kind = str(one.get("msgtype", ""))
    return _line([text] if text else _parts(reader, kind, one.get(kind)))


def _parts(reader: PageReader, msgtype: str, content: Any) -> Iterator[str]:
    word = WORDED.get(msgtype)
    text = _first(content)
    if word:
        yield f"[{reader.say(word)}]"
    elif not text:
        yield f"[{msgtype}]"
    match content:
        case {"unreadCount": int(count)}:
            yield reader.say("unread", count=count)
        case {"count": int(count)}:
            yield str(count)
        case {"media_id": str(key)} if word and not text and (kept := reader.world.files.find(key)):
            yield kept.name if msgtype == "file" else ""
    read = TAG.sub(r"\1", text)
    yield MARKDOWN.sub(r"\1", read) if msgtype.startswith("markdown") else read


def _first(content: Any) -> str:
    """The text that is read first."""
    match content:
        case str():
            return content if content.strip() else ""
        case list():
            return next(filter(None, map(_first, content)), "")
        case dict():
            return next((text for name in (*READ, *READ_LAST) if (text := _first(content.get(name)))), "")
    return ""


def _line(parts: Iterable[str]) -> str:
    """The parts as one line, not longer than a row needs."""
    line = " ".join(" ".join(part[: 40 * LONGEST_LINE].split()) for part in parts if part)
    return "".join(islice(iter_graphemes(line), LONGEST_LINE))
