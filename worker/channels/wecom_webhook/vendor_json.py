"""Messages out of the vendor's own JSON and back.

The chatid of such a body belongs to the job; `recipients_from_json` reads it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

from worker.channels.typed import Raw, object_of, refuse_misplaced_fields, text_in, unknown_type, validated
from worker.channels.wecom_webhook.fields import AUDIENCES, OURS
from worker.channels.wecom_webhook.messages import CARD_CLASSES, SIMPLE, Image, WebhookMessage
from worker.domain.content.message import File, Message
from worker.domain.content.recipient import Everyone, Recipients
from worker.domain.errors import CheckFailed, Problem

PLAIN: Mapping[str, type[WebhookMessage]] = {one.msgtype: one for one in SIMPLE}
"""By msgtype."""
PICTURE_NAME = "image"


def message_from_json(data: str | bytes | Mapping[str, Any], *, raw: bool = False) -> Message:
    """The typed message of a body as the vendor's pages show it.

    A type without a class here is refused, or with `raw=True` becomes `Raw`; a picture's base64 becomes a file. A
    neutral value that other SDKs write (`"safe": 0`) is left out with a `UserWarning`. Raises CheckFailed, which says
    what does not fit.
    """
    body = object_of(data)
    msgtype = body.get("msgtype")
    if not isinstance(msgtype, str):
        raise CheckFailed([Problem("msgtype", "is missing (vendor code 40008)", "name the type of the message")])
    rest = {name: value for name, value in body.items() if name not in OURS}
    content = rest.pop(msgtype, None)
    types = (*PLAIN, "template_card")
    if not raw and msgtype not in types:
        raise unknown_type("msgtype", msgtype, types, 40008)
    if not isinstance(content, Mapping):
        return Raw(msgtype=msgtype, body={**rest, **({} if content is None else {msgtype: content})})
    if msgtype == "template_card" and not raw and not _is_modelled(msgtype, body):
        raise unknown_type("template_card.card_type", content.get("card_type"), CARD_CLASSES, 42031)
    if msgtype == "template_card" and _is_modelled(msgtype, body):
        fields = {name: value for name, value in content.items() if name != "card_type"}
        made = CARD_CLASSES[content["card_type"]]
        refuse_misplaced_fields(made, msgtype, fields, rest)
        return validated(made, {**rest, **fields}, msgtype, rest)
    if msgtype not in PLAIN:
        return Raw(msgtype=msgtype, body={**rest, msgtype: dict(content)})
    refuse_misplaced_fields(PLAIN[msgtype], msgtype, content, rest)
    if msgtype == Image.msgtype:
        return validated(Image, {**rest, **_picture(content)}, msgtype, rest)
    return validated(PLAIN[msgtype], {**rest, **content}, msgtype, rest)


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
    return isinstance(content, Mapping) and str(content.get("card_type")) in CARD_CLASSES


def _picture(content: Mapping[str, Any]) -> dict[str, Any]:
    """The file a picture's base64 holds, beside other fields; its md5 has to be that of the bytes (301019)."""
    others = {name: value for name, value in content.items() if name not in ("base64", "md5")}
    if not content.get("base64"):  # an application's body has a media_id; without anything, the check misses the file
        return others
    try:
        held = base64.b64decode(content["base64"], validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise CheckFailed([Problem("image.base64", "is not Base64", "encode the picture's bytes")]) from None
    digest = hashlib.md5(held, usedforsecurity=False).hexdigest()
    if str(content.get("md5")).lower() != digest:
        text = "is not that of the picture (vendor code 301019)"
        raise CheckFailed([Problem("image.md5", text, "take the MD5 of the bytes before Base64, in hex")])
    return {**others, "file": File(held, PICTURE_NAME)}
