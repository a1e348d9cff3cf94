"""The credentials that callbacks bring: sealing them, and exchanging authorisation codes for permanent ones.

An authorisation code can be used once, is valid for minutes, and does not say whose it is. So every process looks for
codes in a loop, and the first one to see a code exchanges it at once. The channel interprets codes and answers.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from worker.channels.base import (
    CodeExchange,
    CodeGranted,
    TokenLater,
    TokenRefused,
    TokenStale,
    TokenSteps,
)
from worker.channels.registry import channel as find_channel, usable
from worker.config.accounts import AccountSource
from worker.config.log import Logger
from worker.crypto.seal import NONCE_BYTES, keyed_hash, seal, unseal
from worker.domain.account import Account, Token
from worker.domain.call import Reply
from worker.domain.callbacks.inbound import Grant, GrantKind
from worker.domain.errors import ConfigurationError, WorkerError
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.database import Database
from worker.outbox.lanes import grants
from worker.outbox.lanes.grants import GrantKey, GrantRow, SealedGrant
from worker.transport.http import Transport, call_once
from worker.transport.token_source import open_grant, secret_of
from worker.transport.tokens import Tokens

log = Logger()

POLL_S = 2.0
"""Seconds between two turns."""
OVERLAP_S = 60
"""Seconds that a search reaches back before the last one: a row may be committed some time after its instant."""
RESEAL_S = 60.0
"""Seconds between two searches for credentials that the previous secret has sealed."""
LEASE_S = 25.0
CALL_S = 10.0
MAX_PARALLEL = 8
"""Suites whose codes are exchanged at the same time, at most."""
MAX_SUBJECT = 128
"""Characters of a corp's id, at most."""
DEFER_S = 2 * POLL_S
"""Seconds that a process without an answer waits longer than the others before it tries a code again."""
RETRY_S = 10.0
"""Seconds until a code is tried again after a call without an answer."""

Entropy = Callable[[int], bytes]


def seal_grant(account: Account, grant: Grant, happened_at: int, entropy: Entropy = os.urandom) -> SealedGrant:
    """Seals a credential for storage, with the secret of the account whose callbacks brought it."""
    secret, subject = secret_of(account), grant.subject
    if grant.kind is GrantKind.AUTH_CODE:
        subject = keyed_hash(secret.encode(), grant.secret or "")
    key = GrantKey(grant.kind, account.name, subject)
    sealed = None if grant.secret is None else _seal(key, grant.secret, secret, entropy)
    return SealedGrant(key, sealed, happened_at * SECOND, grant.lasts_s)


def _seal(key: GrantKey, plaintext: str, secret: str, entropy: Entropy) -> str:
    return seal(plaintext, secret=secret, context=key.context, nonce=entropy(NONCE_BYTES))


class SuiteAccounts:
    """Skips work of suites while this process has no app of a suite."""

    def __init__(self, accounts: Callable[[], Mapping[str, Account]]):
        """`accounts` returns the usable accounts: another mapping after each change."""
        self._accounts = accounts
        self._checked: tuple[Mapping[str, Account] | None, bool] = None, False

    def turn(self, work: Callable[[], float]) -> float:
        """Runs `work` if there is such an app. Returns the seconds until the next turn."""
        accounts = self._accounts()
        if accounts is not self._checked[0]:
            all_steps = (find_channel(account.channel).token_steps(account) for account in accounts.values())
            self._checked = accounts, any(steps is not None for steps in all_steps)
        return work() if self._checked[1] else POLL_S


class ChangedCodes:
    """Drops cached tokens whose code was replaced or withdrawn. Every process does this for its own cache."""

    def __init__(self, database: Database, tokens: Tokens):
        self._database, self._tokens = database, tokens
        self._since: int | None = None

    def turn(self) -> float:
        """Reads what has changed since the last turn, and returns the seconds until the next."""
        since, now = self._since, self._database.read_now()
        # At the first turn no token in the cache can depend on an older code.
        if since is not None:
            with self._database.reading() as connection:
                changed = grants.changed_codes(connection, since)
            self._tokens.drop(changed)
        self._since = now - OVERLAP_S * SECOND
        return POLL_S


