"""What an account and each of its lanes may have in a turn of the relay.

That is its part of the sender threads alive, by weight, within the limits that were used up lately and the bounds of
lanes that start. Accounts share by their weight, the lanes of an account evenly. A lane alone gets all threads but two;
a slow lane (over a second a call) a quarter of its share. Only those threads count that take from the lane's queue. In
a lane bulk goes after normal, and gets its part of a lane that is full.

What is offered goes to whichever thread comes first; the relay has no more say in what takes the room that there is. So
a lane, or an account, that was closed by a limit lately has one window's worth in the broker, chosen by priority. All
of this is learned before a head is read. Knows no part and publishes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from sqlalchemy import Connection

from worker.delivery.scheduler.backlog import Backlog, Backlogs
from worker.delivery.scheduler.slow_start import SlowStart
from worker.domain.bulk_quota import BULK_EVERY, OTHERS, mix
from worker.domain.lane import account_of, with_accounts
from worker.domain.limit import Amount
from worker.domain.road import Road
from worker.outbox.lanes.lanes import Noted, noted
from worker.outbox.lanes.offering import Head
from worker.outbox.lanes.processes import Process, living

MICRO = 1e-6
HEARD_EVERY_S = 1.0
"""So often it is asked what the heartbeats tell."""


class Allotment:
    """The shares of lanes and the room of accounts, for one relay."""

    def __init__(
        self,
        backlogs: Backlogs,
        sharing: Sharing,
        slow_start: SlowStart,
        limited: Limited,
        weight: Callable[[str], float],
    ):
        self._backlogs, self._sharing, self._slow_start, self._limited = backlogs, sharing, slow_start, limited
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
        self._slow_start.look(connection, now_sql, names, stands)
        if now - self._heard_at >= HEARD_EVERY_S:
            self._sharing.learn(living(connection, now_sql))
            self._slow_start.heard(self._sharing.silent_s, now)
            self._limited.tidy(now)
            self._heard_at = now
        return stands

    def is_full(self, account: str, road: Road) -> bool:
        """An account has all of its doorbells out."""
        return self.room(account, road) <= 0

    def room(self, account: str, road: Road) -> int:
        """How many more doorbells of an account may go.

        All of its lanes together have two out for each thread of the road, and bulk beside them, as one lane has.
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
        most = self._slow_start.most(lane)
        if most is None:
            return share
        return replace(share, window=min(share.window, most), urgent_window=min(share.urgent_window, most))


DOORBELL_S = 1.0


SLOW_MS = 1000


