"""Whether every account can be used at all, asked before a process starts: a wrong key must not wait for its first job.

Knows no channel's keys; each channel judges its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from worker import channels
from worker.config.accounts import DEADLINE, AccountSource
from worker.config.settings import AccountSettings, did_you_mean
from worker.domain.account import Account
from worker.domain.errors import ConfigurationError, WorkerError
from worker.domain.pacing.limit import Amount


def require_usable_accounts(accounts: AccountSource) -> None:
    """ConfigurationError with one sentence for each wrong key of each account."""
    wrong = [sentence for name in accounts.names() for sentence in _sentences(accounts.get(name))]
    if wrong:
        raise ConfigurationError("; ".join(wrong))


def require_usable(account: Account) -> None:
    """Checks one account, as a producer does for every job; one already found usable is not checked again."""
    if _usable.get(account.name) is account:
        return
    if wrong := list(_sentences(account)):
        raise ConfigurationError("; ".join(wrong), channel=account.channel)
    _usable[account.name] = account


_usable: dict[str, Account] = {}
"""The newest account of each name that was found usable."""


def weight_of(accounts: AccountSource, name: str) -> float:
    """An account's weight; 1 for an account that this process does not know."""
    try:
        return accounts.get(name).weight
    except WorkerError:
        return 1.0


def amount_of(accounts: AccountSource, name: str, limit: str) -> Amount | None:
    """An account's amount of a limit by its name; None where this process does not know the account or the limit."""
    try:
        account = accounts.get(name)
        channel = channels.channel(account.channel)
    except WorkerError:
        return None
    counted = [one for one in channel.counted(account, None) if one.limit.name == limit and one.limit.amount]
    if not counted:
        return None
    shared = len(counted) == 1 and counted[0].subject is not None
    return Amount(min(one.limit.amount for one in counted), shared)


def alike(accounts: AccountSource, account: Account, scope: Callable[[Account], str]) -> list[str]:
    """The accounts of its channel with the same scope, its own name first."""
    own, names = scope(account), [account.name]
    for name in accounts.names():
        with suppress(ConfigurationError):  # one that is not configured rightly sends nothing
            other = accounts.get(name)
            if other.channel == account.channel and scope(other) == own:
                names.append(name)
    return list(dict.fromkeys(names))


def _sentences(account: Account) -> Iterator[str]:
    try:
        channel = channels.channel(account.channel)
    except ConfigurationError as error:
        yield f"accounts.{account.name}.channel: {error}"
        return
    for key in sorted(account.settings.keys() - channel.account_keys - {DEADLINE}):
        remedy = did_you_mean(key, sorted({DEADLINE, *channel.account_keys, *AccountSettings.model_fields}))
        yield f"accounts.{account.name}.{key}: is not a setting of {channel.name}; {remedy}"
    if not _is_duration(account.settings.get(DEADLINE, 1.0)):
        yield f"accounts.{account.name}.{DEADLINE}: is no time of a call; give seconds, a number above 0"
    for problem in channel.account_problems(account):
        yield f"accounts.{account.name}.{problem}"
    shares = account.share if isinstance(account.share, Mapping) else {}
    for key, named in (("limits", account.limits), ("share", shares)):
        for name in named.keys() - channel.profile.keys():
            known = ", ".join(sorted(name for name, limit in channel.profile.items() if not limit.not_kept))
            yield f"accounts.{account.name}.{key}.{name}: is no limit of {channel.name}; use one of {known}"
        for name in sorted(named.keys() & channel.profile.keys()):
            if reason := channel.profile[name].not_kept:
                yield f"accounts.{account.name}.{key}.{name}: is not kept ({reason}); leave it out"


def _is_duration(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf
