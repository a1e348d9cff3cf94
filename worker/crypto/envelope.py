"""The vendor's callback envelope: signature and AES-256-CBC, both ways (page 90968 加解密方案说明).

Shared by whoever receives callbacks and whoever fakes them. Refuses to know XML, JSON and HTTP. No error here holds a
key, a text or an id.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

RANDOM_BYTES = 16
_LENGTH_BYTES = 4
_CIPHER_BLOCK = 16
_PAD_BLOCK = 32
"""The vendor pads to 32: an unpadder for AES's own 16 rejects pads of 17 to 32."""
_KEY = re.compile(r"[A-Za-z0-9]{43}")


class EnvelopeError(Exception):
    """Base; `code` is the number the vendor's own libraries give this cause."""

    code = 0


class KeyUnfit(EnvelopeError):
    """The EncodingAESKey is none."""

    code = -40004


class WrongSignature(EnvelopeError):
    """Whoever sent this does not know the Token, or something was changed on the way."""

    code = -40001


class Undecipherable(EnvelopeError):
    """No Base64, or no whole number of cipher blocks."""

    code = -40007


class WrongPlain(EnvelopeError):
    """It decrypts to something without the layout of a message: another key, or damaged."""

    code = -40008


class ForeignReceiver(EnvelopeError):
    """It was meant for another corp or suite."""

    code = -40005


def aes_key(encoding_aes_key: str) -> bytes:
    """The 32 bytes of an EncodingAESKey: 43 of A-Z a-z 0-9, Base64 without its last `=`."""
    if not _KEY.fullmatch(encoding_aes_key):
        raise KeyUnfit("the EncodingAESKey must have exactly 43 of A-Z a-z 0-9")
    # Many keys, the official sample's too, are not canonical Base64: a strict decoder would refuse them.
    return base64.b64decode(encoding_aes_key + "=")


def signature(token: str, timestamp: str, nonce: str, encrypted: str) -> str:
    """SHA-1 (hex) of the four values, sorted as bytes and put together without anything between."""
    values = sorted(value.encode("utf-8", "surrogatepass") for value in (token, timestamp, nonce, encrypted))
    return hashlib.sha1(b"".join(values)).hexdigest()


class Envelope:
    """Seals and opens messages between one Token, one key and one receiver."""

    def __init__(self, token: str, encoding_aes_key: str, receive_id: str):
        self._token, self._key, self._receive_id = token, aes_key(encoding_aes_key), receive_id.encode()

    def __repr__(self) -> str:
        return "Envelope(***)"

    def open(self, given: str, timestamp: str, nonce: str, encrypted: str) -> bytes:
        """The message, once the signature `given` with it proves right; checked before anything is decrypted."""
        right = signature(self._token, timestamp, nonce, encrypted)
        if not hmac.compare_digest(right.encode(), given.encode("utf-8", "surrogatepass")):
            raise WrongSignature("the signature is not ours")
        return self.decrypt(encrypted)

    def seal(self, message: bytes, timestamp: str, nonce: str, random: bytes) -> tuple[str, str]:
        """The encrypted message and its signature; `random` are 16 bytes that make equal messages differ."""
        encrypted = self.encrypt(message, random)
        return encrypted, signature(self._token, timestamp, nonce, encrypted)

    def encrypt(self, message: bytes, random: bytes) -> str:
        """Random bytes, length, message and receiver, padded and encrypted, as Base64."""
        if len(random) != RANDOM_BYTES:
            raise ValueError("random: 16 bytes")
        plain = random + len(message).to_bytes(_LENGTH_BYTES, "big") + message + self._receive_id
        pad = _PAD_BLOCK - len(plain) % _PAD_BLOCK
        return base64.b64encode(_run(self._cipher().encryptor(), plain + bytes([pad]) * pad)).decode()

    def decrypt(self, encrypted: str) -> bytes:
        """The message inside; says which of layout and receiver is wrong."""
        try:
            raw = base64.b64decode(encrypted, validate=True)
        except (binascii.Error, ValueError):
            raise Undecipherable("what came is not Base64") from None
        if not raw or len(raw) % _CIPHER_BLOCK:
            raise Undecipherable("what came is not a whole number of cipher blocks")
        plain = _without_pad(_run(self._cipher().decryptor(), raw))
        start = RANDOM_BYTES + _LENGTH_BYTES
        end = start + int.from_bytes(plain[RANDOM_BYTES:start], "big")
        if len(plain) < start or end > len(plain):
            raise WrongPlain("the length inside does not fit")
        if not hmac.compare_digest(plain[end:], self._receive_id):
            raise ForeignReceiver("it was meant for another receiver")
        return plain[start:end]

    def _cipher(self) -> Cipher[CBC]:
        return Cipher(AES(self._key), CBC(self._key[:_CIPHER_BLOCK]))


def _run(context: CipherContext, data: bytes) -> bytes:
    return context.update(data) + context.finalize()


def _without_pad(plain: bytes) -> bytes:
    pad = plain[-1]
    if not 1 <= pad <= min(_PAD_BLOCK, len(plain)) or plain[-pad:] != bytes([pad]) * pad:
        raise WrongPlain("the padding does not fit")
    return plain[:-pad]
