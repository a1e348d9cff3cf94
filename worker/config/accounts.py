"""Sources of accounts: the `[accounts.NAME]` tables of the settings, or any object with the same two methods.

Secrets are read when a call needs them, never at start and never by a producer.
Producers set their process's source with `worker.configure`, or load it on first use; workers and tests pass theirs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from worker.config.channels import REGISTRY
from worker.config.places import SecretFrom, UrlFrom, proxy_problem, whole
from worker.config.settings import AccountSettings, Settings, StagingSettings, load_settings
from worker.domain.account import Account, Secret
from worker.domain.errors import ConfigurationError

DEADLINE = "deadline_s"
"""Key beside a channel's own: the total time of a call in seconds, out of `[delivery]`."""


_TOLD = 5
"""Most accounts whose switches are named in each log line."""


class AccountSource(Protocol):
    """Accounts by name."""

    def get(self, name: str) -> Account:
        """The account; an unknown name is a ConfigurationError that lists the known ones."""

    def names(self) -> tuple[str, ...]:
        """The names of all accounts."""


class FixedAccounts:
    """A fixed set of accounts: from settings, or made by an application or a test."""

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
        """The names of all accounts, sorted."""
        return tuple(sorted(self._accounts))


def accounts_of(settings: Settings) -> FixedAccounts:
    """The accounts of the settings."""
    deadline_s = float(settings.delivery.call_deadline_s)
    return FixedAccounts(
        _account(name, given, given.staging or settings.staging, deadline_s)
        for name, given in settings.accounts.items()
    )


def _account(name: str, given: AccountSettings, staging: StagingSettings, deadline_s: float) -> Account:
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
            DEADLINE: deadline_s,
            **{key: _opened(f"accounts.{name}.{key}", value) for key, value in (given.model_extra or {}).items()},
        },
        secret=None if given.secret is None else Secret(partial(given.secret.read, f"accounts.{name}.secret")),
        proxy=_proxy(name, given.proxy),
        limits=dict(given.limits),
        share=given.share,
        on_unknown=given.on_unknown,
        allow_everyone=given.allow_everyone,
        weight=given.weight,
        quiet_hours=given.quiet_hours,
        staging=staging.switches(),
    )


def staging_told(accounts: AccountSource) -> str:
    """The switches of staging that are on, in a few words for each log line; empty: none is."""
    switches = {name: accounts.get(name).staging.told() for name in accounts.names()}
    if len(set(switches.values())) == 1:
        return next(iter(switches.values()))
    told = [f"{name} {switch}" for name, switch in switches.items() if switch]
    more = [f"and {len(told) - _TOLD} more"] if len(told) > _TOLD else []
    return ", ".join([*told[:_TOLD], *more])


def _opened(path: str, value: Any) -> Any:
    """A channel's own value, with every { env } and { file } table turned into a Secret."""
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and value.keys() <= {"env", "file"}:
        return Secret(partial(SecretFrom(**value).read, path))
    return {key: _opened(f"{path}.{key}", inner) for key, inner in value.items()}


def _proxy(name: str, given: UrlFrom | None) -> str | Secret | None:
    """The proxy's URL if it is written out; otherwise a Secret, which is read for each connection."""
    if given is None:
        return None
    read = partial(whole, given, f"accounts.{name}.proxy", proxy_problem)
    return read() if given.url is not None and given.password is None else Secret(read)


_guard = threading.Lock()
_accounts: AccountSource | None = None


def configure(source: Settings | AccountSource | str | Path | None = None) -> None:
    """Sets where this process's accounts come from: settings, a path of a worker.toml, or a source of your own.

    None resets it: the next use reads WORKER_CONFIG or ./worker.toml again.
    """
    global _accounts
    if isinstance(source, str | Path):
        source = load_settings(source)
    made = accounts_of(source) if isinstance(source, Settings) else source
    with _guard:
        _accounts = made


def current_accounts() -> AccountSource:
    """The accounts that were set; without `configure` the first use loads the settings."""
    global _accounts
    with _guard:
        if _accounts is None:
            _accounts = accounts_of(load_settings())
        return _accounts
