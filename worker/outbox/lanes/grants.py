"""The credentials that callbacks bring: an account's newest ticket, codes of corps, and codes to be exchanged.

Stores only encrypted texts. The newest by the vendor's instant wins, in whatever order callbacks come. A withdrawal
stays as a row without a text, so that an older code cannot come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from worker.domain.callbacks.inbound import GrantKind
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import SECOND, micros
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import execute, fetch, read_now
from worker.outbox.tables import grants

_KEY = "kind = :kind and account = :account and subject = :subject"


@dataclass(frozen=True, slots=True)
class GrantKey:
    """The key of a credential's row."""

    kind: GrantKind
    account: str
    """The account whose callbacks brought the credential."""
    subject: str = ""

    @property
    def context(self) -> str:
        """The context that its text is encrypted for."""
        return f"grant {self.kind.value} {self.account} {self.subject}"

    def bind(self, **values: Any) -> dict[str, Any]:
        """Returns the bind values of a statement about this row."""
        return {"kind": self.kind.value, "account": self.account, "subject": self.subject, **values}


@dataclass(frozen=True, slots=True)
class SealedGrant:
    """A credential to store, or its withdrawal."""

    key: GrantKey
    sealed: str | None = field(repr=False)
    """The encrypted credential, or None if it was withdrawn."""
    issued_at: int
    """The vendor's instant in microseconds."""
    lasts_s: int | None
    """Seconds for which it is valid, or None if it has no end."""


@dataclass(frozen=True, slots=True)
class GrantRow:
    """A credential's row as it was at `now`; see `tables.grants` for the columns."""

    key: GrantKey
    sealed: str | None = field(repr=False)
    issued_at: int
    ends_at: int | None
    stored_at: int
    now: int

    @property
    def is_over(self) -> bool:
        """Whether the credential has expired."""
        return self.ends_at is not None and self.ends_at <= self.now


def store_grant(connection: Connection, now: int, grant: SealedGrant) -> None:
    """Stores a credential or its withdrawal, unless a newer one is stored, in the caller's transaction."""
    # If the vendor's clock were ahead, this row would otherwise win over every later credential.
    issued_at = min(grant.issued_at, now)
    ends_at = None if grant.lasts_s is None else issued_at + grant.lasts_s * SECOND
    row = grant.key.bind(sealed=grant.sealed, issued_at=issued_at, ends_at=ends_at, stored_at=now)
    insert_rows(connection, grants, [row], conflict="ignore")
    # A stored instant of the future shows that the clock was set back since: what comes now is newer.
    update = (
        f"update {grants.name} set sealed = :sealed, issued_at = :issued_at, ends_at = :ends_at, stored_at = :stored_at"
        f" where {_KEY} and (issued_at <= :issued_at or issued_at > :stored_at)"
    )
    execute(connection, update, row)


def read_grant(database: Database, key: GrantKey) -> GrantRow | None:
    """Reads a credential's row. Returns None if no callback has brought one."""
    query = f"select sealed, issued_at, ends_at, stored_at, {database.now} from {grants.name} where {_KEY}"
    with database.reading() as connection:
        row = execute(connection, query, key.bind()).one_or_none()
    return GrantRow(key, *row) if row is not None else None


def to_exchange(connection: Connection, now_sql: str) -> list[GrantRow]:
    """Returns the authorisation codes that no process is exchanging, also those that have expired, the oldest first."""
    query = (
        f"select account, subject, sealed, issued_at, ends_at, stored_at, {now_sql} from {grants.name}"
        f" where kind = :kind and (lease_until is null or lease_until <= {now_sql}) order by issued_at, subject"
    )
    rows = fetch(connection, query, {"kind": GrantKind.AUTH_CODE.value})
    return [GrantRow(GrantKey(GrantKind.AUTH_CODE, account, subject), *values) for account, subject, *values in rows]


def lease_grant(database: Database, key: GrantKey, seconds: float) -> bool:
    """Acquires the right to exchange a code for some seconds.

    Returns False if another process has the right or the code has been exchanged.
    """
    take = (
        f"update {grants.name} set lease_until = :until where {_KEY} and (lease_until is null or lease_until <= :now)"
    )

    def work(connection: Connection) -> bool:
        now = read_now(connection, database.now)
        return execute(connection, take, key.bind(until=now + micros(seconds), now=now)).rowcount > 0

    return database.run(work)


def pause_exchange(database: Database, key: GrantKey, seconds: float) -> None:
    """Forbids every process to exchange a code for some seconds."""

    def work(connection: Connection) -> None:
        until = read_now(connection, database.now) + micros(seconds)
        execute(connection, f"update {grants.name} set lease_until = :until where {_KEY}", key.bind(until=until))

    database.run(work)


def finish_exchange(database: Database, key: GrantKey, code: SealedGrant | None) -> bool:
    """Deletes an authorisation code and stores the code it was exchanged for. False: another process has deleted it."""

    def work(connection: Connection) -> bool:
        # Stored even if another process has deleted the authorisation code, because the vendor gives a code only once.
        if code is not None:
            store_grant(connection, read_now(connection, database.now), code)
        return execute(connection, f"delete from {grants.name} where {_KEY}", key.bind()).rowcount > 0

    return database.run(work)


def changed_codes(connection: Connection, since: int) -> list[tuple[str, str, int]]:
    """Returns (account, subject, stored_at) of the codes that were stored or withdrawn since an instant."""
    query = f"select account, subject, stored_at from {grants.name} where kind = :kind and stored_at >= :since"
    return [
        (account, subject, at)
        for account, subject, at in fetch(connection, query, {"kind": GrantKind.CODE.value, "since": since})
    ]


def sealed_grants_of(connection: Connection, account: str) -> list[tuple[GrantKey, str]]:
    """Returns every encrypted text that an account's callbacks brought."""
    query = f"select kind, subject, sealed from {grants.name} where account = :account and sealed is not null"
    return [
        (GrantKey(GrantKind(kind), account, subject), sealed)
        for kind, subject, sealed in fetch(connection, query, {"account": account})
    ]


def reseal(database: Database, changes: Sequence[tuple[GrantKey, str, str]]) -> None:
    """Replaces encrypted texts, given as (key, old, new), each only if the old text is still stored."""
    update = f"update {grants.name} set sealed = :new where {_KEY} and sealed = :old"

    def work(connection: Connection) -> None:
        for key, old, new in changes:
            execute(connection, update, key.bind(old=old, new=new))

    database.run(work)
