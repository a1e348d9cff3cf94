"""Adds, rotates, disables and removes accounts in the outbox. Each change is audited.

Every process applies a change within seconds. Nothing here returns a secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.accounts.sealing import Credential, SealKeys, extract_secrets, with_lazy_secrets, with_secrets
from worker.channels.registry import require_usable
from worker.config.accounts import account_of
from worker.config.mistakes import validated
from worker.config.places import SecretFrom, is_place
from worker.config.settings import Settings, load_settings
from worker.control.audit import AuditedCommand, audited
from worker.control.opening import open_current_database
from worker.domain.account import Secret
from worker.domain.errors import ConfigurationError, WorkerError
from worker.domain.stored import object_or_empty, stored_object
from worker.hooks.verifiers import make_verifier
from worker.outbox.engine.clock import instant
from worker.outbox.engine.database import Database
from worker.outbox.lanes import accounts as rows
from worker.outbox.lanes.accounts import AccountRow

ROTATABLE = ("secret", "callback")
"""Keys of an account's table whose credentials can be rotated."""


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account in the outbox, without its secrets."""

    name: str
    table: Mapping[str, Any]
    """The account's settings as under `[accounts.NAME]`, with `{"sealed": PATH}` in place of each secret."""
    changed_at: datetime


def add_account(
    name: str, table: Mapping[str, Any], *, person: str, why: str = "", settings: Settings | None = None
) -> None:
    """Adds an account. Its secrets are sealed before they are stored.

    Raises ConfigurationError if the account could not be used, and WorkerError if there is one of this name.
    """
    with audited("add account", arguments={"account": name}, person=person, why=why, settings=settings) as command:
        _store(command, {name: table})


def import_accounts(
    tables: Mapping[str, Mapping[str, Any]], *, person: str, why: str = "", settings: Settings | None = None
) -> int:
    """Reads and seals the secrets of accounts in a settings file, adds all of them or none, and returns how many."""
    arguments = {"accounts": sorted(tables)}
    with audited("import accounts", arguments=arguments, person=person, why=why, settings=settings) as command:
        _store(command, {name: _read_secrets(f"accounts.{name}", table) for name, table in tables.items()})
    return len(tables)


def rotate_account(
    name: str, credentials: Mapping[str, Any], *, person: str, why: str = "", settings: Settings | None = None
) -> None:
    """Gives an account new credentials, such as `{"secret": "..."}`.

    The old credentials stay in use beside the new ones until the next rotation: a token is fetched with the new secret
    first, and a callback that does not match the new token is checked with the old one.
    """
    with audited("rotate account", arguments={"account": name}, person=person, why=why, settings=settings) as command:
        [row] = _rows(command.database, name)
        table = _with_secrets(command, row)
        unknown = sorted(credentials.keys() - set(ROTATABLE))
        if not credentials or unknown:
            raise ConfigurationError(
                f"accounts.{name}: {', '.join(unknown) or 'nothing'} cannot be rotated; give {' or '.join(ROTATABLE)}"
            )
        replaced = {key: table[key] for key in credentials if key in table}
        previous = {**table.get("previous_credentials", {}), **replaced}
        _store(command, {name: {**table, **credentials, "previous_credentials": previous}}, replaces=row)


def change_account(
    name: str, changes: Mapping[str, Any], *, person: str, why: str = "", settings: Settings | None = None
) -> None:
    """Changes settings of an account, such as `{"proxy": "..."}`. Keys that are not given keep their values."""
    arguments = {"account": name, "keys": sorted(changes)}
    with audited("change account", arguments=arguments, person=person, why=why, settings=settings) as command:
        [row] = _rows(command.database, name)
        if not changes:
            raise ConfigurationError(f"accounts.{name}: nothing is to be changed; give a key and its value")
        _store(command, {name: {**_with_secrets(command, row), **changes}}, replaces=row)


def set_disabled(name: str, disabled: bool, *, person: str, why: str = "", settings: Settings | None = None) -> None:
    """Disables or enables an account. While disabled, it accepts no new jobs, and its open jobs wait."""
    action = "disable account" if disabled else "enable account"
    with audited(action, arguments={"account": name}, person=person, why=why, settings=settings) as command:
        [row] = _rows(command.database, name)
        # Without the secrets, so that disabling an account needs no key.
        table = {**_stored_table(row), "disabled": disabled}
        _write(command, [replace(row, version=uuid7().hex, settings=_json(table))], replaces=row)


