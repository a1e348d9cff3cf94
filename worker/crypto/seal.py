"""Sealing short texts (access tokens) for storage: AES-256-GCM under a key derived from a secret.

The table alone reveals no token, and a reader who has the secret could fetch a token from the vendor anyway. Knows
neither where the secret comes from nor where the sealed text goes.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12
_KEY_BYTES = 32


def seal(plain: str, *, secret: str, context: str, nonce: bytes) -> str:
    """The text sealed for one context (its purpose and owner); `nonce` is 12 random bytes, never used twice."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError("nonce: 12 bytes, fresh and random")
    sealed = AESGCM(_key(secret)).encrypt(nonce, plain.encode(), context.encode())
    return base64.b64encode(nonce + sealed).decode()


def unseal(sealed: str, *, secret: str, context: str) -> str | None:
    """The text, or None when it was not sealed under this secret and context, or is damaged."""
    try:
        raw = base64.b64decode(sealed, validate=True)
        return AESGCM(_key(secret)).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.encode()).decode()
    except (InvalidTag, binascii.Error, ValueError):
        return None


def _key(secret: str) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"worker: seal").derive(secret.encode())
