"""A webhook's callbacks: XML and JSON alike, sealed for nobody, stored without the key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from wecom_webhook_samples import CHANNEL, JOB, KEY, account

from tests.channels.callback_samples import AES_KEY, NOW, RANDOM, TOKEN, Sent
from worker.channels.base import CallbackVerifier
from worker.crypto.envelope import Envelope
from worker.domain.account import Secret
from worker.domain.callbacks.inbound import CallbackRefused, CardPress, ChatChange, ChatNews, Inbound
from worker.domain.errors import ConfigurationError

VECTOR = "sKqRbbiSUnDhFHOvPjtUMeJBV1LIPhBLiS/+bDapFbYVhHdUs/DnbaknhbqfAh2BglciVZRNd4Ihars+Hcufkg=="
"""`{"msgtype":"text","text":{"content":"ok"}}` for an empty receiver, computed from the algorithm's description."""
SIGNATURE = "36d1d54d2f2074a4ebf2ebac6be46eda9ed34450"

XML = """<xml><WebhookUrl> <![CDATA[http://in.example.com/cgi-bin/webhook/send?key={key}]]></WebhookUrl>
<MsgId>m1</MsgId><ChatId><![CDATA[{chat}]]></ChatId><ChatType><![CDATA[{kind}]]></ChatType>
<From><UserId><![CDATA[LiSi]]></UserId><Name>n</Name><Alias>a</Alias></From>
<GetChatInfoUrl><![CDATA[http://in.example.com/get_chat_info?code=once]]></GetChatInfoUrl>{rest}</xml>"""
CLICKED = f"w{JOB}-3.1"


@pytest.fixture
def verifier() -> CallbackVerifier:
    return CHANNEL.callback_verifier(account(), {"token": TOKEN, "aes_key": AES_KEY}, 300)


def sealed(message: str, *, as_json: bool = False, receiver: str = "", at: float = NOW) -> Sent:
    """The message in its envelope."""
    timestamp = str(int(at))
    encrypted, signature = Envelope(TOKEN, AES_KEY, receiver).seal(message.encode(), timestamp, "n1", RANDOM)
    query = {"msg_signature": signature, "timestamp": timestamp, "nonce": "n1", "robot_callback_format": "json"}
    body = json.dumps({"encrypt": encrypted}) if as_json else f"<xml><Encrypt> <![CDATA[{encrypted}]]></Encrypt></xml>"
    return Sent(query, body.encode())


def xml(rest: str, chat: str = "wr1", kind: str = "group") -> str:
    return XML.format(key=KEY, rest=rest, chat=chat, kind=kind)


def in_json(chat: str = "wr1", kind: str = "group", **rest: Any) -> str:
    said = {
        "webhook_url": f"http://in.example.com/cgi-bin/webhook/send?key={KEY}",
        "msgid": "m1",
        "chatid": chat,
        "chattype": kind,
        "from": {"userid": "LiSi", "name": "n", "alias": "a"},
        "get_chat_info_url": "http://in.example.com/get_chat_info?code=once",
        **rest,
    }
    return json.dumps(said)


def read(verifier: CallbackVerifier, message: str, **options: Any) -> Inbound:
    one = sealed(message, **options)
    return verifier.read(one.query, one.body, NOW)


EVENTS = {
    name: (
        xml(f"<MsgType>event</MsgType><Event><EventType><![CDATA[{name}]]></EventType></Event>"),
        in_json(msgtype="event", event={"event_type": name}),
    )
    for name in ("add_to_chat", "delete_from_chat", "enter_chat")
}
ATTACHMENT = (
    xml(
        f"<MsgType>attachment</MsgType><Attachment><CallbackId>{CLICKED}</CallbackId><Actions><Name>ok</Name>"
        "<Value>1</Value><Type>button</Type></Actions></Attachment>"
    ),
    in_json(
        msgtype="attachment",
        attachment={"callbackid": CLICKED, "actions": [{"name": "ok", "value": "1", "type": "button"}]},
    ),
)


