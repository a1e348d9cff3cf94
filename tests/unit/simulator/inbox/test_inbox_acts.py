"""What is pressed, written and set in the inbox goes through control, and comes back as real signed callbacks."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.unit.simulator.conftest import Vendor
from tests.unit.simulator.inbox.conftest import AT, Browser, form_of, plain
from tests.unit.simulator.test_simulator_callbacks import KEY, Address, ended
from worker.channels.youdu.callback import inbound_of
from worker.crypto.youdu import YouduEnvelope, signature

SEND = "/cgi-bin/message/send"


def test_a_pressed_card_comes_back_signed_and_changes(
    vendor: Vendor, browser: Browser, address: Address, card: Any
) -> None:
    """The form of the card as it stands in the page: its key, its choice; the update shows afterwards."""
    vendor.send(card(button_selection={"question_key": "days", "option_list": [{"id": "1", "text": "one"}]}))
    form = form_of(browser.talk(), "card")

    ok, told = browser.told("card", **form, key="y", **{"choice:days": "1"})

    assert ok
    assert told == "Pressed; the callback is on its way"
    code = ended(vendor)["response_code"]
    [event] = address.events()
    assert event.findtext("EventKey") == "y"
    assert event.findtext("FromUserName") == "chenmo"
    assert event.findtext("SelectedItems/SelectedItem/OptionIds/OptionId") == "1"
    assert "chenmo pressed y" in plain(browser.talk())
    vendor.update({"userids": ["chenmo"], "response_code": code, "button": {"replace_name": "approved"}})
    assert "approved" in browser.talk()
    assert browser.told("card", **form, key="y")[1] == "The simulator refuses: the card's buttons are grey"


def test_what_became_of_a_callback_is_told(vendor: Vendor, browser: Browser, address: Address, card: Any) -> None:
    """Taken, or given up with each try's answer."""
    vendor.settings(callbacks={"tries": 2})
    vendor.send(card())
    form = form_of(browser.talk(), "card")
    address.statuses = [500, 0]

    browser.act("card", **form, key="y")
    ended(vendor, 2)
    browser.act("card", **form, key="y")
    ended(vendor)

    talk = plain(browser.talk())
    assert "given up Try 1: HTTP 500" in talk
    assert "Try 2: the answer broke off" in talk
    assert talk.rindex("taken") > talk.index("given up")


def test_without_an_address_the_page_says_what_to_set_and_sets_it(
    vendor: Vendor, browser: Browser, address: Address, card: Any
) -> None:
    """Of an app that no settings name: its secret is the one it came with."""
    url = vendor.control("GET", "settings")["apps"][0]["callback_url"]
    vendor.settings(apps=[])
    vendor.send(card())
    form = form_of(browser.talk(), "card")

    before = browser.told("card", **form, key="y")
    talk = browser.talk()
    address_form = form_of(browser.text("/_inbox/panel", at=AT, panel="callback"), "callback")
    browser.act("callback", **address_form, callback_url=url, callback_token="callback-token", callback_aes_key=KEY)
    after = browser.told("card", **form, key="y")

    assert not before[0]
    assert "has no callback_url" in before[1]
    assert "No callback address is set" in plain(talk)
    assert after[0]
    ended(vendor)
    assert [event.findtext("EventKey") for event in address.events()] == ["y"]


def test_a_key_that_seals_nothing_ends_the_callback(vendor: Vendor, browser: Browser, card: Any) -> None:
    """Before the first try, and the page says why."""
    app = {"corpid": "ww1", "secret": "s1", "agentid": 1, "callback_url": "http://127.0.0.1:9/"}
    vendor.settings(apps=[app | {"callback_aes_key": "short"}])
    vendor.send(card())

    browser.act("card", **form_of(browser.talk(), "card"), key="y")

    assert ended(vendor)["state"] == "given up"
    assert "the EncodingAESKey must have exactly 43" in plain(browser.talk())


def test_a_member_writes_to_an_app_and_opens_it(vendor: Vendor, browser: Browser, address: Address, text: Any) -> None:
    """Page 90239's text with its MsgId, and enter_agent."""
    vendor.send(text())
    form = form_of(browser.talk(), "write")

    written = browser.told("write", **form, text=" ]]> <b>hello</b> ")
    ended(vendor)
    opened = browser.told("open", **form)
    ended(vendor)

    assert written[0]
    assert opened[0]
    message, event = sorted(address.events(), key=lambda one: one.findtext("MsgType"), reverse=True)
    names = ("ToUserName", "FromUserName", "MsgType", "Content", "AgentID")
    assert tuple(message.findtext(name) for name in names) == ("ww1", "chenmo", "text", "]]> <b>hello</b>", "1")
    assert str(message.findtext("MsgId")).isdecimal()
    assert event.findtext("Event") == "enter_agent"
    assert "&lt;b&gt;hello&lt;/b&gt;" in browser.talk()


