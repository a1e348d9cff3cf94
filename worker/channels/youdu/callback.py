"""Callbacks of a Youdu server (c01_00010): from a request to what it reports.

Pure. Nothing of a request is trusted before its signature is verified. A refusal is a fixed phrase that quotes no value
of the request. Without an accepted answer the server repeats a callback for up to 24 hours.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.channels.wecom.answer import json_of, storable
from worker.channels.wecom.callback import DEEPEST, Query, behind_signature, id_at, query_value, require_envelope
from worker.channels.youdu.envelope import envelope_of
from worker.crypto.envelope import EnvelopeError, ForeignReceiver
from worker.crypto.youdu import YouduEnvelope, signature
from worker.domain.account import Account
from worker.domain.callbacks.inbound import REPEATS_S, CallbackRefused, Inbound, content_of, unix_seconds

ANSWER = b'{"errcode":0,"errmsg":"ok"}'
LOGIN = "auth"
"""A third-party login that asks whether a password is right. It gets no answer: an `ok` would accept any password."""


@dataclass(frozen=True)
class YouduVerifier:
    """Verifies and decrypts the requests to one account's callback address."""

    envelope: YouduEnvelope
    token: str
    buin: int
    appid: str
    max_age_s: float

    def verify(self, query: Query, now: float) -> bytes:
        """Refuses, because this vendor verifies no address."""
        raise CallbackRefused(405, "this vendor verifies no address")

    def read(self, query: Query, body: bytes, now: float) -> Inbound:
        """Reads what a POST reports. `now` is Unix time in seconds."""
        require_envelope(body)
        outer = _object(body)
        signed, timestamp, nonce = (query_value(query, name) for name in ("msg_signature", "timestamp", "nonce"))
        encrypted = outer.get("encrypt")
        if not isinstance(encrypted, str) or not encrypted:
            raise CallbackRefused(400, "no encrypt in the body")
        right = signature(self.token, timestamp, nonce, encrypted)
        if not hmac.compare_digest(right.encode(), signed.encode("utf-8", "surrogatepass")):
            raise CallbackRefused(403, "wrong signature")
        if str(outer.get("toBuin")) != str(self.buin) or outer.get("toApp") != self.appid:
            raise CallbackRefused(403, "meant for another application")
        # A repeat may carry the first delivery's timestamp. A replayed request is recognised by its content.
        sent_at = unix_seconds(timestamp)
        if sent_at is None or not now - REPEATS_S <= sent_at <= now + self.max_age_s:
            raise CallbackRefused(403, "stale timestamp")
        message = self._open(encrypted)
        with behind_signature():
            return inbound_of(message, sent_at)

    def _open(self, encrypted: str) -> bytes:
        try:
            return self.envelope.open(encrypted)
        except ForeignReceiver:
            raise CallbackRefused(403, "meant for another receiver") from None
        except EnvelopeError:
            raise CallbackRefused(403, "does not decrypt to a message") from None


def verifier(account: Account, secrets: Mapping[str, str], max_age_s: float) -> YouduVerifier:
    """Returns the verifier of one account. ConfigurationError names a malformed key."""
    settings, envelope = account.settings, envelope_of(account, secrets["aes_key"])
    return YouduVerifier(envelope, secrets["token"], int(settings["buin"]), str(settings["appid"]), max_age_s)


def inbound_of(message: bytes, sent_at: int) -> Inbound:
    """Reads a decrypted message."""
    said = _object(message)
    msgtype = said.get("msgType")
    if not isinstance(msgtype, str) or not msgtype:
        raise CallbackRefused(400, "no msgType in the message")
    if msgtype == LOGIN:
        raise CallbackRefused(403, "logins are not checked here")
    created, payload = said.get("createTime"), _cleaned(said)
    return Inbound(
        event=f"message:{payload['msgType']}"[:80],
        person=id_at(payload, "fromUser"),
        happened_at=created if type(created) is int and 0 < created < 10**12 else sent_at,
        identity=content_of(message),
        payload=payload,
        answer=ANSWER,
    )


def _cleaned(value: Any, depth: int = 0) -> Any:
    """Returns a copy of the message whose texts every database accepts."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping | list) and depth > DEEPEST:
        raise CallbackRefused(400, "JSON nested too deeply")
    if isinstance(value, Mapping):
        return {storable(name): _cleaned(inner, depth + 1) for name, inner in value.items()}
    return [_cleaned(inner, depth + 1) for inner in value] if isinstance(value, list) else value


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json_of(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CallbackRefused(400, "not a JSON object")
    return found