def test_the_vector_of_an_empty_receiver(verifier: CallbackVerifier) -> None:
    """Signature and cipher text as computed from the vendor's description."""
    query = {"msg_signature": SIGNATURE, "timestamp": "1700000000", "nonce": "nonce-1"}

    inbound = verifier.read(query, json.dumps({"encrypt": VECTOR}).encode(), NOW)

    assert (inbound.event, inbound.payload) == ("message:text", {"msgtype": "text", "text": {"content": "ok"}})
    assert (int(NOW), None, None) == (inbound.happened_at, inbound.chat, inbound.card)


def test_the_address_is_verified(verifier: CallbackVerifier) -> None:
    """The plain bytes and nothing around them."""
    encrypted, signature = Envelope(TOKEN, AES_KEY, "").seal(b"16161", str(int(NOW)), "n", RANDOM)
    query = {"msg_signature": signature, "timestamp": str(int(NOW)), "nonce": "n", "echostr": encrypted}

    assert verifier.verify(query, NOW) == b"16161"


@pytest.mark.parametrize("message", ATTACHMENT, ids=["xml", "json"])
def test_a_click_names_its_part(verifier: CallbackVerifier, message: str) -> None:
    """And where in its message the caller's own name for it stands."""
    inbound = read(verifier, message, as_json=message is ATTACHMENT[1])

    own = ("body", "markdown", "attachments", 1, "callback_id")
    assert CardPress(f"w{JOB}-3", "ok", "attachment", None, {"ok": ["1"]}, own_id_at=own) == inbound.card
    assert (inbound.event, inbound.person) == ("message:attachment", "LiSi")


def test_a_click_on_something_else_is_kept_as_it_came(verifier: CallbackVerifier) -> None:
    """A message that was sent before, or by others: its callback_id is what it is."""
    inbound = read(verifier, in_json(msgtype="attachment", attachment={"callbackid": "theirs", "actions": []}))

    assert CardPress("theirs", "", "attachment", None, {}) == inbound.card


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("form", [0, 1], ids=["xml", "json"])
def test_chats_come_and_go(verifier: CallbackVerifier, name: str, form: int) -> None:
    """Added, removed, or only seen."""
    changes = {"add_to_chat": ChatChange.ADDED, "delete_from_chat": ChatChange.GONE}

    inbound = read(verifier, EVENTS[name][form])

    wanted = ChatNews("wr1", "group", changes.get(name, ChatChange.SEEN), lanes=("send/chat/wr1",))
    assert (name, wanted) == (inbound.event, inbound.chat)


@pytest.mark.parametrize("form", ["xml", "json"])
def test_who_speaks_in_a_single_chat_allows_three_messages(verifier: CallbackVerifier, form: str) -> None:
    """Sent to the chat's id or to his own."""
    rest = "<MsgType>text</MsgType><Text><Content>hi</Content></Text>"
    message = xml(rest, "wo9", "single") if form == "xml" else in_json("wo9", "single", msgtype="text", text={})

    chat = read(verifier, message).chat

    assert ChatNews("wo9", "single", ChatChange.SEEN, "LiSi", 3, ("send/chat/wo9", "send/chat/lisi")) == chat


def test_a_blackboards_answers_are_its_own(verifier: CallbackVerifier) -> None:
    """One chat, whatever post it is about."""
    chat = read(verifier, in_json("bb1", "blackboard_reply", msgtype="text", postid="bp1")).chat

    assert chat is not None
    assert chat.chat_type == "blackboard"


@pytest.mark.parametrize("message", [*ATTACHMENT, in_json(msgtype="text", text={"content": f"see ?key={KEY}&x=1"})])
def test_the_key_is_not_kept(verifier: CallbackVerifier, message: str) -> None:
    """Nor addresses that work once, wherever they stand."""
    inbound = read(verifier, message)

    kept = json.dumps(inbound.payload) + repr(inbound)
    assert KEY not in kept
    assert "once" not in kept
    assert "***" in kept