def test_nothing_is_written_without_a_text(vendor: Vendor, browser: Browser, address: Address, text: Any) -> None:
    """A sentence, and no callback."""
    vendor.send(text())

    ok, told = browser.told("write", **form_of(browser.talk(), "write"), text="  ")

    assert not ok
    assert told == "The simulator refuses: text: there is nothing to send"
    assert address.got == []


def test_people_click_and_write_in_a_webhooks_chat(vendor: Vendor, browser: Browser, address: Address) -> None:
    """The button of a markdown message, a text, and the webhook leaving the group."""
    action = {"type": "button", "name": "ack", "text": "OK", "value": "1", "replace_text": "done"}
    colours = {"border_color": "#111111", "text_color": "#222222"}
    markdown = {"content": "x", "attachments": [{"callback_id": "c", "actions": [action | colours]}]}
    vendor.post("webhook/send", {"chatid": "wr1", "msgtype": "markdown", "markdown": markdown}, key="k1")
    talk = browser.talk("webhook:group:wr1", person="lisi")

    clicked = browser.told("click", **form_of(talk, "click"), click="ack")
    written = browser.told("write", **{**form_of(talk, "write"), "person": "wangwu"}, text="thanks")
    left = browser.told("leave", **{**form_of(talk, "write"), "person": "wangwu"})

    assert [clicked[0], written[0], left[0]] == [True, True, True], (clicked, written, left)
    vendor.until(lambda: len(address.got) == 3)
    talk = plain(browser.talk("webhook:group:wr1"))
    assert "lisi clicked ack" in talk
    assert "wangwu wrote" in talk
    assert "wangwu removed the webhook" in talk
    assert [_button(browser, "ack", person) for person in ("lisi", "wangwu")] == ["done", "OK"]


def _button(browser: Browser, name: str, person: str) -> str:
    """What a button below a webhook's markdown says to a person."""
    talk = browser.talk("webhook:group:wr1", person=person)
    return plain(re.findall(rf'<button[^>]*value="{name}"[^>]*>.*?</button>', talk, re.S)[0])


def test_a_member_confirms_a_campaign_and_another_ignores_it(vendor: Vendor, browser: Browser) -> None:
    """The results stand beside it, and it can be pressed no more."""
    task = {"external_userid": ["wm1", "former1"], "text": {"content": "an offer"}}
    for sender in ("chenmo", "lisi"):
        vendor.post("externalcontact/add_msg_template", {"chat_type": "single", "sender": sender, **task})

    browser.act("campaign", **form_of(browser.talk("campaign:ww1:chenmo"), "campaign"), confirm="all")
    browser.act("campaign", **form_of(browser.talk("campaign:ww1:lisi"), "campaign"), ignore="all")

    sent, ignored = (plain(browser.talk(f"campaign:ww1:{member}")) for member in ("chenmo", "lisi"))
    assert "sent 1 no contact any more 1" in sent
    assert "The member will not send" in ignored
    assert "/_inbox/act/campaign" not in browser.talk("campaign:ww1:chenmo")


def test_a_youdu_person_writes_and_the_worker_reads_it(vendor: Vendor, browser: Browser, address: Address) -> None:
    """Signed and sealed as c01_00010 says."""
    app = vendor.control("GET", "settings")["youdu"]["apps"][0]
    at = f"youdu:{app['appid']}:wanglei"

    ok, told = browser.told("write", at=at, text="收到")

    assert ok, told
    ended(vendor)
    [(_, query, body)] = address.got
    outer = json.loads(body)
    signed = signature("callback-token", query["timestamp"], query["nonce"], outer["encrypt"])
    assert outer["toBuin"] == 12345678
    assert outer["toApp"] == app["appid"]
    assert query["msg_signature"] == signed
    said = inbound_of(YouduEnvelope(app["aes_key"], app["appid"]).open(outer["encrypt"]), 0)
    assert (said.event, said.person) == ("message:text", "wanglei")
    assert "packageId" in said.payload
    assert "收到" in browser.talk(at)


@pytest.mark.parametrize(
    ("form", "rule"),
    [
        (
            {"preset": "freq", "path": SEND, "nth": "2", "times": "1"},
            {"match": {"path": SEND, "nth": 2}, "times": 1, "action": {"answer": {"errcode": 45009}}},
        ),
        ({"preset": "502"}, {"match": {}, "action": {"status": 502}}),
        ({"preset": "502", "rule": '{"action": {"hang": 1}}'}, {"action": {"hang": 1.0}}),
    ],
)
def test_a_fault_is_added_by_name_or_as_a_rule(browser: Browser, form: dict[str, str], rule: dict[str, Any]) -> None:
    """And they are cleared together."""
    told = browser.told("faults", **form)
    found = browser.vendor.control("GET", "faults")["rules"]
    browser.told("clear_faults")

    assert told[0], told
    assert [{**rule, "matched": 0, "hits": 0}] == found
    assert browser.vendor.control("GET", "faults")["rules"] == []


