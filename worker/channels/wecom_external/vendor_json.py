"""Campaigns out of the vendor's own JSON and back.

Sender and recipients of such a body belong to the job; `recipients_from_json` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.typed import (
    is_without_effect,
    left_out,
    object_of,
    refuse_misplaced_fields,
    text_in,
    unknown_type,
    validated,
)
from worker.channels.wecom_external.messages import ATTACHMENTS, OURS, Campaign, Raw
from worker.domain.content.message import Message
from worker.domain.content.recipient import CustomerGroups, Customers, Everyone, Recipients
from worker.domain.errors import CheckFailed, Problem

FIELDS = frozenset({"text", "attachments", "allow_select", "tag_filter"})
RECIPIENTS = {"single": ("external_userid", "chat_id_list"), "group": ("chat_id_list", "external_userid")}
"""By chat_type, single unless given (page 92135): the list of its recipients, and the list that is not read."""


def message_from_json(data: str | bytes | Mapping[str, Any], *, raw: bool = False) -> Message:
    """The campaign of a body as the vendor's page shows it.

    An image, link or mini program beside the text, as the page showed it before 2021, is refused. A body with a field
    or a type of attachment that has no class here is refused, too, or with `raw=True` becomes `Raw`. A neutral value
    that other SDKs write (`"safe": 0`) is left out with a `UserWarning`. Files cannot stand in JSON; media_ids can.
    Raises CheckFailed, which says what does not fit.
    """
    body = {name: value for name, value in object_of(data).items() if name not in OURS}
    for name in body.keys() - FIELDS:
        if is_without_effect(body[name]) or (name, body[name]) == ("msgtype", "text"):
            left_out(name)
            del body[name]
        elif name in ATTACHMENTS:  # as the page showed it before 2021
            remedy = f'attach it: attachments=[{{"msgtype": "{name}", "{name}": {{...}}}}]'
            raise CheckFailed([Problem(name, "is not among the vendor's fields (any more)", remedy)])
    if raw and not _is_modelled(body):
        return Raw(body=body)
    fields = {name: value for name, value in body.items() if name not in ("text", "attachments")}
    if body.get("text") is not None:
        fields["text"] = _text_in(body["text"])
    fields["attachments"] = [_attachment(entry, i) for i, entry in enumerate(_attachments_in(body))]
    return validated(Campaign, fields, "campaign")


def message_to_json(message: Message) -> dict[str, Any]:
    """The body of a campaign as the vendor's page shows it, without sender and recipients."""
    return dict(message.document().get("body") or {})


def recipients_from_json(data: str | bytes | Mapping[str, Any]) -> Recipients:
    """The recipients of a body as the vendor's page shows it.

    A sender alone means all customers of that member, or the groups that the member will choose. With an empty list
    there are no recipients.
    """
    body = object_of(data)
    sender, chat_type = text_in(body, "sender"), text_in(body, "chat_type") or "single"
    if chat_type not in RECIPIENTS:
        raise CheckFailed([Problem("chat_type", "has no such value", f"use one of {', '.join(RECIPIENTS)}")])
    field, unread = RECIPIENTS[chat_type]
    if body.get(unread):
        raise CheckFailed([Problem(unread, "is not read with this chat_type", "leave it out, or change chat_type")])
    groups, ids = chat_type == "group", body.get(field) or []
    empty = body.get(field) == [] and not body.get("tag_filter")  # as a query leaves it that found none: not all
    if not isinstance(ids, list):
        raise CheckFailed([Problem(field, "is not a list", 'write ids as ["wm1", "wm2"]')])
    if groups and not sender:
        raise CheckFailed([Problem("sender", "is not given", "name the owner of the groups")])
    if sender:
        named = {sender: ids if ids or empty else Everyone()}
        return CustomerGroups(named) if groups else Customers(named)
    return Customers(ids) if ids else Everyone()


def _is_modelled(body: Mapping[str, Any]) -> bool:
    types = [entry.get("msgtype") if isinstance(entry, Mapping) else None for entry in _attachments_in(body)]
    return body.keys() <= FIELDS and all(one is None or str(one) in ATTACHMENTS for one in types)


def _attachments_in(body: Mapping[str, Any]) -> list[Any]:
    entries = body.get("attachments") or []
    if isinstance(entries, list):
        return entries
    raise CheckFailed([Problem("attachments", "is not a list", 'use [{"msgtype": "image", "image": {...}}]')])


def _text_in(holder: Any) -> Any:
    if isinstance(holder, Mapping) and holder.keys() <= {"content"}:
        return holder.get("content")
    raise CheckFailed([Problem("text", "is not an object with content", 'use {"content": "..."}')])


def _attachment(entry: Any, i: int) -> Any:
    msgtype = entry.get("msgtype") if isinstance(entry, Mapping) else None
    own = entry.get(msgtype) if isinstance(entry, Mapping) and isinstance(msgtype, str) else None
    if msgtype is None or not isinstance(own, Mapping):
        text = "has no object named like its msgtype (vendor code 40058)"
        raise CheckFailed([Problem(f"attachments[{i}]", text, "put the fields under the name of the type")])
    if msgtype not in ATTACHMENTS:
        raise unknown_type(f"attachments[{i}].msgtype", msgtype, ATTACHMENTS, 41065)
    others = {f"attachments[{i}].{name}": entry[name] for name in entry if name not in ("msgtype", msgtype)}
    refuse_misplaced_fields(ATTACHMENTS[msgtype], msgtype, {}, others)
    return validated(ATTACHMENTS[msgtype], own, f"attachments[{i}].{msgtype}")
