"""The access tokens of accounts. One thread of one process fetches a token, which is stored encrypted in SQL.

While a token is valid, `get_or_fetch` costs one look-up in a dict. This module decides when to fetch, when to wait and
when to stop. The channels decide what a vendor's answer means.

The thread that needs the token fetches it. That happens once in a token's life, blocks one sender of many for at most
the call's deadline, before anything is reserved or marked, and leaves nothing to stop when the process drains.
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
from worker.config.settings import DeliverySettings
from worker.crypto.seal import NONCE_BYTES, seal, unseal
from worker.domain.account import GETTOKEN, Account, Token, TokenParked, TokenState, TokenWait
from worker.domain.call import NotSent, Reply
from worker.outbox.engine.clock import SKEW_US, micros
from worker.outbox.engine.database import Database
from worker.outbox.lanes import tokens
from worker.outbox.lanes.tokens import REFUSED_ON_CALL, FetchLease, TokenKey, TokenRow
from worker.transport.http import Transport, call_once
from worker.transport.session import Web
from worker.transport.token_provider import ProviderFailure, TokenProviders
from worker.transport.token_source import Credentials, TokenSources

_SuiteToken = tuple[Account, Token]
"""A suite's account and its token, with which another account's token is fetched."""
_MICRO = 1e-6
JUST_REFUSED_S = 3.0
"""Seconds after the refusal of an account's previous secret within which its present one is tried again."""
_MAX_STORED = 300  # length of the column `refused`

REFUSED_TWICE = (
    "the vendor refuses the token it has just given out",
    "check that agentid and secret belong together and that the app is enabled; the worker asks again by itself",
)
PROVIDED_TWICE = (
    "the vendor refuses the token that token_provider has just given",
    "check that it gives the token of this corp and app; the worker asks again by itself",
)
SAME_TOKEN = (
    "token_provider gives the token again that the vendor refused",
    "let it fetch a new token when it is asked for a fresh one; the worker asks again by itself",
)


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """Times in seconds that no setting changes."""

    spare_s: float = 30.0
    """How long before its end a token is no longer used (at most a twentieth of its life). No call may outlive it."""
    probation_s: float = 600.0
    """If a token that replaced a refused one is refused within this time, before any success, the account is parked."""
    patience_s: float = 1.0
    """How long a caller waits for the fetch of another thread or process before it gets a `TokenWait`."""
    poll_s: float = 0.1
    retry_s: float = 2.0
    """First pause of a process after a fetch without an answer. It doubles up to `retry_max_s`."""
    retry_max_s: float = 60.0
    others_s: float = 1.0
    """The pause of all other processes after it: one of them may reach the vendor."""
    longest_pause_s: float = 3600.0
    """The longest pause, whatever the vendor demands. A longer one began before the database's clock was set back."""


@dataclass(frozen=True, slots=True)
class _CachedToken:
    """A token in this process's cache. Instants are on the monotonic clock."""

    account: Account
    token: Token
    refresh_at: float
    expires_at: float
    on_probation: bool
    """True if it replaced a refused token, and this process knows of no successful call with it yet."""
    code: tuple[str, str, int] | None = None
    """Suite account, subject and instant of the stored code it was fetched with. None if the account has a secret."""


