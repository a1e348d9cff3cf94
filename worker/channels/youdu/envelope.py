"""The envelopes around calls and answers (c01_00002): the account's key and appId in, JSON and bytes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from worker.crypto.envelope import EnvelopeError, KeyUnfit
from worker.crypto.youdu import YouduEnvelope
from worker.domain.account import Account
from worker.domain.errors import ConfigurationError

ALSO = ("sysOrgAssistant",)
"""AppIds that some answers end with instead of the app's own; two SDKs take it."""

# Keys stay in the order they are laid out in, as in the vendor's samples.
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def envelope_of(account: Account, secret: str | None) -> YouduEnvelope:
    """The account's envelope; a secret that is no EncodingAESKey is a ConfigurationError."""
    try:
        return YouduEnvelope(secret or "", str(account.settings["appid"]))
    except KeyUnfit as error:
        # No colon behind the key: the log's redaction would take the next word for the secret itself.
        raise ConfigurationError(f"accounts.{account.name}.secret is not one, {error}") from None


def standard(account: Account, encrypted: str) -> bytes:
    """The body of most calls; `buin` is a number (100012), the others are strings (100013, 100014)."""
    settings = account.settings
    return encode({"buin": int(settings["buin"]), "appId": str(settings["appid"]), "encrypt": encrypted}).encode()


def legacy(account: Account, encrypted: str) -> bytes:
    """The body of pop-up windows and badges."""
    return encode({"app_id": str(account.settings["appid"]), "msg_encrypt": encrypted}).encode()


def opened(envelope: YouduEnvelope, data: Mapping[str, Any]) -> dict[str, Any] | None:
    """The object inside an answer; None where there is none, or it does not open."""
    encrypted = data.get("encrypt")
    if not isinstance(encrypted, str):
        return None
    try:
        found = json.loads(envelope.open(encrypted, ALSO).decode("utf-8", "replace"), strict=False)
    except (EnvelopeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
