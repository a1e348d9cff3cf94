"""Messages out of the vendor's own JSON and back.

The recipients and the agentid of such a body belong to the job and the account; `recipients_from_json` reads the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.channels.reading import (
    CARD,
    BodyReader,
    is_without_effect,
    left_out,
    object_of,
    text_in,
    validated,
)
from worker.channels.typed import VendorObject
from worker.channels.wecom_app.cards import CARD_CLASSES
from worker.channels.wecom_app.changes import CardUpdate, ChangeChat, CreateChat
from worker.channels.wecom_app.messages import CLASSES, OURS, OfApp, Raw, interval_s
from worker.domain.content.message import Message
from worker.domain.content.recipient import Everyone, Recipients, parse_ids
from worker.domain.errors import CheckFailed, Problem

FORMS = frozenset({"button", "template_card"})
"""The two forms of an update."""
TARGETS = ("userids", "partyids", "tagids")
"""The lists of an update's targets (page 94888)."""
TARGET_FIELDS = frozenset({*TARGETS, "atall"})
"""`atall` is for everyone of the original."""
UPDATE_FIELDS = OURS | TARGET_FIELDS


_READER = BodyReader("msgtype", CLASSES, OURS, CARD_CLASSES, Raw, 40008)


def message_from_json(data: str | bytes | Mapping[str, Any], *, raw: bool = False) -> Message:
    """The typed message of a body of a send, a card update, or a chat that is made or changed.

    The body is as the vendor's pages show it. A type without a class here is refused, or with `raw=True` becomes
    `Raw`. A neutral value that other SDKs write (`"safe": 0` beside a card) is left out with a `UserWarning`. An
    agentid that is not the account's is refused when the message is enqueued. Files cannot stand in JSON; media_ids
    can. Raises CheckFailed, which says what does not fit.
    """
    body = object_of(data)
    if "msgtype" not in body and body.keys() & FORMS:
        return _of_app(_update(body), body)
    if "msgtype" not in body and ("userlist" in body or "chatid" in body):
        return validated(CreateChat if "userlist" in body else ChangeChat, body, "chat")
    return _of_app(_READER.read(body, _options(body), raw=raw), body)


def _of_app(message: Message, body: Mapping[str, Any]) -> Message:
    """The message with the agentid of its body, which is judged when its account is known."""
    assert isinstance(message, OfApp)
    return message.of_agentid(body.get("agentid"))


def message_to_json(message: Message) -> dict[str, Any]:
    """The body of a message as the vendor's pages show it, without recipients; with its agentid if it was read."""
    document = message.document()
    out = dict(document.get("body") or {})
    if document["type"] == "card_update":
        return {name: value for name, value in document.items() if name != "type"}
    if "options" in document:
        out["msgtype"] = document["type"]
    if "agentid" in (document.get("options") or {}):
        out["agentid"] = document["options"]["agentid"]
    if "duplicate_check" in (document.get("options") or {}):
        out["enable_duplicate_check"] = int(document["options"]["duplicate_check"])
        out["duplicate_check_interval"] = interval_s(document)
    return out


def recipients_from_json(data: str | bytes | Mapping[str, Any]) -> Recipients:
    """Whom a body as the vendor's pages show it is for."""
    body = object_of(data)
    chatid = text_in(body, "chatid")
    if "msgtype" not in body and body.keys() & (TARGET_FIELDS | FORMS):
        return _targets(body)
    if "msgtype" not in body and chatid:  # of a chat that is made or changed, which the message itself names
        return Recipients()
    named = Everyone() if body.get("touser") == "@all" else _listed(body, ("touser", "toparty", "totag"))
    return replace(named, chats=(chatid,)) if chatid else named  # the check refuses a chat beside others


def _targets(body: Mapping[str, Any]) -> Recipients:
    """Returns the targets of an update: everyone with `atall`, also beside names, or without any of these fields."""
    if body.get("atall") in (1, "1"):
        return Everyone()
    named = _listed(body, TARGETS)
    if not named and body.keys() & TARGET_FIELDS:
        remedy = 'name some, or write "atall": 1 for everyone who has the card'
        raise CheckFailed([Problem("userids", "there is no target (vendor code 82101)", remedy)])
    return named or Everyone()


def _listed(body: Mapping[str, Any], names: tuple[str, str, str]) -> Recipients:
    """Returns the users, parties and tags in these lists of a body."""
    users, parties, tags = (parse_ids(body.get(name), name) for name in names)
    return Recipients(users, parties, tags)


def _options(body: Mapping[str, Any]) -> dict[str, Any]:
    """The duplicate check is on unless the body says no."""
    out: dict[str, Any] = {}
    if "enable_duplicate_check" in body:
        out["duplicate_check"] = body["enable_duplicate_check"] not in (0, "0")
    if not is_without_effect(interval := body.get("duplicate_check_interval")):  # SDKs write 0 where none was chosen
        out["duplicate_check_interval"] = interval
    return out


class _Button(VendorObject):
    """The object of form A."""

    replace_name: str | None = None


def _update(body: Mapping[str, Any]) -> CardUpdate:
    rest = {name: value for name, value in body.items() if name not in UPDATE_FIELDS}
    empty = {name for name in FORMS & rest.keys() if is_without_effect(rest[name])}
    if len(empty) == 1 and rest.keys() >= FORMS:  # clients with typed structs write both forms
        left_out(*empty)
        del rest[empty.pop()]
    if isinstance(rest.get("button"), Mapping):
        rest["replace_name"] = validated(_Button, rest.pop("button"), "button").replace_name
    if isinstance(rest.get("template_card"), Mapping):
        rest["template_card"] = _READER.read_object(CARD, rest["template_card"])
    return validated(CardUpdate, rest, "update")
