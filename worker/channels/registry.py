"""The channels by name, and whether an account of theirs can be used at all.

A wrong key must not wait for its first job. Knows no channel's keys: each channel checks its own.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from worker.channels.base import Channel
from worker.channels.checking.plain import unfit
from worker.config.channels import REGISTRY, entry_of, forget_outside, outside_class, outside_entries
from worker.domain.account import DEADLINE, Account, Secret
from worker.domain.errors import ConfigurationError, Problem
from worker.domain.pacing.limit import Amount

if TYPE_CHECKING:
    from worker.config.accounts import AccountSource

DAY_S = 86_400
"""The longest time of a call, in seconds."""


NEEDED = ("kinds", "account_keys", "checks", "errcodes")
"""Attributes of a channel without a default."""


def channel(name: str) -> Channel:
    """Returns the channel of this name, imported on first use. ConfigurationError lists the right names."""
    vendor = _loaded(name)
    if isinstance(vendor, str):
        raise ConfigurationError(vendor)
    return vendor


def channel_if_there(name: str) -> Channel | None:
    """Returns the channel of a job, or None if it came from a package that is not here, or cannot be used, any more."""
    vendor = _loaded(name)
    return None if isinstance(vendor, str) else vendor


@cache
def names() -> tuple[str, ...]:
    """Returns the names of all channels that can be used, sorted. An account of another one says why it cannot."""
    return tuple(sorted({*REGISTRY, *filter(channel_if_there, outside_entries())}))


@cache
def _loaded(name: str) -> Channel | str:
    """Returns the channel, or why it cannot be used."""
    entry = entry_of(name)
    if entry is None:
        known = ", ".join(sorted({*REGISTRY, *outside_entries()}))
        return f"channel {name!r} does not exist; use one of {known}"
    if not entry.distributions:
        made: Channel = getattr(importlib.import_module(f"{entry.package}.channel"), entry.class_name)()
        return made
    place = f"{entry.package}:{entry.class_name}"
    try:
        made = outside_class(entry)()
    except ConfigurationError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  a package of another author must stop its own accounts alone
        said = f"{type(error).__name__}: {error}"
        return f"{place} cannot be made ({said}); correct it"
    if not isinstance(made, Channel) or getattr(made, "name", None) != name:
        return f"{place} is no Channel of the name {name!r}; correct its entry point, or its attribute `name`"
    if lacking := ", ".join(one for one in NEEDED if not hasattr(made, one)):
        return f"{place} lacks {lacking}; see docs/channels.md"
    return made


def forget_channels() -> None:
    """Forgets what was found out about channels, as a new process does. For tests that install one."""
    forget_outside()
    _loaded.cache_clear()
    names.cache_clear()
    _usable.clear()


# -- accounts ---------------------------------------------------------------------------------------------------------


def split_usable(accounts: AccountSource, names: Iterable[str]) -> tuple[dict[str, Account], dict[str, str]]:
    """Returns the accounts that can be used as configured here, and for each of the others what to change."""
    good, wrong = dict[str, Account](), dict[str, str]()
    for name in names:
        try:
            good[name] = usable(accounts, name)
        except ConfigurationError as error:
            wrong[name] = str(error)
    return good, wrong


def unusable_accounts(accounts: AccountSource) -> dict[str, str]:
    """Returns the accounts that cannot be used as configured here, with what to change."""
    return split_usable(accounts, accounts.names())[1]


def usable(accounts: AccountSource, name: str) -> Account:
    """Returns the account of this name. Raises ConfigurationError if it cannot be used as configured here."""
    account = accounts.get(name)
    require_usable(account)
    return account


def may_have_callbacks(accounts: AccountSource, name: str) -> bool:
    """Returns True for an account with a callback address, and for one that may have one when it is mended."""
    try:
        account = usable(accounts, name)
        return bool(channel(account.channel).callback_secrets(account))
    except ConfigurationError:
        return True


def require_usable(account: Account) -> None:
    """Raises ConfigurationError with one sentence for each wrong key. A usable account is not checked again."""
    if _usable.get(account.name) is account:
        return
    try:
        wrong = list(_sentences(account))
    except Exception as error:  # noqa: BLE001  one faulty account must not stop the others
        wrong = [f"accounts.{account.name}: cannot be understood ({type(error).__name__}); correct its table"]
    if wrong:
        raise ConfigurationError("; ".join(wrong), channel=account.channel)
    _usable[account.name] = account


_usable: dict[str, Account] = {}
"""The newest account of each name that was checked and is usable."""


def takes_secret(account: Account) -> bool:
    """Returns True if a call or the account's token needs its own secret. False for an unknown channel."""
    try:
        vendor = channel(account.channel)
    except ConfigurationError:
        return False
    if vendor.calls_with_secret or account.token_provider is not None or not vendor.uses_token:
        return vendor.calls_with_secret
    chain = vendor.token_steps(account)
    return chain is None or chain.subject is None


