"""Lists what holds up calls: pauses, accounts that processes cannot use, and blocked lanes. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from worker.domain.pacing.lane import LaneStatus, lane_status
from worker.domain.pause import Pause
from worker.outbox.engine.clock import instant
from worker.outbox.lanes.lanes import list_lanes
from worker.outbox.lanes.pauses import active_pauses
from worker.outbox.lanes.processes import Process, alive_processes, unusable_account_counts

UNUSABLE = "unusable"
"""The state of an account that worker processes cannot use."""
_RECOVERING = (LaneStatus.NARROWED, LaneStatus.STARTING)
"""Statuses that follow a block. For these `since` is when the allowed number of calls changed."""


@dataclass(frozen=True, slots=True)
class LaneReport:
    """A lane or an account that is blocked, parked or slowed down."""

    lane: str
    """A lane's key, or an account's name for all of its lanes."""
    account: str
    label: str
    state: str
    """A `LaneStatus`, or `unusable`."""
    reason: str | None
    remedy: str | None
    """What a person has to do, or None if time alone heals it."""
    since: datetime | None
    until: datetime | None
    hint: str | None
    """The vendor's trace number, which its support asks for."""
    struck: int | None
    """How many times in a row the vendor answered 45009."""
    calls: int | None
    """Most calls that may be in flight, or None without such a limit."""
    failures: int | None


def lane_list(
    connection: Connection, now_sql: str, *, account: str | None = None, fresh: Sequence[Process] | None = None
) -> tuple[list[Pause], list[LaneReport]]:
    """Lists the pauses, and the lanes and accounts that are blocked, parked, slowed down or not usable.

    `fresh` are the processes that are alive; they are read if it is None.
    """
    pauses = [
        item
        for item in active_pauses(connection)
        if account in (None, item.account) or not (item.account or item.job_id)
    ]
    fresh = alive_processes(connection, now_sql) if fresh is None else fresh
    reports = [_unusable(name, *told, len(fresh)) for name, told in unusable_account_counts(fresh).items()]
    reports = [item for item in reports if account in (None, item.account)]
    reports += [_lane_report(row) for row in list_lanes(connection, now_sql, account)]
    return pauses, reports


def _remedy(row: Mapping[str, Any]) -> str:
    """Returns what a person has to do about a parked lane or account. The last step is always the same."""
    last = f"`worker resume {row['lane']}`, or wait for the next probe"
    return f"{row['remedy']}; then {last}" if row["remedy"] else last


def _lane_report(row: Mapping[str, Any]) -> LaneReport:
    state = lane_status(row)
    return LaneReport(
        row["lane"],
        row["account"],
        row["label"],
        str(state),
        row["reason"] or None,
        _remedy(row) if state is LaneStatus.PARKED else row["remedy"],
        _at(row["changed_at" if state in _RECOVERING else "blocked_at"]),
        instant(row["blocked_until"]) if row["blocked_until"] > row["now"] else None,
        row["hint"],
        row["step"],
        row["calls"],
        row["failures"],
    )


def _unusable(account: str, count: int, why: str, processes: int) -> LaneReport:
    reason = f"{count} of {processes} worker processes cannot use it as it is configured there"
    nothing = dict.fromkeys(("since", "until", "hint", "struck", "calls", "failures"))
    return LaneReport(account, account, "account", UNUSABLE, reason, why, **nothing)


def _at(micros: int) -> datetime | None:
    return instant(micros) if micros else None
