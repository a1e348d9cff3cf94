"""The published limits of application messages, and what one part costs against them. Counts nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from worker.channels.wecom_app.render import PATHS
from worker.domain.account import Account
from worker.domain.job import Part
from worker.domain.limit import Charge, Limit, Unit
from worker.domain.outcome import Scope

RATES = "page 90312 访问频率限制 (2023/08/28, read again 2026-02-12)"
SENDS = "page 90236 发送应用消息 (2025/09/24)"
PERSON_TIMES_PER_MEMBER = 200
"""A day's person-times of an app are the corp's account limit times this (page 90312)."""

# The vendor drops beyond these without an error, so they are kept to the message; a staff answer also saw 45009.
# The member waits alone (scope PART): others of the lane go on.
_MEMBER = (
    Limit("member_minute", 60, 30, Unit.PERSON_TIMES, Scope.PART, "silent drop", SENDS),
    Limit("member_hour", 3600, 1000, Unit.PERSON_TIMES, Scope.PART, "silent drop", SENDS),
)
# The vendor's day is Asia/Shanghai's, so two of its days' worth may meet at midnight; a rolling day never exceeds it.
# LANE, not ACCOUNT: only sends are counted; recalls, uploads and updates go on.
_APP_DAY = Limit("app_day", 86400, 0, Unit.PERSON_TIMES, Scope.LANE, "45009", RATES)
# Per corp and API; message/send is not counted in them (page 90312).
_CORP = (
    Limit("corp_minute", 60, 10_000, Unit.CALLS, Scope.LANE, "45009", RATES),
    Limit("corp_hour", 3600, 150_000, Unit.CALLS, Scope.LANE, "45009", RATES),
)

PROFILE: Mapping[str, Limit] = {limit.name: limit for limit in (*_MEMBER, _APP_DAY, *_CORP)}
"""By the name under which an account overrides the amount; `app_day` has none before the account says its size."""


def limits(part: Part, account: Account) -> list[Charge]:
    """What this call costs; an account's amounts go before ours, 0 switches a limit off."""
    corpid = account.settings["corpid"]
    if part.kind != "send":
        subject = f"{corpid}/{PATHS[part.kind]}"
        return [Charge(limit, subject) for limit in _adjusted(_CORP, account)]
    app = f"{corpid}/{account.settings['agentid']}"
    return [*_member_charges(part, account, app), *_day_charges(part, account, app)]


def _member_charges(part: Part, account: Account, app: str) -> list[Charge]:
    """Two charges per named user. Members of parties and tags are unknown here and cannot be counted."""
    kept = _adjusted(_MEMBER, account)
    subjects = [f"{app}/{user.lower()}" for user in part.spec.get("users", ())]
    return [Charge(limit, subject) for subject in subjects for limit in kept]


def _day_charges(part: Part, account: Account, app: str) -> list[Charge]:
    """A part that costs more than a whole day counts as a whole day, or it could never go."""
    cap = account.settings.get("account_cap") or 0
    amount = account.limits.get(_APP_DAY.name, cap * PERSON_TIMES_PER_MEMBER)
    if not amount:
        return []
    return [Charge(_with_amount(_APP_DAY, amount), app, min(person_times(part, account), amount))]


def person_times(part: Part, account: Account) -> int:
    """How many members the call is taken to reach; parties, tags and everyone by the account's estimates."""
    spec, settings = part.spec, account.settings
    if spec.get("everyone"):
        return int(settings.get("everyone_estimate", settings.get("account_cap") or 1))
    users, parties, tags = (len(spec.get(name, ())) for name in ("users", "parties", "tags"))
    return int(users + parties * settings.get("party_estimate", 1) + tags * settings.get("tag_estimate", 1))


def _adjusted(profile: tuple[Limit, ...], account: Account) -> tuple[Limit, ...]:
    """The limits that are on, with the account's amounts."""
    if not account.limits:
        return profile
    amounts = ((limit, account.limits.get(limit.name, limit.amount)) for limit in profile)
    return tuple(_with_amount(limit, amount) for limit, amount in amounts if amount)


@lru_cache(maxsize=1024)
def _with_amount(limit: Limit, amount: int) -> Limit:
    return Limit(limit.name, limit.window_s, amount, limit.unit, limit.scope, limit.penalty, limit.source)