KEEP_FREE = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """The ids of one doorbell."""

    ids: tuple[str, ...]
    bulk: bool
    """The lane has nothing but bulk."""
    credit: int
    """What is owed to bulk behind it."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one lane may have in the broker and in the threads."""

    size: int
    """Ids per doorbell."""
    window: int
    """Parts at the head of the lane that are kept offered."""
    urgent_window: int
    threads: int

    def bulk_window(self, normal_due: int) -> int:
        """What normal parts leave of the window; where they fill it, its own part beside them."""
        return max(self.window - normal_due, -(-self.window // OTHERS))

    def within(self, most: int | None) -> Share:
        """No more than this at once, and in as few doorbells as hold it: threads that race know no order.

        Urgent parts leave of it what may be owed to bulk.
        """
        if most is None:
            return self
        urgent = max(1, most - -(-most // BULK_EVERY))
        threads = max(1, min(self.threads, most // self.size))
        return Share(self.size, min(self.window, most), min(self.urgent_window, urgent), threads)

    def doorbells(self, head: Head, window: int, *, patient: bool = True) -> list[tuple[str, ...]]:
        """The ids in doorbells.

        Few are spread over the threads; while half the window is out, only full ones ring (unless nothing rang for a
        while: what is out may be lost).
        """
        ids, size = head.ids, max(1, min(self.size, -(-len(head.ids) // self.threads)))
        if patient and 2 * (head.due - len(ids)) >= window:
            ids, size = ids[: len(ids) // self.size * self.size], self.size
        return [tuple(ids[at : at + size]) for at in range(0, len(ids), size)]

    def mixed(self, normal: Head, bulk: Head, credit: int, *, patient: bool = True) -> list[Batch]:
        """Normal and bulk in doorbells: normal first, and bulk where it is owed."""
        both = Head([*normal.ids, *bulk.ids], normal.due + bulk.due)
        line = mix(normal.ids, bulk.ids, credit)
        batches = []
        for bell in self.doorbells(both, self.window, patient=patient):
            parts = list(islice(line, len(bell)))
            # Beside normal parts also a doorbell of bulk alone goes their way: its own is emptied after theirs.
            batches.append(Batch(tuple(part for part, _, _ in parts), not normal.due, parts[-1][2]))
        return batches


class Sharing:
    """Threads and latencies as the heartbeats tell them."""

    def __init__(self, doorbell_size: int = 50, default_threads: int = 32):
        self._size, self._threads = doorbell_size, default_threads
        self._of_road: dict[Road, int] = {}
        """Threads that take from a road, where they are not the same that take normal parts."""
        self._latency_ms: dict[str, int] = {}
        self._cycle_ms: dict[str, int] = {}
        self.silent_s: dict[str, float] = {}
        """Lanes that succeeded -> how many seconds ago, as the heartbeats told it."""

    def learn(self, processes: Sequence[Process]) -> None:
        """Takes over what the living processes report."""
        fresh = [process for process in processes if process.fresh]
        if fresh:
            takers = {road: [process for process in fresh if road in process.roads] for road in Road}
            threads = {road: sum(process.threads for process in takers[road]) for road in Road}
            self._threads = threads[Road.NORMAL]
            aside = (road for road in Road if takers[road] and takers[road] != takers[Road.NORMAL])
            self._of_road = {road: threads[road] for road in aside}
        latency: dict[str, int] = {}
        cycle: dict[str, int] = {}
        silent: dict[str, float] = {}
        for process in fresh:
            for lane, (_, call_ms, *more) in json.loads(process.lanes).items():
                latency[lane] = max(call_ms, latency.get(lane, 0))
                cycle[lane] = max([*more[:1], cycle.get(lane, 0)])
                for seconds in more[1:]:
                    silent[lane] = min(seconds, silent.get(lane, seconds))
        self._latency_ms, self._cycle_ms, self.silent_s = latency, cycle, silent

    def road(self, wanted: Road) -> Road:
        """Whose threads it has: those of normal parts, unless other workers take it."""
        return wanted if wanted in self._of_road else Road.NORMAL

    def threads(self, part: float = 1.0, road: Road = Road.NORMAL) -> int:
        """An account's threads, by its part of all weights with work."""
        return max(1, int((self._of_road.get(road, self._threads) - KEEP_FREE) * part + 1e-9))

    def of(self, lane: str, lanes: int, part: float = 1.0, road: Road = Road.NORMAL) -> Share:
        """The share of one lane among so many of its account that have work on the road."""
        threads, urgent = (self._of_lane(lane, lanes, part, its) for its in (road, Road.URGENT))
        cycle_ms = self._cycle_ms.get(lane, 0)
        size = max(1, min(self._size, int(DOORBELL_S * 1000 / cycle_ms) if cycle_ms else self._size))
        # Twice over: one doorbell in work and one waiting behind it, so that no thread runs dry between two turns.
        return Share(size, threads * size * 2, max(size, urgent * size // 2), threads)

    def _of_lane(self, lane: str, lanes: int, part: float, road: Road) -> int:
        threads = max(1, self.threads(part, road) // max(1, lanes))
        return max(1, threads // 4) if self._latency_ms.get(lane, 0) > SLOW_MS else threads


KEPT_S, KEPT_PART = 120.0, 0.1
"""A limit that has not closed anything for so long, and for this part of how long it was closed, is no bottleneck."""


class Limited:
    """Lanes and accounts that limits close, for one relay. `amount` tells an account's amount of a limit by name."""

    def __init__(self, amount: Callable[[str, str], Amount | None]):
        self._amount = amount
        self._most: dict[str, tuple[int, float]] = {}
        self._known: dict[str, float] = {}

    def note(self, key: str, limit: str, now: float, left_s: float) -> None:
        """This lane or account is closed by a limit for so long."""
        account, known = account_of(key), self._known.get(key)
        if known is not None and known >= now + left_s:
            return
        amount = self._amount(account, limit)
        if amount is not None:
            until = now + left_s + max(KEPT_S, KEPT_PART * left_s)
            self._known[key] = until
            self._most[account if amount.shared else key] = (amount.units, until)

    def tidy(self, now: float) -> None:
        """Forgets what closes nothing any more."""
        self._most = {key: kept for key, kept in self._most.items() if kept[1] > now}
        self._known = {key: until for key, until in self._known.items() if until > now}

    def most(self, lane: str, lanes: Mapping[bool, int], *, front: bool) -> int | None:
        """The most parts of a lane that are worth offering at once; None when no limit closes it.

        Counted are the lane's own limits and those that it shares with other lanes of its account. `lanes`: how many
        have more than bulk, and how many have not; `front`: this lane has.
        """
        own, shared = self._most.get(lane), self._most.get(account_of(lane))
        bounds = [own[0]] if own else []
        if shared:
            bounds.append(part_of(shared[0], lanes, front=front))
        return min(bounds, default=None)


def part_of(amount: int, lanes: Mapping[bool, int], *, front: bool) -> int:
    """One lane's part of what a limit lets through that several lanes of an account share.

    Lanes with nothing but bulk have one in eight of it together where others have work too. `lanes`: how many of the
    others (true) and of these (false).
    """
    whole = amount
    if lanes[True] and lanes[False]:
        of_bulk = -(-amount // BULK_EVERY)
        whole = amount - of_bulk if front else of_bulk
    return max(1, -(-whole // max(1, lanes[front])))
