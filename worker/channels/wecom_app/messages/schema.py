"""The JSON schema of the bodies `message_from_json` reads: the vendor's shape, with what a schema can say of limits.

A schema counts characters, not bytes, and knows no relation between fields: `check` at enqueue knows all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

from pydantic import BaseModel

from worker.channels.schema import Schema, docstrings_in, inlined, limit
from worker.channels.wecom_app import fields
from worker.channels.wecom_app.fields import Row
from worker.channels.wecom_app.messages.card import CARD_CLASSES, Card
from worker.channels.wecom_app.messages.chat import ChangeChat, CreateChat
from worker.channels.wecom_app.messages.message import PlainMessage
from worker.channels.wecom_app.messages.reading import PLAIN
from worker.channels.wecom_app.messages.update import CardUpdate
from worker.channels.wecom_app.targets import TARGETS

_ENVELOPE: Schema = {
    "touser": {"type": "string", "description": "Userids joined by |, at most 1000 a call; @all for everybody."},
    "toparty": {"type": "string", "description": "Department ids joined by |, at most 100 a call."},
    "totag": {"type": "string", "description": "Tag ids joined by |, at most 100 a call."},
    "chatid": {"type": "string", "description": "An app group chat, instead of the three."},
    "agentid": {"type": "integer", "description": "The account's is sent, whatever stands here."},
}


def message_schema(msgtype: str | None = None, card_type: str | None = None) -> Schema:
    """The JSON schema (2020-12) of one type's body, or of every type's.

    `card_type` picks one of the cards. The bodies that are no sends are called `card_update`, `chat_create` and
    `chat_change`.
    """
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    found = [
        schema for (one, card), schema in _schemas().items() if msgtype in (None, one) and card_type in (None, card)
    ]
    if not found:
        raise ValueError(f"no such message type; there are {', '.join([*PLAIN, 'template_card', *_NO_SENDS])}")
    return {**head, **found[0]} if len(found) == 1 else {**head, "oneOf": found}


@cache
def _schemas() -> dict[tuple[str, str | None], Schema]:
    plain: dict[tuple[str, str | None], Schema] = {(name, None): _of_plain(made) for name, made in PLAIN.items()}
    cards = {("template_card", name): _of_card(made) for name, made in CARD_CLASSES.items()}
    return plain | cards | {(name, None): made() for name, made in _NO_SENDS.items()}


def _of_plain(made: type[PlainMessage]) -> Schema:
    whole = inlined(made, _modules(made))
    check = {
        "enable_duplicate_check": {
            "enum": [0, 1],
            "description": whole["properties"]["duplicate_check"]["description"],
        },
        "duplicate_check_interval": {
            **whole["properties"].pop("duplicate_check_interval"),
            "minimum": fields.INTERVAL[0],
            "maximum": fields.INTERVAL[1],
        },
    }
    del whole["properties"]["duplicate_check"]
    beside = {name: whole["properties"].pop(name) for name in made.ENVELOPE}
    for name, values in fields.ENVELOPE[made.msgtype].items():
        beside[name] = {**beside[name], "enum": list(values)}
    limit(whole, fields.BODIES[made.msgtype])
    return _body(made, made.msgtype, whole, {**beside, **check})


def _of_card(made: type[Card]) -> Schema:
    whole = inlined(made, _modules(made))
    beside = {"enable_id_trans": {**whole["properties"].pop("enable_id_trans"), "enum": [0, 1]}}
    whole["properties"] = {"card_type": {"const": made.card_type}, **whole["properties"]}
    limit(whole, fields.CARDS[made.card_type])
    return _body(made, "template_card", whole, beside)


def _of_update() -> Schema:
    texts = docstrings_in(CardUpdate.__module__)["CardUpdate"]
    cards = [_card_of_update(name, made) for name, made in CARD_CLASSES.items()]
    ids = {"type": "array", "description": "None of the three: everyone who has the card."}
    most = {target.update_field: target.maximum for target in TARGETS}
    properties: Schema = {name: {**ids, "maxItems": size} for name, size in most.items()}
    properties |= {
        "atall": {"enum": [0, 1], "description": "1: everyone who has the card, as if nobody were named."},
        "agentid": _ENVELOPE["agentid"],
        "response_code": {"type": "string", "description": "The job's own codes are used, whatever stands here."},
        "button": {
            "type": "object",
            "properties": {"replace_name": {"type": "string", "minLength": 1, "description": texts["replace_name"]}},
            "required": ["replace_name"],
            "additionalProperties": False,
        },
        "template_card": {"oneOf": cards, "description": texts["template_card"]},
        "enable_id_trans": {"enum": [0, 1], "description": texts["enable_id_trans"]},
    }
    forms = [{"required": ["button"]}, {"required": ["template_card"]}]
    return {
        "title": "CardUpdate",
        "type": "object",
        "properties": properties,
        "oneOf": forms,
        "additionalProperties": False,
    }


def _card_of_update(name: str, made: type[Card]) -> Schema:
    whole = inlined(made, _modules(made))
    del whole["properties"]["enable_id_trans"]
    whole["properties"] = {"card_type": {"const": name}, **whole["properties"]}
    limit(whole, fields.UPDATED_CARDS[name])
    return whole


def _of_chat(made: type[BaseModel], rows: tuple[Row, ...]) -> Schema:
    whole = inlined(made, _modules(made))
    limit(whole, rows)
    return {"title": made.__name__, **whole}


_NO_SENDS: Mapping[str, Callable[[], Schema]] = {
    "card_update": _of_update,
    "chat_create": lambda: _of_chat(CreateChat, fields.CREATE_CHAT),
    "chat_change": lambda: _of_chat(ChangeChat, fields.CHANGE_CHAT),
}


def _body(made: type[BaseModel], msgtype: str, content: Schema, beside: Schema) -> Schema:
    content.pop("title", None)
    return {
        "title": made.__name__,
        "type": "object",
        "properties": {**_ENVELOPE, "msgtype": {"const": msgtype}, msgtype: content, **beside},
        "required": ["msgtype", msgtype],
        "additionalProperties": False,
    }


def _modules(made: type[BaseModel]) -> Iterator[str]:
    package = made.__module__.rpartition(".")[0]
    return (f"{package}.{name}" for name in ("message", "card_parts", "card", "basic", "articles", "chat"))