def remove_account(name: str, *, person: str, why: str = "", settings: Settings | None = None) -> None:
    """Removes an account and its secrets. Its open jobs wait until an account of this name is added."""
    with audited("remove account", arguments={"account": name}, person=person, why=why, settings=settings) as command:
        [row] = _rows(command.database, name)
        if not command.database.run(partial(rows.remove_account, row=row, version=uuid7().hex)):
            raise WorkerError(f"nothing was changed: account {name} was changed by another person just now; try again")
        command.counts["accounts"] = 1


def reseal_accounts(*, person: str, why: str = "", settings: Settings | None = None) -> int:
    """Seals the secrets of every account again, with the first of the keys. Returns the number of accounts.

    An account whose secrets cannot be opened with any key does not stop the others. WorkerError names these accounts at
    the end.
    """
    failed = []
    with audited("reseal accounts", arguments={}, person=person, why=why, settings=settings) as command:
        keys = SealKeys(command.settings)
        for row in _rows(command.database):
            try:
                table = _stored_table(row)
                sealed = keys.seal(row.name, keys.unseal(row.name, row.sealed, table), table)
                _write(command, [replace(row, version=uuid7().hex, sealed=sealed)], replaces=row)
            except WorkerError:
                failed.append(row.name)
    if failed:
        raise WorkerError(
            f"{', '.join(failed)}: no key opens it, or it was changed just now; the others are sealed anew"
        )
    return command.counts["accounts"]


def stored_accounts(name: str | None = None, settings: Settings | None = None) -> list[StoredAccount]:
    """Lists the accounts in the outbox, or the one of this name. Raises WorkerError if there is none of this name."""
    with open_current_database(settings or load_settings()) as database:
        account_rows = _rows(database, name)
    return [StoredAccount(row.name, object_or_empty(row.settings), instant(row.changed_at)) for row in account_rows]


def _rows(database: Database, name: str | None = None) -> list[AccountRow]:
    with database.reading() as connection:
        names = sorted(rows.versions_by_account(connection)) if name is None else [name]
        account_rows = rows.account_rows(connection, names)
    if name is not None and not account_rows:
        raise WorkerError(f"there is no account {name!r} in the outbox; `worker accounts show` lists those that are")
    return account_rows


def _stored_table(row: AccountRow) -> dict[str, Any]:
    table = stored_object(row.settings)
    if table is None:
        raise WorkerError(
            f"accounts.{row.name}: its stored settings cannot be read; remove the account and add it anew"
        )
    return table


def _with_secrets(command: AuditedCommand, row: AccountRow) -> dict[str, Any]:
    """Returns the table of an account with its secrets in clear text."""
    table = _stored_table(row)
    return with_secrets(table, SealKeys(command.settings).unseal(row.name, row.sealed, table))


def _store(
    command: AuditedCommand, tables: Mapping[str, Mapping[str, Any]], replaces: AccountRow | None = None
) -> None:
    """Validates and seals the tables, and writes all of them or none. `replaces` is the row to replace, if any."""
    _write(command, [_row(command.settings, name, table) for name, table in tables.items()], replaces)


def _write(command: AuditedCommand, new_rows: Sequence[AccountRow], replaces: AccountRow | None) -> None:
    replaced_version = replaces.version if replaces else None

    def work(connection: Connection) -> None:
        for row in new_rows:
            if not rows.put_account(connection, command.database.now, row, replaces=replaced_version):
                raise WorkerError(
                    f"nothing was changed: account {row.name} "
                    + ("was changed by another person just now; try again" if replaces else "is there already")
                )

    command.database.run(work)
    command.counts["accounts"] += len(new_rows)


def _row(settings: Settings, name: str, table: Mapping[str, Any]) -> AccountRow:
    """Returns the row for a table with secrets in clear text. Raises ConfigurationError if the table cannot be used."""
    public, secrets = extract_secrets(table)
    account = account_of(name, {**with_lazy_secrets(public, lambda: secrets), "disabled": False}, settings)
    require_usable(account)
    # Read the secrets as a sender and the receiver would.
    if isinstance(account.egress.proxy, Secret):
        account.egress.proxy.read()
    make_verifier(account, max_age_s=0.0)
    return AccountRow(name, uuid7().hex, _json(public), SealKeys(settings).seal(name, secrets, public))


def _json(table: Mapping[str, Any]) -> str:
    return json.dumps(table, ensure_ascii=False, sort_keys=True)


def _read_secrets(path: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the table with the values that `{ env }` and `{ file }` refer to, in clear text."""
    clear: dict[str, Any] = {}
    for key, value in table.items():
        if is_place(value):
            # Sealed whatever its key is called: a value that was stored elsewhere may be a credential.
            clear[key] = Credential(validated(SecretFrom, value, f"{path}.{key}").read(f"{path}.{key}"))
        else:
            clear[key] = _read_secrets(f"{path}.{key}", value) if isinstance(value, Mapping) else value
    return clear
