"""What the relay remembers of the lanes that have work: one record a lane, account by account.

Knows no SQL: it learns what happens to a lane from the heads that the relay reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import NamedTuple, TypeVar

from worker.domain.job import Priority
from worker.domain.pacing.lane import account_of
from worker.outbox.lanes.offering import Head
from worker.outbox.lanes.processes import QueueName

T = TypeVar("T")
LANES_KEPT = 100_000


@dataclass(slots=True)
class Backlog:
    """One lane that has work, or may have some; instants in seconds of the monotonic clock."""

    lane: str
    has_urgent: bool = False
    """An urgent part just became due: the lane is looked at even while its account is full."""
    read_at: float | None = None
    """When its head was last read; None: not since it has work."""
    bound: bool = False
    """Its calls in flight are bounded: it is looked at in every turn, because each success may double the bound."""
    full: int = len(Priority)
    """The first priority for which its window is full: newly due parts of it, or less urgent, need no look at once."""
    only_bulk: bool = False
    """It has nothing but bulk, as far as is known."""
    offered_at: float = 0.0
    """When a part of it was last offered."""
    out: int = 0
    """Its doorbells in the broker, as far as its head shows; urgent ones are not counted."""
    bulk_credit: int = 0
    """Bulk's credit behind what was offered of it; see `domain/pacing/bulk.py`."""
    queue: QueueName = QueueName.NORMAL
    """The queue of whose threads it has its share."""
    first: str = ""
    """The part at its head when it was last looked at."""
    rounds: int = 0
    """How often that part was offered and no process took it."""
    since: float = 0.0
    """When the last of these rounds began."""

    def offered_for_s(self, heads: Sequence[Head], now: float, first_s: float, longest_s: float) -> float:
        """Seconds for which parts offered now count as offered; doubled while no part of the lane is taken.

        At least one of the heads has parts.
        """
        # By lane, not by part: after an outage a part must not wait longer because of those before it.
        first, is_free = next((head.first, head.first_is_free) for head in heads if head.first)
        if first != self.first or is_free:
            self.first, self.rounds, self.since = first or "", 0, now
        elif any(head.again for head in heads) and (
            not self.rounds or now - self.since >= self._length_s(first_s, longest_s)
        ):
            self.rounds, self.since = self.rounds + 1, now
        return self._length_s(first_s, longest_s)

    def _length_s(self, first_s: float, longest_s: float) -> float:
        return min(longest_s, first_s * 2.0 ** min(self.rounds, 16))


class LaneCounts(NamedTuple):
    """How many lanes of an account have work."""

    mixed: int
    """With more than bulk."""
    only_bulk: int

    def like(self, *, only_bulk: bool) -> int:
        """How many lanes share with a lane what its kind has."""
        return self.only_bulk if only_bulk else self.mixed


