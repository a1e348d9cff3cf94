"""The fair share: how much each account and each of its lanes may have offered in a turn of the relay.

The sender threads of all processes are divided among the accounts by weight, and among the lanes of an account evenly,
within the limits that were used up lately and the bounds of lanes that start. A lane alone gets all threads but two, a
slow lane (over a second a call) a quarter of its share. Only threads count that take from the lane's queue. In a lane
bulk goes after normal, and has a part of its own in a lane that is full.

An offered part goes to the thread that comes first, so the relay cannot choose any more which parts use up a limit. A
lane or account that a limit closed lately therefore has no more in the broker than one window lets through, chosen by
priority. All of this is known before a head is read. Publishes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from sqlalchemy import Connection

from worker.delivery.scheduler.backlog import Backlog, Backlogs, LaneCounts
from worker.delivery.scheduler.paces import Paces
from worker.domain.pacing.bulk import EVERY, mix, of_bulk
from worker.domain.pacing.lane import SECOND, account_of, in_the_way
from worker.domain.pacing.limit import Amount
from worker.outbox.lanes.lanes import read_paces
from worker.outbox.lanes.offering import Head
from worker.outbox.lanes.processes import Process, QueueName, living

HEARD_EVERY_S = 1.0
"""Seconds between two readings of the heartbeats."""


class Allotment:
    """The shares of lanes and the room of accounts, for one relay."""

    def __init__(
        self,
        backlogs: Backlogs,
        sharing: Sharing,
        paces: Paces,
        limited: Limited,
        weight: Callable[[str], float],
    ):
        self._backlogs, self._sharing, self._paces, self._limited = backlogs, sharing, paces, limited
        self._weight = weight
        self._parts: dict[str, float] = {}
        """Accounts with work -> their part of all weights, for this turn."""
        self._learnt_at = -1.0

    def divide(self) -> None:
        """Divides the threads among the accounts that have work, by weight."""
        weights = {account: self._weight(account) for account in self._backlogs.accounts()}
        whole = sum(weights.values())
        self._parts = {account: weight / whole for account, weight in weights.items()}

    def learn(self, connection: Connection, now_sql: str, now: float, lanes: Iterable[str]) -> None:
        """Reads blocks and bounds of these lanes and accounts, and once a second the heartbeats."""
        names = in_the_way(lanes)
        paces = read_paces(connection, now_sql, names, lambda: int(now * SECOND))
        for name, pace in paces.items():
            if pace.limit_name and (left_s := pace.blocked_until / SECOND - now) > 0:
                self._limited.note(name, pace.limit_name, now, left_s)
        self._paces.read(connection, now_sql, names, paces)
        if now - self._learnt_at >= HEARD_EVERY_S:
            self._sharing.learn(living(connection, now_sql))
            self._paces.learn(self._sharing.silent_s, now)
            self._limited.tidy(now)
            self._learnt_at = now

    def is_full(self, account: str, queue: QueueName) -> bool:
        """True when the account has as many doorbells in the broker as it may have."""
        return self.room(account, queue) <= 0

    def room(self, account: str, queue: QueueName) -> int:
        """How many more doorbells of an account may go into the broker for a queue.

        All of its lanes together have two for each thread of the queue.
        """
        threads = self._sharing.threads(self._parts.get(account, 1.0), queue)
        return 2 * threads - self._backlogs.out(account, queue)

    def share(self, backlog: Backlog, wanted: QueueName) -> Share:
        """A lane's part of its account's threads of the wanted queue."""
        lane, account, only_bulk = backlog.lane, account_of(backlog.lane), backlog.only_bulk
        backlog.queue = self._sharing.queue(wanted)
        lanes, part = self._backlogs.lanes(account, backlog.queue), self._parts.get(account, 1.0)
        # All lanes with nothing but bulk have a tenth together, however many they are.
        if all(lanes):
            part *= 1 / EVERY if only_bulk else 1 - 1 / EVERY
        share = self._sharing.of(lane, lanes.like(only_bulk=only_bulk), part, backlog.queue)
        share = share.within(self._limited.most(lane, self._backlogs.lanes(account), only_bulk=only_bulk))
        most = self._paces.most(lane)
        if most is None:
            return share
        return replace(share, window=min(share.window, most), urgent_window=min(share.urgent_window, most))


DOORBELL_S = 1.0
"""Seconds of work that one doorbell should hold, by what a part of its lane takes."""


SLOW_MS = 1000
"""A lane whose calls take longer than so many milliseconds is slow."""


KEEP_FREE = 2
"""Threads left out of all shares, so that no busy lane holds every thread."""


TOGETHER = 64
"""Calls that one thread has in flight at once, at most."""
MOST_IDS = 1600
"""Ids that go to one thread at once, at most, but for the smallest doorbells."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one lane may have in the broker and in the threads."""

    size: int
    """Ids for each call that is in flight."""
    window: int
    """Parts at the head of the lane that are kept offered."""
    urgent_window: int
    threads: int
    calls_per_doorbell: int = 1
    """How many doorbells go to one thread as one, which has as many calls in flight at once."""

    def bulk_window(self, normal_due: int) -> int:
        """The window of bulk parts: what normal parts leave, and bulk's part of the window beside them at least."""
        return max(self.window - normal_due, of_bulk(self.window))

    def within(self, most: int | None) -> Share:
        """The share with at most so many parts offered at once, in as few doorbells as hold them; None: no bound."""
        if most is None:
            return self
        # Few doorbells, because threads work side by side and keep no order between doorbells. Urgent parts leave bulk
        # its part: all of them are offered before bulk, which would get nothing of the limit otherwise.
        urgent = max(1, most - of_bulk(most))
        threads = max(1, min(self.threads, most // self.size))
        return replace(
            self, window=min(self.window, most), urgent_window=min(self.urgent_window, urgent), threads=threads
        )

    def doorbells(self, head: Head, window: int, *, patient: bool = True) -> list[tuple[str, ...]]:
        """The ids in doorbells; `patient`: only full ones while half of the window is in the broker."""
        # Few ids are spread over all threads, so that they do not wait behind each other in one.
        ids, size = head.ids, max(1, min(self.size, -(-len(head.ids) // self.threads)))
        if patient and 2 * len(head.out) >= window:
            whole = self.size * min(self.calls_per_doorbell, self.threads)
            ids, size = ids[: len(ids) // whole * whole], self.size
        return [tuple(ids[at : at + size]) for at in range(0, len(ids), size)]

    def mixed(
        self, normal: Head, bulk: Head, bulk_credit: int, *, patient: bool = True
    ) -> list[tuple[tuple[str, ...], int]]:
        """The ids of normal and bulk parts in doorbells, mixed by bulk's credit; each with the credit behind it."""
        both = Head([*normal.ids, *bulk.ids], [*normal.out, *bulk.out])
        line = mix(normal.ids, bulk.ids, bulk_credit)
        batches = []
        for bell in self.doorbells(both, self.window, patient=patient):
            parts = list(islice(line, len(bell)))
            batches.append((tuple(part for part, _ in parts), parts[-1][1]))
        return batches


class Sharing:
    """Threads and latencies of all processes, as their heartbeats report them."""

    def __init__(self, doorbell_size: int = 50, default_threads: int = 32):
        self._size, self._threads = doorbell_size, default_threads
        self._processes = 1
        """Processes that take normal parts."""
        self._of_queue: dict[QueueName, int] = {}
        """Threads that take from a queue, where these are not the threads that take normal parts."""
        self._latency_ms: dict[str, int] = {}
        self._cycle_ms: dict[str, int] = {}
        self.silent_s: dict[str, float] = {}
        """Lanes with a success -> seconds since the last one, as the heartbeats report it."""

    def learn(self, processes: Sequence[Process]) -> None:
        """Takes over the heartbeats of the processes that are alive."""
        fresh = [process for process in processes if process.fresh]
        if fresh:
            takers = {queue: [process for process in fresh if queue in process.queues] for queue in QueueName}
            threads = {queue: sum(process.threads for process in takers[queue]) for queue in QueueName}
            self._threads, self._processes = threads[QueueName.NORMAL], max(1, len(takers[QueueName.NORMAL]))
            aside = (queue for queue in QueueName if takers[queue] and takers[queue] != takers[QueueName.NORMAL])
            self._of_queue = {queue: threads[queue] for queue in aside}
        latency: dict[str, int] = {}
        cycle: dict[str, int] = {}
        silent: dict[str, float] = {}
        for process in fresh:
            for lane, (_, call_ms, *more) in process.lanes.items():
                latency[lane] = max(call_ms, latency.get(lane, 0))
                cycle[lane] = max([*more[:1], cycle.get(lane, 0)])
                for seconds in more[1:]:
                    silent[lane] = min(seconds, silent.get(lane, seconds))
        self._latency_ms, self._cycle_ms, self.silent_s = latency, cycle, silent

    def queue(self, wanted: QueueName) -> QueueName:
        """The wanted queue where processes of its own take from it, else the queue of normal parts."""
        return wanted if wanted in self._of_queue else QueueName.NORMAL

    def threads(self, part: float = 1.0, queue: QueueName = QueueName.NORMAL) -> int:
        """The threads of an account, by its part of the weights of all accounts with work; at least 1."""
        return max(1, int((self._of_queue.get(queue, self._threads) - KEEP_FREE) * part + 1e-9))

    def of(self, lane: str, lanes: int, part: float = 1.0, queue: QueueName = QueueName.NORMAL) -> Share:
        """The share of one lane, where `lanes` of its account have work for the threads of the queue."""
        threads, urgent = (self._of_lane(lane, lanes, part, its) for its in (queue, QueueName.URGENT))
        cycle_ms = self._cycle_ms.get(lane, 0)
        # One thread with many calls in flight does more than many with one each, which take the interpreter from each
        # other. But every process has its part.
        calls_per_doorbell = min(TOGETHER, -(-threads // self._processes))
        size = min(self._size, MOST_IDS // calls_per_doorbell)
        size = max(1, min(size, int(DOORBELL_S * 1000 / cycle_ms)) if cycle_ms else size)
        # Twice: a thread has one doorbell in work and one waiting behind it, so that it is not idle between two turns.
        return Share(size, threads * size * 2, max(size, urgent * size // 2), threads, calls_per_doorbell)

    def _of_lane(self, lane: str, lanes: int, part: float, queue: QueueName) -> int:
        threads = max(1, self.threads(part, queue) // max(1, lanes))
        return max(1, threads // 4) if self._latency_ms.get(lane, 0) > SLOW_MS else threads


KEPT_S, KEPT_PART = 120.0, 0.1
"""How long a limit counts as the bottleneck after it closed a lane.

The longer of so many seconds and this part of the time that the lane was closed.
"""


class Limited:
    """Lanes and accounts that limits closed lately, for one relay.

    `amount` returns an account's amount of a limit, by the limit's name.
    """

    def __init__(self, amount: Callable[[str, str], Amount | None]):
        self._amount = amount
        self._most: dict[str, tuple[int, float]] = {}
        self._known: dict[str, float] = {}

    def note(self, key: str, limit: str, now: float, left_s: float) -> None:
        """Notes that a limit closes this lane or account for so many seconds more."""
        account, until = account_of(key), self._known.get(key)
        if until is not None and until >= now + left_s:
            return
        amount = self._amount(account, limit)
        if amount is not None:
            until = self._known[key] = now + left_s + max(KEPT_S, KEPT_PART * left_s)
            self._most[account if amount.shared else key] = (amount.units, until)

    def tidy(self, now: float) -> None:
        """Forgets limits that closed nothing for a while."""
        self._most = {key: kept for key, kept in self._most.items() if kept[1] > now}
        self._known = {key: until for key, until in self._known.items() if until > now}

    def most(self, lane: str, lanes: LaneCounts, *, only_bulk: bool) -> int | None:
        """How many parts of a lane are worth offering at once; None: no limit closed it lately.

        The least by its own limits and by those that it shares with other lanes of its account. `only_bulk`: this lane
        has nothing but bulk.
        """
        own, shared = self._most.get(lane), self._most.get(account_of(lane))
        bounds = [own[0]] if own else []
        if shared:
            bounds.append(part_of(shared[0], lanes, only_bulk=only_bulk))
        return min(bounds, default=None)


def part_of(amount: int, lanes: LaneCounts, *, only_bulk: bool) -> int:
    """One lane's part of a limit that several lanes of an account share.

    Where other lanes have work, too, the lanes with nothing but bulk have a tenth of it together.
    """
    whole = amount
    if all(lanes):
        whole = of_bulk(amount) if only_bulk else amount - of_bulk(amount)
    return max(1, -(-whole // max(1, lanes.like(only_bulk=only_bulk))))