class Tokens:
    """The tokens of one process. Thread-safe."""

    def __init__(
        self,
        database: Database,
        transport: Transport,
        web: Web,
        *,
        settings: DeliverySettings,
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
        self._settings, self._times = settings, times or TokenTimes()
        self._sources = TokenSources(database, accounts or FixedAccounts([]), probe_s=settings.park_probe_s)
        self._providers = TokenProviders(web, deadline_s=settings.token_call_s, monotonic=monotonic)
        self._lock = threading.Lock()
        self._cache: dict[str, _CachedToken] = {}
        self._fetch_locks: dict[TokenKey, threading.Lock] = {}
        self._failures: dict[TokenKey, int] = {}
        self._paused: dict[TokenKey, tuple[float, TokenLater]] = {}
        """Until when this process does not call a vendor that did not answer it, and why."""

    def get_or_fetch(self, account: Account, channel: Channel) -> TokenState:
        """Returns the account's token, or when to try again, or why a person must act."""
        cached = self._cache.get(account.name)
        if cached is not None and cached.account is account and self._monotonic() < cached.refresh_at:
            return cached.token
        credentials = self._sources.credentials(account, channel)
        if isinstance(credentials, TokenParked):
            return credentials
        with self._lock:
            fetch_lock = self._fetch_locks.setdefault(credentials.key, threading.Lock())
        # While one thread fetches, the others go on with the old token, or wait for the new one.
        if not fetch_lock.acquire(timeout=0 if self._valid(credentials) else self._times.patience_s):
            cached = self._valid(credentials)
            return cached.token if cached else TokenWait(self._jitter(), "another thread fetches the token")
        try:
            return self._fetch_or_wait(credentials)
        finally:
            fetch_lock.release()

    def invalidate(self, account: Account, token: Token) -> None:
        """Invalidates a token that the vendor refused on a call: exactly this generation, once, for all processes."""
        with self._lock:
            cached = self._cache.get(account.name)
            if cached is not None and cached.token.fingerprint == token.fingerprint:
                if cached.token.generation > token.generation:
                    return
                del self._cache[account.name]
        key = TokenKey(account.name, token.fingerprint)
        reason = "\n".join(REFUSED_TWICE if account.token_provider is None else PROVIDED_TWICE)
        probe_s = self._settings.park_probe_s
        tokens.refuse_token(self._database, key, token.generation, reason=reason, probe_s=probe_s)

    def record_success(self, account: Account, token: Token) -> None:
        """Ends the probation of a token after a successful call.

        Costs one look-up in a dict, and one statement for a token on probation. While the database is away, the
        probation lasts until the next success.
        """
        cached = self._cache.get(account.name)
        if cached is None or not cached.on_probation or cached.token != token:
            return
        confirmed = replace(cached, on_probation=False)
        if not self._replace(cached, confirmed):
            return
        try:
            tokens.end_probation(self._database, TokenKey(account.name, token.fingerprint), token.generation)
        except SQLAlchemyError:
            self._replace(confirmed, cached)

    def _replace(self, cached: _CachedToken, replacement: _CachedToken) -> bool:
        """Replaces a token in the cache. Returns False if another thread has replaced it already."""
        with self._lock:
            if self._cache.get(cached.account.name) is not cached:
                return False
            self._cache[cached.account.name] = replacement
        return True

    def get_current_or_previous(self, account: Account, channel: Channel) -> tuple[TokenState, Account]:
        """Returns the token of the account or, if its secret is refused, of its previous one, and the account used.

        In a rotation either side may change first: the vendor does not accept the new secret yet, or no longer the old
        one.
        """
        state, previous = self.get_or_fetch(account, channel), account.previous_credentials
        if previous is None or not isinstance(state, TokenParked):
            return state, account
        pair = [self._sources.credentials(entry, channel) for entry in (account, previous)]
        present, former = (None if isinstance(entry, TokenParked) else entry.key for entry in pair)
        if present is None or former is None or present == former:
            # For example, only the callback's secret was rotated.
            return state, account
        fallback = self.get_or_fetch(previous, channel)
        if isinstance(fallback, Token):
            return fallback, previous
        if isinstance(fallback, TokenParked) and fallback.age_s < JUST_REFUSED_S:
            # The previous secret was refused a moment ago, so the vendor may accept the new one now.
            tokens.retry_refused_row(self._database, present)
            return TokenWait(self._times.poll_s, "the vendor no longer accepts the previous secret"), account
        return state, account

    def may_fetch(self, account: Account, channel: Channel) -> bool:
        """Returns True if a token may be fetched now: these credentials were not refused, or long enough ago.

        If the account needs a suite's token, check the suite's account too (see `suite_account`).
        """
        credentials = self._sources.credentials(account, channel)
        if isinstance(credentials, TokenParked):
            return False
        row = self._read(credentials.key)
        return not row.parked_us and not row.leased_us

    def suite_account(self, account: Account, channel: Channel) -> tuple[Account, Channel] | None:
        """Returns the account whose token is needed to fetch this one's, or None."""
        return self._sources.suite_for_token(channel.token_steps(account))

    def drop(self, changed: Iterable[tuple[str, str, int]]) -> None:
        """Drops cached tokens that depend on another code than (suite account, subject, instant) says."""
        # Not only on an older one: the clock may have been set back between the two.
        present = {(suite, subject): at for suite, subject, at in changed}
        with self._lock:
            for name, cached in list(self._cache.items()):
                if cached.code is not None and present.get(cached.code[:2], cached.code[2]) != cached.code[2]:
                    del self._cache[name]

    def _valid(self, credentials: Credentials) -> _CachedToken | None:
        """Returns the cached token, or None if it has expired or belongs to other credentials."""
        cached = self._cache.get(credentials.account.name)
        if (
            cached is None
            or cached.token.fingerprint != credentials.key.fingerprint
            or self._monotonic() >= cached.expires_at
        ):
            return None
        return cached

    def _fetch_or_wait(self, credentials: Credentials) -> TokenState:
        """Reads the row and fetches, or waits up to `patience_s` for the fetch of another process."""
        cached = self._valid(credentials)
        if cached is not None and self._monotonic() < cached.refresh_at:
            return self._put(replace(cached, account=credentials.account))
        waited = 0.0
        while True:
            access = self._try_once(credentials)
            if access is not None:
                return access
            if waited >= self._times.patience_s:
                return TokenWait(self._jitter(), "another process fetches the token")
            self._pause(self._times.poll_s)
            waited += self._times.poll_s

    def _try_once(self, credentials: Credentials) -> TokenState | None:
        """Reads the row once, and fetches a token if this process gets the lease.

        Returns None if another process is fetching.
        """
        before = self._monotonic()
        row = self._read(credentials.key)
        cached = self._cache_row(credentials, row, before)
        if cached is not None and before < cached.refresh_at:
            return cached.token
        if row.parked_us or row.leased_us:
            return self._while_not_allowed(row, cached)
        if (pause := self._remaining_pause(credentials.key)) is not None:
            return self._keep_using(cached) if cached else pause
        extra = self._extra(credentials)
        if not isinstance(extra, tuple):
            return self._keep_using(cached) if cached else extra
        holder, lease_s = self._incarnation(), self._settings.token_lease_s
        lease = tokens.lease_fetch(self._database, credentials.key, row.generation, holder=holder, seconds=lease_s)
        return None if lease is None else self._fetch(credentials, lease, cached, *extra, row)

    def _read(self, key: TokenKey) -> TokenRow:
        """Reads the row, and ends a wait of it that is longer than any is meant to be."""
        row = tokens.read(self._database, key)
        probe_us = micros(self._settings.park_probe_s) + SKEW_US
        lease_us = micros(max(self._times.longest_pause_s, self._settings.token_lease_s)) + SKEW_US
        if row.parked_us <= probe_us and row.leased_us <= lease_us:
            return row
        tokens.end_future_waits(self._database, key, probe_us=probe_us, lease_us=lease_us)
        return tokens.read(self._database, key)

    def _extra(self, credentials: Credentials) -> tuple[str, _SuiteToken | None] | TokenWait | TokenParked:
        """Returns what the fetch needs in addition to the secret, or why that is not available.

        That is a ticket (empty if none is needed), or the token of the suite's account, with that account.
        """
        suite = self._sources.suite_for_token(credentials.steps)
        if suite is None:
            ticket = self._sources.ticket(credentials)
            return ticket if isinstance(ticket, TokenWait) else (ticket, None)
        owner, channel = suite
        match self.get_current_or_previous(owner, channel)[0]:
            case Token() as token:
                return token.value, (owner, token)
            # The vendor's penalty is for the suite's call, which no lane is blocked for.
            case TokenWait() as wait:
                return replace(wait, reason=f"account {owner.name}: {wait.reason}", penalty=None)
            case TokenParked() as parked:
                return replace(parked, reason=f"account {owner.name}: {parked.reason}")

    def _refused_value(self, credentials: Credentials, row: TokenRow) -> str | None:
        """Returns the token that the vendor refused on a call, or None if the last one was not refused."""
        if row.expires_at != REFUSED_ON_CALL or row.sealed is None:
            return None
        return unseal(row.sealed, secret=credentials.secret, context=credentials.context(row.generation)) or ""

    def _cache_row(self, credentials: Credentials, row: TokenRow, before: float) -> _CachedToken | None:
        """Caches the row's token. Returns None if it has expired, or cannot be decrypted with this secret."""
        if not row.alive or row.sealed is None or row.expires_at is None or row.fetched_at is None:
            return None
        value = unseal(row.sealed, secret=credentials.secret, context=credentials.context(row.generation))
        if value is None:
            return None
        token = Token(value, row.generation, credentials.key.fingerprint)
        began = before - (row.now - row.fetched_at) * _MICRO
        life_s = (row.expires_at - row.fetched_at) * _MICRO
        ahead = min(self._settings.token_refresh_s, life_s / 4)  # for a short life the last quarter
        cached = _CachedToken(
            credentials.account, token, began + life_s - ahead, began + life_s, row.on_probation, credentials.code
        )
        self._put(cached)
        return cached

    def _put(self, cached: _CachedToken) -> Token:
        with self._lock:
            self._cache[cached.account.name] = cached
        return cached.token

    def _while_not_allowed(self, row: TokenRow, cached: _CachedToken | None) -> TokenState | None:
        """Returns the token or the error to use while this process may not fetch a token itself.

        Returns None while another process is fetching. The row should be read again shortly.
        """
        if cached is not None:
            return self._keep_using(cached)
        if row.refused is not None:
            reason, remedy, hint = [*row.refused.split("\n"), "", ""][:3]
            age_s = self._settings.park_probe_s - row.parked_us * _MICRO
            return TokenParked(reason, remedy, max(row.parked_us, row.leased_us) * _MICRO, hint or None, age_s)
        if row.lease_holder is None:
            return TokenWait(row.leased_us * _MICRO, "the vendor gave no token; the worker asks again by itself")
        return None

    def _keep_using(self, cached: _CachedToken) -> Token:
        """Returns the old token, which is used until the row is read again in about a second."""
        look_at = self._monotonic() + self._jitter()
        return self._put(replace(cached, refresh_at=min(look_at, cached.expires_at)))

    def _fetch(
        self,
        credentials: Credentials,
        lease: FetchLease,
        cached: _CachedToken | None,
        extra: str,
        suite_token: _SuiteToken | None,
        row: TokenRow,
    ) -> TokenState | None:
        """Fetches without an open transaction. Stores the result only if this process still has the lease."""
        match self._request(credentials, extra, self._refused_value(credentials, row)):
            case TokenGranted(token=value, expires_in_s=life_s):
                if suite_token is not None:
                    self.record_success(*suite_token)
                return self._save(credentials, lease, value, life_s)
            case TokenRefused() as outcome:
                return self._park(lease, cached, outcome)
            case TokenStale(reason=reason):
                if row.on_probation:
                    # Only this account is affected: other accounts of the suite may be served with the same token,
                    # which must not be invalidated again.
                    return self._postpone(lease, cached, self._failed(credentials.key, reason, alone=False))
                if suite_token is not None:
                    self.invalidate(*suite_token)
                tokens.put_on_probation(self._database, lease, seconds=self._times.probation_s)
                return None
            case TokenLater() as later:
                return self._postpone(lease, cached, later)

    def _postpone(self, lease: FetchLease, cached: _CachedToken | None, later: TokenLater) -> TokenState:
        shared_s = min(later.delay, self._times.longest_pause_s)
        if later.alone:
            self._paused[lease.key] = self._monotonic() + later.delay, later
            shared_s = min(later.delay, self._times.others_s)
        tokens.pause_fetches(self._database, lease, seconds=shared_s)
        return self._keep_using(cached) if cached else _wait(later, later.delay)

    def _remaining_pause(self, key: TokenKey) -> TokenWait | None:
        """Returns how long this process still waits after the vendor did not answer it, or None if it may call now."""
        until, later = self._paused.get(key, (0.0, None))
        left_s = until - self._monotonic()
        return None if later is None or left_s <= 0 else _wait(later, left_s)

    def _request(self, credentials: Credentials, extra: str, refused: str | None) -> TokenOutcome:
        provider = credentials.account.token_provider
        if provider is None:
            return self._call(credentials, extra)
        provided = self._providers.fetch(credentials.account, provider, fresh=refused is not None)
        if isinstance(provided, ProviderFailure):
            # The busy provider was not called, so this account's pauses do not grow.
            if provided.busy:
                return TokenLater(f"{GETTOKEN}{provided.reason}", self._jitter())
            return self._failed(credentials.key, provided.reason, provided.remedy)
        if provided.token == refused:
            return self._failed(credentials.key, *SAME_TOKEN, alone=False)
        self._failures.pop(credentials.key, None)
        return provided

    def _call(self, credentials: Credentials, extra: str) -> TokenOutcome:
        account, request = credentials.account, credentials.request(extra, int(self._wall()))
        request = replace(request, deadline_s=self._settings.token_call_s, egress=account.egress)
        result = call_once(self._transport, request)
        if not isinstance(result, Reply):
            remedy = result.remedy if isinstance(result, NotSent) else None
            return self._failed(credentials.key, result.reason, remedy)
        outcome = credentials.outcome(result)
        if not isinstance(outcome, TokenStale):
            self._failures.pop(credentials.key, None)
        return outcome

    def _failed(self, key: TokenKey, reason: str, remedy: str | None = None, *, alone: bool = True) -> TokenLater:
        """Returns the outcome of a fetch without a token: a pause, longer each time. For `alone` see `TokenLater`."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        longest = min(self._times.retry_s * 2.0 ** min(count - 1, 16), self._times.retry_max_s)
        # Another try does no harm, but all processes must not make it at the same moment.
        delay = self._rng.uniform(longest / 2, longest)
        return TokenLater(f"{GETTOKEN}{reason}", delay, remedy=remedy or None, alone=alone)

    def _save(self, credentials: Credentials, lease: FetchLease, value: str, expires_in_s: int) -> Token | None:
        """Stores the token. Returns None if another process has the lease by now, so the row is read again."""
        nonce = self._entropy(NONCE_BYTES)
        sealed = seal(value, secret=credentials.secret, context=credentials.context(lease.generation + 1), nonce=nonce)
        life_s = max(1.0, expires_in_s - min(self._times.spare_s, expires_in_s / 20))
        probation_s = self._times.probation_s
        if not tokens.store_token(self._database, lease, sealed=sealed, lifetime_s=life_s, probation_s=probation_s):
            return None
        before = self._monotonic()
        cached = self._cache_row(credentials, tokens.read(self._database, credentials.key), before)
        return cached.token if cached else None

    def _park(self, lease: FetchLease, cached: _CachedToken | None, refused: TokenRefused) -> TokenState | None:
        probe_s = self._settings.park_probe_s
        lines = (refused.reason, refused.remedy, *([refused.hint] if refused.hint else []))
        if not tokens.park_token(self._database, lease, reason="\n".join(lines)[:_MAX_STORED], probe_s=probe_s):
            return None
        return (
            self._keep_using(cached) if cached else TokenParked(refused.reason, refused.remedy, probe_s, refused.hint)
        )

    def _jitter(self) -> float:
        return self._rng.uniform(0.5, 1.5)


def _wait(later: TokenLater, seconds: float) -> TokenWait:
    return TokenWait(seconds, later.reason, later.penalty, later.remedy, later.alone)
