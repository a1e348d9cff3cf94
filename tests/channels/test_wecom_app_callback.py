"""Callbacks of an application: what the vendor says is understood, everything else is refused with a fixed phrase."""

from __future__ import annotations

import pytest

from tests.channels.callback_samples import AES_KEY, NOW, RANDOM, TOKEN, Sent, press, sent
from tests.support.runtime import an_account
from worker.channels.base import CallbackVerifier
from worker.channels.registry import channel
from worker.channels.wecom_app import account as keys
from worker.crypto.envelope import Envelope
from worker.domain.account import Secret
from worker.domain.callbacks.inbound import CallbackRefused, Inbound
from worker.domain.errors import ConfigurationError

WECOM = channel("wecom_app")
HEAD = f"<FromUserName>a</FromUserName><CreateTime>{int(NOW)}</CreateTime>"
SELECTED = """<SelectedItems>
<SelectedItem><QuestionKey><![CDATA[q1]]></QuestionKey>
<OptionIds><OptionId><![CDATA[a]]></OptionId><OptionId><![CDATA[b]]></OptionId></OptionIds></SelectedItem>
<SelectedItem><QuestionKey>q2</QuestionKey><OptionIds><OptionId>c</OptionId></OptionIds></SelectedItem>
</SelectedItems>"""


@pytest.fixture
def verifier() -> CallbackVerifier:
    return WECOM.callback_verifier(an_account(), {"token": TOKEN, "aes_key": AES_KEY}, 300)


def read(verifier: CallbackVerifier, one: Sent, now: float = NOW) -> Inbound:
    return verifier.read(one.query, one.body, now)


def test_the_address_is_verified_with_what_is_inside_echostr(verifier: CallbackVerifier) -> None:
    """The plain bytes and nothing around them."""
    encrypted, signature = Envelope(TOKEN, AES_KEY, "ww1").seal(b"16161", str(int(NOW)), "n", RANDOM)
    query = {"msg_signature": signature, "timestamp": str(int(NOW)), "nonce": "n", "echostr": encrypted}

    assert verifier.verify(query, NOW) == b"16161"


def test_a_captured_verification_is_not_answered_with_timestamp_and_nonce_exchanged(verifier: CallbackVerifier) -> None:
    """The signature sorts them, so it stays right when the nonce's time has come, 20 days later."""
    then, later = str(int(NOW)), str(int(NOW) + 20 * 86_400)
    encrypted, signature = Envelope(TOKEN, AES_KEY, "ww1").seal(b"16161", then, later, RANDOM)
    captured = {"msg_signature": signature, "timestamp": then, "nonce": later, "echostr": encrypted}
    assert verifier.verify(captured, NOW) == b"16161"

    with pytest.raises(CallbackRefused, match="a nonce that was a timestamp"):
        verifier.verify({**captured, "timestamp": later, "nonce": then}, int(later))


def test_a_pressed_button_is_understood(verifier: CallbackVerifier) -> None:
    """Who, when, which button, which card, what was selected, and the code for its update."""
    inbound = read(verifier, sent(press(selected=SELECTED)))

    assert ("template_card_event", "lisi", int(NOW)) == (inbound.event, inbound.person, inbound.happened_at)
    assert inbound.card is not None
    assert inbound.card.task_id == "task-1"
    assert inbound.card.button == "approve"
    assert inbound.card.card_type == "button_interaction"
    assert inbound.card.response_code == "code-1"
    assert inbound.card.selected == {"q1": ["a", "b"], "q2": ["c"]}
    assert inbound.payload["AgentID"] == "7"


def test_the_menu_is_a_press_too(verifier: CallbackVerifier) -> None:
    """`template_card_menu_event` has the same members without a selection."""
    inbound = read(verifier, sent(press(event="template_card_menu_event")))

    assert inbound.card is not None
    assert (inbound.event, inbound.card.selected) == ("template_card_menu_event", {})


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (f"<xml>{HEAD}<MsgType>text</MsgType></xml>", "message:text"),
        (f"<xml>{HEAD}<MsgType>event</MsgType><Event>subscribe</Event></xml>", "subscribe"),
    ],
)
def test_other_events_and_messages_are_named(verifier: CallbackVerifier, message: str, event: str) -> None:
    """They are kept, and press nothing."""
    inbound = read(verifier, sent(message))

    assert (event, None) == (inbound.event, inbound.card)


