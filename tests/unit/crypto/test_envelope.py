"""The callback envelope against every published vector, and each way it can be wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, strategies as st

from worker.crypto.envelope import (
    Envelope,
    EnvelopeError,
    ForeignReceiver,
    KeyUnfit,
    Undecipherable,
    WrongPlain,
    WrongSignature,
    aes_key,
    signature,
)


@dataclass(frozen=True)
class Vector:
    """One published example; `random` is what its plain text begins with."""

    token: str
    key: str
    receive_id: str
    timestamp: str
    nonce: str
    encrypted: str
    signature: str
    message: str
    random: bytes

    @property
    def envelope(self) -> Envelope:
        """An envelope between its token, key and receiver."""
        return Envelope(self.token, self.key, self.receive_id)

    def opened(self) -> bytes:
        """What it holds."""
        return self.envelope.open(self.signature, self.timestamp, self.nonce, self.encrypted)

    def holding(self, encrypted: str) -> Vector:
        """The same with other cipher text, rightly signed."""
        signed = signature(self.token, self.timestamp, self.nonce, encrypted)
        return replace(self, encrypted=encrypted, signature=signed)


OFFICIAL = Vector(
    token="QDG6eK",
    key="jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C",
    receive_id="wx5823bf96d3bd56c7",
    timestamp="1409659813",
    nonce="1372623149",
    encrypted=(
        "RypEvHKD8QQKFhvQ6QleEB4J58tiPdvo+rtK1I9qca6aM/wvqnLSV5zEPeusUiX5L5X/0lWfrf0QADHHhGd3QczcdCUpj911L3vg3W/sYYvuJ"
        "Ts3TUUkSUXxaccAS0qhxchrRYt66wiSpGLYL42aM6A8dTT+6k4aSknmPj48kzJs8qLjvd4Xgpue06DOdnLxAUHzM6+kDZ+HMZfJYuR+LtwGc2"
        "hgf5gsijff0ekUNXZiqATP7PF5mZxZ3Izoun1s4zG4LUMnvw2r+KqCKIw+3IQH03v+BCA9nMELNqbSf6tiWSrXJB3LAVGUcallcrw8V2t9EL4"
        "EhzJWrQUax5wLVMNS0+rUPA3k22Ncx4XXZS9o0MBH27Bo6BpNelZpS+/uh9KsNlY6bHCmJU9p8g7m3fVKn28H3KDYA5Pl/T8Z1ptDAVe0lXdQ"
        "2YoyyH2uyPIGHBZZIs2pDBS8R07+qN+E7Q=="
    ),
    signature="477715d11cdb4164915debcba66cb864d751f3e6",
    message=(
        "<xml><ToUserName><![CDATA[wx5823bf96d3bd56c7]]></ToUserName>\n"
        "<FromUserName><![CDATA[mycreate]]></FromUserName>\n<CreateTime>1409659813</CreateTime>\n"
        "<MsgType><![CDATA[text]]></MsgType>\n<Content><![CDATA[hello]]></Content>\n"
        "<MsgId>4561255354251345929</MsgId>\n<AgentID>218</AgentID>\n</xml>"
    ),
    random=b"0960688932c47ef1",
)
OFFICIAL_URL = replace(
    OFFICIAL,
    timestamp="1409659589",
    nonce="263014780",
    encrypted="P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ==",
    signature="5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3",
    message="1616140317555161061",
    random=b"c41b64491c2468d0",
)
GO_URL = Vector(
    token="kjr2TKI8umCBfVF3wAHk8JiPwma5VBme",
    key="4Ma3YBrSBbX2aez8MJpXGBne5LSDwgGqHbhM9WPYIws",
    receive_id="ww6a112864f8022910",
    timestamp="1583940690",
    nonce="VHh7ymSeb0jc4lSb",
    encrypted="6KmUQuPVu7UhjyVqRdbo5SfcRqaHvbUlKSHFvBV2ZuR6TIlKsygcfeSd1GDplg1C5KSKr6UPHCaC/nIX3ZNt9w==",
    signature="1ba3cb09c0d2c2b3ed6900d37f91a6efae6cb011",
    message="94966531020182955848408",
    random=b"",
)
GO_POST = Vector(
    token="kz7Yx62CH8SaLN",
    key="cD0d7jx4tYvVtzqrmh3Dm3QFCXe6f8SlHoMtMh3qQEP",
    receive_id="ww6a112864f8022910",
    timestamp="1583995625",
    nonce="1584392382",
    encrypted=(
        "EUCt7xMcNiyASzZj0Hjc5yDjFQrCum6AfQ3ntHiUzjGQ51xieKmbvtrZ40/EcB2W/W8yH0n4Lqx48gJl/T9HD/R309I0P/r5pIZucK3lyEn48"
        "FYMr4YdE0QdL2jIJ3xkcXUr6uzefzCxG6lMvwpAJaOyVCzN7sRRw47njfxy5EIqU6R9ZBhlTzfdnhhOhK/nTwzrZX3SoGlXFA9OBeZ6ru1NWp"
        "XFk76x9DUMe0lcxPPiUqK8ctnQcYXSGUHVqC6DfG7E7mab0OmruNN8cBZY5d3dYOBA4OgaH55Q0AJmUpdT8vNiXpXx+6TxT3TIjySXpDrHVyr"
        "sb772aYywgg/Nu4kUmGkALwFZlzhjNegR7wDwb9lr4ERXsSSS8JZ8lbBmaQ3F2Tq584xoPj5rIhXAF734ynm4no1g+SdHiNqR328="
    ),
    signature="f265ae551b1932727204c3d707628d01376a6940",
    message=(
        "<xml><ToUserName><![CDATA[ww6a112864f8022910]]></ToUserName><FromUserName><![CDATA[foobar]]></FromUserName>"
        "<CreateTime>1583995625</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[x123]]></Content>"
        "<MsgId>2018405441</MsgId><AgentID>1000002</AgentID></xml>"
    ),
    random=bytes.fromhex("21e33070c56d1ca4e4fa84ace71334f6"),
)
WECHATPY = Vector(
    token="123456",
    key="kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR",
    receive_id="wx49f0ab532d5d035a",
    timestamp="1411525903",
    nonce="461056294",
    encrypted=(
        "9s4gMv99m88kKTh/H8IdkOiMg6bisoy3ypwy9H4hvSPe9nsGaqyw5hhSjdYbcrKk+j3nba4HMOTzHrluLBYqxgNcBqGsL8GqxlhZgURnAtObv"
        "esEl5nZ+uBE8bviY0LWke8Zy9V/QYKxNV2FqllNXcfmstttyIkMKCCmVbCFM2JTF5wY0nFhHZSjPUL2Q1qvSUCUld+/WIXrx0oyKQmpB6o8NR"
        "rrNrsDf03oxI1p9FxUgMnwKKZeOA/uu+2IEvEBtb7muXsVbwbgX05UPPJvFurDXafG0RQyPR+mf1nDnAtQmmNOuiR5MIkdQ39xn1vWwi1O5oa"
        "zPoQJz0nTYjxxEE8kv3kFxtAGVRe3ypD3WeK2XeFYFMNMpatF9XiKzHo3"
    ),
    signature="407518b7649e86ef23978113f92d27afa9296533",
    message=(
        "<xml>\n<MsgType><![CDATA[text]]></MsgType>\n<Content><![CDATA[test]]></Content>\n"
        "<FromUserName><![CDATA[wx49f0ab532d5d035a]]></FromUserName>\n<ToUserName><![CDATA[messense]]></ToUserName>\n"
        "<AgentID>1</AgentID>\n<CreateTime>1411525903</CreateTime>\n</xml>"
    ),
    random=b"1234567890123456",
)
COMPUTED = replace(OFFICIAL, timestamp="1700000000", nonce="nonce-1", random=b"0123456789abcdef")
NO_RECEIVER = replace(
    COMPUTED,
    receive_id="",
    message='{"msgtype":"text","text":{"content":"ok"}}',
    encrypted="sKqRbbiSUnDhFHOvPjtUMeJBV1LIPhBLiS/+bDapFbYVhHdUs/DnbaknhbqfAh2BglciVZRNd4Ihars+Hcufkg==",
    signature="36d1d54d2f2074a4ebf2ebac6be46eda9ed34450",
)
PAD_OF_32 = replace(
    COMPUTED,
    message="A" * 26,
    encrypted=(
        "sKqRbbiSUnDhFHOvPjtUMSY0kKMJACXmUsdvggAlOWACHrYvL7ZZ57832oUEaSRZXhRz6zPbpE7uRuxBavqFwVtjnhXa998zjENLpmXFC6fpvF"
        "+B2F0F1NcPQ5DnKeVL"
    ),
    signature="ab764e377636d00feb098ae9df3a2cb2c72301e7",
)
UTF_8 = replace(
    COMPUTED,
    message="你好",
    encrypted="sKqRbbiSUnDhFHOvPjtUMRAy/XD9XOtIfTPpJzoZ07E3Mha7V5Vu9PLjQblVSoOGBRqNKiZBBHDCd8gGUlO6DQ==",
    signature="09ee2b08544abe813072e43a6b99557c55e821cd",
)
VECTORS = {
    "A official": OFFICIAL,
    "B official URL": OFFICIAL_URL,
    "C go-workwx URL": GO_URL,
    "D go-workwx POST": GO_POST,
    "E wechatpy": WECHATPY,
    "empty ReceiveId": NO_RECEIVER,
    "pad of 32": PAD_OF_32,
    "UTF-8 length": UTF_8,
}
SEALED = {name: vector for name, vector in VECTORS.items() if vector.random}


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_every_vector_opens(vector: Vector) -> None:
    """The signature holds and the message is the published one, byte for byte."""
    assert vector.signature == signature(vector.token, vector.timestamp, vector.nonce, vector.encrypted)
    assert vector.message.encode() == vector.opened()


@pytest.mark.parametrize("vector", SEALED.values(), ids=SEALED)
def test_every_vector_with_known_random_bytes_is_made_again(vector: Vector) -> None:
    """Sealing is the inverse: the same bytes and the same signature."""
    sealed = vector.envelope.seal(vector.message.encode(), vector.timestamp, vector.nonce, vector.random)

    assert (vector.encrypted, vector.signature) == sealed


def test_the_official_key_is_no_canonical_base64_and_decodes() -> None:
    """The unused bits of its last character are set: a strict decoder would refuse the vendor's own example."""
    assert aes_key(OFFICIAL.key).hex() == "8d69989bbaabe67328014c194631ad0719b3dca035b64023df292447aab60760"