def test_deliveries_of_one_message_are_one(verifier: CallbackVerifier) -> None:
    """By all that it says, with a msgid or without."""
    same = [read(verifier, ATTACHMENT[0], at=NOW + n).key("alerts") for n in (0, 1)]
    bare = [read(verifier, json.dumps({"msgtype": "text", "n": n})).key("alerts") for n in (1, 1, 2)]

    assert same[0] == same[1]
    assert bare[0] == bare[1]
    assert bare[0] != bare[2]


def test_texts_no_database_takes_are_made_storable(verifier: CallbackVerifier) -> None:
    """NUL and half characters can stand in JSON."""
    inbound = read(verifier, '{"msgtype":"text","text":{"content":"a\\u0000b\\ud800c"},"from":{"userid":"x\\u0000"}}')

    assert "\x00" not in json.dumps(inbound.payload) + inbound.person
    inbound.payload["text"]["content"].encode()


DEEP = "[" * 40 + "]" * 40


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"{}", 400),
        (b"[]", 400),
        (b"<xml></xml>", 400),
        (b"<!DOCTYPE x><xml><Encrypt>x</Encrypt></xml>", 400),
        (b'{"encrypt": "x"}', 403),
        (f'{{"encrypt": {DEEP}}}'.encode(), 400),
    ],
)
def test_what_is_no_callback_is_refused(verifier: CallbackVerifier, body: bytes, status: int) -> None:
    """With a fixed phrase."""
    query = {"msg_signature": "0", "timestamp": str(int(NOW)), "nonce": "n"}

    with pytest.raises(CallbackRefused) as refused:
        verifier.read(query, body, NOW)

    assert status == refused.value.status


@pytest.mark.parametrize(
    ("message", "options", "status"),
    [
        ("{}", {"receiver": "ww1"}, 403),
        ("{}", {"at": NOW - 301}, 403),
        (in_json(msgtype="text", create_time=int(NOW) - 901), {}, 403),
        ("<xml>", {}, 403),
        ('{"a":', {}, 403),
        (json.dumps({"a": json.loads(DEEP)}), {}, 403),
        (in_json("w" * 129, msgtype="text"), {}, 403),
        (in_json(msgtype="attachment", attachment={"callbackid": "w" * 129}), {}, 403),
    ],
)
def test_what_is_sealed_and_yet_none_is_refused(
    verifier: CallbackVerifier, message: str, options: dict[str, Any], status: int
) -> None:
    """Another receiver, an old one, no message, ids no column holds."""
    with pytest.raises(CallbackRefused) as refused:
        read(verifier, message, **options)

    assert status == refused.value.status


@pytest.mark.parametrize(
    "message", ["{}", '{"from": [], "event": 1, "chatid": {}, "attachment": null, "msgtype": ["attachment"]}', "<xml/>"]
)
def test_odd_members_are_no_reason_to_fail(verifier: CallbackVerifier, message: str) -> None:
    """They say nothing."""
    inbound = read(verifier, message)

    assert (inbound.person, inbound.chat, inbound.card) == ("", None, None)


def test_a_key_that_is_none_is_told_at_the_start() -> None:
    """By its setting; and who has none has no verifier."""
    with pytest.raises(ConfigurationError, match=r"callback\.aes_key"):
        CHANNEL.callback_verifier(account(), {"token": TOKEN, "aes_key": "short"}, 300)
    assert CHANNEL.callback_secrets(account()) == {}
    secrets = {name: Secret(lambda: "t") for name in ("token", "aes_key")}
    assert secrets == CHANNEL.callback_secrets(account(settings={"callback": secrets}))


def test_a_signed_timestamp_of_too_many_digits_is_stale(verifier: CallbackVerifier) -> None:
    """Though it begins as one that is recent: more digits than these are no instant, and may be no integer."""
    timestamp = f"{int(NOW):015d}" + "9" * 5_000
    encrypted, signature = Envelope(TOKEN, AES_KEY, "").seal(xml("").encode(), timestamp, "n1", RANDOM)
    query = {"msg_signature": signature, "timestamp": timestamp, "nonce": "n1"}

    with pytest.raises(CallbackRefused, match="stale"):
        verifier.read(query, f"<xml><Encrypt>{encrypted}</Encrypt></xml>".encode(), NOW)
