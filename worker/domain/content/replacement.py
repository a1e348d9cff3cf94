"""Replaces texts in a stored message, wherever people read them: not in ids, types and mentions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEPT = frozenset(
    {
        *("type", "msgtype", "msgType", "card_type", "task_id", "media_id", "thumb_media_id", "key", "id", "base64"),
        *("md5", "mentioned_list", "mentioned_mobile_list", "userlist", "owner", "owner_id", "chatid", "appid"),
    }
)
"""Keys under which no text is one that people read."""


def with_replacements(document: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """Returns a stored message with each old text replaced by the new one, in the order given."""
    return {name: _replaced(value, texts) if name == "body" else value for name, value in document.items()}


def _replaced(value: Any, texts: Mapping[str, str]) -> Any:
    match value:
        case str():
            for old, new in texts.items():
                value = _replaced_text(value, old, new)
            return value
        case list():
            return [_replaced(entry, texts) for entry in value]
        case dict():
            return {name: entry if name in _KEPT else _replaced(entry, texts) for name, entry in value.items()}
    return value


def _replaced_text(text: str, old: str, new: str) -> str:
    # Where the new text contains the old one, what has been replaced already stays, so a run can be repeated.
    if old in new:
        return new.join(piece.replace(old, new) for piece in text.split(new))
    return text.replace(old, new)
