"""Where accounts come from: today the `[accounts.NAME]` tables; other sources can stand behind the same seam.

Secrets are read when somebody asks for them, never at start and never by a producer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from worker.config.channels import REGISTRY
from worker.config.settings import AccountSettings, SecretFrom, Settings
from worker.domain.account import Account, Secret
from worker.domain.errors import ConfigurationError


class AccountSource(Protocol):
    """Accounts by name."""

    def get(self, name: str) -> Account:
        """The account; an unknown name is a ConfigurationError that lists the known ones."""
        ...

    def names(self) -> tuple[str, ...]:
        """Every account there is."""
        ...


class FixedAccounts:
    """Accounts that are already made: from settings, or by an application or a test."""

    def __init__(self, accounts: Iterable[Account]):
        self._accounts = {account.name: account for account in accounts}

    def get(self, name: str) -> Account:
        """The account of this name."""
        found = self._accounts.get(name)
        if found is None:
            known = ", ".join(sorted(self._accounts)) or "none yet"
            raise ConfigurationError(f"account {name!r} does not exist; use one of: {known}; or add [accounts.{name}]")
        return found

    def names(self) -> tuple[str, ...]:
        """Every account there is, in order."""
        return tuple(sorted(self._accounts))


def accounts_of(settings: Settings) -> FixedAccounts:
    """The accounts of the settings."""
    deadline_s = float(settings.delivery.call_deadline_s)
    return FixedAccounts(_account(name, given, deadline_s) for name, given in settings.accounts.items())


def _account(name: str, given: AccountSettings, deadline_s: float) -> Account:
    entry = REGISTRY.get(given.channel)
    base_url = given.base_url or (entry.host if entry else None)
    if base_url is None:
        raise ConfigurationError(
            f"accounts.{name}.base_url: is missing; channel {given.channel!r} has no host of its own"
        )
    return Account(
        name=name,
        channel=given.channel,
        base_url=base_url,
        settings={
            "deadline_s": deadline_s,
            **{key: _opened(f"{name}.{key}", value) for key, value in (given.model_extra or {}).items()},
        },
        secret=None if given.secret is None else _secret(f"{name}.secret", given.secret),
        proxy=given.proxy,
        limits=dict(given.limits),
        share=given.share,
        on_unknown=given.on_unknown,
        allow_everyone=given.allow_everyone,
        weight=given.weight,
    )


def _opened(path: str, value: Any) -> Any:
    """A channel's own value, with every { env } and { file } table turned into a Secret."""
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and value.keys() <= {"env", "file"}:
        return _secret(path, SecretFrom(**value))
    return {key: _opened(f"{path}.{key}", inner) for key, inner in value.items()}


def _secret(path: str, given: SecretFrom) -> Secret:
    def read() -> str:
        value = _from_file(path, given.file) if given.file else os.environ.get(given.env or "", "").strip()
        if not value:
            place = f"file {given.file}" if given.file else f"environment variable {given.env}"
            # No colon behind the key: the log's redaction would take the next word for the secret itself.
            raise ConfigurationError(f"accounts.{path} names {place}, which is empty or not there; fill it")
        return value

    return Secret(read)


def _from_file(path: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"accounts.{path} names file {file}, which cannot be read; check the path and its rights"
        ) from error
