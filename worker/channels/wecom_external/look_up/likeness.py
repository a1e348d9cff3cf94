"""Whether a task of the vendor's list may be the one a call made: by time, text and attachments.

A task carries no reference of its caller (page 93338), so this is necessary and never enough; `calls.py` goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.wecom.reply import integer, moment

CORP_MADE = 0
"""`create_type`; 1 is a member's own."""

SHOWN: Mapping[str, tuple[str, ...]] = {
    "link": ("title", "picurl", "desc", "url"),
    "miniprogram": ("title", "appid", "page"),
    "image": ("media_id", "pic_url"),
    "video": ("media_id",),
    "file": ("media_id",),
}
"""Fields that the list shows of an attachment. Of an image it shows one of the two; of a mini program no cover."""


def is_like(entry: Mapping[str, Any], content: Mapping[str, Any], since: int, until: int) -> bool:
    """Whether a task was made by an API call in that time, with this text and these attachments.

    A task that a person makes in the console has a `creator`; tasks made by an API call have none.
    """
    at = moment(entry, "create_time")
    if at is None or not since <= at <= until:
        return False
    if entry.get("creator") or integer(entry, "create_type") not in (None, CORP_MADE):
        return False
    return _text_of(entry) == _text_of(content) and _same_attachments(entry, content)


def _text_of(holder: Mapping[str, Any]) -> str:
    text = holder.get("text")
    content = text.get("content") if isinstance(text, Mapping) else None
    return content.replace("\r\n", "\n").strip() if isinstance(content, str) else ""


def _same_attachments(entry: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    theirs, ours = entry.get("attachments") or [], content.get("attachments") or []
    if not isinstance(theirs, list) or len(theirs) != len(ours):
        return False
    return all(_same(one, other) for one, other in zip(theirs, ours, strict=True))


def _same(theirs: Any, ours: Mapping[str, Any]) -> bool:
    """Whether two attachments have the same type, and no field that both show differs."""
    if not isinstance(theirs, Mapping) or theirs.get("msgtype") != ours.get("msgtype"):
        return False
    msgtype = str(ours.get("msgtype"))
    told, sent = theirs.get(msgtype), ours.get(msgtype)
    if not isinstance(told, Mapping) or not isinstance(sent, Mapping):
        return False
    return all(told[name] == sent[name] for name in SHOWN.get(msgtype, ()) if told.get(name) and sent.get(name))
