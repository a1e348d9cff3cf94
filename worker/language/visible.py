"""Makes texts of others safe for a terminal: what a vendor, a producer or another person wrote may hold commands to it.

Every command and log that writes to a terminal passes its texts through here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSEEN = "\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
"""Characters without a width, except the two that join and part letters and emoji: two names that look the same."""
_CONTROLS = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_BIDI}{_UNSEEN}]")
"""All but tabs and line ends: ESC, BEL, CR, C1, other line separators, what turns the direction of text around, and
what is not seen.
"""
_COMMANDS = f"\x00-\x1f\x7f-\x9f\u2028\u2029{_BIDI}"
_OF_LINES = re.compile(f"[{_COMMANDS}{_UNSEEN}]")
_BREAKS = re.compile(f"[{_COMMANDS}]")


def visible(text: str) -> str:
    """Returns a text with its control characters written out as Python writes them. Tabs and line ends stay."""
    return _CONTROLS.sub(_written_out, text)


def one_line(text: str) -> str:
    """Returns a text with all control characters written out, line ends too, so that it cannot pass for two lines."""
    return _OF_LINES.sub(_written_out, text)


def breaks_line(text: str) -> bool:
    """Returns whether a text has a line end or another character that a terminal acts on."""
    return _BREAKS.search(text) is not None


def visible_json(document: str) -> str:
    """Returns the same JSON, with the control characters of its texts escaped."""
    return _CONTROLS.sub(lambda match: json.dumps(match[0])[1:-1], document)


def one_line_values(value: Any) -> Any:
    """Returns a copy of a row in which every text is one line: of a dataclass, a mapping or a sequence."""
    if type(value) is str:
        return one_line(value)
    if isinstance(value, Mapping):
        return {key: one_line_values(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(one_line_values(inner) for inner in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: one_line_values(getattr(value, one.name)) for one in fields(value)})
    return value


def _written_out(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
