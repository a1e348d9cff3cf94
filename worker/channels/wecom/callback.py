"""Verifies and decrypts requests to a WeCom callback address, and reads their XML. Knows no event.

Pure. The order of checks is the vendor's own: parse, signature, decrypt, receiver (page 90968). Nothing of a request is
trusted before its signature is verified. A refusal is a fixed phrase that quotes no value of the request.
"""

from __future__ import annotations

import re
import string
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from worker.crypto.envelope import Envelope, EnvelopeError, ForeignReceiver, WrongSignature
from worker.domain.account import Account, Secret
from worker.domain.callbacks.inbound import CallbackRefused, unix_seconds
from worker.domain.errors import ConfigurationError, Problem

DEEPEST = 8
"""Levels of a callback's XML, at most. The vendor's own has five (SelectedItems/SelectedItem/OptionIds/OptionId)."""
ENVELOPE_BYTES = 64 * 1024
"""Bytes of a request's body, at most. It is far above any callback of the vendors."""
QUEUED_S = 600
"""Seconds for which the vendor may have delayed an event. Thousands of members may change at once."""
EXCHANGED_S = 90 * 86_400
"""Seconds for which a captured verification is recognised by its timestamp, which has become its nonce."""
MAX_ID_LENGTH = 128
"""Characters of an id in a callback, at most: a task_id has 128, a userid 64. No column holds a longer one."""

_BASE64 = string.ascii_letters.encode() + string.digits.encode() + b"+/"
_BESIDE_BASE64 = 1024
"""Bytes of an envelope outside its Base64 text, at most. The vendors' have a hundred."""
_MEMBERS = 32
"""Tags of an envelope in XML, or names and entries in JSON, at most. The vendors' have ten, or three."""

REPLACED = "\ufffd"
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML holds (XML 1.0, 2.2), not even as a reference."""
_DECLARATION = re.compile(r"\s*+<\?xml\b[^>]*+>")
_REFERENCE = re.compile(
    r"<!\[CDATA\[(?:.*?\]\]>|.*+)"
    r"|&(?P<reference>#x(?P<hex>[0-9A-Fa-f]{1,8});|#(?P<decimal>[0-9]{1,8});|(?:amp|lt|gt|quot|apos);|)",
    re.DOTALL,
)
"""A reference, an `&` that is none, or CDATA, in which an `&` is itself."""

Query = Mapping[str, str]
Tree = dict[str, Any]

CALLBACK_KEYS = ("token", "aes_key")
"""Token and EncodingAESKey of an address (page 90930 回调配置)."""


@dataclass(frozen=True)
class WecomVerifier:
    """Base of the verifiers of requests to one callback address."""

    envelope: Envelope
    max_age_s: float

    def verify(self, query: Query, now: float) -> bytes:
        """Returns the answer to the vendor's URL verification: the content of `echostr`, and nothing around it."""
        return echoed(self.envelope, query, now, self.max_age_s)

    def require_recent(self, happened_at: int, now: float) -> None:
        """Refuses an old event by its sealed time.

        The signature sorts timestamp and nonce, so in a captured request they can be exchanged.
        """
        if abs(now - happened_at) > self.max_age_s + QUEUED_S:
            raise CallbackRefused(403, "an old event under a new timestamp")


def secrets_of(account: Account) -> Mapping[str, Secret]:
    """Returns the secrets of the account's callback address, by setting. Empty without one here."""
    held = account.settings.get("callback")
    return held if isinstance(held, Mapping) else {}


def secret_problems(callback: Mapping[str, Any]) -> Iterator[Problem]:
    """Finds what is wrong with the table of an address's secrets."""
    for name in CALLBACK_KEYS:
        if not isinstance(callback.get(name), Secret):
            yield Problem(f"callback.{name}", "is missing", f'add {name} = {{ env = "NAME" }} or {{ file = "PATH" }}')
    for name in callback.keys() - set(CALLBACK_KEYS):
        yield Problem(f"callback.{name}", "is not a setting", f"use {' and '.join(CALLBACK_KEYS)}")


def echoed(envelope: Envelope, query: Query, now: float, max_age_s: float) -> bytes:
    """Returns the content of a verification's `echostr`."""
    message = opened(envelope, query, query_value(query, "echostr"), now, max_age_s)
    # An echostr holds no time, and the signature sorts timestamp and nonce: in one that was captured they may have been
    # exchanged. Of the vendor's nonces, one in 300 looks so; a person who saves the address again gets another.
    nonce = unix_seconds(query_value(query, "nonce"))
    if nonce is not None and now - EXCHANGED_S < nonce < now - max_age_s:
        raise CallbackRefused(403, "a nonce that was a timestamp")
    # Otherwise a captured message could be sent again as an echostr, and would be answered in plain text.
    if message.lstrip()[:1] in (b"<", b"{"):
        raise CallbackRefused(403, "a message, not an echostr")
    return message


def envelope_of(account: str, token: str, aes_key: str, receiver: str | None) -> Envelope:
    """Returns the envelope of one address. With None it accepts any receiver. ConfigurationError names a bad key."""
    try:
        return Envelope(token, aes_key, receiver)
    except EnvelopeError as error:
        raise ConfigurationError(f"accounts.{account}.callback.aes_key: {error}") from None


