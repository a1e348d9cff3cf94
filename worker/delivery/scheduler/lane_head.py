"""The head of a lane: which of its parts may go now, and which of them together in one doorbell.

A part waits while it is out of turn in its order, and bulk waits in the busy minutes of an hour. Publishes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from worker.delivery.scheduler.backlog import Backlog, Backlogs
from worker.delivery.scheduler.fair_share import Allotment, Share
from worker.delivery.scheduler.paces import Paces
from worker.domain.job import Kind, Priority
from worker.domain.pacing.bulk import MOST, Pacing, mix
from worker.domain.pacing.lane import account_of
from worker.domain.pause import Pause
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.order_queue import out_of_turn, send_to_sleep
from worker.outbox.lanes.offering import Head, ending_before, head_of_lane, kinds_of, park, put_off
from worker.outbox.lanes.processes import QueueName

PROBED = 20
"""Parts of each priority at the head of a parked lane among which its probe is chosen."""
KINDS_KEPT = 100_000
"""Lanes whose kind is remembered."""
LEFT_US = 60_000_000
"""Microseconds that bulk put off a busy minute has, at least, between its new due time and its expiry."""
FEW = 5
"""A doorbell with at most so many ids is of a lane whose parts take a fifth of a second or longer."""
PATIENCE_S = 1.0
"""Seconds that the last few parts of a busy lane wait for a full doorbell."""


@dataclass(slots=True)
class LaneHead:
    """The head of one lane, priority by priority, as just read."""

    backlog: Backlog
    share: Share
    heads: dict[Priority, Head]
    in_flight: int | None = None
    """Its calls in flight, counted for lanes with slow calls; None: not counted."""
    files: bool = False
    """Its jobs move files, which takes long."""
    parked: tuple[str, ...] = ()
    """The lane and its account, as far as they are parked: one of its parts tries them. Empty: the lane is open."""

    @property
    def due(self) -> int:
        """Number of due parts in the windows of its head, in the broker or not."""
        return sum(head.due for head in self.heads.values())

    @property
    def again(self) -> bool:
        """True when some of its parts were offered before and not taken in time."""
        return any(head.again for head in self.heads.values())

    def most_doorbells(self) -> int:
        """How many doorbells of it may be in the broker beside its calls in flight; urgent ones are not counted."""
        if self.in_flight is None:
            return sys.maxsize
        return max(0, 2 * self.share.threads - self.in_flight)

    def free(self) -> Iterator[str]:
        """Its parts that are not in the broker, as far as is known."""
        return (part for head in self.heads.values() for part in head.ids)

    def take_out(self, later: Collection[str]) -> bool:
        """Takes parts that have to wait out of the heads; True when one of them was there."""
        before = sum(len(head.ids) for head in self.heads.values())
        self.heads = {priority: head.without(later) for priority, head in self.heads.items()}
        return before > sum(len(head.ids) for head in self.heads.values())

    def offered(self) -> int:
        """How many of its parts are in the broker, as far as is known."""
        return sum(len(head.out) for head in self.heads.values())

    def narrow(self, room: int) -> None:
        """Leaves at most `room` parts, each for a doorbell of its own; urgent first, then normal and bulk mixed."""
        urgent, normal, bulk = (self.heads[priority].ids for priority in Priority)
        line = [*urgent, *(part for part, _ in mix(normal, bulk, self.backlog.bulk_credit))]
        self.take_out(set(line[max(0, room) :]))
        # Each with a call of its own: several ids for one call would go one after another, and the bound be unused.
        self.share = replace(self.share, size=1)


class LaneHeads:
    """Reads the heads of lanes, for one relay."""

    def __init__(
        self,
        database: Database,
        backlogs: Backlogs,
        allotment: Allotment,
        paces: Paces,
        pacing: Pacing | None,
    ):
        self._database, self._backlogs, self._allotment, self._paces = database, backlogs, allotment, paces
        self._pacing = pacing
        self._kinds: dict[str, str] = {}
        """Lane -> the kind of its jobs; it never changes."""

    def read(self, connection: Connection, backlog: Backlog) -> LaneHead:
        """Reads the head of a lane: urgent parts have a window of their own, normal and bulk share one."""
        files = self._moves_files(backlog.lane)
        share = self._allotment.share(backlog, QueueName.FILES if files else QueueName.NORMAL)
        backlog.has_urgent = False

        def read(priority: Priority, most: int) -> Head:
            return head_of_lane(connection, self._database.now, backlog.lane, priority, most)

        urgent = read(Priority.URGENT, share.urgent_window)
        normal = read(Priority.NORMAL, share.window)
        share = share if normal.due or files else self._allotment.share(backlog, QueueName.BULK)
        bulk = read(Priority.BULK, share.bulk_window(normal.due))
        heads = {Priority.URGENT: urgent, Priority.NORMAL: normal, Priority.BULK: bulk}
        self._note_full(backlog, share, heads)
        lane_head = LaneHead(backlog, share, heads)
        if lane_head.again:
            # No process took them from the lane's own queue in time, so they go into the queue of normal parts.
            lane_head.share = self._allotment.share(backlog, QueueName.NORMAL)
        return lane_head

    def ask_more(self, connection: Connection, lane_heads: Sequence[LaneHead]) -> tuple[dict[str, str], dict[str, int]]:
        """Reads what else is needed of these lanes, each fact in one statement for all of them.

        Returns the parts that are out of turn, with the order each is in, and the bulk parts that are put off, with the
        instant (microseconds UTC) at which each is due.
        """
        self._count_in_flight(connection, lane_heads)
        waits = self._out_of_turn(connection, lane_heads)
        later = self._kept_off(connection, lane_heads, waits)
        self._learn_kinds(connection, lane_heads)
        return waits, later

    def postpone(
        self,
        lane_heads: Sequence[LaneHead],
        waits: Mapping[str, str],
        later: Mapping[str, int],
        paused: Mapping[str, Pause],
    ) -> None:
        """Puts parts that must not go now to sleep, off, or aside, and takes them out of the heads of their lanes."""
        if waits:
            self._database.run(lambda connection: send_to_sleep(connection, self._database.now, waits))
        if later:
            self._database.run(lambda connection: put_off(connection, self._database.now, later))
        if paused:
            self._database.run(lambda connection: park(connection, self._database.now, paused))
        aside = {*waits, *later, *paused}
        for lane_head in lane_heads:
            if aside and lane_head.take_out(aside):
                # The next parts come into the window only now, and are read in the next turn.
                lane_head.backlog.full = len(Priority)
                self._backlogs.want(lane_head.backlog.lane)

    def parked(self, connection: Connection, backlog: Backlog, keys: Sequence[str]) -> LaneHead:
        """Reads the head of a lane that is parked, or whose account is: among its parts is the one that tries it."""
        now = self._database.now
        heads = {priority: head_of_lane(connection, now, backlog.lane, priority, PROBED) for priority in Priority}
        return LaneHead(backlog, Share(PROBED, PROBED, PROBED, 1), heads, parked=tuple(keys))

    def kind(self, lane: str) -> str | None:
        """The kind of a lane's jobs, once it was learned."""
        return self._kinds.get(lane)

    def _note_full(self, backlog: Backlog, share: Share, heads: Mapping[Priority, Head]) -> None:
        """Notes from which priority on the lane's window is full; never from urgent on."""
        self._backlogs.learn(backlog, heads)
        normal = heads[Priority.NORMAL].due
        if normal >= share.window:
            backlog.full = Priority.NORMAL
        elif heads[Priority.BULK].due >= share.bulk_window(normal):
            backlog.full = Priority.BULK
        else:
            backlog.full = len(Priority)

    def _count_in_flight(self, connection: Connection, lane_heads: Sequence[LaneHead]) -> None:
        """Counts the calls in flight of lanes with small doorbells."""
        # Of a doorbell of one id nothing is in the broker any more once a thread has it. Without the calls in flight a
        # slow lane would be offered more and more, until it held all threads.
        slow = [lane_head for lane_head in lane_heads if lane_head.share.size <= FEW]
        in_flight = self._paces.in_flight(connection) if slow else {}
        for lane_head in slow:
            lane_head.in_flight = in_flight.get(lane_head.backlog.lane, 0)

    def _out_of_turn(self, connection: Connection, lane_heads: Sequence[LaneHead]) -> dict[str, str]:
        """Ordered parts that have to wait for others, and the order each is in; no statement without ordered parts."""
        orders = {
            part: order
            for lane_head in lane_heads
            for head in lane_head.heads.values()
            for part, order in head.orders.items()
        }
        return {part: orders[part] for part in out_of_turn(connection, list(orders))} if orders else {}

    def _kept_off(
        self, connection: Connection, lane_heads: Sequence[LaneHead], waits: Collection[str]
    ) -> dict[str, int]:
        """The bulk parts that are due in a busy minute, and the instant at which each is due instead.

        A part that could expire before that goes at once.
        """
        bulk = [part for lane_head in lane_heads for part in lane_head.heads[Priority.BULK].ids if part not in waits]
        if self._pacing is None or not bulk:
            return {}
        now = read_now(connection, self._database.now)
        if not self._pacing.is_busy(now):
            return {}
        ending = ending_before(connection, bulk, self._pacing.latest(now) + LEFT_US)
        return {part: self._pacing.later(now) for part in bulk if part not in ending}

    def _learn_kinds(self, connection: Connection, lane_heads: Sequence[LaneHead]) -> None:
        """Reads the kind of all lanes that were not seen before, in one statement."""
        new = [next(lane_head.free(), None) for lane_head in lane_heads if lane_head.backlog.lane not in self._kinds]
        if ids := [part for part in new if part is not None]:
            if len(self._kinds) > KINDS_KEPT:
                self._kinds.clear()
            self._kinds |= kinds_of(connection, ids)
        for lane_head in lane_heads:
            lane_head.files = self._moves_files(lane_head.backlog.lane)

    def _moves_files(self, lane: str) -> bool:
        return self._kinds.get(lane) == Kind.UPLOAD


