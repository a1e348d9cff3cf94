"""Builds an account from its table, as `[accounts.NAME]` or another source has it, and from common defaults.

Secrets are read when a call needs them, never at the start and never by a producer.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, cast

from worker.config.channels import host_of
from worker.config.mistakes import validated
from worker.config.places import SecretFrom, is_place
from worker.config.settings import Settings, account_settings
from worker.domain.account import DEADLINE, Account, Secret
from worker.domain.errors import ConfigurationError, UnknownAccount

_MAX_NAMES = 5
"""Accounts that one line names, at most."""


class AccountSource(Protocol):
    """Accounts by name. A wrong one stops its own jobs and nothing else."""

    def get(self, name: str) -> Account:
        """Returns the account. Raises ConfigurationError, with a remedy, if it is wrong or does not exist."""

    def names(self) -> tuple[str, ...]:
        """Returns the names of all accounts, also of wrong ones. It is the same object until an account changes."""


class FixedAccounts:
    """A fixed set of accounts, built by an application or a test."""

    def __init__(self, accounts: Iterable[Account]):
        self._accounts = {_require_account(account).name: account for account in accounts}
        self._names = tuple(sorted(self._accounts))

    def get(self, name: str) -> Account:
        """Returns the account of this name."""
        account = self._accounts.get(name)
        if account is None:
            raise unknown_account(name, self._names)
        return account

    def names(self) -> tuple[str, ...]:
        """Returns the names of all accounts, sorted."""
        return self._names


def _require_account(account: Account) -> Account:
    if not isinstance(account, Account):
        type_name = type(account).__name__
        raise ConfigurationError(f"accounts: holds a {type_name}; give Account(...) values")
    return account


def require_source(source: Any) -> AccountSource:
    """Returns a source of accounts. Raises ConfigurationError for what is none."""
    if isinstance(source, type) or not (hasattr(source, "get") and hasattr(source, "names")):
        type_name = type(source).__name__
        raise ConfigurationError(
            f"accounts: is a {type_name}; give FixedAccounts([...]) or another source with get(name) and names(), "
            "or the path of a worker.toml to worker.configure"
        )
    return cast(AccountSource, source)


def unknown_account(name: str, names: Sequence[str], place: str = "") -> UnknownAccount:
    """Returns the error for an account that does not exist. It names the most similar accounts, or the first ones.

    `place` is where the settings are, or were looked for.
    """
    return UnknownAccount(partial(_unknown_account_text, name, names, place))


def _unknown_account_text(name: str, names: Sequence[str], place: str) -> str:
    near = difflib.get_close_matches(name, names, n=_MAX_NAMES) if len(names) > _MAX_NAMES else []
    listed = near or names[:_MAX_NAMES]
    more = f" and {len(names) - len(listed)} more" if len(names) > len(listed) else ""
    choices = f"{', '.join(listed)}{more}" if names else "none yet"
    into = f" to {place} (an application that enqueues reads the table, its secret is read by workers)" if place else ""
    add = f"add [accounts.{name}]{into}, or run `worker accounts add {name}`"
    return f"account {name!r} does not exist; use one of: {choices}; or {add}"


def account_of(name: str, table: Mapping[str, Any], settings: Settings) -> Account:
    """Builds the account that its table describes. Raises ConfigurationError with a sentence on what to change."""
    values, path = account_settings(name, table), f"accounts.{name}"
    if values.disabled:
        raise ConfigurationError(
            f"accounts.{name}: is disabled; run `worker accounts change {name} --enable`, or set disabled = false"
        )
    base_url = values.base_url or _host_of(values.channel, path)  # the registry refuses an unknown channel
    if base_url is None:
        raise ConfigurationError(
            f"accounts.{name}.base_url: is missing; channel {values.channel!r} has no host of its own"
        )
    return Account(
        name=name,
        channel=values.channel,
        base_url=base_url,
        settings={
            DEADLINE: float(settings.delivery.call_deadline_s),
            **{key: _with_secrets(f"{path}.{key}", value) for key, value in (values.model_extra or {}).items()},
        },
        secret=None if values.secret is None else Secret(partial(_credential, values.secret, f"{path}.secret")),
        egress=values.egress(path),
        limits=dict(values.limits),
        limit_share=values.limit_share,
        on_unknown=values.on_unknown,
        allow_everyone=values.allow_everyone,
        weight=values.weight,
        quiet_hours=values.quiet_hours,
        staging=(values.staging or settings.staging).switches(),
        token_provider=None if values.token_provider is None else values.token_provider.to_provider(path),
        previous_credentials=_previous(name, table, values.previous_credentials, settings)
        if values.previous_credentials
        else None,
    )


def _host_of(channel: str, path: str) -> str | None:
    try:
        return host_of(channel)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}.channel: {error}") from error


def _credential(source: SecretFrom, key: str) -> str:
    """Reads the secret. Raises ConfigurationError, which does not show it, if it is a web address."""
    value = source.read(key)
    if "://" in value:
        raise ConfigurationError(
            f"{key} names a place that holds a web address; of a robot's address give only the part after key="
        )
    return value


def _previous(name: str, table: Mapping[str, Any], credentials: Mapping[str, Any], settings: Settings) -> Account:
    """Returns the account with the credentials that were valid before."""
    try:
        return account_of(name, {**table, **credentials, "previous_credentials": {}}, settings)
    except ConfigurationError as error:
        sentence = str(error).replace(f"accounts.{name}.", f"accounts.{name}.previous_credentials.", 1)
    raise ConfigurationError(sentence)


def staging_summary(accounts: AccountSource) -> str:
    """Returns the switches of staging that are on, in a few words for each log line, or an empty text."""
    switches = {}
    for name in accounts.names():
        with suppress(ConfigurationError):  # a wrong account calls no vendor
            switches[name] = accounts.get(name).staging.active()
    if len(set(switches.values())) == 1:
        return next(iter(switches.values()))
    named = [f"{name} {switch}" for name, switch in switches.items() if switch]
    more = [f"and {len(named) - _MAX_NAMES} more"] if len(named) > _MAX_NAMES else []
    return ", ".join([*named[:_MAX_NAMES], *more])


def _with_secrets(path: str, value: Any) -> Any:
    """Returns a channel's own value with a Secret in place of every { env } and { file } table."""
    if isinstance(value, Secret) or is_place(value):
        return Secret(partial(validated(SecretFrom, value, path).read, path))
    if not isinstance(value, dict):
        return value
    return {key: _with_secrets(f"{path}.{key}", inner) for key, inner in value.items()}
