"""The credentials that callbacks bring: an account's newest ticket, codes of corps, and those still to be exchanged.

Stores sealed texts only. The newest by the vendor's instant wins, whatever order callbacks come in; a withdrawal stays
as a row without a text, so that an older code cannot come back.
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
    """The account whose callbacks brought it."""
    subject: str = ""

    @property
    def context(self) -> str:
        """What its text is sealed for."""
        return f"grant {self.kind.value} {self.account} {self.subject}"

    def bind(self, **values: Any) -> dict[str, Any]:
        """Bind values of a statement about this row."""
        return {"kind": self.kind.value, "account": self.account, "subject": self.subject, **values}


@dataclass(frozen=True, slots=True)
class SealedGrant:
    """A credential that is to be stored; `sealed` None: it was withdrawn."""

    key: GrantKey
    sealed: str | None = field(repr=False)
    issued_at: int
    """The vendor's instant in microseconds."""
    lasts_s: int | None
    """Seconds for which it is good; None: no end."""


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
        """True when its time is over."""
        return self.ends_at is not None and self.ends_at <= self.now


def keep(connection: Connection, now: int, grant: SealedGrant) -> None:
    """Stores a credential or its withdrawal, unless a newer one is stored; the caller's transaction."""
    # A clock of the vendor's that is ahead must not keep every later one out.
    issued_at = min(grant.issued_at, now)
    ends_at = None if grant.lasts_s is None else issued_at + grant.lasts_s * SECOND
    row = grant.key.bind(sealed=grant.sealed, issued_at=issued_at, ends_at=ends_at, stored_at=now)
    insert_rows(connection, grants, [row], conflict="ignore")
    update = (
        f"update {grants.name} set sealed = :sealed, issued_at = :issued_at, ends_at = :ends_at, stored_at = :stored_at"
        f" where {_KEY} and issued_at <= :issued_at"
    )
    execute(connection, update, row)


def read(database: Database, key: GrantKey) -> GrantRow | None:
    """A credential's row; None: none has come."""
    query = f"select sealed, issued_at, ends_at, stored_at, {database.now} from {grants.name} where {_KEY}"
    with database.reading() as connection:
        found = execute(connection, query, key.bind()).one_or_none()
    return GrantRow(key, *found) if found is not None else None


def to_exchange(connection: Connection, now_sql: str) -> list[GrantRow]:
    """The authorisation codes that may be exchanged now, and those whose time is over; the oldest first."""
    query = (
        f"select account, subject, sealed, issued_at, ends_at, stored_at, {now_sql} from {grants.name}"
        f" where kind = :kind and (lease_until is null or lease_until <= {now_sql}) order by issued_at, subject"
    )
    rows = fetch(connection, query, {"kind": GrantKind.AUTH_CODE.value})
    return [GrantRow(GrantKey(GrantKind.AUTH_CODE, account, subject), *rest) for account, subject, *rest in rows]


def lease(database: Database, key: GrantKey, seconds: float) -> bool:
    """Takes the right to exchange a code for so many seconds; False: another process has it, or it is done."""
    take = (
        f"update {grants.name} set lease_until = :until where {_KEY} and (lease_until is null or lease_until <= :now)"
    )

    def work(connection: Connection) -> bool:
        now = read_now(connection, database.now)
        return execute(connection, take, key.bind(until=now + micros(seconds), now=now)).rowcount > 0

    return database.run(work)


def rest(database: Database, key: GrantKey, seconds: float) -> None:
    """Lets no process exchange a code for so many seconds."""

    def work(connection: Connection) -> None:
        until = read_now(connection, database.now) + micros(seconds)
        execute(connection, f"update {grants.name} set lease_until = :until where {_KEY}", key.bind(until=until))

    database.run(work)


def settle(database: Database, key: GrantKey, code: SealedGrant | None) -> bool:
    """Ends an authorisation code, and stores what it was exchanged for; False: it had ended already."""

    def work(connection: Connection) -> bool:
        # Also where another process has ended it: the code that came back is given only once.
        if code is not None:
            keep(connection, read_now(connection, database.now), code)
        return execute(connection, f"delete from {grants.name} where {_KEY}", key.bind()).rowcount > 0

    return database.run(work)


def changed_codes(connection: Connection, since: int) -> list[tuple[str, str, int]]:
    """(account, subject, stored_at) of the codes that were stored or withdrawn at an instant or later."""
    query = f"select account, subject, stored_at from {grants.name} where kind = :kind and stored_at >= :since"
    return [
        (account, subject, at)
        for account, subject, at in fetch(connection, query, {"kind": GrantKind.CODE.value, "since": since})
    ]


def all_of(connection: Connection, account: str) -> list[tuple[GrantKey, str]]:
    """Every sealed text that an account's callbacks brought."""
    query = f"select kind, subject, sealed from {grants.name} where account = :account and sealed is not null"
    return [
        (GrantKey(GrantKind(kind), account, subject), sealed)
        for kind, subject, sealed in fetch(connection, query, {"account": account})
    ]


def reseal(database: Database, changes: Sequence[tuple[GrantKey, str, str]]) -> None:
    """Replaces sealed texts (key, old, new), each only while it is still the old one."""
    update = f"update {grants.name} set sealed = :new where {_KEY} and sealed = :old"

    def work(connection: Connection) -> None:
        for key, old, new in changes:
            execute(connection, update, key.bind(old=old, new=new))

    database.run(work)
