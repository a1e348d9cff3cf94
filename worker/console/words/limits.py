"""The Chinese of what limits say of themselves: what they count for, what the vendor does beyond, and the source.

A limit says it in English, once, where the channel has it as data, and `worker.language` has its Chinese; vendor pages
and error codes are their own words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from worker.drawing import Lang
from worker.language import said

ALONE: Mapping[str, str] = {"unknown": "未公布", "broadcasts": "群发"}
"""Single words, which mean this of a limit alone."""
PARTS: tuple[tuple[str, str], ...] = (
    (r"^pages? (?=\d)", "文档 "),
    (r", help of (\d+)", r"，\1 的排查方法"),
    (r" \((\d{4}/\d\d/\d\d), read again ([-\d]+)\)", r"（\1，\2 复核）"),
    (r" \(read ([-\d]+)\)", r"（查阅于 \1）"),
    (r" \((\d{4}/\d\d/\d\d)\)", r"（\1）"),
)
"""What stands around names of vendor pages and of APIs, which are their own words."""


def limit_phrase(lang: Lang, text: str) -> str:
    """What a limit says of itself, in a language."""
    if lang == "en":
        return text
    told = ALONE.get(text) or said(text, lang)
    for english, chinese in PARTS:
        told = re.sub(english, chinese, told)
    return told
