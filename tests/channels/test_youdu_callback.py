"""Callbacks: the vendor's vector, what is refused and with which phrase, and what is stored of the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from youdu_samples import CHANNEL, ENVELOPE, account

from tests.support.youdu_vectors import APP_ID, BUIN, KEY, SIGNATURES, vector
from worker.crypto.youdu import YouduEnvelope, signature
from worker.domain.account import Secret
from worker.domain.callbacks.inbound import CallbackRefused, Inbound
from worker.domain.errors import ConfigurationError

TOKEN, NOW = "u7cbtoken0000001", 1_700_000_100
CALLED = account({"callback": {"token": Secret(lambda: TOKEN)}}, secret=Secret(lambda: KEY))
DOOR = CHANNEL.callback_verifier(CALLED, {"token": TOKEN, "aes_key": KEY}, 300)
HELLO = {"fromUser": "alice", "createTime": NOW, "packageId": "p1", "msgType": "text", "text": {"content": "hi"}}


def query(encrypted: str, timestamp: int = NOW, **more: str) -> dict[str, str]:
    """A signed query."""
    signed = signature(TOKEN, str(timestamp), "493271", encrypted)
    return {"timestamp": str(timestamp), "nonce": "493271", "msg_signature": signed, **more}


def body(encrypted: str, **more: Any) -> bytes:
    return json.dumps({"toBuin": BUIN, "toApp": APP_ID, "encrypt": encrypted, **more}).encode()


def heard(said: Any, timestamp: int = NOW, now: float = NOW) -> Inbound:
    """What the door makes of a message."""
    encrypted = ENVELOPE.seal(json.dumps(said).encode(), bytes(16))
    return DOOR.read(query(encrypted, timestamp), body(encrypted), now)


def test_the_vendors_sample() -> None:
    """V9 with its signature S1."""
    encrypted = vector("V9").sealed
    signed = {"timestamp": "1700000100", "nonce": "493271", "msg_signature": SIGNATURES[0][4]}

    inbound = DOOR.read(signed, body(encrypted), NOW)

    assert (inbound.event, inbound.person, inbound.happened_at) == ("message:text", "alice", NOW)
    assert inbound.payload["text"] == {"content": "hi"}
    assert inbound.answer == b'{"errcode":0,"errmsg":"ok"}'


def test_a_repeat_is_the_same_however_it_is_encrypted() -> None:
    """By all that it says, its packageId among it."""
    first, again = heard(HELLO), heard(HELLO, NOW + 9)
    other, without = heard({**HELLO, "packageId": "p2"}), {k: v for k, v in HELLO.items() if k != "packageId"}

    assert first.key("oa") == again.key("oa") != other.key("oa")
    assert heard(without).key("oa") == heard(without).key("oa") != heard({**without, "createTime": 1}).key("oa")


@pytest.mark.parametrize(("sent_ago", "taken"), [(0, True), (24 * 3600, True), (26 * 3600, False), (-301, False)])
def test_a_repeat_may_be_a_day_old(sent_ago: int, taken: bool) -> None:
    """The server repeats for 24 hours, perhaps with the first timestamp."""
    if taken:
        assert heard(HELLO, NOW - sent_ago).identity
    else:
        with pytest.raises(CallbackRefused, match="stale timestamp"):
            heard(HELLO, NOW - sent_ago)


LONG = {**HELLO, "fromUser": "x" * 129}
SEALED = ENVELOPE.seal(json.dumps(HELLO).encode(), bytes(16))
FOREIGN = YouduEnvelope(KEY, "yd_other").seal(json.dumps(HELLO).encode(), bytes(16))


@pytest.mark.parametrize(
    ("asked", "sent", "status", "phrase"),
    [
        (query(SEALED, msg_signature="0" * 40), body(SEALED), 403, "wrong signature"),
        (query(SEALED, nonce="1"), body(SEALED), 403, "wrong signature"),
        (query(SEALED), body(FOREIGN), 403, "wrong signature"),
        (query(FOREIGN), body(FOREIGN), 403, "another receiver"),
        (query(SEALED), body(SEALED, toApp="yd_other"), 403, "another application"),
        (query(SEALED), body(SEALED, toBuin=1), 403, "another application"),
        (query("AAAA"), body("AAAA"), 403, "does not decrypt"),
        (query(""), body(""), 400, "no encrypt"),
        ({}, body(SEALED), 400, "no msg_signature"),
        (query(SEALED), b"<xml/>", 400, "not a JSON object"),
        (query(SEALED), b"[]", 400, "not a JSON object"),
    ],
)
def test_what_is_none_of_the_vendors_is_refused(asked: Any, sent: bytes, status: int, phrase: str) -> None:
    """With a fixed phrase that quotes nothing."""
    with pytest.raises(CallbackRefused, match=phrase) as caught:
        DOOR.read(asked, sent, NOW)

    assert status == caught.value.status


@pytest.mark.parametrize(
    ("said", "phrase"),
    [
        ({}, "no msgType"),
        ({"msgType": 5}, "no msgType"),
        ([], "not a JSON object"),
        ({**HELLO, "fromUser": "x" * 129}, "too long"),
    ],
)
def test_messages_that_are_none(said: Any, phrase: str) -> None:
    """Signed and decrypted, and still nothing."""
    with pytest.raises(CallbackRefused, match=phrase):
        heard(said)


def test_a_login_is_never_said_to_be_right() -> None:
    """An `ok` would let anybody in; the password is not kept."""
    with pytest.raises(CallbackRefused, match="logins") as caught:
        heard({**HELLO, "msgType": "auth", "passwd": "secret"})

    assert caught.value.status == 403
    assert "secret" not in str(caught.value)


def test_what_no_database_takes_is_made_storable() -> None:
    """Else it would be repeated for a day."""
    inbound = heard({**HELLO, "text": {"content": "a\x00b\ud800"}, "more": [{"x\x00": "\udfff"}]})

    json.dumps(inbound.payload, ensure_ascii=False).encode()
    assert "\x00" not in str(inbound.payload)


def test_nothing_is_verified() -> None:
    """There is no such request."""
    with pytest.raises(CallbackRefused):
        DOOR.verify({}, NOW)


def test_the_secrets_of_an_address() -> None:
    """Its token, and the account's own key; without a table it is elsewhere."""
    assert set(CHANNEL.callback_secrets(CALLED)) == {"token", "aes_key"}
    assert CHANNEL.callback_secrets(account()) == {}
    assert CHANNEL.account_problems(CALLED) == []
    for wrong in (True, {}, {"token": "inline"}, {"token": Secret(str), "aes_key": Secret(str)}):
        assert CHANNEL.account_problems(account({"callback": wrong}))
    with pytest.raises(ConfigurationError, match="44 characters"):
        CHANNEL.callback_verifier(CALLED, {"token": TOKEN, "aes_key": "short"}, 300)
