"""How much of every limit of an account is used now, read from admission's own rows, without a lock."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from worker.channels.base import Channel
from worker.domain.account import Account
from worker.domain.pacing.limit import Counted
from worker.domain.pacing.window import Span, Window
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.reading import waiting_by_limit, waiting_specs
from worker.outbox.lanes.budgets import budget_key, read

MOST_WAITING = 10_000
"""Most waiting parts that are counted for an account's limits."""


@dataclass(frozen=True, slots=True)
class Usage:
    """One limit of an account, now."""

    counted: Counted
    used: int | None
    """Units that may still count at the vendor; None for a limit without a window, or of recipients when none is named.
    """
    room_in_s: float | None
    """Seconds until there is room for one more unit: 0 now; None where `used` is None."""
    waiting: int
    """Parts of the account that wait because the limit is used up, of the first 10,000; of a named recipient's own
    limit only those that name the recipient.
    """

    spans: tuple[Span, ...] = ()
    """When the units were taken that still count, the oldest first; empty where `used` is None."""

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
    """Every limit that is kept for the account; the limits of recipients for the one named.

    `count_waiting` reads through queued parts of the account, so it is not for a call every few seconds.
    """
    of_all = Counter(waiting_by_limit(connection, account.name, MOST_WAITING)) if count_waiting else Counter[str]()
    of_one = of_all if recipient is None else _waiting_for(connection, account, recipient.casefold())
    found = list(channel.counted(account, recipient))
    shared = {one.limit.name for one in channel.counted(account, None) if one.subject is not None}
    [counted] = _read(connection, now_sql, [found])
    return [
        _usage(one, buckets, now, counts[one.limit.name])
        for one, buckets, now in counted
        for counts in (of_all if one.limit.name in shared or one.subject is None else of_one,)
    ]


def usages(connection: Connection, now_sql: str, accounts: Sequence[tuple[Channel, Account]]) -> dict[str, list[Usage]]:
    """Every limit of many accounts that can be told without a recipient, by the account's name; without what waits.

    One statement reads them all.
    """
    found = [list(channel.counted(account, None)) for channel, account in accounts]
    counted = _read(connection, now_sql, found)
    return {
        account.name: [_usage(one, buckets, now, 0) for one, buckets, now in limits]
        for (_, account), limits in zip(accounts, counted, strict=True)
    }


def _read(
    connection: Connection, now_sql: str, wanted: Iterable[list[Counted]]
) -> list[list[tuple[Counted, str | None, int]]]:
    """Each limit with its stored buckets, None where it has none, and the time; in one statement for all."""
    key = lane_key(connection)
    keyed = [[(one, _key_of(key, one)) for one in limits] for limits in wanted]
    now = read_now(connection, now_sql)
    rows = read(connection, [row for limits in keyed for _, row in limits if row])
    return [[(one, rows.get(row, "[]") if row else None, now) for one, row in limits] for limits in keyed]


def _key_of(site_key: bytes, one: Counted) -> str:
    return budget_key(site_key, one.limit, one.subject) if one.subject is not None and one.limit.window_s else ""


def _usage(one: Counted, buckets: str | None, now: int, waiting: int) -> Usage:
    if buckets is None or not one.limit.amount:
        return Usage(one, None, None, waiting)
    window = Window.load(one.limit.window_s, buckets, now)
    wait = window.wait_us(1, one.limit.amount, now)
    wait_s = None if wait is None else wait / 1_000_000
    return Usage(one, window.used, wait_s, waiting, tuple(window.spans()))


def _waiting_for(connection: Connection, account: Account, recipient: str) -> Counter[str]:
    """The number of parts that name a recipient (given in lower case), for each limit they wait for."""
    waiting = waiting_specs(connection, account.name, MOST_WAITING)
    return Counter(limit_name for limit_name, spec in waiting if _names(json.loads(spec), recipient))


def _names(document: Any, recipient: str) -> bool:
    """Whether a part's document holds this id, in any case, anywhere."""
    match document:
        case str():
            return document.casefold() == recipient
        case dict():
            return any(_names(inner, recipient) for inner in document.values())
        case list():
            return any(_names(inner, recipient) for inner in document)
    return False