def weight_of(accounts: AccountSource, name: str) -> float:
    """Returns an account's weight, or 1 if this process cannot use the account."""
    with suppress(Exception):  # read for all accounts in each turn of the relay: a wrong one must not stop the others
        if 0 < (weight := accounts.get(name).weight) < math.inf:
            return weight
    return 1.0


def amount_of(accounts: AccountSource, name: str, limit: str) -> Amount | None:
    """Returns an account's amount of a limit. None if this process cannot use the account, or it has no such limit.

    Its parts then wait with a reason as soon as they come to a sender.
    """
    try:
        account = usable(accounts, name)
        counted = [
            one
            for one in channel(account.channel).counted(account, None)
            if one.limit.name == limit and one.limit.amount
        ]
        if not counted:
            return None
        shared = len(counted) == 1 and counted[0].subject is not None
        return Amount(min(one.limit.amount for one in counted), shared)
    except Exception:  # noqa: BLE001  read in a turn of the relay: a wrong account must not stop the others
        return None


def alike(accounts: AccountSource, account: Account, scope: Callable[[Account], str]) -> list[str]:
    """Returns the accounts of its channel with the same key, its own name first."""
    names = accounts.names()
    found = _alike.get(scope)
    if found is None or found[0] is not names:
        found = _alike[scope] = (names, _by_scope(accounts, names, account.channel, scope))
    return list(dict.fromkeys([account.name, *found[1].get(scope(account), ())]))


_alike: dict[Callable[[Account], str], tuple[tuple[str, ...], Mapping[str, list[str]]]] = {}
"""Function that returns a channel's key to the account names it was computed for, and the names by key."""


def _by_scope(
    accounts: AccountSource, names: Iterable[str], channel: str, scope: Callable[[Account], str]
) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        with suppress(ConfigurationError):  # one that is not configured rightly sends nothing
            if (other := usable(accounts, name)).channel == channel:
                found.setdefault(scope(other), []).append(name)
    return found


def _unfit(account: Account) -> Iterator[Problem]:
    """Finds the channel's own values that no text or JSON can hold, without its secrets."""
    for key, value in account.settings.items():
        if isinstance(value, Mapping):
            value = {name: inner for name, inner in value.items() if not isinstance(inner, Secret)}
        if not isinstance(value, Secret):
            yield from unfit(key, value, code=None)


def _sentences(account: Account) -> Iterator[str]:
    try:
        vendor = channel(account.channel)
    except ConfigurationError as error:
        yield f"accounts.{account.name}.channel: {error}"
        return
    for key in sorted(account.settings.keys() - vendor.account_keys - {DEADLINE}):
        from worker.config.account_settings import AccountSettings
        from worker.config.mistakes import did_you_mean

        remedy = did_you_mean(key, sorted({DEADLINE, *vendor.account_keys, *AccountSettings.model_fields}))
        yield f"accounts.{account.name}.{key}: is not a setting of {vendor.name}; {remedy}"
    deadline = account.settings.get(DEADLINE, 1.0)
    if type(deadline) not in (int, float) or not 0 < deadline <= DAY_S:
        yield (
            f"accounts.{account.name}.{DEADLINE}: is not a valid time limit of a call; give seconds"
            f" above 0, at most {DAY_S}"
        )
    if account.token_provider is not None and not vendor.uses_token:
        yield f"accounts.{account.name}.token_provider: {vendor.name} has no token; leave it out"
    elif account.token_provider is not None and vendor.token_steps(account) is not None:
        yield f"accounts.{account.name}.token_provider: its token comes through a suite; leave one of both out"
    for problem in (*_unfit(account), *vendor.account_problems(account)):
        yield f"accounts.{account.name}.{problem}"
    if account.previous_credentials is not None:
        for problem in (*_unfit(account.previous_credentials), *vendor.account_problems(account.previous_credentials)):
            if problem.field.startswith("callback"):
                yield f"accounts.{account.name}.previous_credentials.{problem}"
    shares = account.limit_share if isinstance(account.limit_share, Mapping) else {}
    for key, named in (("limits", account.limits), ("limit_share", shares)):
        for name in named.keys() - vendor.profile.keys():
            known = ", ".join(sorted(vendor.profile))
            yield f"accounts.{account.name}.{key}.{name}: is no limit of {vendor.name}; use one of {known}"
