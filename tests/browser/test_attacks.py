"""Scripts in texts, names, file names and answers, in a browser that obeys no content security policy: none runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser

from tests.browser.console_stand import console_stand, sign_in
from tests.browser.every_message import FILES, send_samples
from tests.browser.sender import CHAT, PERSON, Sender
from tests.browser.watched_page import Look, watched
from tests.pipeline.console.full_outbox import put_everywhere
from worker_simulator.server import running
from worker_simulator.settings import SimulatorSettings

pytestmark = pytest.mark.browser

EVIL = (
    "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'>\"><svg onload=window.ran=1 data-evil>"
    "</textarea></title></select></pre><script>window.ran = 1</script>[x](javascript:window.ran=1) {{ 7*7 }}"
)
SHORT = "<svg onload=ran=1>"
EVIL_URL = "javascript:window.ran=1"
LENIENT = {"codes": {"url_without_scheme": 0, "url_too_long": 0, "field_too_long": 0}}
LONG_TEXTS = ("content",)
TEXTS = (
    *("title", "desc", "description", "text", "keyname", "value", "quote_text", "sub_title_text", "digest", "author"),
    *("replace_text", "subject", "tip", "from", "fromEmail", "subtitle", "btntxt"),
)


def evil(content: Any) -> Any:
    """The content with a script in the place of each of its texts."""
    match content:
        case dict():
            scripts = {**dict.fromkeys(TEXTS, SHORT), **dict.fromkeys(LONG_TEXTS, EVIL)}
            return {
                name: scripts.get(name, one) if isinstance(one, str) else evil(one) for name, one in content.items()
            }
        case list():
            return [evil(one) for one in content]
    return content


@pytest.fixture
def sender() -> Iterator[Sender]:
    """Its vendor lets addresses without a scheme pass."""
    with running(SimulatorSettings.model_validate(LENIENT)) as url:
        made = Sender(url)
        yield made
        made.close()


def test_no_script_of_a_message_runs_in_the_inbox(browser: Browser, sender: Sender) -> None:
    """In every field of every type, in names of chats, people and files, in errmsgs, in searches and addresses."""
    sender.call("appchat/create", name=SHORT, owner=PERSON, userlist=[PERSON, "lihua", "wangwei"], chatid=CHAT)
    send_samples(sender, evil)
    sender.send("wecom_app", "textcard", {"title": EVIL, "description": EVIL, "url": EVIL_URL})
    file = sender.upload("file", f"{SHORT}.txt", FILES["file"][1])
    sender.send("wecom_app", "file", {"media_id": file})
    sender.control("faults", [{"times": 1, "action": {"answer": {"errcode": 40001, "errmsg": EVIL}}}])
    sender.call("message/recall", msgid=EVIL)

    with watched(browser, sender.url, Look(), without_policy=True) as page:
        page.open(f"/?q={quote(EVIL)}&lang={quote(EVIL)}&person={quote(EVIL)}")
        page.look_for_scripts()
        page.open("/")
        seen = page.page.locator(".people a").evaluate_all("(links) => links.map((one) => one.getAttribute('href'))")
        calls = len(sender.control("calls")["calls"])
        panels = ["/?panel=calls", "/?panel=rules", *(f"/?panel=call&call={n}" for n in range(calls, 0, -8))]
        for path in [*seen, *panels]:
            page.open(path)
            page.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
            page.look_for_scripts()

        assert len(seen) == 10
        assert page.faults == []


def test_no_script_of_a_column_runs_in_the_console(browser: Browser, tmp_path: Path) -> None:
    """With one in every column that may hold a text: the message, names, tags, reasons, errmsgs, callbacks, audits."""
    with console_stand(tmp_path) as stand:
        changed = put_everywhere(stand.site, EVIL)
        with watched(browser, stand.url, Look(), without_policy=True) as page:
            sign_in(page)
            for path in [*stand.pages.values(), f"/find?name={quote(EVIL)}", f"/jobs?tag={quote(EVIL)}"]:
                page.open(path)
                page.look_for_scripts()

            assert 30 < len(changed)
            assert page.faults == []
