"""The vendor's field tables, except for cards, and which of them apply to a message.

The rows stand at the fields of the messages. Source: page 90236 (发送应用消息, 2025/09/24, read again 2026-02-12), for
app group chats (应用发送消息到群聊会话) page 90248. Bytes are of the UTF-8 text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.checking.row import FieldRule, Row, banned, changed
from worker.channels.typed import rows_of, rule_of
from worker.channels.wecom_app.messages import PLAIN
from worker.domain.account import Account
from worker.domain.job import Kind

NO_YES = (0, 1)
_PLAIN: Mapping[str, tuple[Row, ...]] = {msgtype: rows_of(made) for msgtype, made in PLAIN.items()}
BODIES: Mapping[str, tuple[Row, ...]] = {
    **_PLAIN,
    "text": banned(_PLAIN["text"], {"mentioned_list": "only app group chats know it"}),
}
"""Rows of the simple types, by msgtype. A type that is not listed is sent as it is (`Raw`)."""
TEXTCARD_BY_CHARACTERS = changed(
    BODIES["textcard"],
    {
        row.path: {"max_bytes": None, "max_chars": row.max_bytes}
        for row in BODIES["textcard"]
        if isinstance(row, FieldRule) and row.path in ("title", "description")
    },
)

_NO_MINI_PROGRAM = "news in app group chats leads to a url only"
_CHAT_NEWS = banned(
    changed(_PLAIN["news"], {"articles[].url": {"required": True}}),
    {"articles[].appid": _NO_MINI_PROGRAM, "articles[].pagepath": _NO_MINI_PROGRAM},
)
CHAT_BODIES: Mapping[str, tuple[Row, ...]] = {
    **{msgtype: rows for msgtype, rows in _PLAIN.items() if msgtype != "miniprogram_notice"},
    "news": tuple(row for row in _CHAT_NEWS if isinstance(row, FieldRule)),
}
"""The types that appchat/send accepts (page 90248 应用推送消息), always with the lengths in bytes."""

ENVELOPE: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    **{msgtype: {name: rule_of(made, name).allowed or () for name in made.ENVELOPE} for msgtype, made in PLAIN.items()},
    "template_card": {"enable_id_trans": NO_YES},
}
"""The common options that each type lists. All these types list the duplicate check too, others do not."""
CHAT_ENVELOPE: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    name: {"safe": NO_YES} if "safe" in ENVELOPE[name] else {} for name in CHAT_BODIES
}
"""appchat/send has no id translation, no duplicate check, and `safe` of 0 and 1 only (page 90248)."""

SAFE_FILES = frozenset("txt pdf doc docx ppt pptx xls xlsx xml jpg jpeg png bmp gif".split())  # noqa: SIM905
"""Endings of files that `safe` = 1 protects (page 90236, 文件消息)."""

ENVELOPE_FIELDS = ("safe", "enable_id_trans")

OURS = frozenset(
    {"touser", "toparty", "totag", "chatid", "agentid", "msgtype", "enable_duplicate_check", "duplicate_check_interval"}
)
"""Envelope fields that only the worker sets."""

DUPLICATE_WINDOW_S = 14400
INTERVAL = (1, DUPLICATE_WINDOW_S)
"""Seconds that a duplicate check may look back: at most 4 hours (page 90236)."""

SENDS = frozenset({Kind.SEND.value, Kind.SEND_CHAT.value})


def body_rows(kind: str, msgtype: str, account: Account) -> tuple[Row, ...]:
    """Returns the rows of a simple type, or none for a type we do not model."""
    if kind == Kind.SEND_CHAT:
        return CHAT_BODIES.get(msgtype, ())
    if msgtype == "textcard" and account.settings.get("textcard_unit") == "characters":
        return TEXTCARD_BY_CHARACTERS
    return BODIES.get(msgtype, ())


def interval_s(message: Mapping[str, Any]) -> int:
    """Returns for how long the vendor looks back for an equal body."""
    return int((message.get("options") or {}).get("duplicate_check_interval", DUPLICATE_WINDOW_S))
