"""The tokens of accounts, one row for each account and fingerprint of its credentials, shared by all processes.

Every change is a compare-and-set on the generation or the lease. This module stores only encrypted tokens. It knows
nothing of vendors and does not fetch tokens.

`expires_at` is 0 if the vendor refused the token on a call. While `refused` is set, `probe_at` is the time of the next
gettoken. Otherwise `probe_at` is the end of a token's probation, which follows a refused token, or a fetch at which the
vendor refused the other account's token. A lease without a holder is a pause: no process fetches a token before it
ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from worker.outbox.engine.bulk import ids_json, insert_rows, rows_by_id
from worker.outbox.engine.clock import micros
from worker.outbox.engine.counting import count
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, fetch, read_now, run
from worker.outbox.tables import tokens

PURGE_BATCH = 500
"""The most rows that are deleted in one transaction."""
REFUSED_ON_CALL = 0
"""The `expires_at` of a token that the vendor refused on a call."""

_COLUMNS = "sealed, generation, fetched_at, expires_at, lease_holder, lease_until, refused, probe_at"
_KEY = "account = :account and fingerprint = :fingerprint"
_UNDER_LEASE = f"{_KEY} and generation = :generation and lease_holder = :holder and lease_until = :lease_until"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """The key of a token's row: the account's name and the fingerprint of its credentials."""

    account: str
    fingerprint: str

    def bind(self, **values: Any) -> dict[str, Any]:
        """Returns the bind values of a statement about this row."""
        return {"account": self.account, "fingerprint": self.fingerprint, **values}


@dataclass(frozen=True, slots=True)
class TokenRow:
    """The row as it was at `now`; see `tables.tokens` for the columns."""

    sealed: str | None = field(repr=False)
    generation: int
    fetched_at: int | None
    expires_at: int | None
    lease_holder: str | None
    lease_until: int | None
    refused: str | None
    probe_at: int | None
    now: int

    @property
    def alive(self) -> bool:
        """Whether there is a token that has not expired."""
        return self.sealed is not None and (self.expires_at or 0) > self.now

    @property
    def on_probation(self) -> bool:
        """Whether the token has just replaced a refused one and no call with it has succeeded yet."""
        return self.refused is None and (self.probe_at or 0) > self.now

    @property
    def leased_us(self) -> int:
        """Microseconds until the lease or pause ends; 0 if a process may fetch now."""
        return max(0, (self.lease_until or 0) - self.now)

    @property
    def parked_us(self) -> int:
        """Microseconds until the next gettoken with refused credentials; 0 if it is due, or if they are not refused."""
        return max(0, (self.probe_at or 0) - self.now) if self.refused is not None else 0


@dataclass(frozen=True, slots=True)
class FetchLease:
    """The right to fetch a token until `until`. A write under the lease succeeds only while the row has its values."""

    key: TokenKey
    generation: int
    holder: str
    until: int
    at: int
    """The database's clock when the lease was acquired. The fetched token is not older."""

    def bind(self, **values: Any) -> dict[str, Any]:
        """Returns the bind values of a statement that takes effect only under this lease."""
        return self.key.bind(generation=self.generation, holder=self.holder, lease_until=self.until, **values)


def read(database: Database, key: TokenKey) -> TokenRow:
    """Reads the row, and inserts it if it does not exist."""
    row = _read(database, key)
    if row is None:
        fresh = [key.bind(generation=0)]
        database.run(lambda connection: insert_rows(connection, tokens, fresh, conflict="ignore"))
        row = _read(database, key)
        assert row is not None
    return row


def _read(database: Database, key: TokenKey) -> TokenRow | None:
    query = f"select {_COLUMNS}, {database.now} from {tokens.name} where {_KEY}"
    with database.reading() as connection:
        row = execute(connection, query, key.bind()).one_or_none()
    return TokenRow(*row) if row is not None else None


