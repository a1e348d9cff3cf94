"""The token rows: one per account and fingerprint of its credentials, shared by all processes.

Every change is a compare-and-set on the generation or the lease. Stores sealed texts only; knows neither their content
nor the vendor nor how a token is fetched.

`expires_at` 0 marks a token the vendor refused on a call. `probe_at` is the next gettoken while `refused` is set;
without that it is the end of the probation of a token that replaced a refused one, or that was fetched anew because the
vendor refused the other account's token at the fetch. A lease without a holder is a pause:
no process fetches a token before its end.
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

PAGE = 500
"""Rows that are deleted in one transaction at most."""
REFUSED_ON_CALL = 0
"""`expires_at` of a token that the vendor refused on a call."""

_COLUMNS = "sealed, generation, fetched_at, expires_at, lease_holder, lease_until, refused, probe_at"
_KEY = "account = :account and fingerprint = :fingerprint"
_MINE = f"{_KEY} and generation = :generation and lease_holder = :holder and lease_until = :lease_until"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """The key of a token's row: the account's name and the fingerprint of its credentials."""

    account: str
    fingerprint: str

    def bind(self, **values: Any) -> dict[str, Any]:
        """Bind values of a statement about this row."""
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
        """True when there is a token that has not expired."""
        return self.sealed is not None and (self.expires_at or 0) > self.now

    @property
    def on_probation(self) -> bool:
        """True when it lately replaced a refused token, and no call with it has succeeded yet."""
        return self.refused is None and (self.probe_at or 0) > self.now

    @property
    def leased_us(self) -> int:
        """Microseconds until a lease or a pause is over; 0: a process may fetch now."""
        return max(0, (self.lease_until or 0) - self.now)

    @property
    def parked_us(self) -> int:
        """Microseconds until the next gettoken with refused credentials; 0: now, or they are not refused."""
        return max(0, (self.probe_at or 0) - self.now) if self.refused is not None else 0


@dataclass(frozen=True, slots=True)
class FetchLease:
    """The right to fetch a token until `until`; a write under it succeeds only while the row has all these values."""

    key: TokenKey
    generation: int
    holder: str
    until: int
    at: int
    """The database's clock when it was taken: no fetched token is older."""

    def bind(self, **values: Any) -> dict[str, Any]:
        """Bind values of a statement that holds only while the lease is still this one."""
        return self.key.bind(generation=self.generation, holder=self.holder, lease_until=self.until, **values)


def read(database: Database, key: TokenKey) -> TokenRow:
    """The row, which is made if it does not exist."""
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
        found = execute(connection, query, key.bind()).one_or_none()
    return TokenRow(*found) if found is not None else None


def lease(database: Database, key: TokenKey, generation: int, *, holder: str, seconds: float) -> FetchLease | None:
    """Takes the right to fetch the successor of a generation; None: another process has it, or has fetched already."""
    take = (
        f"update {tokens.name} set lease_holder = :holder, lease_until = :until"
        f" where {_KEY} and generation = :generation and (lease_until is null or lease_until <= :now)"
        " and (refused is null or probe_at <= :now)"
    )

    def work(connection: Connection) -> FetchLease | None:
        now = read_now(connection, database.now)
        taken = FetchLease(key, generation, holder, now + micros(seconds), now)
        values = key.bind(generation=generation, holder=holder, until=taken.until, now=now)
        return taken if execute(connection, take, values).rowcount else None

    return database.run(work)


def store(database: Database, held: FetchLease, *, sealed: str, lifetime_s: float, probation_s: float) -> bool:
    """Stores the next generation and ends the lease; False: the lease is another's by now, and nothing is stored.

    A token that replaces a refused one is on probation for `probation_s`, or until a call with it succeeds.
    """
    # `expires_at` is set last: MariaDB assigns from left to right, and the probation reads the old value.
    sets = (
        "sealed = :sealed, generation = generation + 1, fetched_at = :at, lease_holder = null, lease_until = null,"
        f" refused = null, probe_at = case when expires_at = {REFUSED_ON_CALL} then :probation_until end,"
        " expires_at = :expires_at"
    )
    values = {
        "sealed": sealed,
        "at": held.at,
        "expires_at": held.at + micros(lifetime_s),
        "probation_until": held.at + micros(probation_s),
    }
    return _as_holder(database, held, "granted", sets, values)


def park(database: Database, held: FetchLease, *, reason: str, probe_s: float) -> bool:
    """Stores that the vendor refused the credentials, with the next gettoken in `probe_s`; False: the lease is lost."""
    sets = "refused = :reason, probe_at = :probe_at, lease_holder = null, lease_until = null"
    return _as_holder(database, held, "refused", sets, {"reason": reason, "probe_at": held.at + micros(probe_s)})


def postpone(database: Database, held: FetchLease, *, seconds: float) -> bool:
    """Turns the lease into a pause of `seconds` for every process, because there is no token now."""

    def work(connection: Connection) -> bool:
        until = read_now(connection, database.now) + micros(seconds)
        sets = "lease_holder = null, lease_until = :pause_until"
        return _set(connection, held, "later", sets, {"pause_until": until})

    return database.run(work)


