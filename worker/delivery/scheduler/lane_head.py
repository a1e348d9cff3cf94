"""Which parts of a lane may go now: its head is read, and parts that have to wait are taken out of it.

A part waits while it is out of turn in its order, and bulk waits in the busy minutes 0 and 30 of each hour. The vendor
says that many applications send in these minutes, when delivery is slower, and advises batch jobs to avoid them. Half
hours are the same in UTC and at the vendor's. Publishes nothing.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from worker.delivery.scheduler.backlog import Backlog, Backlogs
from worker.delivery.scheduler.fair_share import Allotment, Share
from worker.delivery.scheduler.slow_start import SlowStart
from worker.domain.job import Kind, Priority
from worker.domain.pacing.bulk_quota import BULK_EVERY, OTHERS, mix
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs.order_queue import out_of_turn, send_to_sleep
from worker.outbox.lanes.offering import Head, ending_before, head_of_lane, kinds_of, put_off
from worker.outbox.lanes.processes import QueueName

PROBED = 20
"""Parts of each priority at the head of a parked lane among which its probe is chosen."""
KINDS_KEPT = 100_000
"""Lanes whose kind is remembered."""
LEFT_US = 60_000_000
"""Microseconds that bulk put off a busy minute has, at least, between its new due time and its expiry."""
FEW = 5
"""A doorbell with at most so many ids is of a lane whose parts take a fifth of a second or longer."""


@dataclass(slots=True)
class Look:
    """The head of one lane, priority by priority, as just read."""

    known: Backlog
    share: Share
    heads: dict[Priority, Head]
    air: int | None = None
    """Its calls in the air, counted for lanes with slow calls; None: not counted."""
    files: bool = False
    """Its jobs move files, which takes long."""

    @property
    def due(self) -> int:
        """Number of due parts in the windows of its head, in the broker or not."""
        return sum(head.due for head in self.heads.values())

    @property
    def again(self) -> bool:
        """True when some of its parts were offered before and not taken in time."""
        return any(head.again for head in self.heads.values())

    def most_bells(self) -> int:
        """How many doorbells of it may be in the broker beside its calls in the air; urgent ones are not counted."""
        if self.air is None:
            return sys.maxsize
        return max(0, -(-2 * self.share.threads * BULK_EVERY // OTHERS) - self.air)

    def free(self) -> Iterator[str]:
        """Its parts that are not in the broker, as far as is known."""
        return (part for head in self.heads.values() for part in head.ids)

    def put_aside(self, later: Collection[str]) -> bool:
        """Takes parts that have to wait out of the heads; True when one of them was there."""
        before = sum(len(head.ids) for head in self.heads.values())
        self.heads = {priority: head.without(later) for priority, head in self.heads.items()}
        return before > sum(len(head.ids) for head in self.heads.values())

    def offered(self) -> int:
        """How many of its parts are in the broker, as far as is known."""
        return sum(head.due - len(head.ids) for head in self.heads.values())

    def narrow(self, room: int) -> None:
        """Leaves at most `room` parts, each for a doorbell of its own; urgent first, then normal and bulk mixed."""
        urgent, normal, bulk = (self.heads[priority].ids for priority in Priority)
        line = [*urgent, *(part for part, _, _ in mix(normal, bulk, self.known.credit))]
        self.put_aside(set(line[max(0, room) :]))
        # In one doorbell one thread would make the calls one after another, and the bound would not be used.
        self.share = replace(self.share, size=1)


class LaneHeads:
    """Reads the heads of lanes, for one relay."""

    def __init__(
        self, database: Database, backlogs: Backlogs, allotment: Allotment, slow_start: SlowStart, pacing: Pacing | None
    ):
        self._database, self._backlogs, self._allotment, self._slow_start = database, backlogs, allotment, slow_start
        self._pacing = pacing
        self._kinds: dict[str, str] = {}
        """Lane -> the kind of its jobs; it never changes."""

    def look(self, connection: Connection, known: Backlog) -> Look:
        """Reads the head of a lane: urgent parts have a window of their own, normal and bulk share one."""
        files = self._moves_files(known.lane)
        share = self._allotment.share(known, QueueName.FILES if files else QueueName.NORMAL)
        known.pressing = False
        heads: dict[Priority, Head] = {}
        for priority in Priority:
            window = share.urgent_window if priority is Priority.URGENT else share.window
            if priority is Priority.BULK:
                normal = heads[Priority.NORMAL].due
                share = share if normal or files else self._allotment.share(known, QueueName.BULK)
                window = share.bulk_window(normal)
            heads[priority] = head_of_lane(connection, self._database.now, known.lane, priority, window)
        self._note_full(known, share, heads)
        look = Look(known, share, heads)
        if look.again:
            # No process took them from the lane's own queue in time, so they go into the queue of normal parts.
            look.share = self._allotment.share(known, QueueName.NORMAL)
        return look

    def ask_more(self, connection: Connection, looks: Sequence[Look]) -> tuple[dict[str, str], dict[str, int]]:
        """Reads what else is needed of these lanes, each fact in one statement for all of them.

        Returns the parts that are out of turn, with the order each is in, and the bulk parts that are put off, with the
        instant (microseconds UTC) at which each is due.
        """
        self._count_air(connection, looks)
        waits = self._out_of_turn(connection, looks)
        later = self._kept_off(connection, looks, waits)
        self._learn_kinds(connection, looks)
        return waits, later

    def put_aside(self, looks: Sequence[Look], waits: Mapping[str, str], later: Mapping[str, int]) -> None:
        """Puts parts that must not go now to sleep or off, and takes them out of the heads of their lanes."""
        if waits:
            self._database.run(lambda connection: send_to_sleep(connection, waits))
        if later:
            self._database.run(lambda connection: put_off(connection, later))
        aside = {*waits, *later}
        for look in looks:
            if aside and look.put_aside(aside):
                # The next parts come into the window only now, and are read in the next turn.
                look.known.full = len(Priority)
                self._backlogs.want(look.known.lane)

    def first(self, connection: Connection, lane: str) -> str | None:
        """The part that may try a parked lane; None: the lane has none."""
        heads = [head_of_lane(connection, self._database.now, lane, priority, PROBED) for priority in Priority]
        waits = out_of_turn(connection, [part for head in heads for part in head.orders])
        return next((part for head in heads for part in head.ids if part not in waits), None)

    def _note_full(self, known: Backlog, share: Share, heads: Mapping[Priority, Head]) -> None:
        """Notes from which priority on the lane's window is full; never from urgent on."""
        self._backlogs.learn(known, heads)
        normal = heads[Priority.NORMAL].due
        if normal >= share.window:
            known.full = Priority.NORMAL
        elif heads[Priority.BULK].due >= share.bulk_window(normal):
            known.full = Priority.BULK
        else:
            known.full = len(Priority)

    def _count_air(self, connection: Connection, looks: Sequence[Look]) -> None:
        """Counts the calls in the air of lanes with small doorbells."""
        # Of a doorbell of one id nothing is in the broker any more once a thread has it. Without the calls in the air a
        # slow lane would be offered more and more, until it held all threads.
        slow = [look for look in looks if look.share.size <= FEW]
        air = self._slow_start.in_the_air(connection) if slow else {}
        for look in slow:
            look.air = air.get(look.known.lane, 0)

    def _out_of_turn(self, connection: Connection, looks: Sequence[Look]) -> dict[str, str]:
        """Ordered parts that have to wait for others, and the order each is in; no statement without ordered parts."""
        orders = {part: order for look in looks for head in look.heads.values() for part, order in head.orders.items()}
        return {part: orders[part] for part in out_of_turn(connection, list(orders))} if orders else {}

    def _kept_off(self, connection: Connection, looks: Sequence[Look], waits: Collection[str]) -> dict[str, int]:
        """The bulk parts that are due in a busy minute, and the instant at which each is due instead.

        A part that could expire before that goes at once.
        """
        bulk = [part for look in looks for part in look.heads[Priority.BULK].ids if part not in waits]
        if self._pacing is None or not bulk:
            return {}
        now = int(fetch(connection, f"select {self._database.now}")[0][0])
        if not self._pacing.is_busy(now):
            return {}
        ending = ending_before(connection, bulk, self._pacing.latest(now) + LEFT_US)
        return {part: self._pacing.later(now) for part in bulk if part not in ending}

    def _learn_kinds(self, connection: Connection, looks: Sequence[Look]) -> None:
        """Reads the kind of all lanes that were not seen before, in one statement."""
        new = [next(look.free(), None) for look in looks if look.known.lane not in self._kinds]
        if ids := [part for part in new if part is not None]:
            if len(self._kinds) > KINDS_KEPT:
                self._kinds.clear()
            self._kinds |= kinds_of(connection, ids)
        for look in looks:
            look.files = self._moves_files(look.known.lane)

    def _moves_files(self, lane: str) -> bool:
        return self._kinds.get(lane) == Kind.UPLOAD


SECOND = 1_000_000


HALF_HOUR = 1_800 * SECOND


@dataclass(frozen=True, slots=True)
class Pacing:
    """Puts bulk off the busy minutes. Instants in microseconds UTC; the randomness is passed in."""

    rng: random.Random
    busy_s: int = 60
    """Seconds from each half hour on in which no bulk is sent."""
    spread_s: int = 240
    """Seconds after the busy minute over which the parts that were put off are spread."""

    def is_busy(self, now: int) -> bool:
        """True in minute 0 and minute 30."""
        return now % HALF_HOUR < self.busy_s * SECOND

    def latest(self, now: int) -> int:
        """The instant before which every part that `later` puts off is due."""
        return now - now % HALF_HOUR + (self.busy_s + self.spread_s) * SECOND

    def later(self, now: int) -> int:
        """A random instant after the busy minute that `now` is in."""
        start = now - now % HALF_HOUR
        return start + int((self.busy_s + self.rng.uniform(0, self.spread_s)) * SECOND)
