"""What the inbox shows in a real browser equals what was sent: random valid messages of each type, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from drawn_messages import CARDS, CUT, TYPES, Made
from hypothesis import HealthCheck, Phase, given, settings
from playwright.sync_api import Browser, Page

from tests.browser.every_message import FILES
from tests.browser.sender import APP, CORP, YOUDU_APPS, Sender
from tests.browser.watched_page import RAN, Look, watched
from tests.support import youdu_client
from tests.support.drawn_html import bare, leaves
from worker.drawing import Channel
from worker_simulator.inbox.parts import ENTRIES
from worker_simulator.inbox.query import ConversationKey
from worker_simulator.server import running
from worker_simulator.settings import SimulatorSettings

pytestmark = pytest.mark.browser

MESSAGES = 20
FILE_ALONE = ("image", "voice", "file")
"""Types that have no text."""
KINDS = {kind: made for kind, made in {**TYPES, **CARDS}.items() if kind[1] not in FILE_ALONE}
ANY = {"known": {kind: [".*"] for kind in ("image", "voice", "video", "file")}}
NO_TEXTS = {"base64", "md5"}
SHOWN = """() => {
  for (const one of document.querySelectorAll("details")) one.open = true;
  return [...document.querySelectorAll("article.entry")].map((one) => one.innerText);
}"""


@pytest.fixture(scope="module")
def sender() -> Iterator[Sender]:
    """Its vendor has no limits, and every file that a message names."""
    free = SimulatorSettings.model_validate({"media": ANY, "limits": {"enforce": "none"}})
    with running(free) as url:
        made = Sender(url)
        yield made
        made.close()


@pytest.fixture(scope="module")
def page(browser: Browser, sender: Sender) -> Iterator[Page]:
    """One page for all of them; no script of a message has run in it."""
    with watched(browser, sender.url, Look()) as opened:
        # Nothing moves while it is read: without events it is not drawn a second time, a quarter of the time.
        opened.page.route("**/_inbox/events", lambda route: route.fulfill(status=204))
        yield opened.page
        assert opened.faults == []


@pytest.fixture(scope="module")
def cover(sender: Sender) -> str:
    """A picture of Youdu's app."""
    return sender.upload_to_youdu("image", *FILES["image"])


def made_of(strategy: Made) -> list[Any]:
    """So many random messages."""
    found: list[Any] = []

    @settings(max_examples=MESSAGES, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(one: Any) -> None:
        found.append(one)

    collect()
    return found


def conversation(kind: tuple[Channel, str], to: str) -> ConversationKey:
    """Where a message of this kind to this person or chat is shown."""
    match kind[0]:
        case "wecom_app":
            return ConversationKey("app", f"{CORP}/{APP}", to)
        case "wecom_webhook":
            return ConversationKey("webhook", "group", to)
        case "wecom_external":
            return ConversationKey("campaign", CORP, to)
    return ConversationKey("youdu", YOUDU_APPS.get(kind[1], youdu_client.APP), to)


def read(page: Page, base: str, key: ConversationKey, number: int) -> list[str]:
    """The visible text of each entry of a conversation, page by page, without white space."""
    found: list[str] = []
    while len(found) < number:
        last = min(len(found) + ENTRIES, number)
        page.goto(f"{base}/?at={quote(str(key), safe='')}&before={last}")
        found += map(bare, page.evaluate(SHOWN)[len(found) - last :])
    return found


def texts(content: Any) -> list[str]:
    """What people read of a message; not the bytes of a picture."""
    read = {name: one for name, one in content.items() if name != "base64"} if isinstance(content, dict) else content
    return [bare(leaf) for leaf in leaves(read, read=True) if leaf != "@all"]


def sendable(content: Any, kind: tuple[Channel, str], n: int, cover: str) -> Any:
    """A message with what its application adds: ids that no other message has, and files that are there."""
    match kind:
        case ("wecom_app", _) if kind in CARDS:
            return {**content, "task_id": f"{kind[1]}{n}"}
        case ("wecom_webhook", "markdown"):
            named = [{**one, "callback_id": f"{n}-{m}"} for m, one in enumerate(content.get("attachments", []))]
            return {**content, "attachments": named} if named else content
        case ("youdu", _):
            return with_files(content, cover)
    return content


def with_files(content: Any, media_id: str) -> Any:
    """The content with this file in the place of those that it names."""
    match content:
        case dict():
            return {
                name: media_id if name == "media_id" else with_files(one, media_id) for name, one in content.items()
            }
        case list():
            return [with_files(one, media_id) for one in content]
    return content


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_every_text_of_a_message_can_be_read(sender: Sender, cover: str, page: Page, kind: tuple[Channel, str]) -> None:
    """As it was sent, white space aside."""
    sent = [sendable(one, kind, n, cover) for n, one in enumerate(made_of(KINDS[kind]))]
    to = f"wr{kind[1].replace('_', '')}" if kind[0] == "wecom_webhook" else kind[1].lower()

    for content in sent:
        sender.send(kind[0], "template_card" if kind in CARDS else kind[1], content, to)
    shown = read(page, sender.url, conversation(kind, to), len(sent))

    assert len(sent) == len(shown)
    assert [
        (text, content)
        for content, seen in zip(sent, shown, strict=True)
        for text in texts(content)
        if text not in seen
    ] == []
    assert page.evaluate(f"{RAN} === undefined")


@pytest.mark.parametrize("msgtype", CUT)
def test_a_text_can_be_read_as_far_as_the_vendor_shows_it(sender: Sender, page: Page, msgtype: str) -> None:
    """What was cut is marked beside the message."""
    sent, to = made_of(CUT[msgtype]), f"cut{msgtype}"

    for content in sent:
        sender.send("wecom_app", msgtype, content, to)
    shown = read(page, sender.url, conversation(("wecom_app", msgtype), to), len(sent))
    kept = [one["content"] for one in sender.control("inbox", user=to)["messages"]]

    assert len(sent) == len(kept)
    assert [
        text for content, seen in zip(kept, shown, strict=True) for text in texts(content) if text not in seen
    ] == []
    assert [texts(one) != texts(other) for one, other in zip(sent, kept, strict=True)] == [
        "wascut" in seen for seen in shown
    ]
