"""Finds what an account's token is fetched with: its secret, stored credentials, or a provider's bearer.

It identifies them by a fingerprint, and opens what is sealed. It fetches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.channels.base import Channel, FetchedWith, TokenOutcome, TokenSteps
from worker.channels.registry import channel as find_channel, usable
from worker.config.accounts import AccountSource
from worker.crypto.seal import keyed_hash, unseal
from worker.domain.account import Account, TokenParked, TokenWait
from worker.domain.call import FileBody, Reply, Request
from worker.domain.callbacks.inbound import GrantKind
from worker.domain.errors import ConfigurationError
from worker.outbox.engine.database import Database
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.lanes import grants
from worker.outbox.lanes.grants import GrantKey
from worker.outbox.lanes.tokens import TokenKey

_NO_INSTANT = 0
"""The time in the request that is only hashed, to identify the credentials."""
TICKET_POLL_S = 10.0
"""Seconds until an account that waits for a ticket looks for it again."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The key of an account's token, and what is needed to fetch and to decrypt it."""

    account: Account
    channel: Channel
    key: TokenKey
    secret: str = field(repr=False)
    """Seals the token. For the vendor's own call, it is also what proves the account's identity."""
    steps: TokenSteps | None = None
    code: tuple[str, str, int] | None = None
    """Suite account, subject and instant of the stored code that `secret` is. None if it is the account's own."""

    def context(self, generation: int) -> str:
        """Returns the context for which the token of a generation is sealed."""
        return f"token {self.key.account} {self.key.fingerprint} {generation}"

    def request(self, extra: str, now: int) -> Request:
        """Returns the vendor's call that fetches the token."""
        if self.steps is None:
            return self.channel.token_request(self.account, self.secret, now)
        return self.steps.request(self.account, self.secret, extra, now)

    def outcome(self, reply: Reply) -> TokenOutcome:
        """Returns what the answer to that call means."""
        if self.steps is None:
            return self.channel.token_outcome(reply, self.account, self.secret)
        return self.steps.outcome(reply, self.account)


class TokenSources:
    """Finds the credentials of one process's accounts. Thread-safe."""

    def __init__(self, database: Database, accounts: AccountSource, *, probe_s: float):
        self._database, self._accounts, self._probe_s = database, accounts, probe_s

    def credentials(self, account: Account, channel: Channel) -> Credentials | TokenParked:
        """Returns an account's credentials as configured now, or TokenParked if a code that it needs is missing."""
        if account.token_provider is not None:
            return self._provider_credentials(account, channel)
        steps, stored = channel.token_steps(account), None
        if steps is None or steps.subject is None:
            secret = secret_of(account)
        else:
            code = self._stored_code(steps, steps.subject)
            if isinstance(code, TokenParked):
                return code
            secret, stored_at = code
            stored = (steps.suite, steps.subject, stored_at)
        unnamed = Credentials(account, channel, TokenKey(account.name, ""), secret, steps, stored)
        fingerprint = _fingerprint(secret, unnamed.request("", _NO_INSTANT))
        return Credentials(account, channel, TokenKey(account.name, fingerprint), secret, steps, stored)

    def _provider_credentials(self, account: Account, channel: Channel) -> Credentials:
        provider = account.token_provider
        assert provider is not None
        if provider.bearer is not None:
            secret = provider.bearer.read()
        else:
            # A function has no secret. The site's own key protects its tokens from a reader of this table alone.
            with self._database.reading() as connection:
                secret = lane_key(connection).hex()
        fingerprint = keyed_hash(secret.encode(), "token_provider", provider.place)
        return Credentials(account, channel, TokenKey(account.name, fingerprint), secret)

    def _stored_code(self, steps: TokenSteps, subject: str) -> tuple[str, int] | TokenParked:
        """Returns the stored code, and when it was stored."""
        suite = suite_account_of(self._accounts, steps)
        row = grants.read_grant(self._database, GrantKey(GrantKind.CODE, suite.name, subject))
        if row is None or row.sealed is None:
            reason, remedy = steps.missing if row is None else steps.ended
            return TokenParked(reason, remedy, self._probe_s)
        return open_grant(row.key, row.sealed, suite), row.stored_at

    def suite_for_token(self, steps: TokenSteps | None) -> tuple[Account, Channel] | None:
        """Returns the account whose own token the fetch needs, or None if it needs no other account's."""
        if steps is None or steps.extra is not FetchedWith.TOKEN:
            return None
        suite = suite_account_of(self._accounts, steps)
        return suite, find_channel(suite.channel)

    def ticket(self, credentials: Credentials) -> str | TokenWait:
        """Returns the newest ticket if the fetch needs one, else an empty text."""
        steps = credentials.steps
        if steps is None or steps.extra is not FetchedWith.TICKET:
            return ""
        row = grants.read_grant(self._database, GrantKey(GrantKind.TICKET, steps.suite))
        if row is None or row.sealed is None or row.is_over:
            return TokenWait(TICKET_POLL_S, steps.missing[0], remedy=steps.missing[1])
        return open_grant(row.key, row.sealed, credentials.account)


def suite_account_of(accounts: AccountSource, steps: TokenSteps) -> Account:
    """Returns the account that stores the codes. Raises ConfigurationError if it is not the account of a suite."""
    suite = usable(accounts, steps.suite)
    suite_steps = find_channel(suite.channel).token_steps(suite)
    if suite_steps is None or suite_steps.exchange is None:
        raise ConfigurationError(f"account {steps.suite!r} keeps no codes of corps; name the account of a suite")
    return suite


def open_grant(key: GrantKey, sealed: str, suite: Account) -> str:
    """Opens a stored credential with the suite's secret or its previous one. Raises ConfigurationError if both fail."""
    opened = unseal(sealed, secret=secret_of(suite), context=key.context)
    if opened is None and suite.previous_credentials is not None:
        opened = unseal(sealed, secret=secret_of(suite.previous_credentials), context=key.context)
    if opened is None:
        # Only this process fails: while a secret is being changed, another may have the right one.
        raise ConfigurationError(
            f"the {key.kind} that account {suite.name!r} stores cannot be decrypted with its secret;"
            " set its previous to the former secret, or let the corps authorise the app again"
        )
    return opened


def secret_of(account: Account) -> str:
    """Reads the account's secret. Raises ConfigurationError if there is none."""
    if account.secret is None:
        raise ConfigurationError(f"accounts.{account.name} has no secret; this channel needs one")
    return account.secret.read()


def _fingerprint(secret: str, request: Request) -> str:
    """Identifies the credentials by a hash, under the secret itself, of all that the vendor receives."""
    assert not isinstance(request.body, FileBody)
    query = [part for pair in sorted(request.query.items()) for part in pair]
    body = (request.body or b"").decode("utf-8", "backslashreplace")
    return keyed_hash(secret.encode(), request.base_url, request.path, *query, body)
