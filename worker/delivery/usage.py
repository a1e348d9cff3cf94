"""How much of every limit of an account is used now, read where admission keeps it, without a lock."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from worker.channels.base import Channel
from worker.delivery.admission import budget_key
from worker.domain.account import Account
from worker.domain.limit import Counted
from worker.domain.window import Window
from worker.outbox.budgets import read
from worker.outbox.lanes import used_up
from worker.outbox.site import lane_key

MOST_WAITING = 10_000
"""So many waiting parts are counted for a limit at most."""


@dataclass(frozen=True, slots=True)
class Usage:
    """One limit of an account, now."""

    counted: Counted
    used: int | None
    """Units that may still count at the vendor; null where one of many was not named, or no window counts it."""
    room_in_s: float | None
    """Seconds until there is room for one unit more: 0 now; null where `used` is."""
    waiting: int
    """Parts that wait because a recipient's own limit is used up, of the first 10,000."""

    @property
    def room(self) -> int | None:
        """Units that may be used now."""
        return None if self.used is None else max(0, self.counted.limit.amount - self.used)


def usage(
    connection: Connection,
    now_sql: str,
    channel: Channel,
    account: Account,
    recipient: str | None = None,
    *,
    count_waiting: bool = True,
) -> list[Usage]:
    """Every limit that is kept for the account; those of recipients for the one named. Who waits is sought among all
    queued parts of the account: not for every few seconds.
    """
    key, waiting = lane_key(connection), _waiting(connection, account) if count_waiting else {}
    now = int(connection.execute(text(f"select {now_sql}")).scalar_one())
    found = [(one, _key_of(key, one)) for one in channel.counted(account, recipient)]
    rows = read(connection, [row for _, row in found if row])
    return [
        _usage(one, rows.get(row, "[]") if row else None, now, waiting.get(used_up(one.limit.name), 0))
        for one, row in found
    ]


def _key_of(site_key: bytes, one: Counted) -> str:
    return budget_key(site_key, one.limit, one.subject) if one.subject is not None and one.limit.window_s else ""


def _usage(one: Counted, buckets: str | None, now: int, waiting: int) -> Usage:
    if buckets is None or not one.limit.amount:
        return Usage(one, None, None, waiting)
    window = Window.load(one.limit.window_s, buckets, now)
    wait = window.wait_us(1, one.limit.amount, now)
    return Usage(one, window.used, None if wait is None else wait / 1_000_000, waiting)


def _waiting(connection: Connection, account: Account) -> dict[str, int]:
    """Parts by why they wait."""
    rows = connection.execute(
        text(
            "select reason, count(*) from (select reason from worker_parts where state = 0 and lane > :low"
            f" and lane < :high and reason like 'limit %' limit {MOST_WAITING}) waiting group by reason"
        ),
        {"low": f"{account.name}:", "high": f"{account.name};"},
    )
    return {row[0]: int(row[1]) for row in rows}
