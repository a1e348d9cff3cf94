"""Turns a stored message into the input of `worker.drawing`: as its recipient sees it, with its buttons."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

from worker.drawing import Actions, MessageView, Say
from worker_simulator.inbox.conversations import LogItem
from worker_simulator.inbox.query import PageQuery
from worker_simulator.request import Json
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.state.inbox import InboxMessage
from worker_simulator.wecom_external.tasks import MEMBER_WAITS, GroupSendTask
from worker_simulator.wecom_webhook.memory import Post
from worker_simulator.youdu.memory import DeliveredMessage, YouduNotice

MAX_NAME_CHARS = 120
WINDOWS = {60.0: "minute", 3600.0: "hour", 86_400.0: "day", 2_592_000.0: "month"}


def _zone() -> tzinfo | None:
    """Returns the time zone to display, or None for the host's if WORKER_TIME_ZONE is not valid."""
    try:
        return ZoneInfo(os.environ["WORKER_TIME_ZONE"])
    except (KeyError, ValueError, OSError):
        return None


@dataclass(frozen=True, slots=True)
class PageContext:
    """What one request needs: the state, the query, and the words of its language."""

    state: VendorState
    query: PageQuery
    say: Say

    @property
    def who(self) -> str:
        """The person or chat of the conversation. Empty if none is open."""
        return self.query.at.who if self.query.at else ""

    def time(self, at: float) -> str:
        """Returns a time in the zone of `WORKER_TIME_ZONE` or of the host, as the console displays it."""
        try:
            local = datetime.fromtimestamp(at, UTC).astimezone(_zone())
            text = local.isoformat(" ", "seconds")
            return f"{text[:19]} {text[19:] if local.utcoffset() else 'UTC'}"
        except (ValueError, OverflowError, OSError):  # a clock that was set beyond all calendars
            return f"{at:.0f}"

    def window(self, seconds: float) -> str:
        """Returns the length of a window in words."""
        return self.say(WINDOWS[seconds]) if seconds in WINDOWS else self.say("seconds", count=round(seconds))

    def name(self, person: str) -> str:
        """Returns the name of a member, or the userid if it has none."""
        return self.state.settings.directory.names.get(person, person)

    def media(self, key: str) -> str | None:
        """Returns the URL of an uploaded file, or None if it is not stored any more."""
        if not isinstance(key, str):
            return None
        file = self.state.files.find(key)
        youdu_file = None if file else self.state.youdu.media.find_any(key)
        if file is None and youdu_file is None:
            return None
        name = (file.name if file else youdu_file.name if youdu_file else "")[:MAX_NAME_CHARS] or "picture"
        return f"/_inbox/media/{quote(key, safe='')}/{quote(name, safe='', errors='replace')}"


def message_view(context: PageContext, item: LogItem) -> MessageView:
    """Returns a message as the person of the conversation sees it, with its buttons."""
    match item:
        case InboxMessage():
            return _app_message(context, item)
        case Post():
            return _webhook_post(context, item)
        case GroupSendTask():
            return _campaign(context, item)
        case YouduNotice():
            return _youdu_message(context, "youdu", item.kind, item.content, [])
        case DeliveredMessage():
            return _youdu_message(context, "youdu", item.msgtype, item.content, item.altered)
    raise TypeError(f"{type(item).__name__} is no message")


def _app_message(context: PageContext, message: InboxMessage) -> MessageView:
    person = context.query.person.lower() if message.chatid else context.who
    view = message.view_for(person)
    hidden = {"person": person, "msgid": message.msgid}
    pressable = message.msgtype == "template_card" and message.recalled_at is None and not message.chatid
    return MessageView(
        channel="wecom_app",
        msgtype=message.msgtype,
        content=message.content,
        altered=message.altered,
        state=view["state"],
        update=view["update"],
        mentioned=view["mentioned"],
        safe=message.safe,
        names=context.state.settings.directory.names,
        media=context.media,
        actions=_actions(context, "card", hidden) if pressable else None,
    )


def _webhook_post(context: PageContext, post: Post) -> MessageView:
    person = speaker(context.query)
    hidden = {"key": post.key, "chat": post.chat, "person": person}
    mentioned = post.content.get("mentioned_list")
    mentioned_ids = {str(userid).lower() for userid in mentioned} if isinstance(mentioned, list) else set()
    return MessageView(
        channel="wecom_webhook",
        msgtype=post.msgtype,
        content=_after_clicks(post, person),
        altered=post.altered,
        mentioned=bool(mentioned_ids & {person.lower(), "@all"}),
        names=context.state.settings.directory.names,
        media=context.media,
        actions=_actions(context, "click", hidden) if post.content.get("attachments") else None,
    )


def _after_clicks(post: Post, person: str) -> Json:
    """Returns the content of a post with the replace_text of the buttons that this member has clicked."""
    clicked = post.clicked.get(person.lower(), ())
    attachments: list[Json] = post.content.get("attachments") or []
    if not clicked or not attachments:
        return post.content
    changed = [
        {
            **attachment,
            "actions": [a | {"text": a["replace_text"]} if a["name"] in clicked else a for a in attachment["actions"]],
        }
        for attachment in attachments
    ]
    return {**post.content, "attachments": changed}


def _campaign(context: PageContext, task: GroupSendTask) -> MessageView:
    member = task.members.get(context.who)
    is_waiting = (
        member is not None and member.status == MEMBER_WAITS and not member.ignored and task.cancelled_at is None
    )
    hidden = {"msgid": task.msgid, "member": context.who}
    return MessageView(
        channel="wecom_external",
        msgtype="campaign",
        content=task.content,
        names=context.state.settings.directory.names,
        media=context.media,
        actions=_actions(context, "campaign", hidden) if is_waiting else None,
    )


def _youdu_message(
    context: PageContext, channel: Literal["youdu"], msgtype: str, content: Any, altered: list[Json]
) -> MessageView:
    return MessageView(channel=channel, msgtype=msgtype, content=content, altered=altered, media=context.media)


def _actions(context: PageContext, action: str, hidden: Json) -> Actions:
    return Actions(url=f"/_inbox/act/{action}", hidden={**hidden, "back": context.query.url()})


def speaker(query: PageQuery) -> str:
    """Returns the person who acts in a webhook's chat: the member of a single chat, else the person of the query."""
    if query.at is not None and query.at.place == "single":
        return query.at.who.removeprefix("wo")
    return query.person or "zhangsan"
