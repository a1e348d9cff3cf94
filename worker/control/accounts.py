"""The accounts that are kept in the outbox: added, rotated, disabled and removed by a person, each with an audit's row.

Every process acts on a change within seconds. Nothing here shows a secret.
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

from worker.accounts.sealing import Credential, SealKeys, put_secrets_back, take_secrets_out, with_secrets
from worker.channels.registry import require_usable
from worker.config.accounts import account_of
from worker.config.mistakes import judged
from worker.config.places import SecretFrom
from worker.config.settings import Settings, load_settings
from worker.control.audit import Running, audited
from worker.control.opening import opened_current
from worker.domain.account import Secret
from worker.domain.errors import ConfigurationError, WorkerError
from worker.hooks.doors import door_of
from worker.outbox.engine.clock import instant
from worker.outbox.engine.database import Database
from worker.outbox.lanes import accounts as rows
from worker.outbox.lanes.accounts import AccountRow

CREDENTIALS = ("secret", "callback")
"""Keys of a table whose credentials can be rotated."""


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account in the outbox, without its secrets."""

    name: str
    table: Mapping[str, Any]
    """As `[accounts.NAME]` would be; `{"sealed": PATH}` stands for a secret."""
    changed_at: datetime


def add_account(
    name: str, table: Mapping[str, Any], *, person: str, why: str = "", settings: Settings | None = None
) -> None:
    """Adds an account; secrets that are written out in the table are sealed.

    Raises ConfigurationError when the account could not be used as it is, or when there is one of this name.
    """
    with audited("add account", asked={"account": name}, person=person, why=why, settings=settings) as running:
        _put(running, {name: table})


def import_accounts(
    tables: Mapping[str, Mapping[str, Any]], *, person: str, why: str = "", settings: Settings | None = None
) -> int:
    """Adds the accounts of a settings file, all or none; returns how many. Their secrets are read and sealed."""
    asked = {"accounts": sorted(tables)}
    with audited("import accounts", asked=asked, person=person, why=why, settings=settings) as running:
        _put(running, {name: _read(f"accounts.{name}", table) for name, table in tables.items()})
    return len(tables)


def rotate_account(
    name: str, credentials: Mapping[str, Any], *, person: str, why: str = "", settings: Settings | None = None
) -> None:
    """Gives an account new credentials, such as `{"secret": "..."}`.

    Those that they replace stay valid beside them until the next rotation: a token is asked for with the new secret
    first, and a callback that the new token does not fit is read with the old one.
    """
    with audited("rotate account", asked={"account": name}, person=person, why=why, settings=settings) as running:
        [row] = _rows(running.database, name)
        table = _opened(running, row)
        unknown = sorted(credentials.keys() - set(CREDENTIALS))
        if not credentials or unknown:
            raise ConfigurationError(
                f"accounts.{name}: {', '.join(unknown) or 'nothing'} cannot be rotated; give {' or '.join(CREDENTIALS)}"
            )
        replaced = {key: table[key] for key in credentials if key in table}
        previous = {**table.get("previous", {}), **replaced}
        _put(running, {name: {**table, **credentials, "previous": previous}}, before=row)


def change_account(
    name: str, changes: Mapping[str, Any], *, person: str, why: str = "", settings: Settings | None = None
) -> None:
    """Gives an account other values, such as `{"proxy": "..."}`; the keys that are not named stay as they are."""
    asked = {"account": name, "keys": sorted(changes)}
    with audited("change account", asked=asked, person=person, why=why, settings=settings) as running:
        [row] = _rows(running.database, name)
        if not changes:
            raise ConfigurationError(f"accounts.{name}: nothing is to be changed; give a key and its value")
        _put(running, {name: {**_opened(running, row), **changes}}, before=row)


def set_disabled(name: str, disabled: bool, *, person: str, why: str = "", settings: Settings | None = None) -> None:
    """Disables an account: it takes no new job, and its jobs wait until it is enabled again."""
    action = "disable account" if disabled else "enable account"
    with audited(action, asked={"account": name}, person=person, why=why, settings=settings) as running:
        [row] = _rows(running.database, name)
        # Without the secrets, so that no key is needed to disable an account.
        table = {**json.loads(row.settings), "disabled": disabled}
        _write(running, [replace(row, version=uuid7().hex, settings=_json(table))], before=row)


