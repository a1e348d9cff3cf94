"""The rows of accounts that are kept in the outbox, and one row that says whether any of them has changed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import Connection

from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows, rows_by_id
from worker.outbox.engine.sql import execute, fetch, read_now


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account as it is stored; see `tables.accounts`."""

    name: str
    version: str
    settings: str
    sealed: str | None = field(repr=False)
    changed_at: int = 0


def state_of_accounts(connection: Connection) -> str:
    """A text that is another one after each change of any row."""
    found = execute(connection, "select value from worker_site where name = 'accounts'", {}).scalar()
    return found or ""


def versions_of_accounts(connection: Connection) -> dict[str, str]:
    """The version of each row, by the account's name."""
    return {row[0]: row[1] for row in fetch(connection, "select name, version from worker_accounts", {})}


def account_rows(connection: Connection, names: Collection[str]) -> list[AccountRow]:
    """The rows of these accounts, as far as there are any."""
    columns = "name, version, settings, sealed, changed_at"
    return [AccountRow(*row) for row in rows_by_id(connection, columns, "worker_accounts", names, "name")]


def put_account(connection: Connection, now: str, row: AccountRow, *, instead_of: str | None) -> bool:
    """Writes a row in place of that version (None: of no row); False: there is another one, and nothing is written."""
    values = {
        "name": row.name,
        "version": row.version,
        "settings": row.settings,
        "sealed": row.sealed,
        "changed_at": read_now(connection, now),
    }
    if instead_of is None:
        insert_rows(connection, tables.accounts, [values], conflict="ignore")
        written = [one.version for one in account_rows(connection, [row.name])] == [row.version]
    else:
        update = (
            "update worker_accounts set version = :version, settings = :settings, sealed = :sealed,"
            " changed_at = :changed_at where name = :name and version = :before"
        )
        written = bool(execute(connection, update, {**values, "before": instead_of}).rowcount)
    if written:
        _note_change(connection, row.version)
    return written


def remove_account(connection: Connection, row: AccountRow, version: str) -> bool:
    """Deletes a row of that version; False: it is not there any more."""
    delete = "delete from worker_accounts where name = :name and version = :version"
    gone = bool(execute(connection, delete, {"name": row.name, "version": row.version}).rowcount)
    if gone:
        _note_change(connection, version)
    return gone


def _note_change(connection: Connection, version: str) -> None:
    # The row's lock puts the changes in the order of their commits, so that the last one is seen.
    update = "update worker_site set value = :version where name = 'accounts'"
    assert execute(connection, update, {"version": version}).rowcount, "`db upgrade` makes this row"