# -- doorbells --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Doorbell:
    """One doorbell to publish."""

    lane: str
    ids: tuple[str, ...]
    urgent: bool
    offered_for_s: float
    """Seconds for which these ids count as offered."""
    probe: bool = False
    """It holds the one part that tries a parked lane."""
    bulk: bool = False
    """It holds nothing but bulk."""
    files: bool = False
    """Its parts move files, which takes long."""
    calls: int = 1
    """How many of its calls may be in flight at once."""


class Batches:
    """Makes the doorbells of one relay, and notes in each lane's backlog what was offered."""

    def __init__(
        self,
        backlogs: Backlogs,
        allotment: Allotment,
        paces: Paces,
        *,
        offer_s: float,
        offer_max_s: float,
    ):
        self._backlogs, self._allotment, self._paces = backlogs, allotment, paces
        self._offer_s, self._offer_max_s = offer_s, offer_max_s

    def doorbells(self, lane_head: LaneHead, now: float) -> list[Doorbell]:
        """Doorbells for the head of a lane: urgent parts within a share of their own, then normal and bulk mixed."""
        backlog = lane_head.backlog
        if not lane_head.due:
            self._forget_unless_wanted(backlog)
            return []
        backlog.read_at = now
        # Not for ever: the offered ids may be lost in the broker, and then no further part fills the doorbell.
        patient = now - backlog.offered_at < PATIENCE_S
        offered_for_s = backlog.offered_for_s(list(lane_head.heads.values()), now, self._offer_s, self._offer_max_s)
        again = lane_head.again
        self._bind(lane_head, now)
        share, heads = lane_head.share, lane_head.heads
        urgent_ids = share.doorbells(heads[Priority.URGENT], share.urgent_window, patient=patient)
        urgent = [Doorbell(backlog.lane, ids, urgent=True, offered_for_s=offered_for_s) for ids in urgent_ids]
        backlog.bulk_credit = min(MOST, backlog.bulk_credit + sum(len(ids) for ids in urgent_ids))
        batches = share.mixed(heads[Priority.NORMAL], heads[Priority.BULK], backlog.bulk_credit, patient=patient)
        # While normal parts are due, a doorbell of bulk alone goes into their queue, too: the queue of bulk is emptied
        # after theirs, so bulk would not get the part of the lane that is its own. And what no process took from a
        # queue of its own in time goes with the normal parts.
        bulk, files = not heads[Priority.NORMAL].due and not again, lane_head.files and not again
        rest = [
            Doorbell(backlog.lane, ids, urgent=False, offered_for_s=offered_for_s, bulk=bulk, files=files)
            for ids in self._as_many_as_may_go(lane_head, batches)
        ]
        if urgent or rest:
            backlog.offered_at = now
            ids = [part for doorbell in (*urgent, *rest) for part in doorbell.ids]
            self._paces.offered(backlog.lane, ids)
        # A thread that moves a file does nothing else meanwhile.
        calls_per_doorbell = 1 if lane_head.files else share.calls_per_doorbell
        return [*_bundled(urgent, calls_per_doorbell), *_bundled(rest, calls_per_doorbell)]

    def _bind(self, lane_head: LaneHead, now: float) -> None:
        """Leaves in the look no more than a lane with a bound on its calls in flight may have."""
        room = self._paces.room(lane_head.backlog.lane, now, due=lane_head.due, offered=lane_head.offered())
        if room.calls is not None:
            lane_head.backlog.bound = True
            lane_head.narrow(room.calls)

    def _forget_unless_wanted(self, backlog: Backlog) -> None:
        """Forgets a lane whose head is empty, unless it is to be looked at again."""
        # Its head may have been put aside, with more due parts behind it.
        if not self._backlogs.is_wanted(backlog.lane):
            self._backlogs.forget(backlog.lane)

    def _as_many_as_may_go(
        self, lane_head: LaneHead, batches: Sequence[tuple[tuple[str, ...], int]]
    ) -> Sequence[tuple[str, ...]]:
        """The batches for which the account has room; a lane that got nothing is looked at again."""
        backlog, heads = lane_head.backlog, (lane_head.heads[Priority.NORMAL], lane_head.heads[Priority.BULK])
        offered, size, in_flight = sum(len(head.out) for head in heads), lane_head.share.size, lane_head.in_flight or 0
        # Each call in flight holds the other ids of its doorbell, which a thread has taken from the broker already.
        waiting = -(-max(0, offered - in_flight * (size - 1)) // size)
        backlog.out = waiting + in_flight
        room = min(self._allotment.room(account_of(backlog.lane), backlog.queue), lane_head.most_doorbells() - waiting)
        may_go = batches[: max(0, room)]
        backlog.out += len(may_go)
        backlog.bulk_credit = may_go[-1][1] if may_go else backlog.bulk_credit
        if len(may_go) < len(batches) and not backlog.out:
            self._backlogs.want(backlog.lane)
        return [ids for ids, _ in may_go]


def _bundled(doorbells: Sequence[Doorbell], most: int) -> list[Doorbell]:
    """The same parts in fewer doorbells: `most` as one, in which as many calls may be in flight at once."""
    if not doorbells:
        return []
    size = -(-len(doorbells) // -(-len(doorbells) // most))
    bundles = (doorbells[at : at + size] for at in range(0, len(doorbells), size))
    return [
        replace(bundle[0], ids=tuple(part for doorbell in bundle for part in doorbell.ids), calls=len(bundle))
        for bundle in bundles
    ]
