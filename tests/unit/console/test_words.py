"""The words of the console."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from worker.console.words import WORDS

CONSOLE = Path(__file__).parents[3] / "worker" / "console"


def fields(text: str) -> set[str | None]:
    """What is filled in."""
    return {name for _, name, _, _ in string.Formatter().parse(text)} - {None}


@pytest.mark.parametrize("key", WORDS)
def test_a_word_is_in_both_languages_and_is_filled_in_alike(key: str) -> None:
    """No word is in one language only."""
    chinese, english = WORDS[key]

    assert chinese.strip()
    assert english.strip()
    assert fields(chinese) == fields(english)


def test_templates_write_no_word_of_their_own() -> None:
    """Whatever a person reads is a word of both languages, or data."""
    written = [
        (path.name, text)
        for path in sorted((CONSOLE / "templates").glob("*.html"))
        for text in re.findall(r"[A-Za-z\u4e00-\u9fff]{2,}", _text_of(path.read_text(encoding="utf-8")))
    ]

    assert [] == written


def _text_of(template: str) -> str:
    """What of a template stands between its tags."""
    without = re.sub(r"\{[%{#].*?[%}#]\}", " ", template, flags=re.DOTALL)
    return re.sub(r"<[^>]*>", " ", without, flags=re.DOTALL)
