"""`python -m tests.browser.screenshots FOLDER` takes the documents' pictures of the inbox and of the console."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser import chromium
from tests.browser.busy_outbox import STEP_S, two_busy_hours
from tests.browser.console_stand import console_stand, sign_in
from tests.browser.every_message import send_everything
from tests.browser.sender import APP, CORP, GROUP, PERSON, Sender
from tests.browser.watched_page import Look, WatchedPage, watched
from tests.support import youdu_client
from worker_simulator.demo.application import APPROVERS, Application
from worker_simulator.demo.stage import SETTINGS, DemoStage
from worker_simulator.inbox.query import ConversationKey, PageQuery
from worker_simulator.server import running
from worker_simulator.settings import SimulatorSettings

WIDE, NARROW = ViewportSize(width=1024, height=600), ViewportSize(width=390, height=700)
TOPS = {
    "inbox-narrow": "article.entry:has(button[value=pass])",
    "console-limits": "section:has(form.row)",
    "console-jobs": "main form >> nth=1",
    "console-narrow": "#selected",
    "wecom-app-narrow": "article.entry:has-text('周五') >> nth=0",
    "wecom-webhook-narrow": "article.entry:has(table)",
    "wecom-external-narrow": "article.entry",
    "youdu-narrow": "article.entry >> nth=4",
}
"""What stands at the top of a picture, where that is not the top of the page."""
IN_TIME = 60_000
CHANNELS = {
    "wecom-app-narrow": ConversationKey("app", f"{CORP}/{APP}", PERSON),
    "wecom-webhook-narrow": ConversationKey("webhook", "group", GROUP),
    "wecom-external-narrow": ConversationKey("campaign", CORP, PERSON),
    "youdu-narrow": ConversationKey("youdu", youdu_client.APP, PERSON),
}
"""A conversation of each channel, whose picture stands on its page."""
Take = Callable[[WatchedPage, str], None]


def take(browser: Browser, folder: Path) -> None:
    """All of them."""

    def shot(page: WatchedPage, name: str) -> None:
        page.page.set_viewport_size(NARROW if name.endswith("narrow") else WIDE)
        page.page.locator(TOPS.get(name, "body")).evaluate("(one) => one.scrollIntoView()")
        page.page.screenshot(path=folder / f"{name}.png")
        assert page.faults == []

    _approval(browser, shot)
    _messages(browser, shot)
    _console(browser, shot)


def _approval(browser: Browser, shot: Take) -> None:
    """An approval card that was pressed, and the hook's update."""
    key = ConversationKey("app", "ww-demo/1000002", APPROVERS[0])
    with DemoStage.built(SETTINGS, receiver=True) as stage:
        application = Application(stage.engine, stage.accounts)
        application.send_second_card()
        with watched(browser, stage.vendor, Look("en", "light", 1280)) as page:
            _card(page.page, stage.vendor, key)
            page.page.get_by_role("button", name="Approve").click()
            expect(page.page.locator("article.entry")).to_contain_text(["approved", "taken"], timeout=IN_TIME)
            application.send_second_card()
            expect(page.page.get_by_role("button", name="Approve")).to_be_visible(timeout=IN_TIME)
            page.open(PageQuery(at=key, panel="call", call=2).url())
            shot(page, "inbox")


def _card(page: Page, vendor: str, key: ConversationKey) -> None:
    """Wait until the first card is there."""
    page.goto(vendor)
    expect(page.locator(".people a")).not_to_have_count(0, timeout=IN_TIME)
    page.goto(vendor + PageQuery(at=key).url())


def _messages(browser: Browser, shot: Take) -> None:
    """Cards and markdown as people see them."""
    with running(SimulatorSettings()) as url:
        sender = Sender(url)
        send_everything(sender)
        sender.close()
        with watched(browser, url, Look("zh", "dark", 390)) as page:
            page.open(PageQuery(at=ConversationKey("app", f"{CORP}/{APP}", PERSON)).url())
            shot(page, "inbox-narrow")
        with watched(browser, url, Look("en", "light", 390)) as page:
            for name, key in CHANNELS.items():
                page.open(PageQuery(at=key).url())
                shot(page, name)


def _console(browser: Browser, shot: Take) -> None:
    """Jobs, a job, limits, lanes."""
    with tempfile.TemporaryDirectory() as folder, console_stand(Path(folder), two_busy_hours, 12 * STEP_S) as stand:
        pages = {"console": "/", "console-jobs": "/jobs?account=hr", "console-job": f"/jobs/{stand.outbox.refused}"}
        pages |= {"console-limits": "/accounts/hr"}
        with watched(browser, stand.url, Look("en", "light", 1280)) as page:
            sign_in(page)
            for name, path in pages.items():
                page.open(path)
                shot(page, name)
        with watched(browser, stand.url, Look("zh", "dark", 390)) as page:
            sign_in(page)
            page.open("/jobs")
            shot(page, "console-narrow")


def main(folder: Path) -> None:
    """Into this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with chromium.running() as browser:
        take(browser, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
