"""What an account is made of: its table, as `[accounts.NAME]` or another source has it, and the defaults of all.

Secrets are read when a call needs them, never at start and never by a producer.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from worker.config.channels import REGISTRY
from worker.config.mistakes import judged
from worker.config.places import SecretFrom
from worker.config.settings import Settings, account_settings
from worker.domain.account import DEADLINE, Account, Secret
from worker.domain.errors import ConfigurationError, UnknownAccount

_TOLD = 5
"""Most accounts that one line names."""


class AccountSource(Protocol):
    """Accounts by name. One that is wrong stops its own jobs and nothing else."""

    def get(self, name: str) -> Account:
        """The account; a ConfigurationError says what is wrong with it, or that it is not known, and what to do."""

    def names(self) -> tuple[str, ...]:
        """The names of all accounts, those that are wrong among them; the same object until an account changes."""


class FixedAccounts:
    """A fixed set of accounts, made by an application or a test."""

    def __init__(self, accounts: Iterable[Account]):
        self._accounts = {account.name: account for account in accounts}
        self._names = tuple(sorted(self._accounts))

    def get(self, name: str) -> Account:
        """The account of this name."""
        found = self._accounts.get(name)
        if found is None:
            raise not_known(name, self._names)
        return found

    def names(self) -> tuple[str, ...]:
        """The names of all accounts, sorted."""
        return self._names


def not_known(name: str, names: Sequence[str], place: str = "") -> UnknownAccount:
    """The error for an account that does not exist: it names the nearest of those that do, or the first of them.

    `place`: where the settings are, or were looked for.
    """
    return UnknownAccount(partial(_not_known, name, names, place))


def _not_known(name: str, names: Sequence[str], place: str) -> str:
    near = difflib.get_close_matches(name, names, n=_TOLD) if len(names) > _TOLD else []
    shown = near or names[:_TOLD]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    known = f"{', '.join(shown)}{more}" if names else "none yet"
    into = f" to {place} (an application that enqueues reads the table, its secret is read by workers)" if place else ""
    add = f"add [accounts.{name}]{into}, or say `worker accounts add {name}`"
    return f"account {name!r} does not exist; use one of: {known}; or {add}"


def account_of(name: str, table: Mapping[str, Any], settings: Settings) -> Account:
    """The account that its table describes; ConfigurationError with the sentence that says what to change."""
    given = account_settings(name, table)
    if given.disabled:
        raise ConfigurationError(
            f"accounts.{name}: is disabled; `worker accounts change {name} --enable`, or disabled = false"
        )
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
            DEADLINE: float(settings.delivery.call_deadline_s),
            **{key: _opened(f"accounts.{name}.{key}", value) for key, value in (given.model_extra or {}).items()},
        },
        secret=None if given.secret is None else Secret(partial(_credential, given.secret, f"accounts.{name}.secret")),
        egress=given.egress(f"accounts.{name}"),
        limits=dict(given.limits),
        share=given.share,
        on_unknown=given.on_unknown,
        allow_everyone=given.allow_everyone,
        weight=given.weight,
        quiet_hours=given.quiet_hours,
        staging=(given.staging or settings.staging).switches(),
        token_provider=None if given.token_provider is None else given.token_provider.opened(f"accounts.{name}"),
        previous=_previous(name, table, given.previous, settings) if given.previous else None,
    )


def _credential(given: SecretFrom, key: str) -> str:
    """The secret, read now; a web address in its place is a ConfigurationError that does not show it."""
    value = given.read(key)
    if "://" in value:
        raise ConfigurationError(
            f"{key} names a place that holds a web address; of a robot's give what stands behind key="
        )
    return value


def _previous(name: str, table: Mapping[str, Any], given: Mapping[str, Any], settings: Settings) -> Account:
    """The account with the credentials that were valid before."""
    try:
        return account_of(name, {**table, **given, "previous": {}}, settings)
    except ConfigurationError as error:
        sentence = str(error).replace(f"accounts.{name}.", f"accounts.{name}.previous.", 1)
    raise ConfigurationError(sentence)


def staging_told(accounts: AccountSource) -> str:
    """The switches of staging that are on, in a few words for each log line; empty: none is."""
    switches = {}
    for name in accounts.names():
        with suppress(ConfigurationError):  # a wrong one calls no vendor
            switches[name] = accounts.get(name).staging.told()
    if len(set(switches.values())) == 1:
        return next(iter(switches.values()))
    told = [f"{name} {switch}" for name, switch in switches.items() if switch]
    more = [f"and {len(told) - _TOLD} more"] if len(told) > _TOLD else []
    return ", ".join([*told[:_TOLD], *more])


def _opened(path: str, value: Any) -> Any:
    """A channel's own value, with every { env } and { file } table turned into a Secret."""
    if isinstance(value, Secret) or (isinstance(value, dict) and len(value) == 1 and value.keys() <= {"env", "file"}):
        return Secret(partial(judged(SecretFrom, value, path).read, path))
    if not isinstance(value, dict):
        return value
    return {key: _opened(f"{path}.{key}", inner) for key, inner in value.items()}
