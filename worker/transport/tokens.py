"""The access tokens of accounts, each fetched by one thread of one process at a time, and kept encrypted in SQL.

While a token is valid, `get` costs a look into a dict. This module decides when to fetch, when to wait and when to stop
asking. What a vendor's answer means is decided by the channels.

The thread that needs the token fetches it, not a thread of its own: that happens once in a token's life, costs one
sender of many at most the call's deadline before anything is reserved or marked, and leaves nothing to stop when the
process drains.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sqlalchemy.exc import SQLAlchemyError

from worker.channels.base import Channel, TokenGranted, TokenLater, TokenOutcome, TokenRefused, TokenStale
from worker.config.accounts import AccountSource, FixedAccounts
from worker.crypto.seal import NONCE_BYTES, seal, unseal
from worker.domain.account import GETTOKEN, Account, Token, TokenParked, TokenState, TokenWait
from worker.domain.call import NotSent, Reply
from worker.outbox.engine.database import Database
from worker.outbox.lanes import tokens
from worker.outbox.lanes.tokens import REFUSED_ON_CALL, FetchLease, TokenKey, TokenRow
from worker.transport.http import Transport, call_once
from worker.transport.token_provider import TokenProviders, Unprovided
from worker.transport.token_source import Credentials, TokenSources

_Lent = tuple[Account, Token]
"""Another account's token with which one is fetched, and that account."""
_MICRO = 1e-6
JUST_S = 3.0
"""Seconds after the refusal of an account's previous secret in which its present one is tried again."""
_STORED_MOST = 300  # length of the column `refused`

REFUSED_TWICE = (
    "the vendor refuses the token it has just given out",
    "check that agent and secret belong together and that the application is enabled; we ask again by ourselves",
)
PROVIDED_TWICE = (
    "the vendor refuses the token that token_provider has just given",
    "check that it gives the token of this corp and app; it is asked again by itself",
)
SAME_AGAIN = (
    "token_provider gives the token again that the vendor refused",
    "let it fetch another one when it is asked for a fresh one; it is asked again by itself",
)


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """Times in seconds."""

    refresh_ahead_s: float = 300.0
    """A token is fetched anew so long before its end; one with a short life, in its last quarter."""
    spare_s: float = 30.0
    """A token is not used in its last so many seconds (at most a twentieth of its life): no call may outlive it."""
    lease_s: float = 15.0
    call_s: float = 10.0
    probe_s: float = 600.0
    probation_s: float = 600.0
    """A token that replaced a refused one parks the account when it is refused within this time, before any success."""
    patience_s: float = 1.0
    """How long a caller waits for the fetch of another thread or process before it gets a `TokenWait`."""
    poll_s: float = 0.1
    retry_s: float = 2.0
    """First pause of a process after a fetch without an answer; doubled up to `retry_most_s`."""
    retry_most_s: float = 60.0
    elsewhere_s: float = 1.0
    """The pause of all other processes after it: one of them may have a way to the vendor."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A token in this process's memory; instants on the monotonic clock."""

    account: Account
    token: Token
    refresh_at: float
    expires_at: float
    on_probation: bool
    """It replaced a refused token, and no call with it has succeeded yet, as far as this process knows."""
    code: tuple[str, str, int] | None = None
    """Keeper, subject and instant of the kept code that it was fetched with; None: the account has its own secret."""


