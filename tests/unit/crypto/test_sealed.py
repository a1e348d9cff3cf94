"""Sealed texts and keyed hashes."""

from __future__ import annotations

import pytest

from worker.crypto.seal import NONCE_BYTES, keyed_hash, seal, unseal

NONCE = bytes(range(NONCE_BYTES))


def test_what_is_sealed_opens_under_the_same_secret_and_context() -> None:
    """A token comes back byte for byte, and its sealed form does not show it."""
    sealed = seal("tok_令牌", secret="s3cret", context="token hr 1", nonce=NONCE)

    assert unseal(sealed, secret="s3cret", context="token hr 1") == "tok_令牌"
    assert "tok_" not in sealed


@pytest.mark.parametrize(("secret", "context"), [("other", "token hr 1"), ("s3cret", "token hr 2")])
def test_another_secret_or_context_opens_nothing(secret: str, context: str) -> None:
    """A row copied to another account, or met with a new secret, gives nothing and raises nothing."""
    sealed = seal("tok", secret="s3cret", context="token hr 1", nonce=NONCE)

    assert unseal(sealed, secret=secret, context=context) is None


@pytest.mark.parametrize("damaged", ["", "!!!", "AAAA", "QUFB" * 20, "é"])
def test_damaged_text_opens_nothing(damaged: str) -> None:
    """A damaged column is the same as no token."""
    assert unseal(damaged, secret="s3cret", context="token hr 1") is None


def test_equal_texts_do_not_look_equal() -> None:
    """A fresh nonce makes another sealed text of the same token."""
    first = seal("tok", secret="s3cret", context="c", nonce=NONCE)
    second = seal("tok", secret="s3cret", context="c", nonce=bytes(NONCE_BYTES))

    assert first != second


def test_a_nonce_of_the_wrong_length_is_refused() -> None:
    """The nonce's length is not a matter of luck."""
    with pytest.raises(ValueError, match="12 bytes"):
        seal("tok", secret="s", context="c", nonce=b"short")


def test_keyed_hashes_tell_keys_and_fields_apart() -> None:
    """The same fields give the same name; another key, or the same letters cut elsewhere, another one."""
    assert keyed_hash(b"k", "ab", "c") == keyed_hash(b"k", "ab", "c")
    assert len({keyed_hash(b"k", "ab", "c"), keyed_hash(b"x", "ab", "c"), keyed_hash(b"k", "a", "bc"), "d"}) == 4
    assert len({keyed_hash(b"k", "a\x001:b"), keyed_hash(b"k", "a", "b")}) == 2
    assert len(keyed_hash(b"k")) == 64
