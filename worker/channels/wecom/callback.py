"""Opens requests to a WeCom callback address: signature, age, decryption, and XML as plain dicts. Knows no event.

Pure. The order of checks is the vendor's own: parse, signature, decrypt, receiver (page 90968); nothing of a request is
believed before its signature proved right. A refusal is a fixed phrase that quotes no value of the request.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from worker.crypto.envelope import Envelope, EnvelopeError, ForeignReceiver, WrongSignature
from worker.domain.account import Account, Secret
from worker.domain.callbacks.inbound import CallbackRefused, unix_seconds
from worker.domain.errors import ConfigurationError, Problem

DEEPEST = 8
"""Levels of a callback's XML; the vendor's own has five (SelectedItems/SelectedItem/OptionIds/OptionId)."""
ENVELOPE_BYTES = 64 * 1024
"""Bytes of a request's body at most, far above any callback of the vendors'."""
QUEUED_S = 600
"""Seconds for which the vendor may have held an event back; thousands of members may change at once."""
LONGEST_ID = 128
"""Most characters of an id in a callback: a task_id's (userids have 64). No column holds a longer one."""

_BASE64 = string.ascii_letters.encode() + string.digits.encode() + b"+/"
_BESIDE_BASE64 = 1024
"""Most bytes of an envelope that are not of its Base64 text: those of the vendors' have a hundred."""
_MEMBERS = 32
"""Most tags of an envelope in XML, and most names or entries of one in JSON: the vendors' have ten, or three."""

Query = Mapping[str, str]
Tree = dict[str, Any]

CALLBACK_KEYS = ("token", "aes_key")
"""Token and EncodingAESKey of an address (page 90930 回调配置)."""


@dataclass(frozen=True)
class WecomDoor:
    """Base of the readers of requests to one callback address."""

    envelope: Envelope
    max_age_s: float

    def verify(self, query: Query, now: float) -> bytes:
        """The answer to the vendor's URL verification: what `echostr` holds, and nothing around it."""
        return echoed(self.envelope, query, now, self.max_age_s)

    def require_recent(self, happened_at: int, now: float) -> None:
        """Refuses an event that is old by the instant inside, which is sealed.

        The signature sorts timestamp and nonce: in a request that was captured they can change places.
        """
        if abs(now - happened_at) > self.max_age_s + QUEUED_S:
            raise CallbackRefused(403, "an old event under a new timestamp")


def secrets_of(account: Account) -> Mapping[str, Secret]:
    """The secrets of the account's callback address, by setting; empty where it has none here."""
    held = account.settings.get("callback")
    return held if isinstance(held, Mapping) else {}


def secret_problems(callback: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the table of an address's secrets."""
    for name in CALLBACK_KEYS:
        if not isinstance(callback.get(name), Secret):
            yield Problem(f"callback.{name}", "is missing", f'add {name} = {{ env = "NAME" }} or {{ file = "PATH" }}')
    for name in callback.keys() - set(CALLBACK_KEYS):
        yield Problem(f"callback.{name}", "is not a setting", f"use {' and '.join(CALLBACK_KEYS)}")


def echoed(envelope: Envelope, query: Query, now: float, max_age_s: float) -> bytes:
    """What the `echostr` of a verification holds."""
    message = opened(envelope, query, given(query, "echostr"), now, max_age_s)
    # A message that was captured on its way would be told in plain to the one who sends it again as an echostr.
    if message.lstrip()[:1] in (b"<", b"{"):
        raise CallbackRefused(403, "a message, not an echostr")
    return message


def envelope_of(account: str, token: str, aes_key: str, receiver: str | None) -> Envelope:
    """The envelope of one address; None: of any receiver. A malformed key is a ConfigurationError that names it."""
    try:
        return Envelope(token, aes_key, receiver)
    except EnvelopeError as error:
        raise ConfigurationError(f"accounts.{account}.callback.aes_key: {error}") from None


def opened(envelope: Envelope, query: Query, encrypted: str, now: float, max_age_s: float) -> bytes:
    """The message in a request that is the vendor's, for this receiver and recent; `now` is in Unix seconds."""
    signature, timestamp, nonce = (given(query, name) for name in ("msg_signature", "timestamp", "nonce"))
    try:
        message = envelope.open(signature, timestamp, nonce, encrypted)
    except WrongSignature:
        raise CallbackRefused(403, "wrong signature") from None
    except ForeignReceiver:
        raise CallbackRefused(403, "meant for another receiver") from None
    except EnvelopeError:
        raise CallbackRefused(400, "does not decrypt to a message") from None
    # Retries carry a timestamp of their own, so an old timestamp is that of a replayed request (page 90930).
    sent_at = unix_seconds(timestamp)
    if sent_at is None or abs(now - sent_at) > max_age_s:
        raise CallbackRefused(403, "stale timestamp")
    return message


def given(query: Query, name: str) -> str:
    """A parameter that has to be there."""
    value = query.get(name)
    if not value:
        raise CallbackRefused(400, f"no {name} in the query")
    return value


def require_envelope(body: bytes) -> None:
    """Refuses what is no envelope, without parsing it: the signature has not proved right yet.

    A parser needs a thousand times as long for a body that is nothing but elements or names.
    """
    beside = body[: ENVELOPE_BYTES + 1].translate(None, _BASE64)
    if len(body) > ENVELOPE_BYTES or len(beside) > _BESIDE_BASE64:
        raise CallbackRefused(413, "more than an envelope")
    if any(beside.count(sign) > _MEMBERS for sign in (b"<", b":", b",")):
        raise CallbackRefused(400, "more members than an envelope has")


def encrypted_in(body: bytes) -> str:
    """The encrypted text of an envelope in XML."""
    require_envelope(body)
    # The vendor's samples put whitespace around CDATA; the signature is over what is inside.
    encrypted = (parsed(body).findtext("Encrypt") or "").strip()
    if not encrypted:
        raise CallbackRefused(400, "no Encrypt in the body")
    return encrypted


def parsed(body: bytes) -> Element:
    """XML without a document type, entities or anything to fetch."""
    # Not at the top: a producer's installation, which opens no callback, does not have it.
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(body, forbid_dtd=True)
    except DefusedXmlException:
        raise CallbackRefused(400, "XML with a document type or entities") from None
    except (ParseError, ValueError, LookupError):  # LookupError: an unknown encoding
        raise CallbackRefused(400, "not XML") from None
    return root


def tree_of(element: Element, depth: int = 1) -> Tree:
    """An element's children as a dict; one that stands several times is a list."""
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
    """The values under a name as a list, whether it stands once or many times."""
    found = member(holder, name)
    return found if isinstance(found, list) else [] if found in (None, "") else [found]


def member(holder: Any, name: str) -> Any:
    """The value under a name; None where the holder is no object or has none."""
    return holder.get(name) if isinstance(holder, Mapping) else None


def text_at(holder: Any, name: str) -> str:
    """A text under a name; empty where there is none."""
    value = member(holder, name)
    return value if isinstance(value, str) else ""


def id_at(holder: Any, name: str) -> str:
    """An id under a name; refused when no column could hold it."""
    value = text_at(holder, name)
    if len(value) > LONGEST_ID:
        raise CallbackRefused(400, f"{name} is too long")
    return value
