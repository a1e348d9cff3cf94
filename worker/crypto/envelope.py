"""The vendor's callback envelope: signature and AES-256-CBC, in both directions (page 90968 加解密方案说明).

Used by the receiver of callbacks and by the simulator. Knows no XML, JSON or HTTP. No error here holds a key, a text or
an id.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from math import ceil

RANDOM_BYTES = 16
_LENGTH_BYTES = 4
_CIPHER_BLOCK = 16
_PAD_BLOCK = 32
"""The vendor pads to 32 bytes. An unpadder for AES's own 16 rejects pads of 17 to 32."""
_PIECE = 48 * 1024
"""Bytes of a long message that are encrypted at once."""
_KEY = re.compile(r"[A-Za-z0-9]{43}")


class EnvelopeError(Exception):
    """Base class. Each of the others names its number in the vendor's own libraries."""


class KeyUnfit(EnvelopeError):
    """-40004: the text is no EncodingAESKey."""


class WrongSignature(EnvelopeError):
    """-40001: the sender does not know the Token, or the request was changed on the way."""


class Undecipherable(EnvelopeError):
    """-40007: the text is no Base64, or no whole number of cipher blocks."""


class WrongPlain(EnvelopeError):
    """-40008: the decrypted bytes do not have a message's layout. The key is another one, or they are damaged."""


class ForeignReceiver(EnvelopeError):
    """-40005: the message was meant for another corp or suite."""


def aes_key(encoding_aes_key: str) -> bytes:
    """Returns the 32 bytes of an EncodingAESKey: 43 of A-Z a-z 0-9, Base64 without its last `=`."""
    if not _KEY.fullmatch(encoding_aes_key):
        raise KeyUnfit("the EncodingAESKey must have exactly 43 of A-Z a-z 0-9")
    # Many keys, also the official sample's, are not canonical Base64: a strict decoder would refuse them.
    return base64.b64decode(encoding_aes_key + "=")


def signature(token: str, timestamp: str, nonce: str, encrypted: str) -> str:
    """Returns the SHA-1 (hex) of the four values, sorted as bytes and joined without a separator."""
    values = sorted(value.encode("utf-8", "surrogatepass") for value in (token, timestamp, nonce, encrypted))
    return hashlib.sha1(b"".join(values)).hexdigest()


class Envelope:
    """Seals and opens messages for one Token, one key and one receiver. With None it opens those for any receiver."""

    def __init__(self, token: str, encoding_aes_key: str, receive_id: str | None):
        self._token, self._receive_id = token, None if receive_id is None else receive_id.encode()
        self._sealer = Sealer(aes_key(encoding_aes_key), self._receive_id or b"")

    def __repr__(self) -> str:
        return "Envelope(***)"

    def open(self, given: str, timestamp: str, nonce: str, encrypted: str) -> bytes:
        """Decrypts a message if the signature that came with it is right, which is checked first."""
        right = signature(self._token, timestamp, nonce, encrypted)
        if not hmac.compare_digest(right.encode(), given.encode("utf-8", "surrogatepass")):
            raise WrongSignature("the signature is wrong: the token differs, or the content was changed")
        message, receiver = self._sealer.unseal(encrypted)
        if self._receive_id is not None and not hmac.compare_digest(receiver, self._receive_id):
            raise ForeignReceiver("it was meant for another receiver")
        return message

    def seal(self, message: bytes, timestamp: str, nonce: str, random: bytes) -> tuple[str, str]:
        """Returns the encrypted message and its signature. `random` has 16 bytes that make equal messages differ."""
        encrypted = self._sealer.seal(message, random)
        return encrypted, signature(self._token, timestamp, nonce, encrypted)


class Sealer:
    """The layout inside WeCom's and Youdu's envelopes: random bytes, length, message, receiver, padded to 32."""

    def __init__(self, key: bytes, receive_id: bytes):
        # Imported here, because a producer's installation opens no callback and does not have it.
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.algorithms import AES
        from cryptography.hazmat.primitives.ciphers.modes import CBC

        self._cipher = Cipher(AES(key), CBC(key[:_CIPHER_BLOCK]))
        self._receive_id = receive_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    def seal(self, message: bytes, random: bytes) -> str:
        """Seals the whole message at once, as Base64. `random` has 16 bytes that make equal messages differ."""
        return b"".join(self.seal_stream(len(message), [message], random)).decode()

    def sealed_size(self, size: int) -> int:
        """Returns the length of the Base64 text of a message of `size` bytes."""
        plain = RANDOM_BYTES + _LENGTH_BYTES + size + len(self._receive_id)
        return 4 * ceil(_PAD_BLOCK * (plain // _PAD_BLOCK + 1) / 3)

    def seal_stream(self, size: int, chunks: Iterable[bytes], random: bytes) -> Iterator[bytes]:
        """Yields the Base64 text of a message of `size` bytes, piece by piece as its chunks come.

        The message is never in memory as a whole. The caller checks that the chunks add up to `size`: one byte more or
        less makes the result unreadable.
        """
        if len(random) != RANDOM_BYTES:
            raise ValueError("random: 16 bytes")
        encryptor, rest = self._cipher.encryptor(), b""
        for plain in self._plain(size, chunks, random):
            for start in range(0, len(plain), _PIECE):
                ready = rest + encryptor.update(plain[start : start + _PIECE])
                whole = len(ready) - len(ready) % 3  # Base64 of a multiple of three bytes has no padding
                rest = ready[whole:]
                if whole:
                    yield base64.b64encode(ready[:whole])
        yield base64.b64encode(rest + encryptor.finalize())

    def _plain(self, size: int, chunks: Iterable[bytes], random: bytes) -> Iterator[bytes]:
        chunks = iter(chunks)
        # Read before anything is sealed, so that an unreadable file is noticed before the first byte is sent.
        yield random + size.to_bytes(_LENGTH_BYTES, "big") + next(chunks, b"")
        yield from chunks
        pad = _PAD_BLOCK - (RANDOM_BYTES + _LENGTH_BYTES + size + len(self._receive_id)) % _PAD_BLOCK
        yield self._receive_id + bytes([pad]) * pad

    def unseal(self, encrypted: str) -> tuple[bytes, bytes]:
        """Returns message and receiver. The 16 random bytes before them are dropped."""
        try:
            raw = base64.b64decode(encrypted, validate=True)
        except (binascii.Error, ValueError):
            raise Undecipherable("what came is not Base64") from None
        if not raw or len(raw) % _CIPHER_BLOCK:
            raise Undecipherable("what came is not a whole number of cipher blocks")
        decryptor = self._cipher.decryptor()
        padded = decryptor.update(raw) + decryptor.finalize()
        pad = padded[-1]
        if not 1 <= pad <= min(_PAD_BLOCK, len(padded)) or padded[-pad:] != bytes([pad]) * pad:
            raise WrongPlain("the padding is wrong")
        plain = padded[:-pad]
        start = RANDOM_BYTES + _LENGTH_BYTES
        end = start + int.from_bytes(plain[RANDOM_BYTES:start], "big")
        if len(plain) < start or end > len(plain):
            raise WrongPlain("the length inside is wrong")
        return plain[start:end], plain[end:]