def put_on_probation(database: Database, held: FetchLease, *, seconds: float) -> None:
    """Ends the lease after the vendor refused another account's token at the fetch; the next refusal is not counted."""
    sets = "lease_holder = null, lease_until = null, probe_at = :probation_until"
    _as_holder(database, held, "stale", sets, {"probation_until": held.at + micros(seconds)})


def invalidate(database: Database, key: TokenKey, generation: int, *, reason: str, probe_s: float) -> None:
    """Ends the token of a generation that the vendor refused on a call. No effect when there is a newer one.

    After the first refusal the next `get` fetches a token; a refusal of a token on probation parks the account.
    """
    # By generation, not by time or text: a late answer to an old token must not end the new one.
    its = f"where {_KEY} and generation = :generation and expires_at <> {REFUSED_ON_CALL}"
    on_probation = f"{its} and refused is null and probe_at is not null and probe_at > :now"
    sets = f"refused = :reason, probe_at = :probe_at, expires_at = {REFUSED_ON_CALL}"

    def work(connection: Connection) -> None:
        now = read_now(connection, database.now)
        values = key.bind(generation=generation)
        probe = {"reason": reason, "now": now, "probe_at": now + micros(probe_s)}
        if not execute(connection, f"update {tokens.name} set {sets} {on_probation}", values | probe).rowcount:
            execute(connection, f"update {tokens.name} set expires_at = {REFUSED_ON_CALL} {its}", values)

    database.run(work)


def end_probation(database: Database, key: TokenKey, generation: int) -> None:
    """Ends a token's probation after a call with it succeeded: a later refusal does not park the account."""
    update = f"update {tokens.name} set probe_at = null where {_KEY} and generation = :generation and refused is null"
    database.run(lambda connection: execute(connection, update, key.bind(generation=generation)))


def ask_again(connection: Connection, accounts: Collection[str]) -> None:
    """Lets refused credentials of these accounts be tried at once, and ends pauses of their fetches.

    A fetch that is going on goes on.
    """
    chosen = dialect_of(connection).update_chosen
    ids = {"ids": ids_json(sorted(accounts))}
    run(connection, chosen(tokens.name, "probe_at = 0", "account") + " and refused is not null", ids)
    run(connection, chosen(tokens.name, "lease_until = null", "account") + " and lease_holder is null", ids)


def try_once_more(database: Database, key: TokenKey) -> None:
    """Lets the refused credentials of one row be tried at once."""
    update = f"update {tokens.name} set probe_at = 0 where {_KEY} and refused is not null"
    database.run(lambda connection: execute(connection, update, key.bind()))


def probe_now(connection: Connection, account: str) -> bool:
    """Lets refused credentials be tried at once, when a person says so; False: the account has none."""
    update = f"update {tokens.name} set probe_at = 0 where account = :account and refused is not null"
    return bool(execute(connection, update, {"account": account}).rowcount)


def purge(database: Database, before: int) -> int:
    """Deletes some rows of credentials of which nothing has been going on since an instant; returns how many."""
    # One that was never fetched for may be new: it has no instant.
    instants = ("fetched_at", "expires_at", "lease_until", "probe_at")
    idle = " and ".join(f"coalesce({instant}, 0) < :before" for instant in instants)
    idle += f" and coalesce({', '.join(instants)}) is not null"

    def work(connection: Connection) -> int:
        query = (
            f"select account, fingerprint from {tokens.name} where {idle} order by account, fingerprint limit {PAGE}"
        )
        delete = f"delete from {tokens.name} where {_KEY} and {idle}"
        keys = [TokenKey(*row) for row in fetch(connection, query, {"before": before})]
        return sum(execute(connection, delete, key.bind(before=before)).rowcount for key in keys)

    return database.run(work)


@dataclass(frozen=True, slots=True)
class TokenStanding:
    """How a token stands, for people; never the token itself."""

    account: str
    generation: int
    fetched_at: int | None
    expires_at: int | None
    refused: str | None
    """Why the vendor refused the credentials; None: it did not."""
    probe_at: int | None


def standings(connection: Connection, accounts: Collection[str]) -> list[TokenStanding]:
    """The tokens of these accounts; one whose credentials changed has several."""
    columns = "account, generation, fetched_at, expires_at, refused, probe_at"
    rows = rows_by_id(connection, columns, tokens.name, accounts, "account")
    return sorted((TokenStanding(*row) for row in rows), key=lambda one: (one.account, -(one.fetched_at or 0)))


def _as_holder(database: Database, held: FetchLease, outcome: str, sets: str, values: Mapping[str, Any]) -> bool:
    return database.run(lambda connection: _set(connection, held, outcome, sets, values))


def _set(connection: Connection, held: FetchLease, outcome: str, sets: str, values: Mapping[str, Any]) -> bool:
    """Writes the end of a fetch, and counts it; False: the lease is another's by now, and nothing is written."""
    if not execute(connection, f"update {tokens.name} set {sets} where {_MINE}", held.bind(**values)).rowcount:
        return False
    count(connection, "token_fetches", held.key.account, outcome)
    return True
