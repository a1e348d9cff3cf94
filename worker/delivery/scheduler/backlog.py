"""The relay's memory of the lanes that have work: one record per lane, grouped by account.

Contains no SQL. The relay updates the records with the due parts that it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import NamedTuple, TypeVar

from worker.domain.job import Priority
from worker.domain.pacing.lane import account_of
from worker.outbox.lanes.offering import DueBatch
from worker.outbox.lanes.processes import QueueName

T = TypeVar("T")
MAX_BULK_ONLY = 100_000
"""The largest number of lanes that are remembered as having nothing but bulk."""


@dataclass(slots=True)
class Backlog:
    """One lane that has work, or may have some. Instants are seconds of the monotonic clock."""

    lane: str
    has_urgent: bool = False
    """An urgent part just became due: the lane is read even while its account is full."""
    read_at: float | None = None
    """When its due parts were last read, or None if not since it has work."""
    is_bounded: bool = False
    """Its calls in flight are bounded. It is read in every turn, because each success may double the bound."""
    full_from: int = len(Priority)
    """The first priority whose window is full. A newly due part of it, or of a less urgent one, is not read at once."""
    only_bulk: bool = False
    """It has nothing but bulk, as far as was read."""
    offered_at: float = 0.0
    """When a part of it was last offered."""
    portions: int = 0
    """Its portions in the broker (see `lane_quota.py`), as far as its due parts show. Urgent ones are not counted."""
    bulk_credit: int = 0
    """Bulk's credit after the last offer; see `domain/pacing/bulk.py`."""
    queue: QueueName = QueueName.NORMAL
    """The queue whose threads send its parts."""
    first: str = ""
    """The first due part when the lane was last read."""
    rounds: int = 0
    """How often that part was offered without a process taking it."""
    round_began_at: float = 0.0
    """When the last of these rounds began, or that part became the first."""

    def offered_for_s(self, batches: Sequence[DueBatch], now: float, first_s: float, longest_s: float) -> float:
        """Returns for how many seconds parts offered now count as offered.

        The time doubles while no process takes parts of the lane. At least one of the batches must have parts.
        """
        # By lane, not by part: after an outage a part must not wait longer because of the parts before it.
        first, is_free = next((batch.first, batch.first_is_free) for batch in batches if batch.first)
        if first != self.first or is_free:
            self.first, self.rounds, self.round_began_at = first or "", 0, now
        elif now - self.round_began_at >= self._length_s(first_s, longest_s):  # its last offer has lapsed
            self.rounds, self.round_began_at = self.rounds + 1, now
        return self._length_s(first_s, longest_s)

    def _length_s(self, first_s: float, longest_s: float) -> float:
        return min(longest_s, first_s * 2.0 ** min(self.rounds, 16))


class LaneCounts(NamedTuple):
    """How many lanes of an account have work."""

    mixed: int
    """Lanes that have more than bulk."""
    only_bulk: int
    """Lanes that have nothing but bulk."""

    def same_class(self, *, only_bulk: bool) -> int:
        """Returns how many lanes share the capacity of their class: bulk alone, or mixed."""
        return self.only_bulk if only_bulk else self.mixed


