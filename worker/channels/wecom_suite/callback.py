"""Callbacks of a suite's instruction address (指令回调URL): tickets, authorisations, and their end.

Pure. Credentials are removed from the payload: they are neither stored with it nor passed to hooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.channels.wecom.answer import storable
from worker.channels.wecom.callback import (
    Query,
    Tree,
    WecomVerifier,
    behind_signature,
    echoed,
    encrypted_in,
    envelope_of,
    id_at,
    opened,
    text_at,
    tree_in,
)
from worker.channels.wecom.redact import MASK
from worker.crypto.envelope import Envelope
from worker.domain.account import Account
from worker.domain.callbacks.inbound import CallbackRefused, Grant, GrantKind, Inbound, content_of, unix_seconds

TICKET_S = 1800
"""Seconds for which a suite_ticket is valid. A new one is pushed every ten minutes (推送suite_ticket)."""
AUTH_CODE_S = 600
"""Seconds for which an AuthCode is valid, once (授权通知事件)."""
SUCCESS = b"success"
"""The answer that the vendor expects within a second."""
_MAX_LENGTH = 1024
"""Characters of a credential, at most. The vendor's have at most 512."""
_SECRET_FIELDS = frozenset(
    {"suiteticket", "authcode", "permanentcode", "accesstoken", "registercode", "preauthcode", "suiteaccesstoken"}
)


@dataclass(frozen=True)
class SuiteVerifier(WecomVerifier):
    """Verifies and decrypts the requests to one suite's callback address."""

    verifier: Envelope
    suite_id: str

    def verify(self, query: Query, now: float) -> bytes:
        """Returns the answer to the vendor's URL verification. Its receiver is the provider's corp, not the suite."""
        return echoed(self.verifier, query, now, self.max_age_s)

    def read(self, query: Query, body: bytes, now: float) -> Inbound:
        """Reads what a POST reports."""
        message = opened(self.envelope, query, encrypted_in(body), now, self.max_age_s)
        with behind_signature():
            return self._read(message, now)

    def _read(self, message: bytes, now: float) -> Inbound:
        tree = tree_in(message)
        if text_at(tree, "SuiteId") not in ("", self.suite_id):
            raise CallbackRefused(403, "meant for another suite")
        happened_at = unix_seconds(text_at(tree, "TimeStamp") or text_at(tree, "CreateTime"))
        if happened_at is None:
            raise CallbackRefused(400, "no TimeStamp in the message")
        self.require_recent(happened_at, now)
        name = text_at(tree, "InfoType") or text_at(tree, "Event") or "unknown"
        return Inbound(
            event=storable(name)[:80],
            person="",
            happened_at=happened_at,
            identity=content_of(message),
            payload=without_secrets(tree),
            grant=_grant(tree, name),
            granted_by=id_at(tree, "AuthCorpId") if name == "change_auth" else "",
            answer=SUCCESS,
            answer_type="text/plain",
        )


def verifier(account: Account, secrets: Mapping[str, str], max_age_s: float) -> SuiteVerifier:
    """Returns the verifier of one account. ConfigurationError names a malformed key."""
    suite_id = str(account.settings["suite_id"])
    # The verification is sealed for the provider's corp, the events for the suite (w7corp/easywechat, issue 1300).
    own, anyone = (
        envelope_of(account.name, secrets["token"], secrets["aes_key"], receiver) for receiver in (suite_id, None)
    )
    return SuiteVerifier(own, max_age_s, anyone, suite_id)


def _grant(tree: Tree, name: str) -> Grant | None:
    match name:
        case "suite_ticket":
            return Grant(GrantKind.TICKET, _credential(tree, "SuiteTicket"), lasts_s=TICKET_S)
        # An authorisation contains only its code. The exchange shows whose it is.
        case "create_auth" | "reset_permanent_code":
            return Grant(GrantKind.AUTH_CODE, _credential(tree, "AuthCode"), lasts_s=AUTH_CODE_S)
        case "cancel_auth":
            if not (corp := id_at(tree, "AuthCorpId")):
                raise CallbackRefused(400, "no AuthCorpId in the message")
            return Grant(GrantKind.CODE, None, corp)
    return None


def _credential(tree: Tree, name: str) -> str:
    value = text_at(tree, name)
    if not 0 < len(value) <= _MAX_LENGTH or not value.isascii() or not value.isprintable():
        raise CallbackRefused(400, f"no usable {name} in the message")
    return value


def without_secrets(tree: Any) -> Any:
    """Returns a copy with a mask in place of every credential."""
    if isinstance(tree, Mapping):
        return {
            storable(name): MASK if name.replace("_", "").lower() in _SECRET_FIELDS else without_secrets(value)
            for name, value in tree.items()
        }
    if isinstance(tree, list):
        return [without_secrets(entry) for entry in tree]
    return storable(tree)