def lease_fetch(
    database: Database, key: TokenKey, generation: int, *, holder: str, seconds: float
) -> FetchLease | None:
    """Acquires the right to fetch the successor of a generation, or None if another process has it or has fetched."""
    take = (
        f"update {tokens.name} set lease_holder = :holder, lease_until = :until"
        f" where {_KEY} and generation = :generation and (lease_until is null or lease_until <= :now)"
        " and (refused is null or probe_at <= :now)"
    )

    def work(connection: Connection) -> FetchLease | None:
        now = read_now(connection, database.now)
        lease = FetchLease(key, generation, holder, now + micros(seconds), now)
        values = key.bind(generation=generation, holder=holder, until=lease.until, now=now)
        return lease if execute(connection, take, values).rowcount else None

    return database.run(work)


def store_token(database: Database, lease: FetchLease, *, sealed: str, lifetime_s: float, probation_s: float) -> bool:
    """Stores the next generation and ends the lease. Returns False, and stores nothing, if the lease is lost.

    A token that replaces a refused one is on probation for `probation_s` or until a call with it succeeds.
    """
    # `expires_at` is set last. MariaDB assigns from left to right, and the probation needs the old value. Without the
    # cast, PostgreSQL takes it for text where the driver says no type: asyncpg, in an application's tests.
    sets = (
        "sealed = :sealed, generation = generation + 1, fetched_at = :at, lease_holder = null, lease_until = null,"
        f" refused = null, probe_at = case when expires_at = {REFUSED_ON_CALL}"
        f" then cast(:probation_until as {database.dialect.integer}) end,"
        " expires_at = :expires_at"
    )
    values = {
        "sealed": sealed,
        "at": lease.at,
        "expires_at": lease.at + micros(lifetime_s),
        "probation_until": lease.at + micros(probation_s),
    }
    return _update_as_holder(database, lease, "granted", sets, values)


def park_token(database: Database, lease: FetchLease, *, reason: str, probe_s: float) -> bool:
    """Records that the vendor refused the credentials. The next gettoken is in `probe_s`. False: the lease is lost."""
    sets = "refused = :reason, probe_at = :probe_at, lease_holder = null, lease_until = null"
    return _update_as_holder(
        database, lease, "refused", sets, {"reason": reason, "probe_at": lease.at + micros(probe_s)}
    )


def pause_fetches(database: Database, lease: FetchLease, *, seconds: float) -> bool:
    """Turns the lease into a pause: no process fetches a token for `seconds`. Returns False if the lease is lost."""

    def work(connection: Connection) -> bool:
        until = read_now(connection, database.now) + micros(seconds)
        sets = "lease_holder = null, lease_until = :pause_until"
        return _update_under_lease(connection, lease, "later", sets, {"pause_until": until})

    return database.run(work)


def put_on_probation(database: Database, lease: FetchLease, *, seconds: float) -> None:
    """Ends the lease after the vendor refused another account's token at the fetch, and begins a probation.

    The next refusal is not counted. An earlier refusal of the account's own credentials is forgotten: it is tried again
    with the other account's next token.
    """
    sets = "lease_holder = null, lease_until = null, refused = null, probe_at = :probation_until"
    _update_as_holder(database, lease, "stale", sets, {"probation_until": lease.at + micros(seconds)})


def refuse_token(database: Database, key: TokenKey, generation: int, *, reason: str, probe_s: float) -> None:
    """Ends the token of a generation, because the vendor refused it on a call. No effect if there is a newer token.

    After the first refusal a new token is fetched. A refusal of a token on probation parks the account.
    """
    # Compared by generation, not by time or text: a late answer to an old token must not end the new token.
    where = f"where {_KEY} and generation = :generation and expires_at <> {REFUSED_ON_CALL}"
    on_probation = f"{where} and refused is null and probe_at is not null and probe_at > :now"
    sets = f"refused = :reason, probe_at = :probe_at, expires_at = {REFUSED_ON_CALL}"

    def work(connection: Connection) -> None:
        now = read_now(connection, database.now)
        values = key.bind(generation=generation)
        probe = {"reason": reason, "now": now, "probe_at": now + micros(probe_s)}
        if not execute(connection, f"update {tokens.name} set {sets} {on_probation}", values | probe).rowcount:
            execute(connection, f"update {tokens.name} set expires_at = {REFUSED_ON_CALL} {where}", values)

    database.run(work)


