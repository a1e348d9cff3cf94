"""What an account and each of its lanes may have in a turn: its part of the threads alive, by weight, within the limits
that were used up lately and the bounds of lanes that start.

Learns all of these before a head is read. Knows no part and rings nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from sqlalchemy import Connection

from worker.delivery.backlog import Backlog, Backlogs
from worker.delivery.limited import Limited
from worker.delivery.mixing import BULK_EVERY, OTHERS
from worker.delivery.sharing import Share, Sharing
from worker.delivery.starts import Starts
from worker.domain.road import Road
from worker.outbox.lanes import Noted, account_of, noted, with_accounts
from worker.outbox.processes import living

MICRO = 1e-6
HEARD_EVERY_S = 1.0
"""So often it is asked what the heartbeats tell."""


class Allotment:
    """The shares of lanes and the room of accounts, for one relay."""

    def __init__(
        self,
        backlogs: Backlogs,
        sharing: Sharing,
        starts: Starts,
        limited: Limited,
        weight: Callable[[str], float],
    ):
        self._backlogs, self._sharing, self._starts, self._limited = backlogs, sharing, starts, limited
        self._weight = weight
        self._parts: dict[str, float] = {}
        """Accounts with work -> their part of all weights, for this turn."""
        self._heard_at = -1.0

    def divide(self) -> None:
        """The threads among the accounts that have work, by weight."""
        weights = {account: self._weight(account) for account in self._backlogs.accounts()}
        whole = sum(weights.values())
        self._parts = {account: weight / whole for account, weight in weights.items()}

    def learn(self, connection: Connection, now_sql: str, now: float, lanes: Iterable[str]) -> Noted:
        """Takes over what stands on these lanes and their accounts, and now and then what the living processes tell."""
        names = with_accounts(lanes)
        stands = noted(connection, now_sql, names)
        for key, limit in stands.used_up.items():
            self._limited.note(key, limit, now, stands.blocked[key] * MICRO)
        self._starts.look(connection, now_sql, names, stands)
        if now - self._heard_at >= HEARD_EVERY_S:
            self._sharing.learn(living(connection, now_sql))
            self._starts.heard(self._sharing.silent_s, now)
            self._limited.tidy(now)
            self._heard_at = now
        return stands

    def is_full(self, account: str, road: Road) -> bool:
        """An account has all of its doorbells out."""
        return self.room(account, road) <= 0

    def room(self, account: str, road: Road) -> int:
        """How many more doorbells of an account may go: with all of its lanes it has two out a thread of the road, and
        bulk beside them, as one lane has.
        """
        two_a_thread = 2 * self._sharing.threads(self._parts.get(account, 1.0), road)
        return -(-two_a_thread * BULK_EVERY // OTHERS) - self._backlogs.out(account, road)

    def share(self, known: Backlog, wanted: Road) -> Share:
        """A lane's part of its account's threads of the road: all lanes with more than bulk have theirs first."""
        lane, account, front = known.lane, account_of(known.lane), known.front
        known.road = self._sharing.road(wanted)
        lanes, part = self._backlogs.lanes(account, known.road), self._parts.get(account, 1.0)
        if lanes[True] and lanes[False]:
            part = part * OTHERS / BULK_EVERY if front else part / BULK_EVERY
        share = self._sharing.of(lane, lanes[front], part, known.road)
        share = share.within(self._limited.most(lane, self._backlogs.lanes(account), front=front))
        most = self._starts.most(lane)
        if most is None:
            return share
        return replace(share, window=min(share.window, most), urgent_window=min(share.urgent_window, most))