@pytest.mark.parametrize(
    "key", [OFFICIAL.key[:-1], OFFICIAL.key + "A", "", "+" * 43, OFFICIAL.key[:-1] + "=", OFFICIAL.key[:-1] + "\n"]
)
def test_what_is_no_key_is_refused_at_once(key: str) -> None:
    """43 characters of A-Z a-z 0-9, no more, no fewer, no others; the sentence does not repeat the key."""
    with pytest.raises(KeyUnfit, match="exactly 43") as told:
        Envelope("t", key, "r")

    assert not key or key not in str(told.value)


@pytest.mark.parametrize(
    ("vector", "error"),
    [
        (replace(OFFICIAL, signature=OFFICIAL.signature[:-1] + "7"), WrongSignature),
        (replace(GO_URL, signature=GO_URL.signature[:-1] + "0"), WrongSignature),
        (replace(OFFICIAL, signature="ö"), WrongSignature),
        (replace(OFFICIAL, signature=OFFICIAL.signature.upper()), WrongSignature),
        (replace(OFFICIAL_URL, encrypted=OFFICIAL_URL.encrypted.replace("+", " ")), WrongSignature),
        (replace(OFFICIAL, timestamp="1409659814"), WrongSignature),
        (replace(OFFICIAL, receive_id="wx0000000000000000"), ForeignReceiver),
        (replace(OFFICIAL, receive_id=""), ForeignReceiver),
    ],
)
def test_what_is_not_from_the_vendor_or_not_for_us_is_told_apart(vector: Vector, error: type[EnvelopeError]) -> None:
    """Each cause has its error."""
    with pytest.raises(error):
        vector.opened()


