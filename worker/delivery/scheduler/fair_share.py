"""Divides the sender threads fairly: how much each account and each lane may have offered in a turn of the relay.

The threads of all processes are divided among the accounts by weight, and among the lanes of an account evenly. Limits
that were used up lately and the bounds of starting lanes reduce a lane's quota. A lane alone gets all threads but two;
a slow lane (over a second a call) gets a quarter of its quota. Only threads that take from the lane's queue count. In a
lane bulk goes after normal parts, but keeps a tenth of a lane that is full.

An offered part goes to whichever thread is free first, so the relay can no longer choose which parts use up a limit. A
lane or account that a limit closed lately therefore has no more parts in the broker than one window of the limit lets
through, chosen by priority. All of this is known before the parts of a lane are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import ceil

from sqlalchemy import Connection

from worker.delivery.scheduler.backlog import Backlog, Backlogs, LaneCounts
from worker.delivery.scheduler.lane_quota import LaneLoad, LaneQuota, account_threads, lane_quota
from worker.delivery.scheduler.offer_capacity import OfferCapacity
from worker.domain.pacing.bulk import BULK_EVERY, bulk_share
from worker.domain.pacing.lane import SECOND, account_of, with_accounts
from worker.domain.pacing.limit import Amount
from worker.outbox.lanes.lanes import read_lane_states
from worker.outbox.lanes.processes import Process, QueueName, living_processes

HEARTBEATS_EVERY_S = 1.0
"""Seconds between two readings of the heartbeats."""


class FairShare:
    """The quotas of lanes and the capacity of accounts, for one relay."""

    def __init__(
        self,
        backlogs: Backlogs,
        thread_shares: ThreadShares,
        offer_capacity: OfferCapacity,
        recent_limits: RecentLimits,
        weight: Callable[[str], float],
    ):
        self._backlogs, self._thread_shares = backlogs, thread_shares
        self._offer_capacity, self._recent_limits = offer_capacity, recent_limits
        self._weight = weight
        self._fractions: dict[str, float] = {}
        """Accounts with work -> their fraction of all weights, for this turn."""
        self._heartbeats_read_at = -1.0

    def divide(self) -> None:
        """Divides the threads among the accounts that have work, by weight."""
        weights = {account: self._weight(account) for account in self._backlogs.accounts()}
        total = sum(weights.values())
        self._fractions = {account: weight / total for account, weight in weights.items()}

    def refresh(self, connection: Connection, now_sql: str, now: float, lanes: Iterable[str]) -> None:
        """Reads the states of these lanes and their accounts, and once a second the heartbeats."""
        names = with_accounts(lanes)
        states = read_lane_states(connection, now_sql, names, lambda: int(now * SECOND))
        for name, state in states.items():
            if state.limit_name and (blocked_s := state.blocked_until / SECOND - now) > 0:
                self._recent_limits.record(name, state.limit_name, now, blocked_s)
        self._offer_capacity.load(connection, now_sql, names, states)
        if now - self._heartbeats_read_at >= HEARTBEATS_EVERY_S:
            self._thread_shares.update(living_processes(connection, now_sql))
            self._offer_capacity.record_successes(self._thread_shares.since_success_s, now)
            self._recent_limits.expire(now)
            self._heartbeats_read_at = now

    def is_full(self, account: str, queue: QueueName) -> bool:
        """Returns True if the account has as many portions in the broker as it may have."""
        return self.free_portions(account, queue) <= 0

    def free_portions(self, account: str, queue: QueueName) -> int:
        """Returns how many more portions of an account may go into the broker for a queue.

        All lanes of the account together may have two for each thread of the queue.
        """
        threads = self._thread_shares.threads(self._fractions.get(account, 1.0), queue)
        return 2 * threads - self._backlogs.portions(account, queue)

    def quota(self, backlog: Backlog, queue: QueueName) -> LaneQuota:
        """Returns a lane's part of its account's threads of a queue, and remembers the queue in the backlog."""
        lane, account, only_bulk = backlog.lane, account_of(backlog.lane), backlog.only_bulk
        backlog.queue = self._thread_shares.served_queue(queue)
        lanes, fraction = self._backlogs.lanes(account, backlog.queue), self._fractions.get(account, 1.0)
        # All lanes with nothing but bulk have a tenth together, however many they are.
        if all(lanes):
            fraction *= 1 / BULK_EVERY if only_bulk else 1 - 1 / BULK_EVERY
        return self._thread_shares.quota(
            lane,
            lanes.same_class(only_bulk=only_bulk),
            fraction,
            backlog.queue,
            limit=self._recent_limits.max_parts(lane, self._backlogs.lanes(account), only_bulk=only_bulk),
            max_calls=self._offer_capacity.max_calls(lane),
        )


class ThreadShares:
    """Threads and latencies of all processes, as their heartbeats report them."""

    def __init__(self, doorbell_size: int = 50, default_threads: int = 32):
        self._size, self._threads = doorbell_size, default_threads
        self._processes = 1
        """Processes that take normal parts."""
        self._queue_threads: dict[QueueName, int] = {}
        """Threads of each queue that other processes serve than the normal queue."""
        self._latency_ms: dict[str, int] = {}
        self._cycle_ms: dict[str, int] = {}
        self.since_success_s: dict[str, float] = {}
        """Lanes with a success -> seconds since the last one, as the heartbeats report it."""

    def update(self, processes: Sequence[Process]) -> None:
        """Takes over the heartbeats of the processes that are alive."""
        fresh = [process for process in processes if process.fresh]
        if fresh:
            takers = {queue: [process for process in fresh if queue in process.queues] for queue in QueueName}
            threads = {queue: sum(process.threads for process in takers[queue]) for queue in QueueName}
            self._threads, self._processes = threads[QueueName.NORMAL], max(1, len(takers[QueueName.NORMAL]))
            separate = (queue for queue in QueueName if takers[queue] and takers[queue] != takers[QueueName.NORMAL])
            self._queue_threads = {queue: threads[queue] for queue in separate}
        latency: dict[str, int] = {}
        cycle: dict[str, int] = {}
        since_success: dict[str, float] = {}
        for process in fresh:
            for lane, (_, call_ms, *optional) in process.lanes.items():
                latency[lane] = max(call_ms, latency.get(lane, 0))
                cycle[lane] = max([*optional[:1], cycle.get(lane, 0)])
                for seconds in optional[2:]:
                    since_success[lane] = min(seconds, since_success.get(lane, seconds))
        self._latency_ms, self._cycle_ms, self.since_success_s = latency, cycle, since_success

    def served_queue(self, queue: QueueName) -> QueueName:
        """Returns the queue if processes of its own serve it, else the queue of normal parts."""
        return queue if queue in self._queue_threads else QueueName.NORMAL

    def threads(self, fraction: float = 1.0, queue: QueueName = QueueName.NORMAL) -> int:
        """Returns the threads of an account with this fraction of all weights; at least 1."""
        return account_threads(self._all_threads(queue), fraction)

    def quota(
        self,
        lane: str,
        lanes: int,
        fraction: float = 1.0,
        queue: QueueName = QueueName.NORMAL,
        *,
        limit: int | None = None,
        max_calls: int | None = None,
    ) -> LaneQuota:
        """Returns the quota of a lane with these further quantities of a `LaneLoad`."""
        return lane_quota(
            LaneLoad(
                threads=self._all_threads(queue),
                urgent_threads=self._all_threads(QueueName.URGENT),
                processes=self._processes,
                fraction=fraction,
                lanes=lanes,
                call_ms=self._latency_ms.get(lane, 0),
                cycle_ms=self._cycle_ms.get(lane, 0),
                doorbell_size=self._size,
                limit=limit,
                max_calls=max_calls,
            )
        )

    def _all_threads(self, queue: QueueName) -> int:
        return self._queue_threads.get(queue, self._threads)


REMEMBERED_S, REMEMBERED_FACTOR = 120.0, 0.1
"""How long a limit counts as the bottleneck after it closed a lane.

