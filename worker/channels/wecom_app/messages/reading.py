"""Messages out of the vendor's own JSON, and back: what an application keeps in a template or takes from its users.

The recipients and the agentid of such a body belong to the job and the account; `recipients_from_json` reads the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.checking.foreign import without_foreign
from worker.channels.reading import object_of, validated
from worker.channels.typed import VendorMessage
from worker.channels.wecom_app.fields import OURS
from worker.channels.wecom_app.fields.foreign import foreign
from worker.channels.wecom_app.messages.articles import ARTICLES
from worker.channels.wecom_app.messages.basic import SIMPLE
from worker.channels.wecom_app.messages.card import CARD_CLASSES
from worker.channels.wecom_app.messages.chat import ChangeChat, CreateChat
from worker.channels.wecom_app.messages.message import PlainMessage, Raw
from worker.channels.wecom_app.messages.update import CardUpdate
from worker.channels.wecom_app.render import interval_s
from worker.domain.content.message import Message
from worker.domain.content.recipient import AppChat, Everyone, Recipients, To
from worker.domain.errors import CheckFailed, Problem

PLAIN: Mapping[str, type[PlainMessage]] = {one.msgtype: one for one in (*SIMPLE, *ARTICLES)}
"""By msgtype."""

_LISTED: Mapping[str, tuple[str, ...]] = {
    **{name: made.ENVELOPE for name, made in PLAIN.items()},
    "template_card": ("enable_id_trans",),
}
"""The fields beside the object of each type that we model."""

UPDATE_FIELDS = OURS | {"userids", "partyids", "tagids", "atall", "response_code"}


def message_from_json(data: str | bytes | Mapping[str, Any]) -> Message:
    """The typed message of a body of a send, a card update, or a chat that is made or changed.

    The body is as the vendor's pages show it. A type without a class here becomes `Raw`. A neutral value that other
    SDKs write (`"safe": 0` beside a card) is left out with a `UserWarning`. Files cannot stand in JSON; media_ids can.
    Raises CheckFailed, which says what does not fit.
    """
    body = object_of(data)
    if "msgtype" not in body and ("button" in body or "template_card" in body):
        return _update(body)
    if "msgtype" not in body and ("userlist" in body or "chatid" in body):
        return validated(CreateChat if "userlist" in body else ChangeChat, body, "chat")
    msgtype = body.get("msgtype")
    if not isinstance(msgtype, str):
        raise CheckFailed([Problem("msgtype", "is missing (vendor code 40008)", "name the type of the message")])
    if msgtype in _LISTED:
        body = without_foreign(body, foreign(_LISTED[msgtype]))
    rest = {name: value for name, value in body.items() if name not in OURS}
    options = _options(body)
    content = rest.get(msgtype)
    if msgtype == "template_card" and isinstance(content, Mapping):
        return _card(content, rest)
    if msgtype in PLAIN and isinstance(content, Mapping):
        return _plain(PLAIN[msgtype], msgtype, content, rest, options)
    return Raw(msgtype=msgtype, body=rest, **options)


def message_to_json(message: Message) -> dict[str, Any]:
    """The body of a message as the vendor's pages show it, without recipients and agentid."""
    document = message.document()
    out = dict(document.get("body") or {})
    if document["type"] == "card_update":
        return {name: value for name, value in document.items() if name != "type"}
    if "options" in document:
        out["msgtype"] = document["type"]
    if "duplicate_check" in (document.get("options") or {}):
        out["enable_duplicate_check"] = int(document["options"]["duplicate_check"])
        out["duplicate_check_interval"] = interval_s(document)
    return out


def recipients_from_json(data: str | bytes | Mapping[str, Any]) -> Recipients:
    """Whom a body as the vendor's pages show it is for."""
    body = object_of(data)
    if body.get("touser") == "@all":
        return Everyone()
    if body.get("chatid"):
        return AppChat(str(body["chatid"]))
    names = ("touser", "toparty", "totag") if "msgtype" in body else ("userids", "partyids", "tagids")
    users, parties, tags = (body.get(name) for name in names)
    return To(users, parties, tags)


def _options(body: Mapping[str, Any]) -> dict[str, Any]:
    """The duplicate check is on unless the body says no."""
    out: dict[str, Any] = {}
    if "enable_duplicate_check" in body:
        out["duplicate_check"] = body["enable_duplicate_check"] not in (0, "0")
    if "duplicate_check_interval" in body:
        out["duplicate_check_interval"] = body["duplicate_check_interval"]
    return out


def _plain(
    made: type[PlainMessage],
    msgtype: str,
    content: Mapping[str, Any],
    rest: Mapping[str, Any],
    options: Mapping[str, Any],
) -> PlainMessage:
    beside = {name: value for name, value in rest.items() if name != msgtype}
    strangers = [name for name in beside if name not in made.ENVELOPE] + [n for n in content if n in made.ENVELOPE]
    if strangers:
        raise CheckFailed([Problem(name, f"{msgtype} has no such field here", "leave it out") for name in strangers])
    return validated(made, {**content, **beside, **options}, msgtype)


def _card(content: Mapping[str, Any], rest: Mapping[str, Any]) -> VendorMessage:
    made = CARD_CLASSES.get(str(content.get("card_type")))
    if made is None:
        names = ", ".join(CARD_CLASSES)
        text = "is no card type (vendor code 42031)"
        raise CheckFailed([Problem("template_card.card_type", text, f"use one of {names}")])
    fields = {name: value for name, value in content.items() if name != "card_type"}
    beside = {name: value for name, value in rest.items() if name != "template_card"}
    return validated(made, {**fields, **beside}, "template_card")


def _update(body: Mapping[str, Any]) -> CardUpdate:
    rest = {name: value for name, value in body.items() if name not in UPDATE_FIELDS}
    button = rest.pop("button", None)
    if isinstance(button, Mapping):
        rest["replace_name"] = button.get("replace_name")
    if isinstance(rest.get("template_card"), Mapping):
        rest["template_card"] = _card(rest["template_card"], {})
    return validated(CardUpdate, rest, "update")
