"""Which chats a message goes to: the one of a public webhook, or those of chatid, one by one or as a broadcast.

Ids that begin with `wr` are groups, with `bb` blackboards, with `wo` the single chat of the member whose userid
follows. Other ids are userids.
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
MAX_IDS = 100
FIELDS = ("chatid", "post_id", "visible_to_user")

ON_BLACKBOARDS = frozenset({"text", "markdown", "image"})
ANSWERING = frozenset({"text", "markdown"})
ONLY_GROUPS = frozenset({"markdown_v2", "image", "news"})
"""Message types whose `@all` reaches only groups, as the page says."""


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
    """The chats of one call."""

    places: list[Place]
    broadcast: bool = False
    visible_to: tuple[str, ...] = ()
    post_id: str | None = None


def address(webhooks: Webhooks, webhook: WebhookKey, body: Json, msgtype: str, findings: Findings) -> Address:
    """Reads the address fields of a body. Refuses a chat that cannot be reached."""
    if webhook.profile == "public":
        return _home(webhooks, body, findings)
    ignored = msgtype in webhooks.settings.chatid_ignored_by
    chatid = _text(body, "chatid", findings)
    if ignored and chatid:
        findings.alter("chatid", "ignored")
    word = "@all_group" if ignored or not chatid else chatid
    if word.startswith("@all"):
        return Address(_broadcast(webhooks, word, msgtype), broadcast=True)
    places = [_place(webhooks, part.strip()) for part in word.split("|") if part.strip()]
    if not places or len(places) > MAX_IDS:
        raise Refused(40058, "invalid param 'chatid'")
    return Address(places, False, *_options(body, places, msgtype, findings))


def _home(webhooks: Webhooks, body: Json, findings: Findings) -> Address:
    fields = [name for name in FIELDS if name in body]
    if fields and webhooks.settings.chatid_on_public == "refused":
        raise Refused(40058, f"invalid param '{fields[0]}'")
    for name in fields:
        findings.alter(name, "ignored")
    return Address([Place(webhooks.settings.home, "group")])


def _broadcast(webhooks: Webhooks, word: str, msgtype: str) -> list[Place]:
    """Returns the chats of a broadcast.

    (unconfirmed) Whether a text's @all_group reaches blackboards too: the table of another type separates them.
    """
    groups = [Place(chat, "group") for chat in webhooks.settings.groups]
    boards = [Place(chat, "blackboard") for chat in webhooks.settings.blackboards]
    if word == "@all_group" or (word == "@all" and msgtype in ONLY_GROUPS):
        return groups
    if word == "@all_blackboard":
        return boards
    if word == "@all":
        return groups + boards
    raise Refused(93006)


def _place(webhooks: Webhooks, chat: str) -> Place:
    settings = webhooks.settings
    if matches(settings.missing_chats, chat) or not ID.fullmatch(chat):
        raise Refused(93006)
    if matches(settings.closed_chats, chat):
        raise Refused(93001)
    if matches(settings.foreign_chats, chat):
        raise Refused(93008)
    return Place(chat, kind_of(chat))


def kind_of(chat: str) -> str:
    """Returns group, blackboard or single."""
    return {"wr": "group", "bb": "blackboard"}.get(chat[:2], "single")


def _options(body: Json, places: list[Place], msgtype: str, findings: Findings) -> tuple[tuple[str, ...], str | None]:
    """Returns the only members who see it, and the post it answers.

    Both are ignored unless there is one chat of the right kind.
    """
    kind = places[0].kind if len(places) == 1 else ""
    visible, post_id = _text(body, "visible_to_user", findings), _text(body, "post_id", findings)
    if visible and not (kind == "group" or (kind == "blackboard" and msgtype in ANSWERING)):
        findings.alter("visible_to_user", "ignored")
        visible = ""
    if post_id and not (kind == "blackboard" and msgtype in ANSWERING):
        findings.alter("post_id", "ignored")
        post_id = ""
    return tuple(part.strip() for part in visible.split("|") if part.strip()), post_id or None


def _text(body: Json, name: str, findings: Findings) -> str:
    value: Any = body.get(name)
    if value is not None and not isinstance(value, str):
        findings.wrong_format = True
        return ""
    return value or ""


def admit(webhooks: Webhooks, webhook: WebhookKey, place: Place) -> None:
    """Refuses a member who may not be written to. The errcode is the same for all causes."""
    if place.kind != "single":
        return
    if matches(webhooks.settings.silent_people, place.person) or not webhooks.use_allowance(webhook, place.person):
        raise Refused(93005)