The longer of so many seconds and this part of the time that the lane was closed.
"""


class RecentLimits:
    """Lanes and accounts that limits closed lately, for one relay.

    `amount` returns an account's amount of a limit, by the limit's name.
    """

    def __init__(self, amount: Callable[[str, str], Amount | None]):
        self._amount = amount
        self._units: dict[str, tuple[int, float]] = {}
        """Lanes and accounts -> the units that one window of the limit allows, and until when this counts."""
        self._recorded_until: dict[str, float] = {}

    def record(self, key: str, limit: str, now: float, blocked_s: float) -> None:
        """Records that a limit closes this lane or account for `blocked_s` seconds from now."""
        account, until = account_of(key), self._recorded_until.get(key)
        if until is not None and until >= now + blocked_s:
            return
        amount = self._amount(account, limit)
        if amount is not None:
            until = self._recorded_until[key] = now + blocked_s + max(REMEMBERED_S, REMEMBERED_FACTOR * blocked_s)
            self._units[account if amount.shared else key] = (amount.units, until)

    def expire(self, now: float) -> None:
        """Forgets limits that closed nothing for a while."""
        self._units = {key: (units, until) for key, (units, until) in self._units.items() if until > now}
        self._recorded_until = {key: until for key, until in self._recorded_until.items() if until > now}

    def max_parts(self, lane: str, lanes: LaneCounts, *, only_bulk: bool) -> int | None:
        """Returns how many parts of a lane are worth offering at once, or None if no limit closed it lately.

        That is the smallest of its own limits and of its part of the limits that it shares with other lanes of its
        account. `only_bulk`: this lane has nothing but bulk.
        """
        own, shared = self._units.get(lane), self._units.get(account_of(lane))
        bounds = [own[0]] if own else []
        if shared:
            bounds.append(lane_part(shared[0], lanes, only_bulk=only_bulk))
        return min(bounds, default=None)


def lane_part(amount: int, lanes: LaneCounts, *, only_bulk: bool) -> int:
    """Returns one lane's part of a limit that several lanes of an account share.

    While other lanes have work, too, the lanes with nothing but bulk have a tenth of it together.
    """
    units = amount
    if all(lanes):
        units = bulk_share(amount) if only_bulk else amount - bulk_share(amount)
    return max(1, ceil(units / max(1, lanes.same_class(only_bulk=only_bulk))))
