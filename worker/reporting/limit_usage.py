"""How much of each limit of an account is used now. Reads the rows of admission, without a lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.channels.base import Channel
from worker.domain.account import Account
from worker.domain.pacing.limit import LimitCounter
from worker.domain.pacing.window import Span, Window
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.reading import waiting_by_limit
from worker.outbox.lanes.budgets import budget_key, read_buckets

MAX_WAITING_PARTS = 10_000
"""Most waiting parts that are counted for an account's limits."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The use of one limit of an account now."""

    counted: LimitCounter
    used: int | None
    """Units that may still count at the vendor, or None for a limit without a window, or of recipients if none is
    named."""
    room_in_s: float | None
    """Seconds until one more unit may be used: 0 now, None if `used` is None."""
    waiting: int
    """Parts of the account that wait because the limit is used up, among the first 10,000."""

    spans: tuple[Span, ...] = ()
    """When the units that still count were used, oldest first; empty if `used` is None."""

    @property
    def room(self) -> int | None:
        """Units that may be used now."""
        return None if self.used is None else max(0, self.counted.limit.amount - self.used)


def usages(
    connection: Connection,
    now_sql: str,
    accounts: Sequence[tuple[Channel, Account]],
    recipient: str | None = None,
    *,
    count_waiting: bool = False,
) -> dict[str, list[Usage]]:
    """Returns every limit of these accounts by the account's name. Limits of recipients are those of `recipient`.

    One statement reads them all. `count_waiting` reads through queued parts of each account, so it is too slow for a
    call every few seconds; without it, `waiting` is 0.
    """
    key, now = lane_key(connection), read_now(connection, now_sql)
    limits_by_account = {
        account.name: [(limit, _key_of(key, limit)) for limit in channel.counted(account, recipient)]
        for channel, account in accounts
    }
    rows = read_buckets(connection, [row for limits in limits_by_account.values() for _, row in limits if row])
    usage_by_account = dict[str, list[Usage]]()
    for name, limits in limits_by_account.items():
        waiting = waiting_by_limit(connection, name, MAX_WAITING_PARTS) if count_waiting else {}
        usage_by_account[name] = [
            _usage(limit, rows.get(row, "[]") if row else None, now, waiting.get(limit.limit.name, 0))
            for limit, row in limits
        ]
    return usage_by_account


def _key_of(site_key: bytes, limit_counter: LimitCounter) -> str:
    return (
        budget_key(site_key, limit_counter.limit, limit_counter.subject)
        if limit_counter.subject is not None and limit_counter.limit.window_s
        else ""
    )


def _usage(limit_counter: LimitCounter, buckets: str | None, now: int, waiting: int) -> Usage:
    if buckets is None or not limit_counter.limit.amount:
        return Usage(limit_counter, None, None, waiting)
    window = Window.load(limit_counter.limit.window_s, buckets, now)
    window.cut_future(now)
    wait = window.wait_us(1, limit_counter.limit.amount, now)
    wait_s = None if wait is None else wait / 1_000_000
    return Usage(limit_counter, window.used, wait_s, waiting, tuple(window.spans()))
