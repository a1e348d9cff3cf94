"""The sources of accounts in their order: the settings file, a function of the application, the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from worker.accounts.live import LiveAccounts, Table, TableSource
from worker.accounts.sealed import OutboxAccounts
from worker.config.accounts import account_of
from worker.config.application import close_old_connections, imported, traceback_summary
from worker.config.settings import Settings, SettingsFile, load_settings, settings_location
from worker.domain.account import Secret
from worker.domain.errors import ConfigurationError
from worker.outbox.engine.database import Database


def accounts_of(settings: Settings, database: Database | None = None) -> LiveAccounts:
    """Returns the accounts of the settings and of the sources that they name, and follows later changes of these.

    Only accounts are followed: other settings stay as they were loaded. Raises ConfigurationError if a source cannot be
    used at all. With a database, the accounts in the outbox are read through it instead of a new connection each time.
    """
    sources: list[TableSource] = [FileAccounts(settings)]
    if settings.accounts_from:
        sources.append(ApplicationAccounts(settings.accounts_from))
    sources.append(OutboxAccounts(settings, database))
    settings_path = settings_location() if settings.file is None else str(settings.file.path)
    return LiveAccounts(sources, partial(account_of, settings=settings), settings_path=settings_path)


class FileAccounts:
    """The `[accounts.NAME]` tables of the settings file, read again if the file has changed."""

    def __init__(self, settings: Settings):
        self._settings = settings

    def refresh(self) -> Mapping[str, Table]:
        """Returns the tables. Raises ConfigurationError if the file is missing or no longer valid."""
        file = self._settings.file
        if file is not None and SettingsFile.current(file.path) != file:
            self._settings = load_settings(file.path)
        return self._settings.accounts


class ApplicationAccounts:
    """A function of the application, without parameters, that returns the tables of its accounts by name.

        # shop/wecom.py, named by accounts = "shop.wecom:accounts" in worker.toml
        def accounts() -> Mapping[str, Mapping[str, Any]]:
            return {corp.name: {**corp.settings, "secret": Secret(corp.read_secret)} for corp in Corp.all()}

    The function is called every few seconds, outside any transaction. A table is what `[accounts.NAME]` would be. A
    credential is `{"env": ...}`, `{"file": ...}` or a `worker.Secret`, whose function is called for each use. The
    Secret of the newest call is used, and a new Secret alone does not count as a change of the account.
    """

    def __init__(self, path: str):
        module, _, name = path.partition(":")
        function = getattr(imported("accounts", module), name, None)
        if not callable(function):
            raise ConfigurationError(f"accounts: module {module} has no function {name}; correct the name")
        self._path, self._function = path, function
        self._secrets: dict[tuple[str, ...], Secret] = {}
        """The newest secrets, by the account's name and the path in its table."""
        self._stable: dict[tuple[str, ...], Secret] = {}
        """The Secret that stands for each of them in the tables: the same object for as long as the path exists."""
        self._tables: Mapping[str, Table] = {}

    def refresh(self) -> Mapping[str, Table]:
        """Returns the function's tables. Raises ConfigurationError if it fails or returns something else."""
        secrets: dict[tuple[str, ...], Secret] = {}
        try:
            returned = self._function()
            if isinstance(returned, Mapping):
                returned = {_name(key): table for key, table in returned.items()}
            # A copy, so that a change which the application makes in its own tables is noticed.
            tables = self._copy(returned, (), secrets)
        except Exception as error:  # noqa: BLE001  whatever the application raises; its text may hold secrets
            close_old_connections()  # otherwise each later call in this thread fails after one dropped connection
            raise ConfigurationError(
                f"accounts: {self._path} failed: {traceback_summary(error, below=__file__)}"
            ) from None
        if not isinstance(tables, dict):
            raise ConfigurationError(f"accounts: {self._path} must return a mapping of names to tables")
        self._secrets = secrets
        self._stable = {path: secret for path, secret in self._stable.items() if path in secrets}
        if tables != self._tables:
            self._tables = tables
        return self._tables

    def _copy(self, value: Any, path: tuple[str, ...], secrets: dict[tuple[str, ...], Secret]) -> Any:
        """Copies the value, and replaces each secret by the one that stays the same."""
        if isinstance(value, Secret):
            secrets[path] = value
            return self._stable.setdefault(path, Secret(partial(self._read, path)))
        if isinstance(value, Mapping):
            return {key: self._copy(inner, (*path, str(key)), secrets) for key, inner in value.items()}
        return list(value) if isinstance(value, list | tuple) else value

    def _read(self, path: tuple[str, ...]) -> str:
        secret = self._secrets.get(path)
        if secret is None:
            key = ".".join(path)
            raise ConfigurationError(f"accounts.{key}: is no longer in {self._path}")
        return secret.read()


def _name(key: object) -> str:
    """Returns the name of a table. What is no text becomes a name that is not allowed, so that only it is refused."""
    if isinstance(key, str):
        return key
    # Of the application's other objects only the class is shown: their `repr` may hold a secret.
    shown = f"{key!r:.40} " if isinstance(key, int | float | bytes | None) else ""
    return f"{shown}({type(key).__name__})"
