"""Messages out of the vendor's own JSON and back, and the JSON schema of such bodies.

The chatid of such a body belongs to the job; `recipients_from_json` reads it. A schema counts characters, not bytes,
and knows neither edition nor relation between fields: `check` at enqueue knows all of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from worker.channels.checking.row import OFF, Foreign
from worker.channels.checking.rules import without_foreign
from worker.channels.schema import Schema, body, chosen, inlined, limit
from worker.channels.typed import Raw, object_of, refuse_strangers, text_in, validated
from worker.channels.wecom.cards import Card
from worker.channels.wecom_webhook import fields
from worker.channels.wecom_webhook.fields import AUDIENCES, OURS
from worker.channels.wecom_webhook.messages import CARD_CLASSES, SIMPLE, Image, WebhookMessage
from worker.domain.content.message import File, Message
from worker.domain.content.recipient import Everyone, Recipients
from worker.domain.errors import CheckFailed, Problem

PLAIN: Mapping[str, type[WebhookMessage]] = {one.msgtype: one for one in SIMPLE}
"""By msgtype."""
PICTURE_NAME = "image"

_MENTIONS = "mention by <@userid> in the content: only a text has lists"
_NO_CHECK = "leave it out: a webhook has none; a dedupe_key keeps a job from being enqueued twice"
_NO_BUTTONS = "leave it out: a webhook's card has no buttons and calls nobody back"
_NO_SWITCH = "leave it out: it belongs to an application's message"
FOREIGN = (
    Foreign("safe", OFF, _NO_SWITCH),
    Foreign("enable_id_trans", OFF, _NO_SWITCH),
    Foreign("enable_duplicate_check", OFF, _NO_CHECK),
    Foreign("duplicate_check_interval", (0, 1800), _NO_CHECK),
    *(
        Foreign(f"{kind}.{name}", ([],), _MENTIONS)
        for kind in ("markdown", "markdown_v2")
        for name in ("mentioned_list", "mentioned_mobile_list")
    ),
    Foreign("template_card.task_id", ("",), _NO_BUTTONS),
    Foreign("template_card.action_menu", ({},), _NO_BUTTONS),
)
"""What SDKs of applications write, and the lists of a text that are written beside a markdown."""


def message_from_json(data: str | bytes | Mapping[str, Any]) -> Message:
    """The typed message of a body as the vendor's pages show it.

    A type without a class here becomes `Raw`; a picture's base64 becomes a file. A neutral value that other SDKs write
    (`"safe": 0`) is left out with a `UserWarning`. Raises CheckFailed, which says what does not fit.
    """
    body = object_of(data)
    msgtype = body.get("msgtype")
    if not isinstance(msgtype, str):
        raise CheckFailed([Problem("msgtype", "is missing (vendor code 40008)", "name the type of the message")])
    if _is_modelled(msgtype, body):
        body = without_foreign(body, FOREIGN)
    rest = {name: value for name, value in body.items() if name not in OURS}
    content = rest.pop(msgtype, None)
    if not isinstance(content, Mapping):
        return Raw(msgtype=msgtype, body={**rest, **({} if content is None else {msgtype: content})})
    if msgtype == "template_card" and _is_modelled(msgtype, body):
        fields = {name: value for name, value in content.items() if name != "card_type"}
        return validated(CARD_CLASSES[content["card_type"]], {**fields, **rest}, msgtype)
    if msgtype not in PLAIN:
        return Raw(msgtype=msgtype, body={**rest, msgtype: dict(content)})
    refuse_strangers(PLAIN[msgtype], content, rest)
    if msgtype == Image.msgtype:
        return validated(Image, {**_picture(content), **rest}, msgtype)
    return validated(PLAIN[msgtype], {**content, **rest}, msgtype)


def message_to_json(message: Message) -> dict[str, Any]:
    """The body of a message as the vendor's pages show it, without chatid and without the bytes of files."""
    document = message.document()
    return {**(document.get("body") or {}), "msgtype": document["type"]}


def recipients_from_json(
    data: str | bytes | Mapping[str, Any], *, without_chatid: Recipients | None = None
) -> Recipients:
    """The recipients of a body as the vendor's pages show it.

    A body without a chatid names none, and the vendor would post it to all groups: `without_chatid=Everyone("groups")`
    says that this is meant, `without_chatid=Chats(...)` names others.
    """
    chatid = text_in(object_of(data), "chatid")
    if not chatid and without_chatid is not None:
        return without_chatid
    words = {word: audience for audience, word in AUDIENCES.items()}
    if chatid in words:
        return Everyone(words[chatid])
    named = [one.strip() for one in chatid.split("|") if one.strip()]
    return Recipients(chats=tuple(dict.fromkeys(named)))


def _is_modelled(msgtype: str, body: Mapping[str, Any]) -> bool:
    """Whether it will be a typed message, of whose fields we know all there are."""
    if msgtype != "template_card":
        return msgtype in PLAIN
    content = body.get(msgtype)
    return isinstance(content, Mapping) and content.get("card_type") in CARD_CLASSES


def _picture(content: Mapping[str, Any]) -> dict[str, Any]:
    """The file a picture's base64 holds; its md5 has to be that of the bytes (301019)."""
    try:
        held = base64.b64decode(content.get("base64") or "", validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise CheckFailed([Problem("image.base64", "is not Base64", "encode the picture's bytes")]) from None
    digest = hashlib.md5(held, usedforsecurity=False).hexdigest()
    if str(content.get("md5")).lower() != digest:
        text = "is not that of the picture (vendor code 301019)"
        raise CheckFailed([Problem("image.md5", text, "take the MD5 of the bytes before Base64, in hex")])
    return {"file": File(held, PICTURE_NAME)}


_CHATID: Schema = {"type": "string", "description": "Message push: up to 100 ids joined by |, or @all_group, @all."}
_PICTURE: Schema = {
    "base64": {"type": "string", "minLength": 1, "description": "A JPG or PNG of at most 2 MB before base64."},
    "md5": {"type": "string", "pattern": "^[0-9a-fA-F]{32}$", "description": "MD5 of the bytes before base64, in hex."},
}


def message_schema(msgtype: str | None = None, card_type: str | None = None) -> Schema:
    """The JSON schema (2020-12) of one type's body, or of every type's; `card_type` picks one of the cards."""
    return chosen(_schemas(), msgtype, card_type)


@cache
def _schemas() -> dict[tuple[str, str | None], Schema]:
    plain: dict[tuple[str, str | None], Schema] = {(made.msgtype, None): _of_plain(made) for made in SIMPLE}
    return plain | {("template_card", name): _of_card(made) for name, made in CARD_CLASSES.items()}


def _of_plain(made: type[WebhookMessage]) -> Schema:
    whole = inlined(made)
    beside = {name: whole["properties"].pop(name) for name in made.ENVELOPE}
    limit(whole, fields.BODIES[fields.PUSH][made.msgtype])
    if made is Image:
        whole["properties"], whole["required"] = dict(_PICTURE), list(_PICTURE)
    return _body(made.__name__, made.msgtype, whole, beside)


def _of_card(made: type[Card]) -> Schema:
    whole = inlined(made)
    whole["properties"] = {"card_type": {"const": made.card_type}, **whole["properties"]}
    limit(whole, fields.CARDS[made.card_type])
    return _body(made.__name__, "template_card", whole, {})


def _body(title: str, msgtype: str, content: Schema, beside: Schema) -> Schema:
    properties = {"chatid": _CHATID, "msgtype": {"const": msgtype}, msgtype: content, **beside}
    return body(title, properties, ["msgtype", msgtype])
