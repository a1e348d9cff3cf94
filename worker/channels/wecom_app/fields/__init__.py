"""The vendor's field tables as rows of data: what is required, how long, how many, and which errcode it would be."""

from worker.channels.checking.row import Effect, Either, FieldRule, Prose, Row, Together
from worker.channels.wecom.upload import MIN_FILE, PERMANENT_IMAGE, UPLOADS, UploadRule
from worker.channels.wecom_app.fields.cards import (
    CARD_TYPES,
    CARDS,
    INTERACTIVE,
    REPLACE_NAME,
    TASK_ID_MAX,
    TASK_ID_ROOM,
    UPDATED_CARDS,
)
from worker.channels.wecom_app.fields.chats import CHANGE_CHAT, CHATID, CREATE_CHAT, MEMBER_LISTS
from worker.channels.wecom_app.fields.plain import (
    BODIES,
    CHAT_BODIES,
    CHAT_ENVELOPE,
    ENVELOPE,
    ENVELOPE_FIELDS,
    INTERVAL,
    OURS,
    SAFE_FILES,
    TEXTCARD_BY_CHARACTERS,
)

__all__ = [
    "BODIES",
    "CARDS",
    "CARD_TYPES",
    "CHANGE_CHAT",
    "CHATID",
    "CHAT_BODIES",
    "CHAT_ENVELOPE",
    "CREATE_CHAT",
    "ENVELOPE",
    "ENVELOPE_FIELDS",
    "INTERACTIVE",
    "INTERVAL",
    "MEMBER_LISTS",
    "MIN_FILE",
    "OURS",
    "PERMANENT_IMAGE",
    "REPLACE_NAME",
    "SAFE_FILES",
    "TASK_ID_MAX",
    "TASK_ID_ROOM",
    "TEXTCARD_BY_CHARACTERS",
    "UPDATED_CARDS",
    "UPLOADS",
    "Effect",
    "Either",
    "FieldRule",
    "Prose",
    "Row",
    "Together",
    "UploadRule",
]