@pytest.mark.parametrize(
    ("encrypted", "error"),
    [
        (OFFICIAL.encrypted[1:], Undecipherable),
        (OFFICIAL.encrypted[:-4], Undecipherable),
        ("", Undecipherable),
        ("öä", Undecipherable),
        ("!!!!", Undecipherable),
        (OFFICIAL_URL.encrypted[:20] + "AAAA" + OFFICIAL_URL.encrypted[24:], WrongPlain),
        (UTF_8.encrypted[:64] + "AAAA" + UTF_8.encrypted[68:], WrongPlain),
    ],
)
def test_damaged_cipher_text_is_refused(encrypted: str, error: type[EnvelopeError]) -> None:
    """A character removed, a block changed: an error of ours, never one of the cipher library."""
    with pytest.raises(error):
        OFFICIAL.holding(encrypted).opened()


def test_another_key_gives_no_message() -> None:
    """Decrypted with a key that is not the sender's it has no layout."""
    with pytest.raises((WrongPlain, ForeignReceiver)):
        replace(OFFICIAL, key=GO_POST.key).opened()


def test_an_envelope_shows_nothing() -> None:
    """No key and no token in its `repr`."""
    assert repr(OFFICIAL.envelope) == "Envelope(***)"


@given(message=st.binary(max_size=200), receive_id=st.text(max_size=20), random=st.binary(min_size=16, max_size=16))
def test_whatever_is_sealed_opens(message: bytes, receive_id: str, random: bytes) -> None:
    """Any message of any length, whatever pad it needs."""
    envelope = Envelope("token", OFFICIAL.key, receive_id)

    encrypted, signed = envelope.seal(message, "1", "n", random)

    assert message == envelope.open(signed, "1", "n", encrypted)


@given(st.binary(max_size=120))
def test_random_blocks_raise_nothing_but_ours(raw: bytes) -> None:
    """Whatever somebody with the right signature sends."""
    with pytest.raises(EnvelopeError):
        OFFICIAL.holding(raw.hex()).opened()


def test_random_bytes_are_sixteen() -> None:
    """Fewer would move the length."""
    with pytest.raises(ValueError, match="16 bytes"):
        OFFICIAL.envelope.seal(b"", "1", "n", b"short")
