"""The sources of accounts: the settings file, a function of the application's, the outbox; in this order."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from worker.accounts.live import LiveAccounts, Table, TableSource
from worker.accounts.sealed import OutboxAccounts
from worker.config.accounts import account_of
from worker.config.application import close_old_connections, imported, places_of
from worker.config.settings import Settings, SettingsFile, load_settings, where
from worker.domain.account import Secret
from worker.domain.errors import ConfigurationError
from worker.outbox.engine.database import Database


def accounts_of(settings: Settings, database: Database | None = None) -> LiveAccounts:
    """The accounts of the settings, and of the sources that they name; later changes of these are followed.

    Only the accounts are: other settings stay as they were loaded. Raises ConfigurationError where a source cannot be
    used at all. With a database those in the outbox are read through it, instead of a connection for each look.
    """
    sources: list[TableSource] = [FileAccounts(settings)]
    if settings.accounts_from:
        sources.append(ApplicationsAccounts(settings.accounts_from))
    sources.append(OutboxAccounts(settings, database))
    place = where() if settings.file is None else str(settings.file.path)
    return LiveAccounts(sources, partial(account_of, settings=settings), place=place)


class FileAccounts:
    """The `[accounts.NAME]` tables of the settings' file, read again whenever the file is another one."""

    def __init__(self, settings: Settings):
        self._settings = settings

    def look(self) -> Mapping[str, Table]:
        """The tables; raises ConfigurationError when the file is gone or not valid any more."""
        file = self._settings.file
        if file is not None and SettingsFile.seen(file.path) != file:
            self._settings = load_settings(file.path)
        return self._settings.accounts


class ApplicationsAccounts:
    """A function of the application's without parameters, which returns the tables of its accounts by their names.

    # shop/wecom.py, named by accounts = "shop.wecom:accounts" in worker.toml
    def accounts() -> Mapping[str, Mapping[str, Any]]:
        return {corp.name: {**corp.settings, "secret": Secret(corp.read_secret)} for corp in Corp.all()}

    The function is called every few seconds, outside any transaction. A table is what `[accounts.NAME]` would be; a
    credential is `{"env": ...}`, `{"file": ...}` or a `worker.Secret`, whose function is called for each use: that of
    the newest call, and a new Secret alone is no change of the account.
    """

    def __init__(self, path: str):
        module, _, name = path.partition(":")
        found = getattr(imported("accounts", module), name, None)
        if not callable(found):
            raise ConfigurationError(f"accounts: module {module} has no function {name}; correct the name")
        self._path, self._function = path, found
        self._secrets: dict[tuple[str, ...], Secret] = {}
        """The newest secrets, by the account's name and the path in its table."""
        self._steady: dict[tuple[str, ...], Secret] = {}
        """What stands for each of them in the tables, the same object for as long as there is one."""
        self._tables: Mapping[str, Table] = {}

    def look(self) -> Mapping[str, Table]:
        """What the function returns; ConfigurationError when it fails or returns something else."""
        secrets: dict[tuple[str, ...], Secret] = {}
        try:
            found = self._function()
            if isinstance(found, Mapping):
                found = {_name(key): table for key, table in found.items()}
            # A copy: what the application changes in its own is to be noticed.
            tables = self._copied(found, (), secrets)
        except Exception as error:  # noqa: BLE001  whatever the application raises; its text may hold secrets
            close_old_connections()  # or each later call in this thread fails after one dropped connection
            raise ConfigurationError(f"accounts: {self._path} failed: {places_of(error, below=__file__)}") from None
        if not isinstance(tables, dict):
            raise ConfigurationError(f"accounts: {self._path} must return a mapping of names to tables")
        self._secrets = secrets
        self._steady = {path: secret for path, secret in self._steady.items() if path in secrets}
        if tables != self._tables:
            self._tables = tables
        return self._tables

    def _copied(self, value: Any, path: tuple[str, ...], secrets: dict[tuple[str, ...], Secret]) -> Any:
        """The value with steady secrets in the places of those that are found."""
        if isinstance(value, Secret):
            secrets[path] = value
            return self._steady.setdefault(path, Secret(partial(self._read, path)))
        if isinstance(value, Mapping):
            return {key: self._copied(inner, (*path, str(key)), secrets) for key, inner in value.items()}
        return list(value) if isinstance(value, list | tuple) else value

    def _read(self, path: tuple[str, ...]) -> str:
        secret = self._secrets.get(path)
        if secret is None:
            raise ConfigurationError(f"accounts.{'.'.join(path)}: is gone from {self._path}")
        return secret.read()


def _name(key: object) -> str:
    """The name of a table. What is no text becomes a name that no account may have, so that it alone is refused."""
    if isinstance(key, str):
        return key
    # Of an object of the application's its class alone: how it shows itself may hold a secret.
    shown = f"{key!r:.40} " if isinstance(key, int | float | bytes | None) else ""
    return f"{shown}({type(key).__name__})"