def test_every_delivery_of_one_event_has_one_key(verifier: CallbackVerifier) -> None:
    """Another timestamp, nonce and encryption: the same event; the same at another account: another."""
    first = read(verifier, sent(press()))
    again = read(verifier, sent(press(), at=NOW + 9, nonce="n2", random=b"f" * 16))

    assert first.key("hr") == again.key("hr")
    assert first.key("hr") != first.key("it")


@pytest.mark.parametrize(
    "other",
    [
        press(person="wangwu"),
        press(key="refuse"),
        press("task-2"),
        press(code="code-2"),
        press(created=int(NOW) + 1),
        press(event="template_card_menu_event"),
    ],
)
def test_quick_presses_are_told_apart(verifier: CallbackVerifier, other: str) -> None:
    """CreateTime counts seconds: the person, the button, the card and the code tell two presses apart."""
    assert read(verifier, sent(press())).key("hr") != read(verifier, sent(other)).key("hr")


def test_messages_are_told_apart_by_everything_inside(verifier: CallbackVerifier) -> None:
    """A repeat has the same MsgId, and the same text."""

    def message(msgid: int, text: str) -> str:
        return f"<xml>{HEAD}<MsgType>text</MsgType><Content>{text}</Content><MsgId>{msgid}</MsgId></xml>"

    keys = [read(verifier, sent(message(*one))).key("hr") for one in ((1, "a"), (1, "a"), (1, "b"), (2, "a"))]

    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


ENTITIES = '<!DOCTYPE xml [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><xml><Encrypt>&b;</Encrypt></xml>'
EXTERNAL = '<!DOCTYPE xml [<!ENTITY a SYSTEM "file:///etc/passwd">]><xml><Encrypt>&a;</Encrypt></xml>'
DEEP = "<xml><CreateTime>1</CreateTime>" + "<a>" * 2000 + "</a>" * 2000 + "</xml>"


@pytest.mark.parametrize(
    ("one", "status", "reason"),
    [
        (Sent({**sent(press()).query, "msg_signature": "0" * 40}, sent(press()).body), 403, "wrong signature"),
        (Sent(sent(press()).query, sent(press(), nonce="n2").body.replace(b"R", b"S")), 403, "wrong signature"),
        (sent(press(), corp="ww2"), 403, "meant for another receiver"),
        (sent(press(agentid=8)), 403, "meant for another application"),
        (sent(press(), at=NOW - 301), 403, "stale timestamp"),
        (sent(press(), at=NOW + 301), 403, "stale timestamp"),
        (sent(press(created=int(NOW) - 901)), 403, "an old event under a new timestamp"),
        (sent(press(created=int(NOW) + 901)), 403, "an old event under a new timestamp"),
        (Sent({}, sent(press()).body), 400, "no msg_signature in the query"),
        (Sent(sent(press()).query, b""), 400, "not XML"),
        (Sent(sent(press()).query, b"{}"), 400, "not XML"),
        (Sent(sent(press()).query, b'<?xml version="1.0" encoding="nobody-knows"?><xml/>'), 400, "not XML"),
        (Sent(sent(press()).query, b"<xml><Encrypt> </Encrypt></xml>"), 400, "no Encrypt in the body"),
        (Sent(sent(press()).query, ENTITIES.encode()), 400, "XML with a document type or entities"),
        (Sent(sent(press()).query, EXTERNAL.encode()), 400, "XML with a document type or entities"),
        (sent(ENTITIES), 403, "XML with a document type or entities"),
        (sent(EXTERNAL), 403, "XML with a document type or entities"),
        (sent("no xml"), 403, "not XML"),
        (sent(DEEP), 403, "XML nested too deeply"),
        (sent("<xml><MsgType>text</MsgType></xml>"), 403, "no CreateTime in the message"),
        (sent(press("t" * 129)), 403, "TaskId is too long"),
    ],
)
def test_what_is_not_the_vendors_is_refused(verifier: CallbackVerifier, one: Sent, status: int, reason: str) -> None:
    """A fitting status and a phrase that quotes nothing."""
    with pytest.raises(CallbackRefused) as told:
        read(verifier, one)

    assert status == told.value.status
    assert reason == str(told.value)


