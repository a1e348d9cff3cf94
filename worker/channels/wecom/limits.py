"""The limits that every API of a corp shares (page 90312 访问频率限制), and an account's amounts in place of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from worker.domain.account import Account
from worker.domain.limit import Counted, Limit, Unit
from worker.domain.outcome import Scope

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


def adjusted(profile: tuple[Limit, ...], account: Account) -> tuple[Limit, ...]:
    """The limits that are on, with the account's amounts; 0 switches one off."""
    if not account.has_own_amounts:
        return profile
    return tuple(limit for limit in as_kept(profile, account) if limit.amount)


def as_kept(profile: Iterable[Limit], account: Account) -> tuple[Limit, ...]:
    """The limits with the account's amounts, those that are off too."""
    return tuple(with_amount(limit, account.amount_of(limit)) for limit in profile)


def counted(profile: Iterable[Limit], account: Account, of: str, subject: str | None) -> Iterator[Counted]:
    """Limits that count one thing."""
    return (Counted(limit, of, subject) for limit in as_kept(profile, account))


def counted_by_api(
    paths: Iterable[str], of_path: Mapping[str, tuple[Limit, ...]], account: Account
) -> Iterator[Counted]:
    """The base limits of each API of a corp, and what some have beside them."""
    for path in sorted(set(paths)):
        profile = (*CORP, *of_path.get(path, ()))
        yield from counted(profile, account, path, f"{account.settings['corpid']}/{path}")


@lru_cache(maxsize=1024)
def with_amount(limit: Limit, amount: int) -> Limit:
    """The same limit of another amount."""
    if amount == limit.amount:
        return limit
    return Limit(limit.name, limit.window_s, amount, limit.unit, limit.scope, limit.penalty, limit.source)