class Backlogs:
    """The lanes with work, by account, and which of them the relay reads next."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[str, Backlog]] = {}
        self._requested: dict[str, dict[str, None]] = {}
        """Account -> its lanes to read, in order. The account that was served last comes last."""
        self._bulk_only: set[str] = set()
        """Lanes that had nothing but bulk when last read; remembered also while the lane is blocked."""

    def clear(self) -> None:
        """Forgets all lanes."""
        self._accounts.clear()
        self._requested.clear()
        self._bulk_only.clear()

    def get(self, lane: str) -> Backlog | None:
        """Returns the record of a lane, or None if it has no work."""
        return self._accounts.get(account_of(lane), {}).get(lane)

    def request(self, lane: str, most_urgent: int | None = None) -> None:
        """Has a lane read soon. `most_urgent` is the most urgent priority among its newly due parts."""
        account = account_of(lane)
        lanes = self._accounts.setdefault(account, {})
        if lane not in lanes:
            lanes[lane] = Backlog(lane, only_bulk=lane in self._bulk_only or most_urgent == Priority.BULK)
        lanes[lane].has_urgent |= most_urgent == Priority.URGENT
        self._requested.setdefault(account, {})[lane] = None

    def update(self, backlog: Backlog, batches: Mapping[Priority, DueBatch]) -> None:
        """Notes from due parts just read whether the lane has nothing but bulk."""
        backlog.only_bulk = not (batches[Priority.URGENT].due or batches[Priority.NORMAL].due)
        if backlog.only_bulk and batches[Priority.BULK].due:
            self._bulk_only.add(backlog.lane)
        else:
            self._bulk_only.discard(backlog.lane)
        if len(self._bulk_only) > MAX_BULK_ONLY:
            self._bulk_only.clear()

    def next(self, limit: int, is_full: Callable[[str, QueueName], bool]) -> list[Backlog]:
        """Returns the lanes to read next, at most `limit`, taken from the accounts in turn.

        Of a full account it returns only lanes with urgent parts, and lanes that have parts in the broker.
        """
        # In turn, because the lanes of one account alone may exceed `limit` and must not delay other accounts.
        rows = zip_longest(*self._queues(limit, is_full))
        picked = [lane for row in rows for lane in row if lane is not None][:limit]
        for lane in picked:
            account = account_of(lane)
            lanes = self._requested.pop(account)
            del lanes[lane]
            if lanes:
                self._requested[account] = lanes
        return [self._accounts[account_of(lane)][lane] for lane in picked]

    def _queues(self, limit: int, is_full: Callable[[str, QueueName], bool]) -> list[list[str]]:
        queues: list[list[str]] = []
        for account, lanes in self._requested.items():
            if len(queues) == limit:
                break
            backlogs = self._accounts[account]
            full = {queue: is_full(account, queue) for queue in {backlog.queue for backlog in backlogs.values()}}
            # Lanes with parts in the broker are read all the same: only a reading shows when those are taken.
            eligible = (
                lane
                for lane in lanes
                if not full[backlogs[lane].queue] or backlogs[lane].portions or backlogs[lane].has_urgent
            )
            if queue := list(islice(eligible, limit)):
                queues.append(queue)
        return queues

    def is_requested(self, lane: str) -> bool:
        """Returns True while the lane waits to be read."""
        return lane in self._requested.get(account_of(lane), ())

    def overdue(self, before: float) -> list[str]:
        """Returns the lanes with a backlog that are bounded, or were last read before an instant."""
        return [
            lane
            for lanes in self._accounts.values()
            for lane, backlog in lanes.items()
            if backlog.read_at is not None and (backlog.is_bounded or backlog.read_at <= before)
        ]

    def remove(self, lane: str) -> None:
        """Forgets a lane that has nothing due, or nothing that may go."""
        account = account_of(lane)
        _remove(self._accounts, account, lane)
        _remove(self._requested, account, lane)

    def accounts(self) -> list[str]:
        """Returns the accounts that have work."""
        return list(self._accounts)

    def lanes(self, account: str, queue: QueueName | None = None) -> LaneCounts:
        """Counts the lanes of an account that have work for the threads of a queue, or of any queue if None."""
        lanes = [backlog for backlog in self._accounts.get(account, {}).values() if queue in (None, backlog.queue)]
        only_bulk = sum(backlog.only_bulk for backlog in lanes)
        return LaneCounts(len(lanes) - only_bulk, only_bulk)

    def portions(self, account: str, queue: QueueName = QueueName.NORMAL) -> int:
        """Counts the portions of an account that are in the broker for the threads of a queue."""
        return sum(backlog.portions for backlog in self._accounts.get(account, {}).values() if backlog.queue is queue)

    def has_any(self) -> bool:
        """Returns True while some lane is known to have a backlog."""
        return any(backlog.read_at is not None for lanes in self._accounts.values() for backlog in lanes.values())

    def has_untaken(self, can_send: Callable[[str, QueueName], bool]) -> bool:
        """Returns True while parts of some lane are offered again and again without a process taking them.

        `can_send` selects the lanes, by lane and queue. Another thread may call this.
        """
        backlogs = [backlog for lanes in list(self._accounts.values()) for backlog in list(lanes.values())]
        return any(backlog.rounds and can_send(backlog.lane, backlog.queue) for backlog in backlogs)


def _remove(lanes: dict[str, dict[str, T]], account: str, lane: str) -> None:
    of_account = lanes.get(account, {})
    of_account.pop(lane, None)
    if not of_account:
        lanes.pop(account, None)