def end_probation(database: Database, key: TokenKey, generation: int) -> None:
    """Ends a token's probation after a successful call. A later refusal does not park the account."""
    update = f"update {tokens.name} set probe_at = null where {_KEY} and generation = :generation and refused is null"
    database.run(lambda connection: execute(connection, update, key.bind(generation=generation)))


def retry_refused(connection: Connection, accounts: Collection[str]) -> None:
    """Lets refused credentials of these accounts be tried at once, and ends pauses between fetches.

    Does not interrupt a fetch.
    """
    update = dialect_of(connection).update_by_ids
    ids = {"ids": ids_json(sorted(accounts))}
    run(connection, update(tokens.name, "probe_at = 0", "account") + " and refused is not null", ids)
    run(connection, update(tokens.name, "lease_until = null", "account") + " and lease_holder is null", ids)


def end_future_waits(database: Database, key: TokenKey, *, probe_us: int, lease_us: int) -> None:
    """Ends a wait for a probe, and a lease or pause, that is longer than this: it began when the clock was ahead."""
    probe = f"probe_at = 0 where {_KEY} and refused is not null and probe_at > {database.now} + {probe_us}"
    lease = f"lease_until = null where {_KEY} and lease_until > {database.now} + {lease_us}"

    def work(connection: Connection) -> None:
        for change in (probe, lease):
            execute(connection, f"update {tokens.name} set {change}", key.bind())

    database.run(work)


def retry_refused_row(database: Database, key: TokenKey) -> None:
    """Lets the refused credentials of one row be tried at once."""
    update = f"update {tokens.name} set probe_at = 0 where {_KEY} and refused is not null"
    database.run(lambda connection: execute(connection, update, key.bind()))


def retry_refused_account(connection: Connection, account: str) -> bool:
    """Lets an account's refused credentials be tried at once. Returns False if it has none."""
    update = f"update {tokens.name} set probe_at = 0 where account = :account and refused is not null"
    return bool(execute(connection, update, {"account": account}).rowcount)


def purge_tokens(database: Database, before: int) -> int:
    """Deletes some rows that have been unused since an instant. Returns how many."""
    # A row without any instant may be new: no token has been fetched for it yet.
    instants = ("fetched_at", "expires_at", "lease_until", "probe_at")
    idle = " and ".join(f"coalesce({instant}, 0) < :before" for instant in instants)
    idle += f" and coalesce({', '.join(instants)}) is not null"

    def work(connection: Connection) -> int:
        order = f"order by account, fingerprint limit {PURGE_BATCH}"
        query = f"select account, fingerprint from {tokens.name} where {idle} {order}"
        delete = f"delete from {tokens.name} where {_KEY} and {idle}"
        keys = [TokenKey(*row) for row in fetch(connection, query, {"before": before})]
        return sum(execute(connection, delete, key.bind(before=before)).rowcount for key in keys)

    return database.run(work)


@dataclass(frozen=True, slots=True)
class TokenStatus:
    """The status of a token, for people. It does not contain the token."""

    account: str
    generation: int
    fetched_at: int | None
    expires_at: int | None
    refused: str | None
    """Why the vendor refused the credentials, or None if it did not."""
    probe_at: int | None


def token_statuses(connection: Connection, accounts: Collection[str]) -> list[TokenStatus]:
    """Returns the tokens of these accounts. An account whose credentials changed has several."""
    columns = "account, generation, fetched_at, expires_at, refused, probe_at"
    rows = rows_by_id(connection, columns, tokens.name, accounts, "account")
    return sorted((TokenStatus(*row) for row in rows), key=lambda status: (status.account, -(status.fetched_at or 0)))


def _update_as_holder(
    database: Database, lease: FetchLease, outcome: str, sets: str, values: Mapping[str, Any]
) -> bool:
    return database.run(lambda connection: _update_under_lease(connection, lease, outcome, sets, values))


def _update_under_lease(
    connection: Connection, lease: FetchLease, outcome: str, sets: str, values: Mapping[str, Any]
) -> bool:
    """Writes the end of a fetch and counts it. Returns False, and writes nothing, if the lease is lost."""
    if not execute(connection, f"update {tokens.name} set {sets} where {_UNDER_LEASE}", lease.bind(**values)).rowcount:
        return False
    count(connection, "token_fetches", lease.key.account, outcome)
    return True
