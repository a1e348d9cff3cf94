"""Messages out of the vendor's own JSON (as it stands inside the envelope) and back, and the schema of such bodies.

The recipients of such a body belong to the job; `recipients_from_json` reads them. A schema counts characters, not
units of UTF-16, and knows no relation between fields: `check` at enqueue knows all of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

from worker.channels.checking.row import Foreign
from worker.channels.checking.rules import without_foreign
from worker.channels.schema import Schema, body, chosen, docstrings, inlined, limit
from worker.channels.typed import PlainMessage, Raw, object_of, validated
from worker.channels.youdu import fields
from worker.channels.youdu.fields import MAIL_OF, OURS
from worker.channels.youdu.messages import ITEMS, PLAIN, Badge, ItemsMessage, PopWindow
from worker.domain.content.message import Message
from worker.domain.content.recipient import Everyone, Recipients, listed
from worker.domain.errors import CheckFailed, Problem

_OF_UPLOAD = "leave it out: it is what the file was uploaded with"
_FOREIGN = (
    Foreign("mpNews", instead="name it mpnews, in small letters, and in msgType too"),
    Foreign("mpnews[].show_front", (0,), "name it showFront"),
    Foreign("file.name", ("",), _OF_UPLOAD),
    Foreign("file.size", (0,), _OF_UPLOAD),
    Foreign("mail.time", (0,)),
)


def message_from_json(data: str | bytes | Mapping[str, Any]) -> Message:
    """The typed message of a body of msg/send, popwindow or set.ent.notice.

    A type without a class here becomes `Raw`. A neutral value that SDKs write (a mail's `"time": 0`) is left out with a
    `UserWarning`. Files cannot stand in JSON; media_ids can. Raises CheckFailed, which says what does not fit.
    """
    body = object_of(data)
    if "msgType" not in body and isinstance(body.get("popWindow"), Mapping):
        return validated(PopWindow, body["popWindow"], "popWindow")
    if "msgType" not in body and "account" in body:
        return validated(Badge, {name: value for name, value in body.items() if name != "account"}, "badge")
    msgtype = body.get("msgType")
    if not isinstance(msgtype, str):
        raise CheckFailed([Problem("msgType", "is missing", "name the type of the message")])
    body = without_foreign(body, _foreign(body))
    rest = {name: value for name, value in body.items() if name not in OURS}
    content = rest.get(msgtype)
    if rest.keys() == {msgtype} and msgtype in PLAIN and isinstance(content, Mapping):
        to_all = body.get("toAll")
        if msgtype == "sysMsg" and isinstance(to_all, Mapping):  # the documentation spells the flag both ways
            content = {**content, "only_online": to_all.get("onlyOnline", to_all.get("onliyOnline"))}
        return validated(PLAIN[msgtype], content, msgtype)
    if rest.keys() == {msgtype} and msgtype in ITEMS and isinstance(content, list):
        return validated(ITEMS[msgtype], {"items": content}, msgtype)
    return Raw(msgtype=msgtype, body=rest)


def _foreign(body: Mapping[str, Any]) -> tuple[Foreign, ...]:
    """What SDKs write and c01_00003 does not list; the vendor's own has a time of 0 and fields of the other action."""
    mail = body.get("mail")
    action = mail.get("action") if isinstance(mail, Mapping) else None
    others = (name for of, names in MAIL_OF.items() if action in MAIL_OF and of != action for name in names)
    return (*_FOREIGN, *(Foreign(f"mail.{name}", ("", 0)) for name in others))


def message_to_json(message: Message) -> dict[str, Any]:
    """The body of a message without its recipients; of a badge without its account."""
    document = message.document()
    body: dict[str, Any] = document["body"]
    return body if document["type"] in ("pop_window", "badge") else {"msgType": document["type"], **body}


def recipients_from_json(data: str | bytes | Mapping[str, Any]) -> Recipients:
    """Whom a body is for."""
    body = object_of(data)
    if body.get("toDept") == "0" or "toAll" in body:
        return Everyone()
    users = listed(body.get("account"), "account") or listed(body.get("toUser"), "toUser")
    emails = listed(body.get("toEmail"), "toEmail")
    if users and emails:
        warnings.warn("toEmail: ignored beside toUser, and left out", stacklevel=2)
    return Recipients(users, listed(body.get("toDept"), "toDept"), emails=() if users else emails)


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
    return chosen(_schemas(), msgtype, None)


@cache
def _schemas() -> dict[tuple[str, str | None], Schema]:
    plain = {name: _of_send(made, _of_plain(made)) for name, made in PLAIN.items()}
    items = {name: _of_send(made, inlined(made)["properties"]["items"]) for name, made in ITEMS.items()}
    window = inlined(PopWindow) | {"anyOf": [{"required": ["url"]}, {"required": ["tip"]}]}
    account = {"type": "string", "description": "The one account whose badge it is."}
    others = {
        "pop_window": body(PopWindow.__name__, {**_PEOPLE, "popWindow": window}, ["popWindow"]),
        "badge": body(Badge.__name__, {"account": account, **inlined(Badge)["properties"]}, ["count"]),
    }
    limit(others["pop_window"], fields.WINDOW_ROWS)
    limit(others["badge"], fields.BADGE_ROWS)
    return {(name, None): schema for name, schema in {**plain, **items, **others}.items()}


def _of_plain(made: type[PlainMessage]) -> Schema:
    content = inlined(made)
    for ours, vendors in made.NAMES.items():
        content["properties"][vendors]["description"] = docstrings(made)[ours]
    if made.msgtype == "sysMsg":
        del content["properties"]["only_online"]  # it is onlyOnline of toAll
        content["properties"]["msg"] |= {"minItems": 1}
        content["properties"]["msg"]["items"] |= {"minProperties": 1, "maxProperties": 1}
    return content


def _of_send(made: type[PlainMessage | ItemsMessage], content: Schema) -> Schema:
    msgtype = made.msgtype
    own = {"msgType": {"const": msgtype}, msgtype: content}
    schema = body(made.__name__, {**_PEOPLE, **_BESIDE.get(msgtype, {}), **own}, ["msgType", msgtype])
    limit(schema, fields.BODIES["characters"][msgtype])
    return schema
