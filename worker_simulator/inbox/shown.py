"""What a message of the world is to the drawing: as the person of the conversation sees it, with what can be pressed.

Does not know the page around it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

from worker.drawing import Actions, MessageView, Say
from worker_simulator.inbox.conversations import What
from worker_simulator.inbox.look import PageQuery
from worker_simulator.request import Json
from worker_simulator.wecom_app.state.inbox import InboxMessage
from worker_simulator.wecom_external.tasks import MEMBER_WAITS, GroupSendTask
from worker_simulator.wecom_webhook.memory import Post
from worker_simulator.world import World
from worker_simulator.youdu.memory import DeliveredMessage, YouduNotice

LONGEST_NAME = 120
WINDOWS = {60.0: "minute", 3600.0: "hour", 86_400.0: "day", 2_592_000.0: "month"}


def _zone() -> tzinfo | None:
    """The zone that times are shown in; None: the host's, also for a name that the worker refuses."""
    try:
        return ZoneInfo(os.environ["WORKER_TIME_ZONE"])
    except (KeyError, ValueError, OSError):
        return None


@dataclass(frozen=True, slots=True)
class PageReader:
    """The view of one request: a world, what of it is asked for, and the language."""

    world: World
    look: PageQuery
    say: Say

    @property
    def who(self) -> str:
        """The person or chat of the conversation; empty where none is open."""
        return self.look.at.who if self.look.at else ""

    def time(self, at: float) -> str:
        """An instant in the zone of `WORKER_TIME_ZONE`, or the host's, as the console shows it."""
        try:
            local = datetime.fromtimestamp(at, UTC).astimezone(_zone())
            told = local.isoformat(" ", "seconds")
            return f"{told[:19]} {told[19:] if local.utcoffset() else 'UTC'}"
        except (ValueError, OverflowError, OSError):  # a clock that was set beyond all calendars
            return f"{at:.0f}"

    def window(self, seconds: float) -> str:
        """A window's length in words."""
        return self.say(WINDOWS[seconds]) if seconds in WINDOWS else self.say("seconds", count=round(seconds))

    def name(self, person: str) -> str:
        """What a member is called; a userid without a name is its own."""
        return self.world.settings.directory.names.get(person, person)

    def media(self, key: str) -> str | None:
        """The address of an uploaded file, or None where its bytes are not there."""
        if not isinstance(key, str):
            return None
        kept = self.world.files.find(key)
        youdu = None if kept else self.world.youdu.media.known(key)
        if kept is None and youdu is None:
            return None
        name = (kept.name if kept else youdu.name if youdu else "")[:LONGEST_NAME] or "picture"
        return f"/_inbox/media/{quote(key, safe='')}/{quote(name, safe='', errors='replace')}"


def shown(reader: PageReader, what: What) -> MessageView:
    """A message as the person of the conversation sees it, with what can be pressed."""
    match what:
        case InboxMessage():
            return _of_app(reader, what)
        case Post():
            return _post(reader, what)
        case GroupSendTask():
            return _campaign(reader, what)
        case YouduNotice():
            return _plain(reader, "youdu", what.what, what.content, [])
        case DeliveredMessage():
            return _plain(reader, "youdu", what.msgtype, what.content, what.altered)
    raise TypeError(f"{type(what).__name__} is no message")


def _of_app(reader: PageReader, message: InboxMessage) -> MessageView:
    person = reader.look.person.lower() if message.chatid else reader.who
    seen = message.seen_by(person)
    hidden = {"person": person, "msgid": message.msgid}
    pressable = message.msgtype == "template_card" and message.recalled_at is None and not message.chatid
    return MessageView(
        channel="wecom_app",
        msgtype=message.msgtype,
        content=message.content,
        altered=message.altered,
        state=seen["state"],
        update=seen["update"],
        mentioned=seen["mentioned"],
        safe=message.safe,
        names=reader.world.settings.directory.names,
        media=reader.media,
        actions=_actions(reader, "card", hidden) if pressable else None,
    )


def _post(reader: PageReader, post: Post) -> MessageView:
    person = speaker(reader.look)
    hidden = {"key": post.key, "chat": post.chat, "person": person}
    mentioned = post.content.get("mentioned_list")
    named = {str(one).lower() for one in mentioned} if isinstance(mentioned, list) else set()
    return MessageView(
        channel="wecom_webhook",
        msgtype=post.msgtype,
        content=_after_clicks(post, person),
        altered=post.altered,
        mentioned=bool(named & {person.lower(), "@all"}),
        names=reader.world.settings.directory.names,
        media=reader.media,
        actions=_actions(reader, "click", hidden) if post.content.get("attachments") else None,
    )


def _after_clicks(post: Post, person: str) -> Json:
    """What a post holds for a member: the buttons that this member has clicked say their replace_text."""
    clicked = post.clicked.get(person.lower(), ())
    attachments: list[Json] = post.content.get("attachments") or []
    if not clicked or not attachments:
        return post.content
    after = [
        {**one, "actions": [a | {"text": a["replace_text"]} if a["name"] in clicked else a for a in one["actions"]]}
        for one in attachments
    ]
    return {**post.content, "attachments": after}


def _campaign(reader: PageReader, task: GroupSendTask) -> MessageView:
    member = task.members.get(reader.who)
    waits = member is not None and member.status == MEMBER_WAITS and not member.ignored and task.cancelled_at is None
    hidden = {"msgid": task.msgid, "member": reader.who}
    return MessageView(
        channel="wecom_external",
        msgtype="campaign",
        content=task.content,
        names=reader.world.settings.directory.names,
        media=reader.media,
        actions=_actions(reader, "campaign", hidden) if waits else None,
    )


def _plain(
    reader: PageReader, channel: Literal["youdu"], msgtype: str, content: Any, altered: list[Json]
) -> MessageView:
    return MessageView(channel=channel, msgtype=msgtype, content=content, altered=altered, media=reader.media)


def _actions(reader: PageReader, act: str, hidden: Json) -> Actions:
    return Actions(url=f"/_inbox/act/{act}", hidden={**hidden, "back": reader.look.url()})


def speaker(look: PageQuery) -> str:
    """The person that acts in a webhook's chat: its member where it is a single one, else the person that was named."""
    if look.at is not None and look.at.place == "single":
        return look.at.who.removeprefix("wo")
    return look.person or "zhangsan"
