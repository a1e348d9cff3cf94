"""The credentials that callbacks bring: sealing them, and the loop that exchanges authorisation codes for lasting ones.

An authorisation code is good once and for minutes, and does not say whose it is: so a loop of every process looks for
one, and the first exchanges it as soon as it is there. What a code or an answer means is the channel's.
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
    TokenChain,
    TokenLater,
    TokenRefused,
    TokenStale,
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

LOOK_S = 2.0
"""Seconds between two turns."""
OVERLAP_S = 60
"""Seconds that a look reaches back before the last one: a row may be committed some time after its instant."""
RESEAL_S = 60.0
"""Seconds between two looks for what the former secret seals."""
LEASE_S = 25.0
CALL_S = 10.0
SIDE_BY_SIDE = 8
"""Suites whose codes are exchanged at a time."""
SUBJECT = 128
"""Characters of the longest id of a corp."""
OTHERS_FIRST_S = 2 * LOOK_S
"""Seconds for which a process that got no answer leaves a code to others once it may be tried again."""
AGAIN_S = 10.0
"""Seconds until a code is tried again after a call without an answer."""

Entropy = Callable[[int], bytes]


def sealed_grant(account: Account, grant: Grant, happened_at: int, entropy: Entropy = os.urandom) -> SealedGrant:
    """A credential as it is stored: sealed under the secret of the account whose callbacks brought it."""
    secret, subject = secret_of(account), grant.subject
    if grant.kind is GrantKind.AUTH_CODE:
        subject = keyed_hash(secret.encode(), grant.secret or "")
    key = GrantKey(grant.kind, account.name, subject)
    sealed = None if grant.secret is None else _sealed(key, grant.secret, secret, entropy)
    return SealedGrant(key, sealed, happened_at * SECOND, grant.lasts_s)


def _sealed(key: GrantKey, plain: str, secret: str, entropy: Entropy) -> str:
    return seal(plain, secret=secret, context=key.context, nonce=entropy(NONCE_BYTES))


class SuiteAccounts:
    """Tells whether this process has an app of a suite: without one nothing rests on what callbacks brought."""

    def __init__(self, accounts: Callable[[], Mapping[str, Account]]):
        """`accounts`: those that can be used, another mapping whenever one has changed."""
        self._accounts = accounts
        self._judged: tuple[Mapping[str, Account] | None, bool] = None, False

    def turn(self, work: Callable[[], float]) -> float:
        """Makes a turn of the work if there is such an app; returns the seconds until the next."""
        accounts = self._accounts()
        if accounts is not self._judged[0]:
            chains = (find_channel(account.channel).token_chain(account) for account in accounts.values())
            self._judged = accounts, any(chain is not None for chain in chains)
        return work() if self._judged[1] else LOOK_S


class ChangedCodes:
    """Drops tokens that rest on a code which was replaced or withdrawn; every process does it for its own memory."""

    def __init__(self, database: Database, tokens: Tokens):
        self._database, self._tokens = database, tokens
        self._since: int | None = None

    def turn(self) -> float:
        """Looks what changed since the last turn; returns the seconds until the next."""
        since, now = self._since, self._database.read_now()
        # At the first turn there is no token in memory that could rest on an older code.
        if since is not None:
            with self._database.reading() as connection:
                changed = grants.changed_codes(connection, since)
            self._tokens.forget(changed)
        self._since = now - OVERLAP_S * SECOND
        return LOOK_S


class CodeExchanges:
    """Exchanges the authorisation codes that came, whichever process is first, or else the next."""

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
        self._left: dict[GrantKey, float] = {}
        """Codes that this process could not exchange, and until when it leaves them to others."""

    def turn(self) -> float:
        """Exchanges the codes that may be exchanged now, suites side by side; the seconds until the next turn."""
        self._save()
        with self._database.reading() as connection:
            rows = grants.to_exchange(connection, self._database.now)
        now = self._monotonic()
        self._left = {key: until for key, until in self._left.items() if until > now}
        suites: dict[str, list[GrantRow]] = {}
        for row in rows:
            if row.key not in self._left:
                suites.setdefault(row.key.account, []).append(row)
        if suites:
            # A suite of which the vendor does not answer holds up no other: codes are good for minutes.
            with ThreadPoolExecutor(min(len(suites), SIDE_BY_SIDE), "exchange") as pool:
                deque(pool.map(self._exchange_all, suites.values()), maxlen=0)
        if self._monotonic() >= self._reseal_at:
            self._reseal_at = self._monotonic() + RESEAL_S
            self._reseal()
        return LOOK_S

    def _exchange_all(self, rows: Sequence[GrantRow]) -> None:
        """Exchanges the codes of one suite, one after another."""
        for row in rows:
            # A suite that is not configured here, or wrongly, does not hold up the others; nor is its code kept from
            # a process of another installation, which may have it right.
            try:
                self._exchange(row)
            except WorkerError as error:
                self._left[row.key] = self._monotonic() + AGAIN_S
                log.warning("code_not_exchanged", account=row.key.account, reason=str(error), seconds=AGAIN_S)

    def _exchange(self, row: GrantRow) -> None:
        if row.is_over:
            self._lost(row, "its time was over before it could be exchanged")
            return
        account, chain = self._keeper(row.key.account)
        if chain.exchange is None:
            raise WorkerError(f"account {account.name!r} exchanges no codes")
        if account.staging.dry_run:
            return  # it makes no calls, and a code can be spent only once
        code = open_grant(row.key, row.sealed or "", account)
        token, _ = self._tokens.of_either(account, find_channel(account.channel))
        if not isinstance(token, Token):
            self._rest(row, AGAIN_S, token.reason)
        elif grants.lease(self._database, row.key, LEASE_S):
            self._settle(row, account, token, self._call(account, chain.exchange, token, code))

    def _save(self) -> None:
        """Stores the codes that came back while the database was away: the vendor gives each only once."""
        with self._saving:
            while self._unsaved:
                grants.settle(self._database, *self._unsaved[0])
                del self._unsaved[0]

    def _keeper(self, name: str) -> tuple[Account, TokenChain]:
        account = usable(self._accounts, name)
        chain = find_channel(account.channel).token_chain(account)
        if chain is None:
            raise WorkerError(f"account {name!r} exchanges no codes")
        return account, chain

    def _call(
        self, account: Account, exchange: CodeExchange, token: Token, code: str
    ) -> CodeGranted | TokenRefused | TokenLater | TokenStale:
        request = exchange.request(account, token.value, code)
        request = replace(request, deadline_s=CALL_S, egress=account.egress)
        result = call_once(self._transport, request)
        # Without an answer the code may be spent: one more try tells, and does no harm.
        return exchange.outcome(result) if isinstance(result, Reply) else TokenLater(result.reason, AGAIN_S)

    def _settle(
        self,
        row: GrantRow,
        account: Account,
        token: Token,
        outcome: CodeGranted | TokenRefused | TokenLater | TokenStale,
    ) -> None:
        match outcome:
            case CodeGranted(subject=subject) if len(subject) > SUBJECT:
                self._lost(row, f"the vendor's id of the corp has more than {SUBJECT} characters")
            case CodeGranted(subject=subject, code=code):
                key = GrantKey(GrantKind.CODE, account.name, subject)
                sealed = _sealed(key, code, secret_of(account), self._entropy)
                self._unsaved.append((row.key, SealedGrant(key, sealed, row.issued_at, None)))
                self._save()
                self._tokens.worked(account, token)
                log.info("authorised", account=account.name)
            case TokenRefused(reason=reason):
                self._lost(row, reason)
            case TokenStale():
                self._tokens.refused(account, token)
                self._rest(row, 0.0, outcome.reason)
            case TokenLater(reason=reason, delay=delay):
                self._rest(row, delay, reason)

    def _rest(self, row: GrantRow, seconds: float, reason: str) -> None:
        grants.rest(self._database, row.key, seconds)
        if seconds:
            # Others first: it may be this process alone that the vendor does not answer.
            self._left[row.key] = self._monotonic() + seconds + OTHERS_FIRST_S
        log.warning("code_not_exchanged", account=row.key.account, reason=reason, seconds=seconds)

    def _lost(self, row: GrantRow, reason: str) -> None:
        if grants.settle(self._database, row.key, None):
            log.error("authorisation_lost", account=row.key.account, reason=reason)

    def _reseal(self) -> None:
        """Seals with the account's secret what its previous one seals, so that the previous one can go."""
        for name in self._accounts.names():
            try:
                if self._accounts.get(name).previous is not None:
                    self._reseal_of(self._keeper(name)[0])
            except WorkerError:
                # Not configured here, or wrongly, or no keeper of anything.
                continue

    def _reseal_of(self, account: Account) -> None:
        if account.staging.dry_run or not isinstance(self._tokens.get(account, find_channel(account.channel)), Token):
            # Not before the vendor has taken it: what a mistyped secret seals, no later one opens.
            return
        secret, changes, unopened = secret_of(account), [], 0
        with self._database.reading() as connection:
            kept = grants.all_of(connection, account.name)
        for key, sealed in kept:
            if unseal(sealed, secret=secret, context=key.context) is not None:
                continue
            try:
                plain = open_grant(key, sealed, account)
            except ConfigurationError:
                unopened += 1
                continue
            changes.append((key, sealed, _sealed(key, plain, secret, self._entropy)))
        if unopened:
            reason = "neither its secret nor its previous one opens some of what it keeps; leave previous as it is"
            log.error("grants_not_opened", account=account.name, count=unopened, reason=reason)
        if changes:
            grants.reseal(self._database, changes)
