"""The inbox in a real browser: every message of every channel, in both languages, both themes, wide and narrow."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.sender import APP, BOARD, CHAT, CORP, GROUP, PERSON, SINGLE
from tests.browser.watched_page import LOOKS, Look, watched
from tests.support import youdu_client
from worker_simulator.inbox.query import PANELS, ConversationKey

pytestmark = pytest.mark.browser

CONVERSATIONS = {
    "app": ConversationKey("app", f"{CORP}/{APP}", PERSON),
    "chat": ConversationKey("chat", CORP, CHAT),
    "group": ConversationKey("webhook", "group", GROUP),
    "single": ConversationKey("webhook", "single", SINGLE),
    "blackboard": ConversationKey("webhook", "blackboard", BOARD),
    "campaign": ConversationKey("campaign", CORP, PERSON),
    "youdu": ConversationKey("youdu", youdu_client.APP, PERSON),
    "sms": ConversationKey("youdu", "sysSmsAssistant", PERSON),
    "mail": ConversationKey("youdu", "sysExmailAssistant", PERSON),
    "system": ConversationKey("youdu", "sysMsgAssistant", PERSON),
}


def at(name: str) -> str:
    """The address of a conversation's page."""
    return f"/?at={quote(str(CONVERSATIONS[name]), safe='')}"


PAGES = [
    "/",
    "/?q=nothing-is-called-this",
    "/?q=%E6%8A%A5%E9%94%80",
    *(at(name) for name in CONVERSATIONS),
    *(f"{at('sms')}&panel={panel}" for panel in PANELS if panel),
    f"{at('app')}&panel=call&call=12",
]


@pytest.mark.parametrize(("look", "other"), LOOKS, ids=str)
def test_every_page_of_the_inbox_is_sound(browser: Browser, full_inbox: str, look: Look, other: Look) -> None:
    """No error, no request elsewhere, no sideways scroll, no serious fault of accessibility, no script of a text."""
    with watched(browser, full_inbox, look) as page:
        for path in PAGES:
            page.open(path)
            page.look_over(other)

        assert page.faults == []


def test_a_page_does_not_fetch_again_what_it_was_made_with(browser: Browser, full_inbox: str) -> None:
    """It asks for its parts when something moves, and nothing has."""
    asked: list[str] = []
    with watched(browser, full_inbox, Look()) as page:
        page.page.on("request", lambda request: asked.append(urlsplit(request.url).path))
        page.open(at("app"))
        expect(page.page.locator("[data-live-state]")).to_have_text("Live")
        page.page.evaluate("new Promise((told) => requestAnimationFrame(() => setTimeout(told)))")

    assert "/_inbox/events" in asked
    assert {"/_inbox/list", "/_inbox/talk"} & set(asked) == set()