def remove_account(name: str, *, person: str, why: str = "", settings: Settings | None = None) -> None:
    """Removes an account and its secrets; jobs of it that have not ended wait, until there is one of this name."""
    with audited("remove account", asked={"account": name}, person=person, why=why, settings=settings) as running:
        [row] = _rows(running.database, name)
        if not running.database.run(partial(rows.remove_account, row=row, version=uuid7().hex)):
            raise WorkerError(f"nothing was changed: account {name} was changed by another person just now; try again")
        running.counts["accounts"] = 1


def reseal_accounts(*, person: str, why: str = "", settings: Settings | None = None) -> int:
    """Seals the secrets of every account anew, with the first of the keys; returns how many accounts.

    One whose secrets no key opens does not hold up the others; WorkerError names those at the end.
    """
    left = []
    with audited("reseal accounts", asked={}, person=person, why=why, settings=settings) as running:
        keys = SealKeys(running.settings)
        for row in _rows(running.database):
            try:
                stored = json.loads(row.settings)
                sealed = keys.seal(row.name, keys.opened(row.name, row.sealed, stored), stored)
                _write(running, [replace(row, version=uuid7().hex, sealed=sealed)], before=row)
            except WorkerError:
                left.append(row.name)
    if left:
        raise WorkerError(f"{', '.join(left)}: no key opens it, or it was changed just now; the others are sealed anew")
    return running.counts["accounts"]


def stored_accounts(name: str | None = None, settings: Settings | None = None) -> list[StoredAccount]:
    """The accounts in the outbox, or the one of this name; WorkerError when there is none of it."""
    with opened_current(settings or load_settings()) as database:
        found = _rows(database, name)
    return [StoredAccount(row.name, json.loads(row.settings), instant(row.changed_at)) for row in found]


def _rows(database: Database, name: str | None = None) -> list[AccountRow]:
    with database.reading() as connection:
        names = sorted(rows.versions_of_accounts(connection)) if name is None else [name]
        found = rows.account_rows(connection, names)
    if name is not None and not found:
        raise WorkerError(f"there is no account {name!r} in the outbox; `worker accounts show` lists those that are")
    return found


def _opened(running: Running, row: AccountRow) -> dict[str, Any]:
    """The table of an account with its secrets written out."""
    stored = json.loads(row.settings)
    return with_secrets(stored, SealKeys(running.settings).opened(row.name, row.sealed, stored))


def _put(running: Running, tables: Mapping[str, Mapping[str, Any]], before: AccountRow | None = None) -> None:
    """Judges and seals the tables, and writes all of them or none; `before`: in place of this row."""
    _write(running, [_row(running.settings, name, table) for name, table in tables.items()], before)


def _write(running: Running, made: Sequence[AccountRow], before: AccountRow | None) -> None:
    instead_of = before.version if before else None

    def work(connection: Connection) -> None:
        for row in made:
            if not rows.put_account(connection, running.database.now, row, instead_of=instead_of):
                raise WorkerError(
                    f"nothing was changed: account {row.name} "
                    + ("was changed by another person just now; try again" if before else "is there already")
                )

    running.database.run(work)
    running.counts["accounts"] += len(made)


def _row(settings: Settings, name: str, table: Mapping[str, Any]) -> AccountRow:
    """The row of a table with its secrets written out; ConfigurationError when the account is not usable."""
    stored, secrets = take_secrets_out(table)
    account = account_of(name, {**put_secrets_back(stored, lambda: secrets), "disabled": False}, settings)
    require_usable(account)
    # What a sender and the receiver would make of its secrets.
    if isinstance(account.egress.proxy, Secret):
        account.egress.proxy.read()
    door_of(account, max_age_s=0.0)
    return AccountRow(name, uuid7().hex, _json(stored), SealKeys(settings).seal(name, secrets, stored))


def _json(table: Mapping[str, Any]) -> str:
    return json.dumps(table, ensure_ascii=False, sort_keys=True)


def _read(path: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with what `{ env }` and `{ file }` name written out."""
    read: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and value and value.keys() <= {"env", "file"}:
            # Sealed whatever its key is called: what was kept elsewhere may be a credential.
            read[key] = Credential(judged(SecretFrom, value, f"{path}.{key}").read(f"{path}.{key}"))
        else:
            read[key] = _read(f"{path}.{key}", value) if isinstance(value, Mapping) else value
    return read