class Backlogs:
    """The lanes with work, by account, and which of them the relay looks at next."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[str, Backlog]] = {}
        self._waiting: dict[str, dict[str, None]] = {}
        """Account -> its lanes to look at, in order; the account that was looked at last comes last."""
        self._bulk_only: set[str] = set()
        """Lanes that had nothing but bulk when last looked at; kept also while the lane is blocked."""

    def clear(self) -> None:
        """Forgets all lanes."""
        self._accounts.clear()
        self._waiting.clear()
        self._bulk_only.clear()

    def of(self, lane: str) -> Backlog | None:
        """What is known of a lane; None: it has no work."""
        return self._accounts.get(account_of(lane), {}).get(lane)

    def want(self, lane: str, most_urgent: int | None = None) -> None:
        """Has a lane looked at; `most_urgent` is the most urgent priority of its newly due parts."""
        account = account_of(lane)
        lanes = self._accounts.setdefault(account, {})
        if lane not in lanes:
            lanes[lane] = Backlog(lane, only_bulk=lane in self._bulk_only or most_urgent == Priority.BULK)
        lanes[lane].has_urgent |= most_urgent == Priority.URGENT
        self._waiting.setdefault(account, {})[lane] = None

    def learn(self, backlog: Backlog, heads: Mapping[Priority, Head]) -> None:
        """Takes over whether a lane has nothing but bulk, from its head as just read."""
        backlog.only_bulk = not (heads[Priority.URGENT].due or heads[Priority.NORMAL].due)
        if backlog.only_bulk and heads[Priority.BULK].due:
            self._bulk_only.add(backlog.lane)
        else:
            self._bulk_only.discard(backlog.lane)
        if len(self._bulk_only) > LANES_KEPT:
            self._bulk_only.clear()

    def next(self, most: int, is_full: Callable[[str, QueueName], bool]) -> list[Backlog]:
        """At most `most` lanes, the accounts taking turns.

        Of an account that is full only lanes with urgent parts, and lanes that have doorbells in the broker.
        """
        # The accounts take turns because `most` may be fewer than the lanes of one account: it must not delay others.
        picked = [lane for row in zip_longest(*self._queues(most, is_full)) for lane in row if lane is not None][:most]
        for lane in picked:
            account = account_of(lane)
            lanes = self._waiting.pop(account)
            del lanes[lane]
            if lanes:
                self._waiting[account] = lanes
        return [self._accounts[account_of(lane)][lane] for lane in picked]

    def _queues(self, most: int, is_full: Callable[[str, QueueName], bool]) -> list[list[str]]:
        queues: list[list[str]] = []
        for account, lanes in self._waiting.items():
            if len(queues) == most:
                break
            backlogs = self._accounts[account]
            waits = {queue: is_full(account, queue) for queue in {backlog.queue for backlog in backlogs.values()}}
            # Lanes with doorbells in the broker are read all the same: only their heads show when those are taken.
            eligible = (
                lane
                for lane in lanes
                if not waits[backlogs[lane].queue] or backlogs[lane].out or backlogs[lane].has_urgent
            )
            if queue := list(islice(eligible, most)):
                queues.append(queue)
        return queues

    def is_wanted(self, lane: str) -> bool:
        """True while the lane waits to be looked at."""
        return lane in self._waiting.get(account_of(lane), ())

    def overdue(self, before: float) -> list[str]:
        """Lanes with work that are bound, or were not looked at since an instant."""
        return [
            lane
            for lanes in self._accounts.values()
            for lane, backlog in lanes.items()
            if backlog.read_at is not None and (backlog.bound or backlog.read_at <= before)
        ]

    def forget(self, lane: str) -> None:
        """Drops a lane of which nothing is due, or nothing may go."""
        account = account_of(lane)
        _take_out(self._accounts, account, lane)
        _take_out(self._waiting, account, lane)

    def accounts(self) -> list[str]:
        """The accounts that have work."""
        return list(self._accounts)

    def lanes(self, account: str, queue: QueueName | None = None) -> LaneCounts:
        """How many lanes of an account have work for the threads of a queue; None: of any."""
        lanes = [backlog for backlog in self._accounts.get(account, {}).values() if queue in (None, backlog.queue)]
        only_bulk = sum(backlog.only_bulk for backlog in lanes)
        return LaneCounts(len(lanes) - only_bulk, only_bulk)

    def out(self, account: str, queue: QueueName = QueueName.NORMAL) -> int:
        """Doorbells of an account that are in the broker for the threads of a queue."""
        return sum(backlog.out for backlog in self._accounts.get(account, {}).values() if backlog.queue is queue)

    def any_looked_at(self) -> bool:
        """True while some lane is known to have a backlog."""
        return any(backlog.read_at is not None for lanes in self._accounts.values() for backlog in lanes.values())

    def any_untaken(self, can_send: Callable[[str, QueueName], bool]) -> bool:
        """True while parts of some lane are offered again and again, and no process takes them.

        `can_send`: of which lanes, by their name and the queue of their threads. May be asked by another thread.
        """
        backlogs = [backlog for lanes in list(self._accounts.values()) for backlog in list(lanes.values())]
        return any(backlog.rounds and can_send(backlog.lane, backlog.queue) for backlog in backlogs)


def _take_out(lanes: dict[str, dict[str, T]], account: str, lane: str) -> None:
    of_account = lanes.get(account, {})
    of_account.pop(lane, None)
    if not of_account:
        lanes.pop(account, None)
