"""Keyed hashes and sealed short texts, which reveal nothing without their key: what a table may hold of a secret.

A name of a lane, a limit or a credential is hashed. An access token is sealed: AES-256-GCM under a key derived from a
secret, with which a reader could fetch a token from the vendor anyway. Knows neither where a secret comes from nor
where the result goes.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12


def seal(plain: str, *, secret: str, context: str, nonce: bytes) -> str:
    """The text sealed for one context (its purpose and owner); `nonce` is 12 random bytes, never used twice."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError("nonce: 12 bytes, fresh and random")
    sealed = _cipher(secret).encrypt(nonce, plain.encode(), context.encode())
    return base64.b64encode(nonce + sealed).decode()


def unseal(sealed: str, *, secret: str, context: str) -> str | None:
    """The text, or None when it was not sealed under this secret and context, or is damaged."""
    from cryptography.exceptions import InvalidTag

    try:
        raw = base64.b64decode(sealed, validate=True)
        return _cipher(secret).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.encode()).decode()
    except (InvalidTag, binascii.Error, ValueError):
        return None


def _cipher(secret: str) -> AESGCM:
    # Not at the top: a producer's installation, which only hashes, does not have it.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return AESGCM(HKDF(SHA256(), length=32, salt=None, info=b"worker: seal").derive(secret.encode()))


def keyed_hash(key: bytes, *fields: str) -> str:
    """HMAC-SHA256 (64 hex digits) of the fields; two different lists of fields never make the same message."""
    message = "\x00".join([str(len(field)) + ":" + field for field in fields])
    return hmac.digest(key, message.encode(), "sha256").hex()
