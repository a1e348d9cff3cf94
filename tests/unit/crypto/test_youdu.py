"""Youdu's envelope against every vector, both ways, and each way it can be wrong."""

from __future__ import annotations

import base64
import tracemalloc
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given, strategies as st

from tests.support.youdu_vectors import APP_ID, FOREIGN, KEY, PLAIN, SIGNATURES, VECTORS, Vector, vector
from worker.crypto.envelope import EnvelopeError, ForeignReceiver, KeyUnfit, Undecipherable, WrongPlain
from worker.crypto.youdu import YouduEnvelope, aes_key, signature

ENVELOPE = YouduEnvelope(KEY, APP_ID)
OTHER_KEY = base64.b64encode(bytes(range(1, 33))).decode()
MEGABYTE = 1024 * 1024


def decrypted(sealed: str) -> bytes:
    """The plain text as the documentation lays it out, by nothing of ours."""
    decryptor = Cipher(AES(bytes(range(32))), CBC(bytes(range(16)))).decryptor()
    return decryptor.update(base64.b64decode(sealed)) + decryptor.finalize()


@pytest.mark.parametrize("made", VECTORS, ids=lambda made: made.name)
def test_every_vector_byte_for_byte_both_ways(made: Vector) -> None:
    """Sealed with its leading bytes it is the published text, and that opens to its message."""
    assert made.sealed == ENVELOPE.seal(made.message, made.random)
    assert made.message == ENVELOPE.open(made.sealed)
    assert len(made.sealed) == ENVELOPE.sealed_size(len(made.message))


@pytest.mark.parametrize("name", PLAIN)
def test_the_plain_texts(name: str) -> None:
    """Also inside: leading bytes, length, message, appId, and a pad of up to 32."""
    assert PLAIN[name] == decrypted(vector(name).sealed).hex()


def test_a_foreign_initialisation_vector_does_no_harm() -> None:
    """Two of the vendor's SDKs never tell theirs: only the leading bytes come out as others."""
    assert ENVELOPE.open(FOREIGN.sealed) == FOREIGN.message
    assert decrypted(FOREIGN.sealed)[:16] == FOREIGN.random


@pytest.mark.parametrize(("token", "timestamp", "nonce", "encrypted", "right"), SIGNATURES)
def test_signatures(token: str, timestamp: str, nonce: str, encrypted: str, right: str) -> None:
    """Of callbacks: the four texts sorted, and SHA-1 over them."""
    assert right == signature(token, timestamp, nonce, encrypted)


@pytest.mark.parametrize(
    "key", ["", KEY[:-1], KEY[:-2], KEY + "=", "?" * 43 + "=", base64.b64encode(bytes(31)).decode(), "有" * 44]
)
def test_a_key_that_is_none_is_refused(key: str) -> None:
    """The lost `=` is a known slip; none of it is quoted."""
    with pytest.raises(KeyUnfit, match="44 characters") as caught:
        YouduEnvelope(key, APP_ID)

    assert key[:8] == "" or key[:8] not in str(caught.value)


def test_another_key_opens_nothing() -> None:
    """It never comes out as a message."""
    for made in (*VECTORS, FOREIGN):
        with pytest.raises(EnvelopeError):
            YouduEnvelope(OTHER_KEY, APP_ID).open(made.sealed)


def test_another_app_is_told_apart() -> None:
    """Unless it is one of those that may stand there: some servers answer with another app's name."""
    foreign = YouduEnvelope(KEY, "sysOrgAssistant").seal(b"{}", bytes(16))

    with pytest.raises(ForeignReceiver):
        ENVELOPE.open(foreign)
    assert ENVELOPE.open(foreign, also=("sysOrgAssistant",)) == b"{}"


@pytest.mark.parametrize(
    ("sealed", "error"),
    [
        ("", Undecipherable),
        ("====", Undecipherable),
        ("有度", Undecipherable),
        ("AAAA", Undecipherable),
        (vector("V3").sealed[:-4], Undecipherable),
        (vector("V3").sealed[:64], WrongPlain),
        (base64.b64encode(bytes(32)).decode(), WrongPlain),
    ],
)
def test_a_cut_or_empty_envelope_says_so(sealed: str, error: type[EnvelopeError]) -> None:
    """Each way has a class of its own, and the base of all catches it."""
    with pytest.raises(error):
        ENVELOPE.open(sealed)


def test_the_url_safe_alphabet_is_taken() -> None:
    """One of the vendor's SDKs knows it."""
    assert vector("V3").message == ENVELOPE.open(vector("V3").sealed.translate(str.maketrans("+/", "-_")))


def test_neither_key_nor_text_is_shown() -> None:
    """A repr ends up in logs."""
    assert repr(ENVELOPE) == "YouduEnvelope(***)"


@given(st.binary(max_size=200_000), st.lists(st.integers(1, 60_000), max_size=8), st.binary(min_size=16, max_size=16))
def test_a_stream_seals_as_the_whole_does(content: bytes, cuts: list[int], random: bytes) -> None:
    """However the file comes in pieces, the same text leaves, of the size that was announced."""
    chunks, start = [], 0
    for cut in cuts:
        chunks.append(content[start : start + cut])
        start += cut
    chunks.append(content[start:])

    made = b"".join(ENVELOPE.seal_stream(len(content), chunks, random))

    assert ENVELOPE.seal(content, random).encode() == made
    assert ENVELOPE.sealed_size(len(content)) == len(made)
    assert content == ENVELOPE.open(made.decode())


def test_a_long_file_is_never_held_whole() -> None:
    """64 MiB go through in pieces; what is held at a time stays below two chunks."""
    chunk = bytes(MEGABYTE)
    tracemalloc.start()
    try:
        size = sum(len(piece) for piece in ENVELOPE.seal_stream(64 * MEGABYTE, (chunk for _ in range(64)), bytes(16)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert ENVELOPE.sealed_size(64 * MEGABYTE) == size
    assert peak < 2 * MEGABYTE


def test_a_file_that_cannot_be_read_is_noticed_before_anything_is_sealed() -> None:
    """So nothing of it leaves, and its upload is tried again instead of coming in doubt."""

    def unreadable() -> Iterator[bytes]:
        raise OSError("gone")
        yield b""

    with pytest.raises(OSError, match="gone"):
        next(ENVELOPE.seal_stream(100, unreadable(), bytes(16)))


def test_a_file_of_another_length_than_announced_is_found_out() -> None:
    """The text breaks off or has another size: it is never taken for whole."""
    for real in (0, 1, 84, 99, 101, 116, 132):
        try:
            made = b"".join(ENVELOPE.seal_stream(100, [bytes(real)], bytes(16)))
        except ValueError:
            continue
        assert ENVELOPE.sealed_size(100) != len(made)


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_leading_bytes_are_the_same_only_for_the_same(first: bytes, second: bytes) -> None:
    """What they are made of is kept apart: no two different lists read the same."""
    assert len(ENVELOPE.leading(first, second)) == 16
    assert ENVELOPE.leading(first, second) == YouduEnvelope(KEY, APP_ID).leading(first, second)
    assert ENVELOPE.leading(first, second) != ENVELOPE.leading(first + second)
    assert ENVELOPE.leading(first) != YouduEnvelope(OTHER_KEY, APP_ID).leading(first)


def test_the_key_is_what_base64_says() -> None:
    """32 bytes, nothing appended."""
    assert bytes(range(32)) == aes_key(KEY)
