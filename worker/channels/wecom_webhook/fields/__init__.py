"""The vendor's field tables as rows of data: what is required, how long, how many, and which errcode it would be."""

from worker.channels.wecom_webhook.fields.cards import CARD_TYPES, CARDS
from worker.channels.wecom_webhook.fields.places import (
    ALL_TYPES,
    AUDIENCES,
    AUDIENCES_OF,
    BLACKBOARD_TYPES,
    POST_TYPES,
    UNADDRESSED,
    VISIBLE_TYPES,
)
from worker.channels.wecom_webhook.fields.plain import (
    ACTIONS,
    BODIES,
    EDITIONS,
    ENVELOPE_FIELDS,
    FOREIGN,
    OURS,
    PUSH,
    ROBOT,
)
from worker.channels.wecom_webhook.fields.uploads import INLINE_IMAGE, UPLOADS

__all__ = [
    "ACTIONS",
    "ALL_TYPES",
    "AUDIENCES",
    "AUDIENCES_OF",
    "BLACKBOARD_TYPES",
    "BODIES",
    "CARDS",
    "CARD_TYPES",
    "EDITIONS",
    "ENVELOPE_FIELDS",
    "FOREIGN",
    "INLINE_IMAGE",
    "OURS",
    "POST_TYPES",
    "PUSH",
    "ROBOT",
    "UNADDRESSED",
    "UPLOADS",
    "VISIBLE_TYPES",
]
