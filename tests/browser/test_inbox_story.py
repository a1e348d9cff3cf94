"""What people do in the inbox while a worker, its hooks and its receiver run: it changes under their eyes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser.sender import Sender
from tests.browser.story_hooks import APP, GROUP, WEBHOOK
from tests.browser.watched_page import Look, WatchedPage, watched
from worker import (
    Button,
    ButtonCard,
    Chats,
    Checkbox,
    CheckboxOption,
    MainTitle,
    MultipleCard,
    Recipients,
    SelectItem,
    SelectOption,
    SubmitButton,
    Text,
    To,
    VoteCard,
    enqueue,
    webhook,
)
from worker_simulator.demo import stage
from worker_simulator.demo.stage import DemoStage
from worker_simulator.inbox.query import ConversationKey

pytestmark = pytest.mark.browser

PERSON = "person0001"
SETTINGS = f"""{stage.SETTINGS.replace("worker_simulator.demo.application", "tests.browser.story_hooks")}
[accounts.{WEBHOOK}]
channel = "wecom_webhook"
edition = "push"
callback = {{{{ token = {{{{ file = "{{folder}}/token" }}}}, aes_key = {{{{ file = "{{folder}}/aes_key" }}}} }}}}
secret = {{{{ file = "{{folder}}/secret" }}}}
base_url = "{{vendor}}"
"""
IN_TIME = 60_000
"""Milliseconds in which a change must be seen; it takes half a second."""
APPROVAL = ButtonCard(
    main_title=MainTitle(title="Leave request"),
    sub_title_text="Li Lei asks for three days off.",
    button_list=[Button(text="Approve", key="approve"), Button(text="Refuse", key="refuse")],
)
VOTE = VoteCard(
    main_title=MainTitle(title="Where to on Friday"),
    checkbox=Checkbox(
        question_key="where",
        mode=1,
        option_list=[
            CheckboxOption(id="hills", text="To the hills", is_checked=False),
            CheckboxOption(id="sea", text="To the sea", is_checked=False),
        ],
    ),
    submit_button=SubmitButton(text="Vote", key="vote"),
)
CHOICE = MultipleCard(
    main_title=MainTitle(title="When to meet"),
    select_list=[
        SelectItem(
            question_key="day",
            title="Day",
            option_list=[SelectOption(id="mon", text="Monday"), SelectOption(id="tue", text="Tuesday")],
        )
    ],
    submit_button=SubmitButton(text="Choose", key="choose"),
)
BUTTON = webhook.Action(name="ack", text="Got it", value="1", replace_text="Thanks")
ALERT = webhook.Markdown(content="Disk 91 %", attachments=[webhook.Attachment(callback_id="disk", actions=[BUTTON])])


@pytest.fixture(scope="module")
def played() -> Iterator[DemoStage]:
    """A fake WeCom, a worker with hooks and a receiver."""
    with DemoStage.built(SETTINGS, receiver=True) as built:
        [app] = built.control("settings")["apps"]
        given = {name: app[name] for name in ("callback_token", "callback_aes_key")}
        address = app["callback_url"].replace(f"/{APP}", f"/{WEBHOOK}")
        keys = [{"key": app["secret"], "callback_url": address, **given}]
        built.control("settings", {"webhook": {"keys": keys}})
        yield built


def asked(played: DemoStage, account: str, message: Any, to: Recipients) -> None:
    """Enqueues a message, which the worker then sends."""
    with played.engine.begin() as connection:
        enqueue(connection, account, message, to, accounts=played.accounts)


@pytest.fixture
def page(browser: Browser, played: DemoStage) -> Iterator[WatchedPage]:
    """A page of the inbox, which must not be left or loaded anew."""
    with watched(browser, played.vendor, Look("en", "light", 1280)) as opened:
        yield opened
        assert opened.faults == []
        assert opened.page.evaluate("window.same"), "the page was loaded anew"


def look_at(page: WatchedPage, key: ConversationKey) -> None:
    """Open a conversation and note that the page stays."""
    page.open(f"/?at={quote(str(key), safe='')}")
    page.page.evaluate("window.same = true")
    expect(page.page.locator("[data-live-state]")).to_have_text("Live", timeout=IN_TIME)


def greeted(page: WatchedPage, played: DemoStage) -> Locator:
    """Look at the person's conversation with the app, which a greeting has begun; its entries."""
    asked(played, APP, Text(content="Good morning"), To(users=[PERSON]))
    look_at(page, ConversationKey("app", "ww-demo/1000002", PERSON))
    entries = page.page.locator("article.entry")
    expect(entries).not_to_have_count(0, timeout=IN_TIME)
    return entries