def opened(envelope: Envelope, query: Query, encrypted: str, now: float, max_age_s: float) -> bytes:
    """Decrypts a request if it is from the vendor, for this receiver, and recent. `now` is in Unix seconds."""
    signature, timestamp, nonce = (query_value(query, name) for name in ("msg_signature", "timestamp", "nonce"))
    try:
        message = envelope.open(signature, timestamp, nonce, encrypted)
    except WrongSignature:
        raise CallbackRefused(403, "wrong signature") from None
    except ForeignReceiver:
        raise CallbackRefused(403, "meant for another receiver") from None
    except EnvelopeError:
        raise CallbackRefused(403, "does not decrypt to a message") from None
    # Retries carry a timestamp of their own, so an old timestamp belongs to a replayed request (page 90930).
    sent_at = unix_seconds(timestamp)
    if sent_at is None or abs(now - sent_at) > max_age_s:
        raise CallbackRefused(403, "stale timestamp")
    return message


@contextmanager
def behind_signature() -> Iterator[None]:
    """Gives every refusal the status of a wrong receiver or padding.

    Who knows the token, but not the key, can sign anything, and must not learn from the status which padding is right.
    """
    try:
        yield
    except CallbackRefused as refused:
        raise CallbackRefused(403, str(refused)) from None


def query_value(query: Query, name: str) -> str:
    """Returns a required query parameter."""
    value = query.get(name)
    if not value:
        raise CallbackRefused(400, f"no {name} in the query")
    return value


def require_envelope(body: bytes) -> None:
    """Refuses what is no envelope, without parsing it: its signature is not verified yet.

    A parser would need a thousand times as long for a body that has only elements or names.
    """
    beside = body[: ENVELOPE_BYTES + 1].translate(None, _BASE64)
    if len(body) > ENVELOPE_BYTES or len(beside) > _BESIDE_BASE64:
        raise CallbackRefused(413, "larger than an encrypted callback")
    if any(beside.count(sign) > _MEMBERS for sign in (b"<", b":", b",")):
        raise CallbackRefused(400, "more elements than an encrypted callback has")


def encrypted_in(body: bytes) -> str:
    """Returns the encrypted text of an envelope in XML."""
    require_envelope(body)
    # The vendor's samples put whitespace around CDATA. The signature is over what is inside.
    encrypted = (parsed(body).findtext("Encrypt") or "").strip()
    if not encrypted:
        raise CallbackRefused(400, "no Encrypt in the body")
    return encrypted


def parsed(body: bytes) -> Element:
    """Parses XML without a document type, entities or anything to fetch."""
    # Imported here, because a producer's installation opens no callback and does not have it.
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(body, forbid_dtd=True)
    except DefusedXmlException:
        raise CallbackRefused(400, "XML with a document type or entities") from None
    except (ParseError, ValueError, LookupError):  # LookupError: an unknown encoding
        raise CallbackRefused(400, "not XML") from None
    return root


def tree_in(message: bytes) -> Tree:
    """Returns the content of a decrypted message.

    The signature shows that the vendor sent it. So what a member typed and XML does not allow is replaced: the message
    would be lost if it were refused.
    """
    try:
        root = parsed(message)
    except CallbackRefused:
        root = parsed(_mended(message))
    return tree_of(root)


def _mended(message: bytes) -> bytes:
    """Returns XML with U+FFFD in place of characters that XML does not have, and `&amp;` for an `&` of no reference."""

    def mended(match: re.Match[str]) -> str:
        if match["reference"] == "":
            return "&amp;"
        number = int(match["hex"], 16) if match["hex"] else int(match["decimal"] or "32")
        return match[0] if _is_character(number) else REPLACED

    text = message.decode("utf-8", "replace").lstrip("\ufeff")
    if declared := _DECLARATION.match(text):
        text = text[declared.end() :]
    return _NO_CHARACTER.sub(REPLACED, _REFERENCE.sub(mended, text)).encode()


def _is_character(number: int) -> bool:
    return number <= sys.maxunicode and not _NO_CHARACTER.match(chr(number))


def tree_of(element: Element, depth: int = 1) -> Tree:
    """Returns an element's children as a dict. A repeated child becomes a list."""
    if depth > DEEPEST:
        raise CallbackRefused(400, "XML nested too deeply")
    out: Tree = {}
    for child in element:
        value = tree_of(child, depth + 1) if len(child) else (child.text or "").strip()
        if child.tag not in out:
            out[child.tag] = value
        elif isinstance(out[child.tag], list):
            out[child.tag].append(value)
        else:
            out[child.tag] = [out[child.tag], value]
    return out


def listed(holder: Any, name: str) -> list[Any]:
    """Returns the values under a name as a list, whether it occurs once or many times."""
    found = member(holder, name)
    return found if isinstance(found, list) else [] if found in (None, "") else [found]


def member(holder: Any, name: str) -> Any:
    """Returns the value under a name, or None if the holder is no object or has none."""
    return holder.get(name) if isinstance(holder, Mapping) else None


def text_at(holder: Any, name: str) -> str:
    """Returns a text under a name, or an empty one."""
    value = member(holder, name)
    return value if isinstance(value, str) else ""


def id_at(holder: Any, name: str) -> str:
    """Returns an id under a name. Refuses one that no column could hold."""
    value = text_at(holder, name)
    if len(value) > MAX_ID_LENGTH:
        raise CallbackRefused(400, f"{name} is too long")
    return value