class CodeExchanges:
    """Exchanges new authorisation codes. The first process to lease a code exchanges it."""

    def __init__(
        self,
        database: Database,
        accounts: AccountSource,
        tokens: Tokens,
        transport: Transport,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        entropy: Entropy = os.urandom,
    ):
        self._database, self._accounts, self._tokens, self._transport = database, accounts, tokens, transport
        self._monotonic, self._entropy = monotonic, entropy
        self._reseal_at = monotonic()
        self._saving = threading.Lock()
        self._unsaved: list[tuple[GrantKey, SealedGrant]] = []
        self._deferred: dict[GrantKey, float] = {}
        """Codes that this process could not exchange, and until when it leaves them to other processes."""

    def turn(self) -> float:
        """Exchanges the codes that are due, several suites in parallel. Returns the seconds until the next turn."""
        self._save()
        with self._database.reading() as connection:
            rows = grants.to_exchange(connection, self._database.now)
        now = self._monotonic()
        self._deferred = {key: until for key, until in self._deferred.items() if until > now}
        suites: dict[str, list[GrantRow]] = {}
        for row in rows:
            if row.key not in self._deferred:
                suites.setdefault(row.key.account, []).append(row)
        if suites:
            # In parallel, because a suite without an answer must not delay the others: codes are valid for minutes.
            with ThreadPoolExecutor(min(len(suites), MAX_PARALLEL), "exchange") as pool:
                deque(pool.map(self._exchange_all, suites.values()), maxlen=0)
        if self._monotonic() >= self._reseal_at:
            self._reseal_at = self._monotonic() + RESEAL_S
            self._reseal()
        return POLL_S

    def _exchange_all(self, rows: Sequence[GrantRow]) -> None:
        """Exchanges the codes of one suite, one after another."""
        for row in rows:
            # A suite that is not configured here, or wrongly, does not delay the others. Its code is left to other
            # processes, which may have the right settings.
            try:
                self._exchange(row)
            except WorkerError as error:
                self._deferred[row.key] = self._monotonic() + RETRY_S
                log.warning("code_not_exchanged", account=row.key.account, reason=str(error), seconds=RETRY_S)

    def _exchange(self, row: GrantRow) -> None:
        if row.is_over:
            self._give_up(row, "it expired before it could be exchanged")
            return
        account, steps = self._suite_account(row.key.account)
        if steps.exchange is None:
            raise WorkerError(f"account {account.name!r} exchanges no codes")
        if account.staging.dry_run:
            return  # an account in dry_run makes no calls, and a code can be spent only once
        code = open_grant(row.key, row.sealed or "", account)
        token, _ = self._tokens.get_current_or_previous(account, find_channel(account.channel))
        if not isinstance(token, Token):
            self._put_off(row, RETRY_S, token.reason)
        elif grants.lease_grant(self._database, row.key, LEASE_S):
            self._settle(row, account, token, self._call(account, steps.exchange, token, code))

    def _save(self) -> None:
        """Stores the codes that arrived while the database was away. The vendor gives each only once."""
        with self._saving:
            while self._unsaved:
                grants.finish_exchange(self._database, *self._unsaved[0])
                del self._unsaved[0]

    def _suite_account(self, name: str) -> tuple[Account, TokenSteps]:
        account = usable(self._accounts, name)
        steps = find_channel(account.channel).token_steps(account)
        if steps is None:
            raise WorkerError(f"account {name!r} exchanges no codes")
        return account, steps

    def _call(
        self, account: Account, exchange: CodeExchange, token: Token, code: str
    ) -> CodeGranted | TokenRefused | TokenLater | TokenStale:
        request = exchange.request(account, token.value, code)
        request = replace(request, deadline_s=CALL_S, egress=account.egress)
        result = call_once(self._transport, request)
        # Without an answer the code may be spent. One more try does no harm, and finds out.
        return exchange.outcome(result) if isinstance(result, Reply) else TokenLater(result.reason, RETRY_S)

    def _settle(
        self,
        row: GrantRow,
        account: Account,
        token: Token,
        outcome: CodeGranted | TokenRefused | TokenLater | TokenStale,
    ) -> None:
        match outcome:
            case CodeGranted(subject=subject) if len(subject) > MAX_SUBJECT:
                self._give_up(row, f"the vendor's id of the corp has more than {MAX_SUBJECT} characters")
            case CodeGranted(subject=subject, code=code):
                key = GrantKey(GrantKind.CODE, account.name, subject)
                sealed = _seal(key, code, secret_of(account), self._entropy)
                self._unsaved.append((row.key, SealedGrant(key, sealed, row.issued_at, None)))
                self._save()
                self._tokens.record_success(account, token)
                log.info("authorised", account=account.name)
            case TokenRefused(reason=reason):
                self._give_up(row, reason)
            case TokenStale():
                self._tokens.invalidate(account, token)
                self._put_off(row, 0.0, outcome.reason)
            case TokenLater(reason=reason, delay=delay):
                self._put_off(row, delay, reason)

    def _put_off(self, row: GrantRow, seconds: float, reason: str) -> None:
        grants.pause_exchange(self._database, row.key, seconds)
        if seconds:
            # Other processes try first: the vendor may only not answer this one.
            self._deferred[row.key] = self._monotonic() + seconds + DEFER_S
        log.warning("code_not_exchanged", account=row.key.account, reason=reason, seconds=seconds)

    def _give_up(self, row: GrantRow, reason: str) -> None:
        if grants.finish_exchange(self._database, row.key, None):
            log.error("authorisation_lost", account=row.key.account, reason=reason)

    def _reseal(self) -> None:
        """Seals with the present secret what the previous one has sealed, so that the previous can be removed."""
        for name in self._accounts.names():
            try:
                if self._accounts.get(name).previous_credentials is not None:
                    self._reseal_of(self._suite_account(name)[0])
            except WorkerError:
                # Not configured here, or wrongly, or not the account of a suite.
                continue

    def _reseal_of(self, account: Account) -> None:
        if account.staging.dry_run or not isinstance(
            self._tokens.get_or_fetch(account, find_channel(account.channel)), Token
        ):
            # Only after the vendor has accepted the secret: what a mistyped secret seals, no later one opens.
            return
        secret, changes, unopened = secret_of(account), [], 0
        with self._database.reading() as connection:
            rows = grants.sealed_grants_of(connection, account.name)
        for key, sealed in rows:
            if unseal(sealed, secret=secret, context=key.context) is not None:
                continue
            try:
                plaintext = open_grant(key, sealed, account)
            except ConfigurationError:
                unopened += 1
                continue
            changes.append((key, sealed, _seal(key, plaintext, secret, self._entropy)))
        if unopened:
            reason = "neither its secret nor its previous one decrypts some of what it stores; leave previous as it is"
            log.error("grants_not_opened", account=account.name, count=unopened, reason=reason)
        if changes:
            grants.reseal(self._database, changes)
