"""The JSON schema of the bodies `message_from_json` reads: the vendor's shape, with what a schema can say of limits.

A schema counts characters, not bytes, and knows no relation between fields: `check` at enqueue knows all of them.
"""

from __future__ import annotations

from functools import cache

from worker.channels.schema import Schema, inlined, limit
from worker.channels.wecom_external import fields
from worker.channels.wecom_external.messages.attachments import ATTACHMENTS, Attachment
from worker.channels.wecom_external.messages.message import Campaign

_PACKAGE = __name__.rpartition(".")[0]
_MODULES = (f"{_PACKAGE}.attachments", f"{_PACKAGE}.message")
_IDS: Schema = {"type": "array", "items": {"type": "string"}}

_ENVELOPE: Schema = {
    "chat_type": {"enum": ["single", "group"], "description": "Customers (default) or customer groups."},
    "sender": {"type": "string", "description": "The userid of the member who sends; required for groups."},
    "external_userid": {**_IDS, "maxItems": fields.MOST_CUSTOMERS, "description": "Customers, of chat_type single."},
    "chat_id_list": {**_IDS, "maxItems": fields.MOST_GROUPS, "description": "Customer groups, of chat_type group."},
}


def message_schema(msgtype: str | None = None) -> Schema:
    """The JSON schema (2020-12) of a campaign's body, or of one type's attachment."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    if msgtype is None:
        return {**head, **_campaign()}
    found = [one for one in ATTACHMENTS if one.msgtype == msgtype]
    if not found:
        raise ValueError(f"no such attachment; there are {', '.join(one.msgtype for one in ATTACHMENTS)}")
    return {**head, **_attachment(found[0])}


@cache
def _campaign() -> Schema:
    whole = inlined(Campaign, _MODULES)
    own = whole["properties"]
    said = own["text"].pop("description")
    own["text"] = {"type": "object", "properties": {"content": {"type": "string", "description": said}}}
    own["text"]["additionalProperties"] = False
    own["attachments"]["items"] = {"oneOf": [_attachment(one) for one in ATTACHMENTS]}
    limit(whole, tuple(row for row in fields.BODY if "attachments[]" not in getattr(row, "path", "attachments[]")))
    whole["properties"] = {**_ENVELOPE, **own}
    return {"title": "Campaign", **whole, "anyOf": [{"required": ["text"]}, {"required": ["attachments"]}]}


def _attachment(made: type[Attachment]) -> Schema:
    own = inlined(made, _MODULES)
    own["properties"].pop("as_url", None)
    limit(own, fields.ATTACHMENTS[made.msgtype])
    return {
        "title": made.__name__,
        "type": "object",
        "properties": {"msgtype": {"const": made.msgtype}, made.msgtype: own},
        "required": ["msgtype", made.msgtype],
        "additionalProperties": False,
    }
