"""Keyed hashes and sealed short texts, which reveal nothing without their key. So a table may store them.

Names of lanes, limits and credentials are hashed. An access token is sealed: AES-256-GCM under a key derived from a
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
    """Seals a text for one context (its purpose and owner). `nonce` has 12 random bytes that are never used twice."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError("nonce: 12 bytes, fresh and random")
    sealed = _cipher(secret).encrypt(nonce, plain.encode(), context.encode())
    return base64.b64encode(nonce + sealed).decode()


def unseal(sealed: str, *, secret: str, context: str) -> str | None:
    """Returns the text, or None if it was sealed under another secret or context, or is damaged."""
    from cryptography.exceptions import InvalidTag

    try:
        raw = base64.b64decode(sealed, validate=True)
        return _cipher(secret).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.encode()).decode()
    except (InvalidTag, binascii.Error, ValueError):
        return None


def _cipher(secret: str) -> AESGCM:
    # Imported here, because a producer's installation only hashes and does not have it.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return AESGCM(HKDF(SHA256(), length=32, salt=None, info=b"worker: seal").derive(secret.encode()))


def keyed_hash(key: bytes, *fields: str) -> str:
    """Returns the HMAC-SHA256 (64 hex digits) of the fields. Two different lists never give the same message."""
    message = "\x00".join([str(len(field)) + ":" + field for field in fields])
    return hmac.digest(key, message.encode(), "sha256").hex()
