"""What an account's token is fetched with: its secret, what callbacks brought, or the bearer of a firm's own place.

Finds it, names it by a fingerprint, and opens what is sealed. Fetches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.channels.base import Channel, FetchedWith, TokenChain, TokenOutcome
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
"""The time in the request that is only hashed, to name the credentials."""
TICKET_LOOK_S = 10.0
"""Seconds until an account that waits for a ticket looks for it again."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account's token, and what is needed to fetch and to decrypt it."""

    account: Account
    channel: Channel
    key: TokenKey
    secret: str = field(repr=False)
    """Seals the token; for the vendor's own call also what proves the account."""
    chain: TokenChain | None = None
    code: tuple[str, str, int] | None = None
    """Keeper, subject and instant of the kept code that the secret is; None: it is the account's own."""

    def context(self, generation: int) -> str:
        """What the token of a generation is sealed for."""
        return f"token {self.key.account} {self.key.fingerprint} {generation}"

    def request(self, beside: str, now: int) -> Request:
        """The vendor's call."""
        if self.chain is None:
            return self.channel.token_request(self.account, self.secret, now)
        return self.chain.request(self.account, self.secret, beside, now)

    def outcome(self, reply: Reply) -> TokenOutcome:
        """What the answer to it means."""
        if self.chain is None:
            return self.channel.token_outcome(reply, self.account, self.secret)
        return self.chain.outcome(reply, self.account)


class TokenSources:
    """Where the tokens of one process's accounts come from. Thread-safe."""

    def __init__(self, database: Database, accounts: AccountSource, *, probe_s: float):
        self._database, self._accounts, self._probe_s = database, accounts, probe_s

    def credentials(self, account: Account, channel: Channel) -> Credentials | TokenParked:
        """The token of an account as it is configured now; parked: a code that it takes is not there."""
        if account.token_provider is not None:
            return self._provided(account, channel)
        chain, kept = channel.token_chain(account), None
        if chain is None or chain.subject is None:
            secret = secret_of(account)
        else:
            code = self._code(chain, chain.subject)
            if isinstance(code, TokenParked):
                return code
            secret, stored_at = code
            kept = (chain.keeper, chain.subject, stored_at)
        unnamed = Credentials(account, channel, TokenKey(account.name, ""), secret, chain, kept)
        fingerprint = _fingerprint(secret, unnamed.request("", _NO_INSTANT))
        return Credentials(account, channel, TokenKey(account.name, fingerprint), secret, chain, kept)

    def _provided(self, account: Account, channel: Channel) -> Credentials:
        provider = account.token_provider
        assert provider is not None
        if provider.bearer is not None:
            secret = provider.bearer.read()
        else:
            # A function has no secret: the site's own key keeps its tokens apart from a reader of this table alone.
            with self._database.reading() as connection:
                secret = lane_key(connection).hex()
        fingerprint = keyed_hash(secret.encode(), "token_provider", provider.place)
        return Credentials(account, channel, TokenKey(account.name, fingerprint), secret)

    def _code(self, chain: TokenChain, subject: str) -> tuple[str, int] | TokenParked:
        """The kept code and the instant at which it was stored."""
        keeper = keeper_of(self._accounts, chain)
        row = grants.read(self._database, GrantKey(GrantKind.CODE, keeper.name, subject))
        if row is None or row.sealed is None:
            reason, remedy = chain.missing if row is None else chain.ended
            return TokenParked(reason, remedy, self._probe_s)
        return open_grant(row.key, row.sealed, keeper), row.stored_at

    def keeper_of_token(self, chain: TokenChain | None) -> tuple[Account, Channel] | None:
        """The account whose own token the fetch takes; None: it takes no other account's."""
        if chain is None or chain.beside is not FetchedWith.TOKEN:
            return None
        keeper = keeper_of(self._accounts, chain)
        return keeper, find_channel(keeper.channel)

    def ticket(self, credentials: Credentials) -> str | TokenWait:
        """The newest ticket, as far as the fetch takes one; else an empty text."""
        chain = credentials.chain
        if chain is None or chain.beside is not FetchedWith.TICKET:
            return ""
        row = grants.read(self._database, GrantKey(GrantKind.TICKET, chain.keeper))
        if row is None or row.sealed is None or row.is_over:
            return TokenWait(TICKET_LOOK_S, chain.missing[0], remedy=chain.missing[1])
        return open_grant(row.key, row.sealed, credentials.account)


def keeper_of(accounts: AccountSource, chain: TokenChain) -> Account:
    """Returns the account that keeps a chain's codes; ConfigurationError where that is no usable account of a suite."""
    keeper = usable(accounts, chain.keeper)
    own = find_channel(keeper.channel).token_chain(keeper)
    if own is None or own.exchange is None:
        raise ConfigurationError(f"account {chain.keeper!r} keeps no codes of corps; name the account of a suite")
    return keeper


def open_grant(key: GrantKey, sealed: str, keeper: Account) -> str:
    """A kept credential, by the keeper's secret or its previous one; neither opens it: a ConfigurationError."""
    opened = unseal(sealed, secret=secret_of(keeper), context=key.context)
    if opened is None and keeper.previous is not None:
        opened = unseal(sealed, secret=secret_of(keeper.previous), context=key.context)
    if opened is None:
        # Of this process alone: while a secret is being changed, another may have the one that opens it.
        raise ConfigurationError(
            f"the {key.kind} that account {keeper.name!r} keeps does not open with its secret; set its previous to the"
            " one before, or let the corps authorise the app again"
        )
    return opened


def secret_of(account: Account) -> str:
    """The account's secret, read now; a missing one is a ConfigurationError."""
    if account.secret is None:
        raise ConfigurationError(f"accounts.{account.name} has no secret; this channel needs one")
    return account.secret.read()


def _fingerprint(secret: str, request: Request) -> str:
    """The name of the credentials: a hash, under the secret itself, of all that the vendor is asked with."""
    assert not isinstance(request.body, FileBody)
    query = [part for pair in sorted(request.query.items()) for part in pair]
    body = (request.body or b"").decode("utf-8", "backslashreplace")
    return keyed_hash(secret.encode(), request.base_url, request.path, *query, body)
