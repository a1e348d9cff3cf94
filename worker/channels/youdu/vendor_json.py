"""Messages out of the vendor's own JSON (as it stands inside the envelope) and back.

The recipients of such a body belong to the job; `recipients_from_json` reads them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Set
from typing import Any

from worker.channels.typed import (
    Raw,
    is_without_effect,
    left_out,
    object_of,
    refuse_misplaced_fields,
    unknown_type,
    validated,
)
from worker.channels.youdu.fields import OURS, fields_of_other_actions
from worker.channels.youdu.messages import ITEMS, PLAIN, Badge, PopWindow, SysMsg
from worker.domain.content.message import Message
from worker.domain.content.recipient import Everyone, Recipients, parse_ids
from worker.domain.errors import CheckFailed, Problem


def message_from_json(data: str | bytes | Mapping[str, Any], *, raw: bool = False) -> Message:
    """The typed message of a body of msg/send, popwindow or set.ent.notice.

    A type without a class here is refused, or with `raw=True` becomes `Raw`. A neutral value that SDKs write (a mail's
    `"time": 0`) is left out with a `UserWarning`. Files cannot stand in JSON; media_ids can. Raises CheckFailed, which
    says what does not fit.
    """
    body = object_of(data)
    if "msgType" not in body and isinstance(body.get("popWindow"), Mapping):
        siblings = {name: value for name, value in body.items() if name not in {*OURS, "popWindow"}}
        refuse_misplaced_fields(PopWindow, "popWindow", {}, siblings)
        return validated(PopWindow, body["popWindow"], "popWindow")
    if "msgType" not in body and "account" in body:
        return validated(Badge, {name: value for name, value in body.items() if name != "account"}, "badge")
    msgtype = body.get("msgType")
    if not isinstance(msgtype, str):
        raise CheckFailed([Problem("msgType", "is missing", "name the type of the message")])
    if "mpNews" in body:
        remedy = "name it mpnews, in small letters, and in msgType too"
        raise CheckFailed([Problem("mpNews", "is not among the vendor's fields (any more)", remedy)])
    rest = {name: value for name, value in body.items() if name not in OURS}
    if msgtype in PLAIN or msgtype in ITEMS:
        rest = _without_empty(rest, rest.keys() - {msgtype})
    content, to_all = rest.get(msgtype), body.get("toAll")
    if rest.keys() == {msgtype} and msgtype in PLAIN and isinstance(content, Mapping):
        if msgtype == "sysMsg" and isinstance(to_all, Mapping):
            content = {**content, "only_online": _only_online(to_all)}
        return validated(PLAIN[msgtype], _mail(content) if msgtype == "mail" else content, msgtype)
    if rest.keys() == {msgtype} and msgtype in ITEMS and isinstance(content, list):
        return validated(ITEMS[msgtype], {"items": content}, msgtype)
    # Raw has no place for the flag, and those who are offline would get the message too.
    if msgtype == "sysMsg" and _only_online(to_all):
        siblings = {name: value for name, value in rest.items() if name != msgtype}
        refuse_misplaced_fields(SysMsg, msgtype, {}, siblings)
    if not raw and msgtype not in (*PLAIN, *ITEMS):
        raise unknown_type("msgType", msgtype, (*PLAIN, *ITEMS))
    return Raw(msgtype=msgtype, body=rest)


def _mail(content: Mapping[str, Any]) -> dict[str, Any]:
    """A mail without what the vendor's own SDK writes: a time of 0, and fields of the other action."""
    return _without_empty(content, {*fields_of_other_actions(content.get("action")), "time"}, "mail.")


def _without_empty(fields: Mapping[str, Any], names: Set[str], root: str = "") -> dict[str, Any]:
    """Returns the fields without those of these names that have no effect, each with a warning."""
    empty = sorted(name for name in names & fields.keys() if is_without_effect(fields[name]))
    for name in empty:
        left_out(f"{root}{name}")
    return {name: value for name, value in fields.items() if name not in empty}


def message_to_json(message: Message) -> dict[str, Any]:
    """The body of a message without its recipients; of a badge without its account."""
    document = message.document()
    body: dict[str, Any] = document["body"]
    return body if document["type"] in ("pop_window", "badge") else {"msgType": document["type"], **body}


def recipients_from_json(data: str | bytes | Mapping[str, Any]) -> Recipients:
    """Whom a body is for."""
    body = object_of(data)
    if not is_without_effect(body.get("toGid")):
        text = "is not among the vendor's fields (any more)"
        raise CheckFailed([Problem("toGid", text, "name users or departments")])
    if body.get("toDept") == "0" or _goes_to_all(body):
        if (body.get("toUser") or body.get("toDept")) and _only_online(body.get("toAll")):
            told = "toUser, toDept: left out beside toAll, so those who are offline get nothing"
            warnings.warn(told, stacklevel=2)
        return Everyone()
    users = parse_ids(body.get("account"), "account") or parse_ids(body.get("toUser"), "toUser")
    emails = parse_ids(body.get("toEmail"), "toEmail")
    if users and emails:
        warnings.warn("toEmail: ignored beside toUser, and left out", stacklevel=2)
    return Recipients(users, parse_ids(body.get("toDept"), "toDept"), emails=() if users else emails)


def _only_online(to_all: Any) -> Any:
    """Returns the flag of `toAll`, which the documentation spells both ways."""
    return to_all.get("onlyOnline", to_all.get("onliyOnline")) if isinstance(to_all, Mapping) else None


def _goes_to_all(body: Mapping[str, Any]) -> bool:
    """Returns True for a sysMsg with its object `toAll`. None and false stand in bodies that are not for all."""
    to_all = body.get("toAll")
    if to_all is None or to_all is False:
        return False
    if body.get("msgType") != "sysMsg" or not isinstance(to_all, Mapping):
        text = "only a sysMsg has it, and as an object"
        raise CheckFailed([Problem("toAll", text, 'write {"onlyOnline": false} there, and "toDept": "0" elsewhere')])
    return True
