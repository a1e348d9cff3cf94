"""Where a message goes: the home of a public webhook, or what chatid says, chat by chat or as a broadcast.

Does not know messages, but for which type goes where. Ids that begin with `wr` are groups, with `wo` the single chat
of the member whose userid follows, with `bb` blackboards; others are userids.
"""

import re
from dataclasses import dataclass
from typing import Any

from worker_simulator.answers import Refused
from worker_simulator.request import Json
from worker_simulator.settings import WebhookKey
from worker_simulator.wecom_app.rules.findings import Findings
from worker_simulator.wecom_webhook.memory import Webhooks, matches

ID = re.compile(r"[0-9A-Za-z_.@-]{1,128}")
MOST_IDS = 100
FIELDS = ("chatid", "post_id", "visible_to_user")

ON_BLACKBOARDS = frozenset({"text", "markdown", "image"})
ANSWERING = frozenset({"text", "markdown"})
ONLY_GROUPS = frozenset({"markdown_v2", "image", "news"})
"""Types whose `@all` is said to reach groups alone."""


@dataclass(frozen=True, slots=True)
class Place:
    """One chat."""

    chat: str
    kind: str

    @property
    def person(self) -> str:
        """The member of a single chat."""
        return self.chat.removeprefix("wo")


@dataclass(frozen=True, slots=True)
class Address:
    """Where one call goes."""

    places: list[Place]
    broadcast: bool = False
    visible_to: tuple[str, ...] = ()
    post_id: str | None = None


def address(hooks: Webhooks, webhook: WebhookKey, body: Json, msgtype: str, found: Findings) -> Address:
    """Read the addressing fields; Refused when a chat cannot be reached."""
    if webhook.profile == "public":
        return _home(hooks, body, found)
    ignored = msgtype in hooks.settings.chatid_ignored_by
    chatid = _text(body, "chatid", found)
    if ignored and chatid:
        found.alter("chatid", "ignored")
    word = "@all_group" if ignored or not chatid else chatid
    if word.startswith("@all"):
        return Address(_everybody(hooks, word, msgtype), broadcast=True)
    places = [_place(hooks, one.strip()) for one in word.split("|") if one.strip()]
    if not places or len(places) > MOST_IDS:
        raise Refused(40058, "invalid param 'chatid'")
    return Address(places, False, *_beside(body, places, msgtype, found))


def _home(hooks: Webhooks, body: Json, found: Findings) -> Address:
    given = [name for name in FIELDS if name in body]
    if given and hooks.settings.chatid_on_public == "refused":
        raise Refused(40058, f"invalid param '{given[0]}'")
    for name in given:
        found.alter(name, "ignored")
    return Address([Place(hooks.settings.home, "group")])


def _everybody(hooks: Webhooks, word: str, msgtype: str) -> list[Place]:
    """(unconfirmed) whether a text's @all_group reaches blackboards too: the table of another type separates them."""
    groups = [Place(chat, "group") for chat in hooks.settings.groups]
    boards = [Place(chat, "blackboard") for chat in hooks.settings.blackboards]
    if word == "@all_group" or (word == "@all" and msgtype in ONLY_GROUPS):
        return groups
    if word == "@all_blackboard":
        return boards
    if word == "@all":
        return groups + boards
    raise Refused(93006)


def _place(hooks: Webhooks, chat: str) -> Place:
    settings = hooks.settings
    if matches(settings.missing_chats, chat) or not ID.fullmatch(chat):
        raise Refused(93006)
    if matches(settings.closed_chats, chat):
        raise Refused(93001)
    if matches(settings.foreign_chats, chat):
        raise Refused(93008)
    return Place(chat, kind_of(chat))


def kind_of(chat: str) -> str:
    """group, blackboard or single."""
    return {"wr": "group", "bb": "blackboard"}.get(chat[:2], "single")


def _beside(body: Json, places: list[Place], msgtype: str, found: Findings) -> tuple[tuple[str, ...], str | None]:
    """The members who alone see it, and the post it answers; ignored unless there is one chat of the right kind."""
    only = places[0].kind if len(places) == 1 else ""
    visible, post_id = _text(body, "visible_to_user", found), _text(body, "post_id", found)
    if visible and not (only == "group" or (only == "blackboard" and msgtype in ANSWERING)):
        found.alter("visible_to_user", "ignored")
        visible = ""
    if post_id and not (only == "blackboard" and msgtype in ANSWERING):
        found.alter("post_id", "ignored")
        post_id = ""
    return tuple(one.strip() for one in visible.split("|") if one.strip()), post_id or None


def _text(body: Json, name: str, found: Findings) -> str:
    value: Any = body.get(name)
    if value is not None and not isinstance(value, str):
        found.wrong_format = True
        return ""
    return value or ""


def admit(hooks: Webhooks, webhook: WebhookKey, place: Place) -> None:
    """Refuse a member who may not be written to; the code is the same for all causes."""
    if place.kind != "single":
        return
    if matches(hooks.settings.silent_people, place.person) or not hooks.may_start(webhook, place.person):
        raise Refused(93005)
