"""The JSON schema of the bodies `message_from_json` reads: the vendor's shape, with what a schema can say of limits.

A schema counts characters, not bytes, and knows neither edition nor relation between fields: `check` knows all of them.
"""

from __future__ import annotations

from functools import cache

from worker.channels.schema import Schema, inlined, limit
from worker.channels.wecom_webhook import fields
from worker.channels.wecom_webhook.messages.basic import SIMPLE, Image
from worker.channels.wecom_webhook.messages.card import CARD_CLASSES, Card
from worker.channels.wecom_webhook.messages.message import WebhookMessage

_PACKAGE = __name__.rpartition(".")[0]
_MODULES = tuple(f"{_PACKAGE}.{name}" for name in ("message", "basic", "card"))
_CHATID: Schema = {"type": "string", "description": "Message push: up to 100 ids joined by |, or @all_group, @all."}
_PICTURE: Schema = {
    "base64": {"type": "string", "minLength": 1, "description": "A JPG or PNG of at most 2 MB before base64."},
    "md5": {"type": "string", "pattern": "^[0-9a-fA-F]{32}$", "description": "MD5 of the bytes before base64, in hex."},
}


def message_schema(msgtype: str | None = None, card_type: str | None = None) -> Schema:
    """The JSON schema (2020-12) of one type's body, or of every type's; `card_type` picks one of the cards."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    found = [
        schema for (one, card), schema in _schemas().items() if msgtype in (None, one) and card_type in (None, card)
    ]
    if not found:
        raise ValueError(f"no such message type; there are {', '.join(dict.fromkeys(one for one, _ in _schemas()))}")
    return {**head, **found[0]} if len(found) == 1 else {**head, "oneOf": found}


@cache
def _schemas() -> dict[tuple[str, str | None], Schema]:
    plain: dict[tuple[str, str | None], Schema] = {(made.msgtype, None): _of_plain(made) for made in SIMPLE}
    return plain | {("template_card", name): _of_card(made) for name, made in CARD_CLASSES.items()}


def _of_plain(made: type[WebhookMessage]) -> Schema:
    whole = inlined(made, _MODULES)
    beside = {name: whole["properties"].pop(name) for name in made.ENVELOPE}
    limit(whole, fields.BODIES[fields.PUSH][made.msgtype])
    if made is Image:
        whole["properties"], whole["required"] = dict(_PICTURE), list(_PICTURE)
    return _body(made.__name__, made.msgtype, whole, beside)


def _of_card(made: type[Card]) -> Schema:
    whole = inlined(made, _MODULES)
    whole["properties"] = {"card_type": {"const": made.card_type}, **whole["properties"]}
    limit(whole, fields.CARDS[made.card_type])
    return _body(made.__name__, "template_card", whole, {})


def _body(title: str, msgtype: str, content: Schema, beside: Schema) -> Schema:
    content.pop("title", None)
    return {
        "title": title,
        "type": "object",
        "properties": {"chatid": _CHATID, "msgtype": {"const": msgtype}, msgtype: content, **beside},
        "required": ["msgtype", msgtype],
        "additionalProperties": False,
    }
