"""The vendor's field tables as rows of data: what is required, how long, how many, and which errcode it would be.

Source: page 90236 (发送应用消息, stored copy of 2026-02-12), page 94888 (更新模版卡片消息), page 90253 (上传临时素材).
A message type not listed here goes out as it is (`Raw`); listing it later is adding rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TASK_ID_CHARS = r"[0-9A-Za-z_@-]+"
TASK_ID_MAX = 128
TASK_ID_ROOM = 12
"""Room kept for our suffix `_<n>_r<replay>`: 100,000 parts and 10,000 replays."""

KEY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One row of a vendor's field table."""

    path: str
    """Below the message's own object; `[]` after a list."""
    type: type = str
    required: bool = False
    when: tuple[str, int] | None = None
    """Required only if this sibling has this value; an absent sibling counts as 0."""
    entries: tuple[int, int] | None = None
    """Least and most entries of a list."""
    max_bytes: int | None = None
    """Of the UTF-8 text."""
    advised: int | None = None
    """Suggested characters: the client shortens what is longer, so it only warns."""
    allowed: tuple[int, ...] | None = None
    charset: str | None = None
    unique: bool = False
    """No two entries of the list have the same."""
    code: int | None = None
    """What the vendor would answer, where it is known."""
    note: str = ""
    """What is behind the limit, when it is not simply the code."""


R = FieldRule

TEXT = (R("content", required=True, max_bytes=2048, code=44004, note="the vendor cuts the rest in silence"),)

IMAGE = (R("media_id", required=True, code=41006),)

_LINK_TARGETS = (("url", 1, 42028), ("appid", 2, 42030))


def _links(parent: str) -> tuple[FieldRule, ...]:
    """The rows of an object with `type` 0 (no link), 1 (url) or 2 (mini program)."""
    targets = tuple(R(f"{parent}.{name}", when=("type", kind), code=code) for name, kind, code in _LINK_TARGETS)
    return (R(f"{parent}.type", int, allowed=(0, 1, 2)), *targets, R(f"{parent}.pagepath"))


BUTTON_CARD = (
    R("source", dict),
    R("source.icon_url"),
    R("source.desc", advised=20),
    R("source.desc_color", int, allowed=(0, 1, 2, 3)),
    R("action_menu", dict),
    R("action_menu.desc"),
    R("action_menu.action_list", list, required=True, entries=(1, 3)),
    R("action_menu.action_list[].text", required=True),
    R("action_menu.action_list[].key", required=True, max_bytes=KEY_BYTES, unique=True, code=42051),
    R("main_title", dict, required=True, code=41016),
    R("main_title.title", required=True, advised=36, code=41016),
    R("main_title.desc", advised=44),
    R("quote_area", dict),
    *_links("quote_area"),
    R("quote_area.title"),
    R("quote_area.quote_text"),
    R("sub_title_text", advised=160),
    R("horizontal_content_list", list, entries=(0, 6), code=42035),
    R("horizontal_content_list[].type", int, allowed=(0, 1, 2, 3)),
    R("horizontal_content_list[].keyname", required=True, advised=5, code=42027),
    R("horizontal_content_list[].value", advised=30),
    R("horizontal_content_list[].url", when=("type", 1), code=42028),
    R("horizontal_content_list[].media_id", when=("type", 2), code=42029),
    R("horizontal_content_list[].userid", when=("type", 3), code=42050),
    R("card_action", dict),
    *_links("card_action"),
    R("button_selection", dict),
    R("button_selection.question_key", required=True, max_bytes=KEY_BYTES, code=42043),
    R("button_selection.title"),
    R("button_selection.option_list", list, required=True, entries=(1, 10), code=42037),
    R("button_selection.option_list[].id", required=True, max_bytes=128, unique=True, code=42040),
    R("button_selection.option_list[].text", required=True, advised=16, code=42041),
    R("button_selection.selected_id"),
    R("button_list", list, required=True, entries=(1, 6)),
    R("button_list[].type", int, allowed=(0, 1)),
    R("button_list[].text", required=True, advised=10, code=42038),
    R("button_list[].style", int, allowed=(1, 2, 3, 4), note="the vendor would take it for 1"),
    R("button_list[].key", when=("type", 0), max_bytes=KEY_BYTES, unique=True, code=42039),
    R("button_list[].url", when=("type", 1), code=42028),
)

TASK_ID = R(
    "task_id",
    max_bytes=TASK_ID_MAX - TASK_ID_ROOM,
    charset=TASK_ID_CHARS,
    code=42014,
    note=f"the vendor takes {TASK_ID_MAX}, less {TASK_ID_ROOM} for the suffix of parts and replays",
)

REPLACE_NAME = (R("replace_name", required=True),)

BODIES: Mapping[str, tuple[FieldRule, ...]] = {"text": TEXT, "image": IMAGE}
"""Rows of the plain types, by msgtype."""

CARDS: Mapping[str, tuple[FieldRule, ...]] = {"button_interaction": BUTTON_CARD}
"""Rows of the cards, by card_type; `task_id` apart, for an update has none."""

CARD_TYPES = ("text_notice", "news_notice", "button_interaction", "vote_interaction", "multiple_interaction")
INTERACTIVE = frozenset(CARD_TYPES[2:])
"""Always able to call back; a notice is only with an `action_menu`."""

_NO_YES = (0, 1)
ENVELOPE: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "text": {"safe": _NO_YES, "enable_id_trans": _NO_YES},
    "image": {"safe": _NO_YES},
    "voice": {},
    "video": {"safe": _NO_YES},
    "file": {"safe": _NO_YES},
    "textcard": {"enable_id_trans": _NO_YES},
    "news": {"enable_id_trans": _NO_YES},
    "mpnews": {"safe": (0, 1, 2), "enable_id_trans": _NO_YES},
    "markdown": {},
    "miniprogram_notice": {"enable_id_trans": _NO_YES},
    "template_card": {"enable_id_trans": _NO_YES},
}
"""The common options each type lists. All these types list the duplicate check too; others do not."""

ENVELOPE_FIELDS = ("safe", "enable_id_trans")

OURS = frozenset(
    {"touser", "toparty", "totag", "agentid", "msgtype", "enable_duplicate_check", "duplicate_check_interval"}
)
"""Envelope fields only the worker sets."""

MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class UploadRule:
    """What page 90253 takes for one upload type."""

    max_bytes: int
    format: str
    starts: tuple[tuple[int, bytes], ...] = ()
    """(offset, bytes) of which one must be found in the head; none: any format."""


MIN_FILE = 6
"""Every file must be larger than 5 bytes (page 90253)."""

UPLOADS: Mapping[str, UploadRule] = {
    "image": UploadRule(10 * MB, "JPG or PNG", ((0, b"\xff\xd8\xff"), (0, b"\x89PNG\r\n\x1a\n"))),
    "voice": UploadRule(2 * MB, "AMR", ((0, b"#!AMR"),)),
    "video": UploadRule(10 * MB, "MP4", ((4, b"ftyp"),)),
    "file": UploadRule(20 * MB, "any"),
}
