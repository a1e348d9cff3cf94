"""Messages out of the vendor's own JSON (as it stands inside the envelope), and back.

The recipients of such a body belong to the job; `recipients_from_json` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.checking.foreign import without_foreign
from worker.channels.reading import object_of, validated
from worker.channels.youdu.fields import OURS, foreign
from worker.channels.youdu.messages.articles import ARTICLES
from worker.channels.youdu.messages.basic import SIMPLE
from worker.channels.youdu.messages.message import ItemsMessage, PlainMessage, Raw
from worker.channels.youdu.messages.system import SysMsg
from worker.channels.youdu.messages.windows import Badge, PopWindow
from worker.domain.content.message import Message
from worker.domain.content.recipient import Emails, Everyone, Recipients, To
from worker.domain.errors import CheckFailed, Problem

PLAIN: Mapping[str, type[PlainMessage]] = {**{one.msgtype: one for one in SIMPLE}, SysMsg.msgtype: SysMsg}
ITEMS: Mapping[str, type[ItemsMessage]] = {one.msgtype: one for one in ARTICLES}


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
    body = without_foreign(body, foreign(body))
    rest = {name: value for name, value in body.items() if name not in OURS}
    content = rest.get(msgtype)
    if rest.keys() == {msgtype} and msgtype in PLAIN and isinstance(content, Mapping):
        return validated(PLAIN[msgtype], {**content, **_online(msgtype, body)}, msgtype)
    if rest.keys() == {msgtype} and msgtype in ITEMS and isinstance(content, list):
        return validated(ITEMS[msgtype], {"items": content}, msgtype)
    return Raw(msgtype=msgtype, body=rest)


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
    if body.get("toEmail") and not body.get("toUser"):
        return Emails(body["toEmail"])
    return To(body.get("account") or body.get("toUser"), body.get("toDept"))


def _online(msgtype: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The documentation spells it both ways."""
    to_all = body.get("toAll")
    if msgtype != "sysMsg" or not isinstance(to_all, Mapping):
        return {}
    return {"only_online": to_all.get("onlyOnline", to_all.get("onliyOnline"))}
