"""Youdu's envelope, in both directions: AES-256-CBC and Base64, whole or as a stream. The layout is WeCom's.

Used by the Youdu channel and by the simulator. Knows no JSON or HTTP. No error here holds a key, a text or an id.
Documentation: c01_00002 (youduim/youdu-doc). The signature of callbacks is WeCom's too.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Collection

from worker.crypto.envelope import RANDOM_BYTES, ForeignReceiver, KeyUnfit, Sealer, signature

__all__ = ["YouduEnvelope", "aes_key", "signature"]

_FROM_URL_SAFE = str.maketrans("-_", "+/")


def aes_key(encoding_aes_key: str) -> bytes:
    """Returns the 32 bytes of an EncodingAESKey: 44 characters of Base64 with the `=` at its end, unlike WeCom's 43."""
    try:
        key = base64.b64decode(encoding_aes_key, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(encoding_aes_key) != 44 or len(key) != 32:
        raise KeyUnfit("the EncodingAESKey must be 44 characters of Base64, the = at its end included")
    return key


class YouduEnvelope(Sealer):
    """Seals and opens the messages between one app and the server."""

    def __init__(self, encoding_aes_key: str, app_id: str):
        self._key = aes_key(encoding_aes_key)
        super().__init__(self._key, app_id.encode())

    def leading(self, *about: bytes) -> bytes:
        """Returns 16 bytes for `random`: equal for equal content, different for any other. They need not be secret."""
        told = b"".join(len(one).to_bytes(8, "big") + one for one in about)
        return hmac.digest(self._key, told, "sha256")[:RANDOM_BYTES]

    def open(self, encrypted: str, also: Collection[str] = ()) -> bytes:
        """Returns the message inside. `also` has other accepted appIds. Accepts the URL-safe alphabet too."""
        message, receiver = self.unseal(encrypted.translate(_FROM_URL_SAFE))
        known = (self._receive_id, *(one.encode() for one in also))
        if not any(hmac.compare_digest(receiver, one) for one in known):
            raise ForeignReceiver("it was meant for another app")
        return message
