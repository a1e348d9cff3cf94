"""The envelopes around calls and answers, HTTP answers without one, and gettoken (c01_00002).

An answer without an envelope comes from a proxy, another host or an overloaded server (notes, 8.1). Each gettoken
returns a new token. Whether the older one stays valid is not documented, so only one is fetched at a time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from worker.channels.base import TokenLater, TokenOutcome, TokenRefused
from worker.channels.errcodes import Catalogue, Class, ErrcodeFile
from worker.channels.wecom.answer import json_of, read, retry_after
from worker.channels.wecom.token import DEADLINE_S, UNREADABLE_DELAY_S, granted
from worker.channels.youdu.account import DEFAULT_PATH
from worker.crypto.envelope import EnvelopeError, KeyUnfit
from worker.crypto.youdu import YouduEnvelope
from worker.domain.account import Account
from worker.domain.call import Reply, Request
from worker.domain.errors import ConfigurationError
from worker.domain.job import JobKind
from worker.domain.outcome import Outcome, Rejected, Scope, Unknown, Wait

ERRCODES = Catalogue(ErrcodeFile("youdu"))
ALSO = ("sysOrgAssistant",)
"""AppIds that some answers end with instead of the app's own. Two SDKs accept it."""

# Keys stay in the order in which they are laid out, as in the vendor's samples.
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def envelope_of(account: Account, secret: str | None) -> YouduEnvelope:
    """Returns the account's envelope. Raises ConfigurationError if the secret is no EncodingAESKey."""
    try:
        return YouduEnvelope(secret or "", str(account.settings["appid"]))
    except KeyUnfit as error:
        # No colon after the key: the log's redaction would take the next word for the secret itself.
        raise ConfigurationError(f"accounts.{account.name}.secret is not one, {error}") from None


def standard(account: Account, encrypted: str) -> bytes:
    """Builds the body of most calls. `buin` is a number (100012), the others are strings (100013, 100014)."""
    settings = account.settings
    return encode({"buin": int(settings["buin"]), "appId": str(settings["appid"]), "encrypt": encrypted}).encode()


def legacy(account: Account, encrypted: str) -> bytes:
    """Builds the body of pop-up windows and badges."""
    return encode({"app_id": str(account.settings["appid"]), "msg_encrypt": encrypted}).encode()


def opened(envelope: YouduEnvelope, data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the object inside an answer, or None if there is none or it cannot be decrypted."""
    encrypted = data.get("encrypt")
    if not isinstance(encrypted, str):
        return None
    try:
        found = json_of(envelope.open(encrypted, ALSO))
    except (EnvelopeError, ValueError):
        return None
    return found if isinstance(found, dict) else None


BUSY_S = 5.0
"""The front proxy turns the file service off at 95 % of its CPU and checks again every 5 s (h01_00011)."""
TIMED_OUT = 408
TOO_LARGE = 413
TOO_MANY = 429
UNAVAILABLE = 503


def no_vendor(reply: Reply, kind: str) -> Outcome:
    """Returns what such an answer means for a call: unknown, because the server behind a proxy may have carried it out.

    A second upload does no harm, so an upload waits or is rejected as the answer says.
    """
    status, delay = reply.status, retry_after(reply) or (BUSY_S if reply.status in (TOO_MANY, UNAVAILABLE) else 0.0)
    if kind == JobKind.UPLOAD and delay:
        return Wait(Scope.LANE, delay, f"http_{status} without the server's JSON")
    if status == TOO_LARGE:
        return Rejected(PROXY_LIMIT) if kind == JobKind.UPLOAD else Unknown(PROXY_LIMIT, delay=delay)
    if (remedy := wrong_place(status)) is not None:
        return Unknown(f"http_{status}: {remedy}", delay=delay)
    return Unknown(f"http_{status} without the server's JSON", delay=delay)


PROXY_LIMIT = "http_413: too large for a proxy on the way"


def wrong_place(status: int) -> str | None:
    """Returns what an operator should correct if it is certainly not the server that answers, or None."""
    if status in (404, 405):
        return "correct base_url (port 7080 by default) and api_path: nothing there takes this call"
    if 300 <= status < 400:
        return "correct base_url: the server answers with a redirect (another scheme or host?)"
    if 400 <= status < 500 and status not in (TIMED_OUT, TOO_LARGE, TOO_MANY):
        return "check base_url, and what stands between the worker and the server"
    return None


WRONG_KEY = "the answer cannot be decrypted with the account's key"


def token_request(account: Account, secret: str, now: int) -> Request:
    """Builds the call that fetches the app's token: the time in seconds as text, encrypted."""
    envelope, plain = envelope_of(account, secret), str(now).encode()
    body = standard(account, envelope.seal(plain, envelope.leading(b"gettoken", plain)))
    path = f"{account.settings.get('api_path', DEFAULT_PATH)}/gettoken"
    return Request("POST", account.base_url, path, {}, body, "application/json", DEADLINE_S)


def token_outcome(reply: Reply, account: Account, secret: str) -> TokenOutcome:
    """Returns granted, refused (an operator must act), or later."""
    answer = read(reply)
    if answer is None:
        asked_s, remedy = retry_after(reply), wrong_place(reply.status)
        reason = f"http_{reply.status}: no vendor answer"
        return TokenLater(reason, asked_s or UNREADABLE_DELAY_S, remedy=remedy, alone=not asked_s)
    if answer.errcode:
        return _token_refused(answer.errcode)
    given = opened(envelope_of(account, secret), answer.data)
    if given is None:
        return TokenRefused(WRONG_KEY, "correct appid and the EncodingAESKey")
    return granted(given, "accessToken", "expireIn")


def _token_refused(code: int) -> TokenOutcome:
    row = ERRCODES.find(code)
    if row is None:
        return TokenRefused(f"errcode {code} (not in the catalogue)", "look the code up in the server's manual", code)
    if row.kind in (Class.RETRY, Class.DEFER, Class.TOKEN):
        return TokenLater(row.reason, row.delay or UNREADABLE_DELAY_S)
    return TokenRefused(row.reason, row.remedy, code)
