"""Every type of message and card is drawn in safe HTML, whether it can be pressed or not."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import pytest

from tests.support.drawn_html import DrawnHtml
from tests.support.drawn_samples import LANGS, SAMPLES, page
from tests.support.each import each
from worker.drawing import Lang, MessageView, draw


@each(product(SAMPLES, LANGS))
def test_a_message_is_safe_html(name: str, lang: Lang) -> None:
    """No element and attribute outside the list, no address that runs or loads something, every tag closed."""
    for one in (SAMPLES[name], replace(SAMPLES[name], actions=None)):
        assert DrawnHtml(draw(one, lang)).faults == []


SURPRISING = {"webhook text_notice": ["template_card.action_menu."], "unknown type": ["interactive_taskcard."]}
"""Samples with a field of which nothing is to be seen, and the beginning of its place."""


@each((name,) for name in SAMPLES)
def test_only_what_has_no_effect_is_listed_as_not_shown(name: str) -> None:
    """Not the keys, types and addresses of what is drawn, whether it can be pressed or not."""
    for one in (SAMPLES[name], replace(SAMPLES[name], actions=None)):
        listed = re.findall(r"<dt>(\w+\..*?)</dt>", str(draw(one)).partition("message-rest")[2])

        assert (name in SURPRISING) == bool(listed)
        assert all(place.startswith(tuple(SURPRISING[name])) for place in listed)


def test_an_address_that_leads_nowhere_is_listed() -> None:
    """A browser may not follow it, and a card's `type` that is missing makes its link do nothing."""
    link = MessageView(channel="youdu", msgtype="link", content={"title": "t", "url": "javascript:alert(1)"})
    card = {"card_type": "text_notice", "main_title": {"title": "t"}, "card_action": {"url": "https://e.com/1"}}
    bare_card = MessageView(channel="wecom_app", msgtype="template_card", content=card)

    assert "<dt>link.url</dt>" in draw(link)
    assert "<dt>template_card.card_action.url</dt>" in draw(bare_card)


@pytest.mark.parametrize("lang", LANGS)
def test_nothing_is_said_without_a_word(lang: Lang) -> None:
    """Labels are words of the language, never their keys."""
    for one in SAMPLES.values():
        assert re.findall(r">\s*[a-z]+_[a-z_]+\s*<", draw(replace(one, content={}, update=None), lang)) == []


def test_a_page_of_all_of_them_can_be_made() -> None:
    """With what a browser needs to show it."""
    assert len(SAMPLES) * 2 == page("zh", "light").count('<article class="message')
