"""Makes the verifier of each account's callbacks, which checks, decrypts and reads them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from worker.channels.base import CallbackVerifier
from worker.channels.registry import channel, may_have_callbacks, require_usable
from worker.config.accounts import AccountSource
from worker.domain.account import Account
from worker.domain.callbacks.inbound import CallbackRefused, Inbound
from worker.domain.errors import ConfigurationError, UnknownAccount

T = TypeVar("T")

VERIFIER_S = 5.0
"""Seconds after which an account's callback secrets are read again."""


class Verifiers:
    """The callback verifiers of the accounts, each made on first use. Thread-safe."""

    def __init__(self, accounts: AccountSource, max_age_s: float, monotonic: Callable[[], float] = time.monotonic):
        self._accounts, self._max_age_s, self._monotonic = accounts, max_age_s, monotonic
        self._cached: dict[str, tuple[Account, float, CallbackVerifier | None]] = {}

    def of(self, name: str) -> CallbackVerifier | None:
        """Returns the account's verifier, or None if it has none or the account does not exist.

        Raises ConfigurationError if the account's settings or secrets are wrong.
        """
        try:
            account = self._accounts.get(name)
        except UnknownAccount:
            self._cached.pop(name, None)
            return None
        cached = self._cached.get(name)
        # Again after a while, because a file that holds a secret may be another one.
        if cached is None or cached[0] is not account or cached[1] < self._monotonic():
            require_usable(account)
            cached = (account, self._monotonic() + VERIFIER_S, self._make(account))
            self._cached[name] = cached
        return cached[2]

    def _make(self, account: Account) -> CallbackVerifier | None:
        verifier = make_verifier(account, self._max_age_s)
        if verifier is None or account.previous_credentials is None:
            return verifier
        try:
            before = make_verifier(account.previous_credentials, self._max_age_s)
        except ConfigurationError:
            return verifier  # what was valid before may be gone already
        return verifier if before is None else RotatingVerifier(verifier, before)

    def require_one(self) -> None:
        """Raises ConfigurationError if no account has a callback address, so that there is nothing to receive."""
        if not any(may_have_callbacks(self._accounts, name) for name in self._accounts.names()):
            raise ConfigurationError(
                "no account has a callback address; add"
                ' callback = { token = { env = "NAME" }, aes_key = { env = "NAME" } } to [accounts.NAME]'
            )


class RotatingVerifier:
    """Tries the present credentials first, and the previous ones for what these refuse."""

    def __init__(self, present: CallbackVerifier, previous: CallbackVerifier):
        self._present, self._previous = present, previous

    def verify(self, query: Mapping[str, str], now: float) -> bytes:
        """Returns the body that answers the vendor's verification of the address."""
        return self._either(lambda verifier: verifier.verify(query, now))

    def read(self, query: Mapping[str, str], body: bytes, now: float) -> Inbound:
        """Returns the callback that the vendor sent."""
        return self._either(lambda verifier: verifier.read(query, body, now))

    def _either(self, use: Callable[[CallbackVerifier], T]) -> T:
        try:
            return use(self._present)
        except CallbackRefused as refused:
            try:
                return use(self._previous)
            except CallbackRefused:
                raise refused from None


def make_verifier(account: Account, max_age_s: float) -> CallbackVerifier | None:
    """Returns the account's callback verifier, or None. Raises ConfigurationError for an unusable secret."""
    vendor = channel(account.channel)
    secrets = {key: secret.read() for key, secret in vendor.callback_secrets(account).items()}
    return vendor.callback_verifier(account, secrets, max_age_s) if secrets else None
