"""The accounts that are stored in the outbox, and one row that changes whenever any of them changes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import Connection

from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows, rows_by_id
from worker.outbox.engine.sql import execute, fetch, read_now


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A stored account; see `tables.accounts`."""

    name: str
    version: str
    settings: str
    sealed: str | None = field(repr=False)
    changed_at: int = 0


def accounts_version(connection: Connection) -> str:
    """Returns a text that differs after each change of any account."""
    version = execute(connection, "select value from worker_site where name = 'accounts'", {}).scalar()
    return version or ""


def versions_by_account(connection: Connection) -> dict[str, str]:
    """Returns account -> version of its row."""
    return {row[0]: row[1] for row in fetch(connection, "select name, version from worker_accounts", {})}


def account_rows(connection: Connection, names: Collection[str]) -> list[AccountRow]:
    """Returns the rows of those of the accounts that are stored."""
    columns = "name, version, settings, sealed, changed_at"
    return [AccountRow(*row) for row in rows_by_id(connection, columns, "worker_accounts", names, "name")]


def put_account(connection: Connection, now: str, row: AccountRow, *, replaces: str | None) -> bool:
    """Writes a row in place of the row with version `replaces`, or as a new row for None.

    Returns False, and writes nothing, if the stored row is another one.
    """
    values = {
        "name": row.name,
        "version": row.version,
        "settings": row.settings,
        "sealed": row.sealed,
        "changed_at": read_now(connection, now),
    }
    if replaces is None:
        insert_rows(connection, tables.accounts, [values], conflict="ignore")
        written = [account.version for account in account_rows(connection, [row.name])] == [row.version]
    else:
        update = (
            "update worker_accounts set version = :version, settings = :settings, sealed = :sealed,"
            " changed_at = :changed_at where name = :name and version = :before"
        )
        written = bool(execute(connection, update, {**values, "before": replaces}).rowcount)
    if written:
        _record_change(connection, row.version)
    return written


def remove_account(connection: Connection, row: AccountRow, version: str) -> bool:
    """Deletes a row. Returns False, and deletes nothing, if the stored row has another version."""
    delete = "delete from worker_accounts where name = :name and version = :version"
    deleted = bool(execute(connection, delete, {"name": row.name, "version": row.version}).rowcount)
    if deleted:
        _record_change(connection, version)
    return deleted


def _record_change(connection: Connection, version: str) -> None:
    # The row's lock puts the changes in the order of their commits, so the last change decides the value.
    update = "update worker_site set value = :version where name = 'accounts'"
    changed = execute(connection, update, {"version": version}).rowcount
    assert changed, "`db upgrade` makes this row"
