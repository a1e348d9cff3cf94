"""Every type of message and card is drawn: all its texts, in safe HTML, whether it can be pressed or not."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.support.drawn_html import DrawnHtml, bare, leaves
from tests.support.drawn_samples import LANGS, SAMPLES, page
from worker.drawing import Lang, draw

UNSEEN = re.compile(r"</?[a-z]+\d?[^>]*>|<@\w+>|\]\(https[^)]*\)")
"""Tags, and where links lead."""


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("name", SAMPLES)
def test_a_message_is_safe_html(name: str, lang: Lang) -> None:
    """No element and attribute outside the list, no address that runs or loads something, every tag closed."""
    for one in (SAMPLES[name], replace(SAMPLES[name], actions=None)):
        assert [] == DrawnHtml(draw(one, lang)).faults


@pytest.mark.parametrize("name", SAMPLES)
def test_every_text_of_a_message_is_drawn(name: str) -> None:
    """In its place, or in the list of what the app does not show."""
    one = SAMPLES[name]
    words = {word for leaf in leaves(one.content) for word in re.findall(r"\w+", UNSEEN.sub(" ", leaf))}

    for drawn in (draw(one), draw(replace(one, actions=None))):
        text = bare(DrawnHtml(drawn).text)
        assert set() == {word for word in words if word not in text}


@pytest.mark.parametrize("lang", LANGS)
def test_nothing_is_said_without_a_word(lang: Lang) -> None:
    """Labels are words of the language, never their keys."""
    for one in SAMPLES.values():
        assert [] == re.findall(r">\s*[a-z]+_[a-z_]+\s*<", draw(replace(one, content={}, update=None), lang))


def test_a_page_of_all_of_them_can_be_made() -> None:
    """With what a browser needs to show it."""
    assert len(SAMPLES) * 2 == page("zh", "light").count('<article class="message')
