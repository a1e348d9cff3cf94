"""The limits that every API of a corp shares (page 90312 访问频率限制), with an account's amounts in place of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

from worker.domain.account import Account
from worker.domain.outcome import Scope
from worker.domain.pacing.limit import Charge, Limit, LimitCounter, Unit

RATES = "page 90312 访问频率限制 (2023/08/28, read again 2026-02-12)"
PICTURES = "page 90256 上传图片 (read 2026-02-12)"

# Per corp and API; message/send is not counted in them (page 90312).
CORP = (
    Limit("corp_minute", 60, 10_000, Unit.CALLS, Scope.LANE, "45009", RATES),
    Limit("corp_hour", 3600, 150_000, Unit.CALLS, Scope.LANE, "45009", RATES),
)
UPLOAD_IMAGE = (
    Limit("uploadimg_day", 86400, 1000, Unit.CALLS, Scope.LANE, "45009", PICTURES),
    Limit("uploadimg_month", 31 * 86400, 3000, Unit.CALLS, Scope.LANE, "45009", PICTURES),
)

# These count all calls that leave through one address, of any number of corps: three corps that each use up their own
# limits exceed them. Enforced only for an account that names its address (`ip`).
IP = (
    Limit("ip_minute", 60, 20_000, Unit.CALLS, Scope.LANE, "45009", RATES),
    Limit("ip_hour", 3600, 600_000, Unit.CALLS, Scope.LANE, "45009", RATES),
)


def adjusted(profile: tuple[Limit, ...], account: Account) -> tuple[Limit, ...]:
    """Returns the active limits, with the account's amounts. An amount of 0 switches a limit off."""
    if not account.has_own_amounts:
        return profile
    return tuple(limit for limit in with_overrides(profile, account) if limit.amount)


def with_overrides(profile: Iterable[Limit], account: Account) -> tuple[Limit, ...]:
    """Returns the limits with the account's amounts, also those that are off."""
    return tuple(with_amount(one, account.amount_of(one)) for one in profile)


def counted(profile: Iterable[Limit], account: Account, of: str, subject: str | None) -> Iterator[LimitCounter]:
    """Yields the limits of a profile with what they count: `of` in words, `subject` as its key."""
    return (LimitCounter(limit, of, subject) for limit in with_overrides(profile, account))


def counted_by_api(
    paths: Iterable[str], of_path: Mapping[str, tuple[Limit, ...]], account: Account
) -> Iterator[LimitCounter]:
    """Yields the base limits of each API of a corp, further limits of some, and those of the account's `ip`."""
    for path in sorted(set(paths)):
        profile = (*CORP, *of_path.get(path, ()))
        yield from counted(profile, account, path, f"{account.settings['corpid']}/{path}")
        if ip := account.settings.get("ip"):
            yield from counted(IP, account, f"{path}, all of the ip", _of_ip(ip, path))


def api_charges(account: Account, path: str, of_path: Mapping[str, tuple[Limit, ...]]) -> list[Charge]:
    """Returns what a call costs the corp at this API, and the account's `ip` if it is set."""
    profile = (*CORP, *of_path.get(path, ()))
    subject = f"{account.settings['corpid']}/{path}"
    charges = [Charge(limit, subject) for limit in adjusted(profile, account)]
    if ip := account.settings.get("ip"):
        charges += [Charge(limit, _of_ip(ip, path)) for limit in adjusted(IP, account)]
    return charges


def _of_ip(ip: str, path: str) -> str:
    return f"ip/{ip}/{path}"


@lru_cache(maxsize=1024)
def with_amount(limit: Limit, amount: int) -> Limit:
    """Returns the same limit with another amount."""
    if amount == limit.amount:
        return limit
    return replace(limit, amount=amount)
