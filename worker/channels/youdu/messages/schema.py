"""The JSON schema of the bodies `message_from_json` reads: the vendor's shape, with what a schema can say of limits.

A schema counts characters, not units of UTF-16, and knows no relation between fields: `check` knows all of them.
"""

from __future__ import annotations

from functools import cache

from worker.channels.schema import Schema, docstrings_in, inlined, limit
from worker.channels.youdu import fields
from worker.channels.youdu.messages.message import ItemsMessage, PlainMessage
from worker.channels.youdu.messages.reading import ITEMS, PLAIN
from worker.channels.youdu.messages.windows import Badge, PopWindow

_PACKAGE = __name__.rpartition(".")[0]
_MODULES = tuple(f"{_PACKAGE}.{name}" for name in ("message", "basic", "system", "articles", "windows"))

_PEOPLE: Schema = {
    "toUser": {"type": "string", "description": "Accounts joined by |, at most 1000 a call."},
    "toDept": {"type": "string", "description": "Department ids joined by |, at most 100 a call; 0 is everybody."},
}
_FLAG: Schema = {"type": "boolean", "description": "Those online now alone; the documentation spells it both ways."}
_TO_ALL: Schema = {
    "type": "object",
    "properties": {"onlyOnline": _FLAG, "onliyOnline": _FLAG},
    "additionalProperties": False,
}
_BESIDE: dict[str, Schema] = {
    "mail": {"toEmail": {"type": "string", "description": "Addresses joined by |, ignored beside toUser."}},
    "sysMsg": {"toAll": {**_TO_ALL, "description": "Everybody; what else is named is not needed then."}},
}
"""What stands beside the recipients that every type has."""


def message_schema(msgtype: str | None = None) -> Schema:
    """The JSON schema (2020-12) of one type's body, or of every type's.

    The bodies that are no msg/send are called `pop_window` and `badge`.
    """
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schemas = _schemas()
    if msgtype is None:
        return {**head, "oneOf": list(schemas.values())}
    if msgtype not in schemas:
        raise ValueError(f"no such message type; there are {', '.join(schemas)}")
    return {**head, **schemas[msgtype]}


@cache
def _schemas() -> dict[str, Schema]:
    plain = {name: _of_send(made, _of_plain(made)) for name, made in PLAIN.items()}
    items = {name: _of_send(made, _of_items(made)) for name, made in ITEMS.items()}
    return {**plain, **items, "pop_window": _of_window(), "badge": _of_badge()}


def _of_plain(made: type[PlainMessage]) -> Schema:
    content = inlined(made, _MODULES)
    for ours, vendors in made.NAMES.items():
        content["properties"][vendors]["description"] = docstrings_in(made.__module__)[made.__name__][ours]
    if made.msgtype == "sysMsg":
        del content["properties"]["only_online"]  # it is onlyOnline of toAll
        content["properties"]["msg"] |= {"minItems": 1}
        content["properties"]["msg"]["items"] |= {"minProperties": 1, "maxProperties": 1}
    return content


def _of_items(made: type[ItemsMessage]) -> Schema:
    return inlined(made, _MODULES)["properties"]["items"]  # type: ignore[no-any-return]


def _of_send(made: type[PlainMessage | ItemsMessage], content: Schema) -> Schema:
    msgtype = made.msgtype
    own = {"msgType": {"const": msgtype}, msgtype: content}
    schema = _body(made.__name__, {**_PEOPLE, **_BESIDE.get(msgtype, {}), **own}, ["msgType", msgtype])
    limit(schema, fields.BODIES["characters"][msgtype])
    return schema


def _of_window() -> Schema:
    content = inlined(PopWindow, _MODULES)
    content["anyOf"] = [{"required": ["url"]}, {"required": ["tip"]}]
    schema = _body(PopWindow.__name__, {**_PEOPLE, "popWindow": content}, ["popWindow"])
    limit(schema, fields.POP_WINDOW)
    return schema


def _of_badge() -> Schema:
    account = {"type": "string", "description": "The one account whose badge it is."}
    schema = _body(Badge.__name__, {"account": account, **inlined(Badge, _MODULES)["properties"]}, ["count"])
    limit(schema, fields.BADGE)
    return schema


def _body(title: str, properties: Schema, required: list[str]) -> Schema:
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