def test_a_captured_press_does_not_become_young_when_timestamp_and_nonce_change_places(
    verifier: CallbackVerifier,
) -> None:
    """The signature sorts them; the instant inside is sealed. The vendor's own repeats are a minute old at most."""
    captured, later = sent(press(), nonce=str(int(NOW) + 3_600)), NOW + 3_600
    swapped = {**captured.query, "timestamp": captured.query["nonce"], "nonce": captured.query["timestamp"]}

    with pytest.raises(CallbackRefused, match="old event") as refused:
        verifier.read(swapped, captured.body, later)

    assert refused.value.status == 403
    assert read(verifier, sent(press(), at=NOW + 60), NOW + 60).card is not None


def test_a_timestamp_of_somebody_with_the_token_that_is_no_number_is_stale(verifier: CallbackVerifier) -> None:
    """Signed rightly, and still no time."""
    encrypted, signature = Envelope(TOKEN, AES_KEY, "ww1").seal(b"x", "soon", "n", RANDOM)

    with pytest.raises(CallbackRefused, match="stale"):
        verifier.verify({"msg_signature": signature, "timestamp": "soon", "nonce": "n", "echostr": encrypted}, NOW)


def test_what_decrypts_to_nothing_is_refused(verifier: CallbackVerifier) -> None:
    """Signed rightly over something that is no cipher text."""
    from worker.crypto.envelope import signature

    query = {"timestamp": str(int(NOW)), "nonce": "n", "msg_signature": signature(TOKEN, str(int(NOW)), "n", "AAAA")}

    with pytest.raises(CallbackRefused, match="does not decrypt"):
        verifier.read(query, b"<xml><Encrypt>AAAA</Encrypt></xml>", NOW)


def test_a_value_shows_nobody(verifier: CallbackVerifier) -> None:
    """No person, no code, no text in the `repr` of what came."""
    shown = repr(read(verifier, sent(press(selected=SELECTED))))

    assert not [word for word in ("lisi", "code-1", "q1") if word in shown]


def test_a_key_that_is_none_is_one_sentence() -> None:
    """Said at the start of the process, naming the setting and not the key."""
    with pytest.raises(ConfigurationError, match=r"^accounts\.hr\.callback\.aes_key: .* exactly 43") as told:
        WECOM.callback_verifier(an_account(), {"token": TOKEN, "aes_key": "short"}, 300)

    assert "short" not in str(told.value)


SECRET = Secret(lambda: "x")


@pytest.mark.parametrize(
    ("callback", "fields"),
    [
        (True, []),
        (False, []),
        ({"token": SECRET, "aes_key": SECRET}, []),
        ("yes", ["callback"]),
        ({"token": SECRET}, ["callback.aes_key"]),
        ({"token": SECRET, "aes_key": "inline"}, ["callback.aes_key"]),
        ({"token": SECRET, "aes_key": SECRET, "url": "x"}, ["callback.url"]),
    ],
)
def test_the_setting_is_a_boolean_or_both_secrets(callback: object, fields: list[str]) -> None:
    """true and false say whether the app has an address; a table makes `worker receiver` that address."""
    account = an_account(settings={"callback": callback})

    assert fields == [problem.field for problem in keys.problems(account.settings)]
    if isinstance(callback, bool):
        assert WECOM.callback_secrets(account) == {}


def test_a_table_names_the_secrets_of_the_address() -> None:
    """Read by the receiver alone, not by producers and workers."""
    both = {"token": SECRET, "aes_key": SECRET}

    assert both == WECOM.callback_secrets(an_account(settings={"callback": both}))
