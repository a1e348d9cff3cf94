"""Finds the English that is left in what was said in Chinese."""

from __future__ import annotations

import re

_CODE = re.compile(
    r"`[^`]*`|\"[^\"]*\"|“[^”]*”|'[^']*'|https?://\S+|worker [a-z-]+( [-a-z0-9._/]+| [A-Z_]+)*"
    r"|--[a-z-]+ [^\s：]+|\b(send|upload|recall) [a-z]+|\b(true|false|null)\b"
)
"""What stays as it is in any language: code, quoted values, addresses, commands of ours, a kind beside its account."""
_PROSE = re.compile(r"[A-Za-z]{2,} [a-z]{2,}")


def english_left(printed: str) -> list[str]:
    """The lines in which two English words stand one behind the other."""
    return [line for line in printed.splitlines() if _PROSE.search(_CODE.sub("·", line))]