def in_app(page: WatchedPage, played: DemoStage, message: Any, title: str) -> Locator:
    """Look at the person's conversation with the app, then have a message sent that appears there."""
    entries = greeted(page, played)
    asked(played, APP, message, To(users=[PERSON]))
    expect(entries.filter(has_text=title).last).to_be_visible(timeout=IN_TIME)
    return entries.filter(has_text=title).last


def test_a_pressed_card_changes_under_ones_eyes(page: WatchedPage, played: DemoStage) -> None:
    """The press becomes a signed callback; the receiver takes it; the hook's update arrives."""
    card = in_app(page, played, APPROVAL, "Leave request")

    card.get_by_role("button", name="Approve").click()

    expect(page.page.locator("article.entry.is-act").last).to_contain_text("taken", timeout=IN_TIME)
    expect(card).to_contain_text("noted: approve", timeout=IN_TIME)
    expect(card.get_by_role("button", name="Approve")).to_have_count(0)


def test_a_card_is_pressed_by_keyboard_alone(page: WatchedPage, played: DemoStage) -> None:
    """Tab leads to its button, Enter presses it."""
    card = in_app(page, played, APPROVAL, "Leave request")

    page.tab_to(card.get_by_role("button", name="Refuse"))
    page.page.keyboard.press("Enter")

    expect(card).to_contain_text("noted: refuse", timeout=IN_TIME)


def test_a_vote_tells_what_was_chosen(page: WatchedPage, played: DemoStage) -> None:
    """Both options that were ticked reach the hook."""
    card = in_app(page, played, VOTE, "Where to on Friday")

    for option in ("To the hills", "To the sea"):
        card.get_by_label(option).check()
    card.get_by_role("button", name="Vote").click()

    expect(card).to_contain_text("noted: vote hills, sea", timeout=IN_TIME)


def test_a_menu_tells_what_was_selected(page: WatchedPage, played: DemoStage) -> None:
    """The option that was picked reaches the hook."""
    card = in_app(page, played, CHOICE, "When to meet")

    card.get_by_label("Day").select_option("Tuesday")
    card.get_by_role("button", name="Choose").click()

    expect(card).to_contain_text("noted: choose tue", timeout=IN_TIME)


def test_a_typed_reply_is_answered(page: WatchedPage, played: DemoStage) -> None:
    """It becomes a callback; the hook's answer appears below it."""
    greeted(page, played)

    page.page.get_by_label(f"Reply as {PERSON}").fill("hello <b>there</b>")
    page.page.get_by_role("button", name="Send", exact=True).click()

    said = page.page.locator("article.entry.is-said", has_text="hello <b>there</b>")
    expect(said).to_contain_text("taken", timeout=IN_TIME)
    answer = page.page.locator("article.entry", has_text="you wrote: hello <b>there</b>")
    expect(answer).to_be_visible(timeout=IN_TIME)
    expect(page.page.get_by_label(f"Reply as {PERSON}")).to_have_value("")


def test_a_click_below_a_webhooks_markdown_is_answered(page: WatchedPage, played: DemoStage) -> None:
    """The hook writes back into the group; the button has become what replaces it."""
    look_at(page, ConversationKey("webhook", "group", GROUP))
    asked(played, WEBHOOK, ALERT, Chats(GROUP))
    alert = page.page.locator("article.entry", has_text="Disk 91 %").last

    alert.get_by_role("button", name="Got it").click(timeout=IN_TIME)

    expect(page.page.locator("article.entry", has_text="noted: ack 1")).to_be_visible(timeout=IN_TIME)
    expect(alert).to_contain_text("Thanks")


def test_a_member_confirms_a_group_send(page: WatchedPage, played: DemoStage) -> None:
    """The customers get it once the member has pressed; until then it waits."""
    sender = Sender(played.vendor, corp="ww-sales")
    sender.send("wecom_external", "campaign", {"text": {"content": "Half price on Friday"}})
    sender.close()
    look_at(page, ConversationKey("campaign", "ww-sales", "chenmo"))
    task = page.page.locator("article.entry", has_text="Half price on Friday")
    expect(task).to_contain_text("Waits for the member")

    task.get_by_role("button", name="Send", exact=True).click()

    expect(task).to_contain_text("sent 3", timeout=IN_TIME)
    expect(task.get_by_role("button", name="Send", exact=True)).to_have_count(0)