class Tokens:
    """One process's tokens. Thread-safe."""

    def __init__(
        self,
        database: Database,
        transport: Transport,
        *,
        incarnation: Callable[[], str],
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        pause: Callable[[float], None] = time.sleep,
        times: TokenTimes | None = None,
        accounts: AccountSource | None = None,
    ):
        self._database = database
        self._transport = transport
        self._incarnation = incarnation
        self._monotonic = monotonic
        self._wall = wall
        self._rng = rng or random.Random()
        self._entropy = entropy
        self._pause = pause
        self._times = times or TokenTimes()
        self._sources = TokenSources(database, accounts or FixedAccounts([]), probe_s=self._times.probe_s)
        self._providers = TokenProviders(transport, deadline_s=self._times.call_s, monotonic=monotonic)
        self._guard = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._flights: dict[TokenKey, threading.Lock] = {}
        self._silences: dict[TokenKey, int] = {}
        self._resting: dict[TokenKey, tuple[float, TokenLater]] = {}
        """Until when this process does not ask a vendor again that did not answer it, and why."""

    def get(self, account: Account, channel: Channel) -> TokenState:
        """The account's token, or when to ask again, or why a person must act."""
        held = self._held.get(account.name)
        if held is not None and held.account is account and self._monotonic() < held.refresh_at:
            return held.token
        credentials = self._sources.credentials(account, channel)
        if isinstance(credentials, TokenParked):
            return credentials
        with self._guard:
            flight = self._flights.setdefault(credentials.key, threading.Lock())
        # While one thread fetches, the others go on with the old token, or wait for the new one.
        if not flight.acquire(timeout=0 if self._living(credentials) else self._times.patience_s):
            held = self._living(credentials)
            return held.token if held else TokenWait(self._soon(), "another thread fetches the token")
        try:
            return self._obtain(credentials)
        finally:
            flight.release()

    def refused(self, account: Account, token: Token) -> None:
        """Invalidates a token that the vendor refused on a call: exactly this generation, once, for all processes."""
        with self._guard:
            held = self._held.get(account.name)
            if held is not None and held.token.fingerprint == token.fingerprint:
                if held.token.generation > token.generation:
                    return
                del self._held[account.name]
        key = TokenKey(account.name, token.fingerprint)
        reason = "\n".join(REFUSED_TWICE if account.token_provider is None else PROVIDED_TWICE)
        probe_s = self._times.probe_s
        tokens.invalidate(self._database, key, token.generation, reason=reason, probe_s=probe_s)

    def worked(self, account: Account, token: Token) -> None:
        """Ends the probation of a token after a successful call.

        Costs a look into a dict, and for a token on probation one statement. While the database is away the probation
        goes on until the next success.
        """
        held = self._held.get(account.name)
        if held is None or not held.on_probation or held.token != token:
            return
        passed = replace(held, on_probation=False)
        if not self._swap(held, passed):
            return
        try:
            tokens.end_probation(self._database, TokenKey(account.name, token.fingerprint), token.generation)
        except SQLAlchemyError:
            self._swap(passed, held)

    def _swap(self, held: _Held, other: _Held) -> bool:
        """Replaces a token in memory; False: another thread has replaced it already."""
        with self._guard:
            if self._held.get(held.account.name) is not held:
                return False
            self._held[held.account.name] = other
        return True

    def of_either(self, account: Account, channel: Channel) -> tuple[TokenState, Account]:
        """The account's token, or that of its previous credentials where the present ones are refused, and whose it is.

        In a rotation either side may change first: the vendor takes the new secret not yet, or the old one no longer.
        """
        state, before = self.get(account, channel), account.previous
        if before is None or not isinstance(state, TokenParked):
            return state, account
        pair = [self._sources.credentials(its, channel) for its in (account, before)]
        present, former = (None if isinstance(its, TokenParked) else its.key for its in pair)
        if present is None or former is None or present == former:
            # Only the callback was rotated, say.
            return state, account
        instead = self.get(before, channel)
        if isinstance(instead, Token):
            return instead, before
        if isinstance(instead, TokenParked) and instead.probe_in_s > self._times.probe_s - JUST_S:
            # Refused since a moment ago: now the vendor takes the new one.
            tokens.try_once_more(self._database, present)
            return TokenWait(self._times.poll_s, "the vendor takes the previous secret no longer"), account
        return state, account

    def may_ask(self, account: Account, channel: Channel) -> bool:
        """True when a token may be fetched now: these credentials were not refused, or long enough ago.

        Of an account that needs another's token, the other is to be asked too: see `keeper`.
        """
        credentials = self._sources.credentials(account, channel)
        if isinstance(credentials, TokenParked):
            return False
        row = tokens.read(self._database, credentials.key)
        return not row.parked_us and not row.leased_us

    def keeper(self, account: Account, channel: Channel) -> tuple[Account, Channel] | None:
        """The account with whose token this one's is fetched; None: it is fetched without another's."""
        return self._sources.keeper_of_token(channel.token_chain(account))

    def forget(self, changed: Iterable[tuple[str, str, int]]) -> None:
        """Drops the tokens in memory that rest on an older code than (keeper, subject, instant) says."""
        newest = {(keeper, subject): at for keeper, subject, at in changed}
        with self._guard:
            for name, held in list(self._held.items()):
                if held.code is not None and newest.get(held.code[:2], 0) > held.code[2]:
                    del self._held[name]

    def _living(self, credentials: Credentials) -> _Held | None:
        """Returns the token in memory, or None if it has expired or belongs to other credentials."""
        held = self._held.get(credentials.account.name)
        if (
            held is None
            or held.token.fingerprint != credentials.key.fingerprint
            or self._monotonic() >= held.expires_at
        ):
            return None
        return held

    def _obtain(self, credentials: Credentials) -> TokenState:
        """Reads the row and fetches, or waits up to `patience_s` for the fetch of another process."""
        held = self._living(credentials)
        if held is not None and self._monotonic() < held.refresh_at:
            return self._hold(replace(held, account=credentials.account))
        waited = 0.0
        while True:
            access = self._step(credentials)
            if access is not None:
                return access
            if waited >= self._times.patience_s:
                return TokenWait(self._soon(), "another process fetches the token")
            self._pause(self._times.poll_s)
            waited += self._times.poll_s

    def _step(self, credentials: Credentials) -> TokenState | None:
        """Reads the row once, and fetches a token if this process gets the lease.

        Returns None if another process is fetching.
        """
        before = self._monotonic()
        row = tokens.read(self._database, credentials.key)
        held = self._adopt(credentials, row, before)
        if held is not None and before < held.refresh_at:
            return held.token
        if row.parked_us or row.leased_us:
            return self._meanwhile(row, held)
        if (rest := self._rest(credentials.key)) is not None:
            return self._later(held) if held else rest
        beside = self._beside(credentials)
        if not isinstance(beside, tuple):
            return self._later(held) if held else beside
        holder, lease_s = self._incarnation(), self._times.lease_s
        lease = tokens.lease(self._database, credentials.key, row.generation, holder=holder, seconds=lease_s)
        return None if lease is None else self._fetch(credentials, lease, held, *beside, row)

    def _beside(self, credentials: Credentials) -> tuple[str, _Lent | None] | TokenWait | TokenParked:
        """Returns what the fetch needs beside the secret, or why that is not available.

        That is a ticket (empty where none is needed), or the token of another account, with that account.
        """
        keeper = self._sources.keeper_of_token(credentials.chain)
        if keeper is None:
            ticket = self._sources.ticket(credentials)
            return ticket if isinstance(ticket, TokenWait) else (ticket, None)
        owner, channel = keeper
        match self.of_either(owner, channel)[0]:
            case Token() as token:
                return token.value, (owner, token)
            # The vendor's penalty is for the keeper's call, which no lane is blocked for.
            case TokenWait() as wait:
                return replace(wait, reason=f"account {owner.name}: {wait.reason}", penalty=None)
            case TokenParked() as parked:
                return replace(parked, reason=f"account {owner.name}: {parked.reason}")

    def _refused_value(self, credentials: Credentials, row: TokenRow) -> str | None:
        """Returns the token that the vendor refused on a call, or None if the last one was not refused."""
        if row.expires_at != REFUSED_ON_CALL or row.sealed is None:
            return None
        return unseal(row.sealed, secret=credentials.secret, context=credentials.context(row.generation)) or ""

    def _adopt(self, credentials: Credentials, row: TokenRow, before: float) -> _Held | None:
        """Keeps the row's token in memory. Returns None if it has expired, or cannot be decrypted with this secret."""
        if not row.alive or row.sealed is None or row.expires_at is None or row.fetched_at is None:
            return None
        value = unseal(row.sealed, secret=credentials.secret, context=credentials.context(row.generation))
        if value is None:
            return None
        token = Token(value, row.generation, credentials.key.fingerprint)
        born = before - (row.now - row.fetched_at) * _MICRO
        life_s = (row.expires_at - row.fetched_at) * _MICRO
        ahead = min(self._times.refresh_ahead_s, life_s / 4)
        held = _Held(
            credentials.account, token, born + life_s - ahead, born + life_s, row.on_probation, credentials.code
        )
        self._hold(held)
        return held

    def _hold(self, held: _Held) -> Token:
        with self._guard:
            self._held[held.account.name] = held
        return held.token

    def _meanwhile(self, row: TokenRow, held: _Held | None) -> TokenState | None:
        """Returns the token, or why there is none, while this process may not fetch one itself.

        Returns None while another process is fetching: the row is read again shortly.
        """
        if held is not None:
            return self._later(held)
        if row.refused is not None:
            reason, remedy, hint = [*row.refused.split("\n"), "", ""][:3]
            return TokenParked(reason, remedy, max(row.parked_us, row.leased_us) * _MICRO, hint or None)
        if row.lease_holder is None:
            return TokenWait(row.leased_us * _MICRO, "the vendor gave no token; nobody asks before that")
        return None

    def _later(self, held: _Held) -> Token:
        """Returns the old token, which is used until the row is read again in about a second."""
        look_at = self._monotonic() + self._soon()
        return self._hold(replace(held, refresh_at=min(look_at, held.expires_at)))

    def _fetch(
        self,
        credentials: Credentials,
        lease: FetchLease,
        held: _Held | None,
        beside: str,
        lent: _Lent | None,
        row: TokenRow,
    ) -> TokenState | None:
        """Asks with no transaction open; stores the result only while the lease is still this process's."""
        match self._ask(credentials, beside, self._refused_value(credentials, row)):
            case TokenGranted(token=value, expires_in_s=life_s):
                if lent is not None:
                    self.worked(*lent)
                return self._granted(credentials, lease, value, life_s)
            case TokenRefused() as outcome:
                return self._park(lease, held, outcome)
            case TokenStale(reason=reason):
                if row.on_probation:
                    # Of this customer alone: others may be served with the same token, which must not be ended again.
                    return self._postpone(lease, held, self._silence(credentials.key, reason, alone=False))
                if lent is not None:
                    self.refused(*lent)
                tokens.put_on_probation(self._database, lease, seconds=self._times.probation_s)
                return None
            case TokenLater() as later:
                return self._postpone(lease, held, later)

    def _postpone(self, lease: FetchLease, held: _Held | None, later: TokenLater) -> TokenState:
        shared_s = later.delay
        if later.alone:
            self._resting[lease.key] = self._monotonic() + later.delay, later
            shared_s = min(later.delay, self._times.elsewhere_s)
        tokens.postpone(self._database, lease, seconds=shared_s)
        return self._later(held) if held else _wait(later, later.delay)

    def _rest(self, key: TokenKey) -> TokenWait | None:
        """Returns how long this process waits after the vendor did not answer it, or None if it may ask now."""
        until, later = self._resting.get(key, (0.0, None))
        left_s = until - self._monotonic()
        return None if later is None or left_s <= 0 else _wait(later, left_s)

    def _ask(self, credentials: Credentials, beside: str, refused: str | None) -> TokenOutcome:
        provider = credentials.account.token_provider
        if provider is None:
            return self._call(credentials, beside)
        provided = self._providers.ask(credentials.account, provider, fresh=refused is not None)
        if isinstance(provided, Unprovided):
            # Nothing was asked of a busy place, so the pauses of this account do not grow.
            if provided.busy:
                return TokenLater(f"{GETTOKEN}{provided.reason}", self._soon())
            return self._silence(credentials.key, provided.reason, provided.remedy)
        if provided.token == refused:
            return self._silence(credentials.key, *SAME_AGAIN, alone=False)
        self._silences.pop(credentials.key, None)
        return provided

    def _call(self, credentials: Credentials, beside: str) -> TokenOutcome:
        account, request = credentials.account, credentials.request(beside, int(self._wall()))
        request = replace(request, deadline_s=self._times.call_s, egress=account.egress)
        result = call_once(self._transport, request)
        if not isinstance(result, Reply):
            remedy = result.remedy if isinstance(result, NotSent) else None
            return self._silence(credentials.key, result.reason, remedy)
        outcome = credentials.outcome(result)
        if not isinstance(outcome, TokenStale):
            self._silences.pop(credentials.key, None)
        return outcome

    def _silence(self, key: TokenKey, reason: str, remedy: str | None = None, *, alone: bool = True) -> TokenLater:
        """Returns the outcome of a fetch without a token: a pause, longer each time. `alone`: see `TokenLater`."""
        count = self._silences[key] = self._silences.get(key, 0) + 1
        longest = min(self._times.retry_s * 2.0 ** min(count - 1, 16), self._times.retry_most_s)
        # Asking again does no harm, but all processes must not do it at the same moment.
        delay = self._rng.uniform(longest / 2, longest)
        return TokenLater(f"{GETTOKEN}{reason}", delay, remedy=remedy or None, alone=alone)

    def _granted(self, credentials: Credentials, lease: FetchLease, value: str, expires_in_s: int) -> Token | None:
        """Stores the token. Returns None if another process has the lease by now: the row is read again."""
        nonce = self._entropy(NONCE_BYTES)
        sealed = seal(value, secret=credentials.secret, context=credentials.context(lease.generation + 1), nonce=nonce)
        life_s = max(1.0, expires_in_s - min(self._times.spare_s, expires_in_s / 20))
        probation_s = self._times.probation_s
        if not tokens.store(self._database, lease, sealed=sealed, lifetime_s=life_s, probation_s=probation_s):
            return None
        before = self._monotonic()
        held = self._adopt(credentials, tokens.read(self._database, credentials.key), before)
        return held.token if held else None

    def _park(self, lease: FetchLease, held: _Held | None, refused: TokenRefused) -> TokenState | None:
        probe_s = self._times.probe_s
        lines = (refused.reason, refused.remedy, *([refused.hint] if refused.hint else []))
        if not tokens.park(self._database, lease, reason="\n".join(lines)[:_STORED_MOST], probe_s=probe_s):
            return None
        return self._later(held) if held else TokenParked(refused.reason, refused.remedy, probe_s, refused.hint)

    def _soon(self) -> float:
        return self._rng.uniform(0.5, 1.5)


def _wait(later: TokenLater, seconds: float) -> TokenWait:
    return TokenWait(seconds, later.reason, later.penalty, later.remedy, later.alone)