@pytest.mark.parametrize("name", ["busy", "freq", "token", "502", "hang", "delay", "cut", "reset", "drip"])
def test_every_named_fault_is_one_of_the_simulators(browser: Browser, name: str) -> None:
    """It takes each."""
    assert browser.told("faults", preset=name)[0]


@pytest.mark.parametrize(
    ("act", "form", "sentence"),
    [
        ("faults", {"preset": "nonsense"}, "preset: one of busy, freq"),
        ("faults", {"preset": "busy", "nth": "x"}, "nth: a whole number"),
        ("faults", {"rule": "{"}, "rule: not JSON"),
        ("faults", {"rule": '{"action": {}}'}, "an action is exactly one of"),
        ("settings", {"settings": "[1]"}, "settings are an object"),
        ("settings", {"settings": '{"nonsense": 1}'}, "Extra inputs are not permitted"),
        ("clock", {"advance_s": "soon"}, "advance_s: a number of seconds"),
        ("card", {"key": "y", "person": "x", "msgid": "y"}, "sees no such card"),
        ("write", {"text": "x"}, "the form names no conversation"),
        ("write", {"at": "campaign:ww1:x", "text": "x"}, "no callbacks"),
        ("write", {"at": "app:ww1%2F:x", "text": "x"}, "the app has no agentid"),
        ("callback", {"at": "app:ww1%2F7:x"}, "app 7 of ww1 has sent nothing yet"),
        ("callback", {"at": "chat:ww1:x"}, "no callbacks"),
        ("limits", {"member_per_minute": "many"}, "member_per_minute"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(browser: Browser, act: str, form: dict[str, str], sentence: str) -> None:
    """That says what is wrong; nothing changed."""
    before = browser.vendor.control("GET", "settings")

    ok, told = browser.told(act, **form)

    assert not ok
    assert sentence in told
    assert before == browser.vendor.control("GET", "settings")


def test_limits_and_settings_change_by_the_merge(browser: Browser) -> None:
    """Only what differs is merged."""
    amounts = browser.vendor.control("GET", "settings")["limits"] | {"member_per_minute": 3}

    limits = browser.told("limits", **{name: str(value) for name, value in amounts.items()})
    settings = browser.told("settings", settings='{"duplicate": {"compare": "sorted"}}')

    now = browser.vendor.control("GET", "settings")
    assert [limits[0], settings[0]] == [True, True]
    assert amounts == now["limits"]
    assert now["duplicate"]["compare"] == "sorted"


def test_the_clock_is_frozen_moved_and_set_going(browser: Browser) -> None:
    """As control does it."""
    browser.told("clock", do="freeze")
    frozen = browser.vendor.control("GET", "clock")
    browser.told("clock", advance_s="3600")
    later = browser.vendor.control("GET", "clock")
    browser.told("clock", do="run")

    assert frozen["frozen"]
    assert frozen["now"] + 3600 == later["now"]
    assert not browser.vendor.control("GET", "clock")["frozen"]


def test_tokens_end_and_the_inbox_is_cleared(vendor: Vendor, browser: Browser, text: Any) -> None:
    """By the buttons of their panels."""
    vendor.send(text())
    browser.told("tokens", end="expire")
    expired = vendor.send(text())["errcode"]
    browser.told("clear")

    assert expired == 42001
    assert vendor.inbox("chenmo") == []


def test_an_address_is_verified_from_the_page(vendor: Vendor, browser: Browser, address: Address, text: Any) -> None:
    """Of an app and of a webhook; the answer here is not the number, so it is given up."""
    vendor.send(text())
    app = browser.told("verify", at=AT)
    webhook = browser.told("verify", at="webhook:group:wr1", key="k1")

    vendor.until(lambda: len(address.got) == 2)
    assert [app[0], webhook[0]] == [True, True]
    assert {method for method, _, _ in address.got} == {"GET"}
    assert "Verification of the address" in browser.panel("callback")


def test_without_a_script_the_form_leads_back_with_what_happened(browser: Browser) -> None:
    """To the page it stands on, and to no other site, wherever the form wants to lead."""
    good = browser.act("clock", do="freeze", back="/?panel=clock")
    page = browser.text("/", panel="clock")

    assert (good.status_code, good.headers["Location"]) == (303, "/?panel=clock")
    assert "The clock was moved" in page
    assert "The clock was moved" not in browser.text("/", panel="clock")
    for elsewhere in ("//evil.example/", "https://evil.example/", "/\\evil.example", "/?a=\r\nX: y", "/_control/reset"):
        assert browser.act("clock", do="run", back=elsewhere).headers["Location"] == "/"
