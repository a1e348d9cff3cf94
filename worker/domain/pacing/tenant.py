"""Tenants: the teams that share the limits of one account, each by its weight and with a cap of its own per day.

The parts of a tenant are queued beside the others of their lane, under the lane's key with the tenant's mark behind it.
What is known of a lane (its blocks, bounds and latencies) is known of all of its tenants together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from worker.domain.outcome import Scope
from worker.domain.pacing.lane import lane_of
from worker.domain.pacing.limit import Charge, Limit, Unit

OTHERS = "*"
"""In an account's table of tenants: each tenant that is not named there, and the jobs without one."""
NAME_CHARACTERS = 60
TENANT_DAY = "tenant_day"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant of an account."""

    weight: float = 1.0
    """Its share beside other tenants with work: 2 gets twice as much as 1."""
    day: int = 0
    """Most messages that are sent for it in any 24 hours; 0: no such cap."""
    tag: str | None = None
    """Jobs with this tag are its own, where they name no tenant."""


Tenants = Mapping[str, Tenant]
DEFAULT = Tenant()


def tenant_of(tenants: Tenants, given: str | None, tags: Collection[str]) -> str | None:
    """The tenant of a job: as given, or by its tags, in the order of the tenants; None: it has none."""
    if given is not None or not tags:
        return given
    return next((name for name, tenant in tenants.items() if tenant.tag is not None and tenant.tag in tags), None)


def terms_of(tenants: Tenants, name: str | None) -> Tenant:
    """What the account's table says of a tenant; of one that it does not name what it says of all others."""
    found = None if name is None else tenants.get(name)
    return found or tenants.get(OTHERS, DEFAULT)


def tenant_day(most: int) -> Limit:
    """The limit of ours of a tenant's messages in any 24 hours; 0: it is off."""
    beyond = "none of the vendor's: it waits"
    return Limit(TENANT_DAY, 86_400, most, Unit.CALLS, Scope.TENANT, beyond, "accounts.NAME.tenants")


def charge_of_tenant(account: str, tenants: Tenants, name: str | None) -> Charge | None:
    """What one message costs of its tenant's day; None where there is no cap, or no tenant."""
    most = 0 if name is None else terms_of(tenants, name).day
    return Charge(tenant_day(most), f"{account}\n{name}") if most else None


# -- where its parts are queued ---------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def tenant_mark(name: str) -> str:
    """What stands for a tenant's name in the keys of its parts."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def within(lane: str, tenant: str | None) -> str:
    """The key under which the parts of a lane are queued for a tenant."""
    return lane if tenant is None else f"{lane}.{tenant_mark(tenant)}"


def weight_in(tenants: Tenants, stored: str) -> float:
    """The weight of the tenant whose parts are queued under this key."""
    mark = stored[len(lane_of(stored)) + 1 :]
    return terms_of(tenants, _by_mark(tuple(tenants)).get(mark)).weight


@lru_cache(maxsize=1024)
def _by_mark(names: tuple[str, ...]) -> Mapping[str, str]:
    return {tenant_mark(name): name for name in names}


def tenants_range(lane: str) -> dict[str, str]:
    """Bounds of the keys under which parts of a lane are queued: the lower one included, the upper one not."""
    return {"from_lane": lane, "to_lane": f"{lane}/"}
