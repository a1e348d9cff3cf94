"""Reads a lane's first due parts, leaves out those that must wait, and packs the rest into doorbells.

A part waits while another part of its order goes first. Bulk waits in the busy minutes of an hour. The relay publishes
the doorbells.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import ceil

from sqlalchemy import Connection

from worker.delivery.scheduler.backlog import Backlog, Backlogs
from worker.delivery.scheduler.fair_share import FairShare
from worker.delivery.scheduler.lane_quota import LaneQuota
from worker.delivery.scheduler.offer_capacity import OfferCapacity
from worker.domain.job import JobKind, Priority
from worker.domain.pacing.bulk import MAX_CREDIT, Pacing, mix
from worker.domain.pacing.lane import account_of
from worker.domain.pause import Pause
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.order_queue import parts_not_first, put_to_sleep
from worker.outbox.lanes.offering import (
    DueBatch,
    expiring_before,
    kind_of_lanes,
    park_on_pauses,
    postpone,
    read_due_batch,
)
from worker.outbox.lanes.processes import QueueName

PROBE_CANDIDATES = 20
"""Parts of each priority of a parked lane among which its probe is chosen."""
MAX_KINDS = 100_000
"""The largest number of lanes whose kind is remembered."""
MIN_VALIDITY_US = 60_000_000
"""Microseconds that must remain between the new due time of a delayed bulk part and its expiry."""
SMALL_PORTION = 5
"""A portion of at most so many ids belongs to a lane whose parts take a fifth of a second or longer."""
PATIENCE_S = 1.0
"""Seconds that the last few parts of a busy lane wait for a full doorbell."""


@dataclass(slots=True)
class LaneOffer:
    """The parts of one lane that may be offered now, by priority, and the lane's quota."""

    backlog: Backlog
    quota: LaneQuota
    batches: dict[Priority, DueBatch]
    """The first due parts of each priority, as just read."""
    in_flight: int | None = None
    """The lane's calls in flight, counted for lanes with slow calls only, else None."""
    moves_files: bool = False
    """Its jobs move files, which takes long."""
    parked: tuple[str, ...] = ()
    """The lane, its account, or both, if they are parked: then only one part is offered, as a probe."""

    @property
    def due(self) -> int:
        """Number of due parts that were read, in the broker or not."""
        return sum(batch.due for batch in self.batches.values())

    @property
    def was_offered(self) -> bool:
        """True when some of its parts were offered before and not taken in time."""
        return any(batch.was_offered for batch in self.batches.values())

    def max_portions(self) -> int:
        """Returns how many portions may be in the broker beside the calls in flight, without urgent ones."""
        if self.in_flight is None:
            return sys.maxsize
        return max(0, 2 * self.quota.threads - self.in_flight)

    def unoffered(self) -> Iterator[str]:
        """Yields its parts that are not in the broker, as far as the rows show."""
        return (part for batch in self.batches.values() for part in batch.ids)

    def remove(self, parts: Collection[str]) -> bool:
        """Removes parts that have to wait. Returns True if one of them was there."""
        before = sum(len(batch.ids) for batch in self.batches.values())
        self.batches = {priority: batch.without(parts) for priority, batch in self.batches.items()}
        return before > sum(len(batch.ids) for batch in self.batches.values())

    def in_broker(self) -> int:
        """Returns how many of its parts are in the broker, as far as the rows show."""
        return sum(len(batch.in_broker) for batch in self.batches.values())

    def limit_to(self, calls: int) -> None:
        """Keeps at most `calls` parts, each a portion of its own: urgent first, then normal and bulk mixed."""
        urgent, normal, bulk = (self.batches[priority].ids for priority in Priority)
        in_order = [*urgent, *(part for part, _ in mix(normal, bulk, self.backlog.bulk_credit))]
        self.remove(set(in_order[max(0, calls) :]))
        # Several ids in one portion would be called one after another, and the bound would not be used.
        self.quota = replace(self.quota, size=1)


class LaneReader:
    """Reads what may be offered of each lane, for one relay."""

    def __init__(
        self,
        database: Database,
        backlogs: Backlogs,
        fair_share: FairShare,
        offer_capacity: OfferCapacity,
        pacing: Pacing | None,
    ):
        self._database, self._backlogs = database, backlogs
        self._fair_share, self._offer_capacity = fair_share, offer_capacity
        self._pacing = pacing
        self._kinds: dict[str, str] = {}
        """Lane -> the kind of its jobs, which never changes."""

    def read(self, connection: Connection, backlog: Backlog) -> LaneOffer:
        """Reads the first due parts of a lane. Urgent parts have a window of their own; normal and bulk share one."""
        moves_files = self._moves_files(backlog.lane)
        quota = self._fair_share.quota(backlog, QueueName.FILES if moves_files else QueueName.NORMAL)
        backlog.has_urgent = False

        def read(priority: Priority, window: int) -> DueBatch:
            return read_due_batch(connection, self._database.now, backlog.lane, priority, window)

        urgent = read(Priority.URGENT, quota.urgent_window)
        normal = read(Priority.NORMAL, quota.window)
        quota = quota if normal.due or moves_files else self._fair_share.quota(backlog, QueueName.BULK)
        bulk = read(Priority.BULK, quota.bulk_window(normal.due))
        batches = {Priority.URGENT: urgent, Priority.NORMAL: normal, Priority.BULK: bulk}
        self._update_backlog(backlog, quota, batches)
        lane_offer = LaneOffer(backlog, quota, batches)
        if lane_offer.was_offered:
            # No process took the parts from the lane's own queue in time, so they go into the queue of normal parts.
            lane_offer.quota = self._fair_share.quota(backlog, QueueName.NORMAL)
        return lane_offer

    def find_waiting(
        self, connection: Connection, lane_offers: Sequence[LaneOffer]
    ) -> tuple[dict[str, str], dict[str, int]]:
        """Finds the parts that must wait, and reads what else the offers need, each in one statement for all lanes.

        Returns the parts behind another part of their order, with the order, and the bulk parts to delay, with the
        instant (microseconds UTC) at which each is due instead.
        """
        self._count_in_flight(connection, lane_offers)
        out_of_order = self._out_of_order(connection, lane_offers)
        delayed = self._delayed_bulk(connection, lane_offers, out_of_order)
        self._read_kinds(connection, lane_offers)
        return out_of_order, delayed

    def postpone(
        self,
        lane_offers: Sequence[LaneOffer],
        out_of_order: Mapping[str, str],
        delayed: Mapping[str, int],
        paused: Mapping[str, Pause],
    ) -> None:
        """Writes that these parts wait, each group for its own reason, and removes them from the offers."""
        if out_of_order:
            self._database.run(lambda connection: put_to_sleep(connection, self._database.now, out_of_order))
        if delayed:
            self._database.run(lambda connection: postpone(connection, self._database.now, delayed))
        if paused:
            self._database.run(lambda connection: park_on_pauses(connection, self._database.now, paused))
        waiting = {*out_of_order, *delayed, *paused}
        for lane_offer in lane_offers:
            if waiting and lane_offer.remove(waiting):
                # The next parts come into the window only now, and are read in the next turn.
                lane_offer.backlog.full_from = len(Priority)
                self._backlogs.request(lane_offer.backlog.lane)

    def read_parked(self, connection: Connection, backlog: Backlog, names: Sequence[str]) -> LaneOffer:
        """Reads the first due parts of a parked lane; one of them becomes its probe.

        `names`: the lane, its account, or both, as far as they are parked.
        """
        now, window = self._database.now, PROBE_CANDIDATES
        batches = {priority: read_due_batch(connection, now, backlog.lane, priority, window) for priority in Priority}
        lane_offer = LaneOffer(backlog, LaneQuota(window, window, window, 1), batches, parked=tuple(names))
        # Threads put its doorbells aside at once. Counted, they could keep the account full, and so its other lanes,
        # which may have the only part that can be the probe, from being read.
        backlog.portions = 0
        if not lane_offer.due:
            self._backlogs.remove(backlog.lane)
        return lane_offer

    def kind(self, lane: str) -> str | None:
        """Returns the kind of a lane's jobs, or None if it was not read yet."""
        return self._kinds.get(lane)

    def _update_backlog(self, backlog: Backlog, quota: LaneQuota, batches: Mapping[Priority, DueBatch]) -> None:
        """Remembers from which priority on the lane's window is full. The urgent window never counts as full."""
        self._backlogs.update(backlog, batches)
        normal = batches[Priority.NORMAL].due
        if normal >= quota.window:
            backlog.full_from = Priority.NORMAL
        elif batches[Priority.BULK].due >= quota.bulk_window(normal):
            backlog.full_from = Priority.BULK
        else:
            backlog.full_from = len(Priority)

    def _count_in_flight(self, connection: Connection, lane_offers: Sequence[LaneOffer]) -> None:
        """Counts the calls in flight of lanes with small portions."""
        # A portion of one id leaves nothing in the broker once a thread has taken it. Without the calls in flight, a
        # slow lane would be offered more and more until it held all threads.
        slow = [lane_offer for lane_offer in lane_offers if lane_offer.quota.size <= SMALL_PORTION]
        in_flight = self._offer_capacity.in_flight(connection) if slow else {}
        for lane_offer in slow:
            lane_offer.in_flight = in_flight.get(lane_offer.backlog.lane, 0)

    def _out_of_order(self, connection: Connection, lane_offers: Sequence[LaneOffer]) -> dict[str, str]:
        """Returns the ordered parts that wait for others, with their order. Needs no SQL without ordered parts."""
        orders = {
            part: order
            for lane_offer in lane_offers
            for batch in lane_offer.batches.values()
            for part, order in batch.orders.items()
        }
        return {part: orders[part] for part in parts_not_first(connection, list(orders))} if orders else {}

    def _delayed_bulk(
        self, connection: Connection, lane_offers: Sequence[LaneOffer], waiting: Collection[str]
    ) -> dict[str, int]:
        """Returns the bulk parts that are due in a busy minute, with the instant at which each is due instead.

        A part that could expire before that goes at once.
        """
        ids = (part for lane_offer in lane_offers for part in lane_offer.batches[Priority.BULK].ids)
        bulk = [part for part in ids if part not in waiting]
        if self._pacing is None or not bulk:
            return {}
        now = read_now(connection, self._database.now)
        if not self._pacing.is_busy(now):
            return {}
        expiring = expiring_before(connection, bulk, self._pacing.spread_ends_at(now) + MIN_VALIDITY_US)
        return {part: self._pacing.delayed_until(now) for part in bulk if part not in expiring}

    def _read_kinds(self, connection: Connection, lane_offers: Sequence[LaneOffer]) -> None:
        """Reads the kind of all lanes whose kind is not known yet, in one statement."""
        new = [offer for offer in lane_offers if offer.backlog.lane not in self._kinds]
        if ids := [part for offer in new if (part := next(offer.unoffered(), None)) is not None]:
            if len(self._kinds) > MAX_KINDS:
                self._kinds.clear()
            self._kinds |= kind_of_lanes(connection, ids)
        for lane_offer in lane_offers:
            lane_offer.moves_files = self._moves_files(lane_offer.backlog.lane)

    def _moves_files(self, lane: str) -> bool:
        return self._kinds.get(lane) == JobKind.UPLOAD


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
    """Its only part is the probe of a parked lane."""
    bulk: bool = False
    """It holds nothing but bulk."""
    files: bool = False
    """Its parts move files, which takes long."""
    calls: int = 1
    """How many of its calls may be in flight at once."""


class DoorbellBuilder:
    """Builds the doorbells of one relay, and records in each lane's backlog what was offered."""

    def __init__(
        self,
        backlogs: Backlogs,
        fair_share: FairShare,
        offer_capacity: OfferCapacity,
        *,
        republish_after_s: float,
        offer_max_s: float,
    ):
        self._backlogs, self._fair_share, self._offer_capacity = backlogs, fair_share, offer_capacity
        self._offer_s, self._offer_max_s = republish_after_s, offer_max_s

    def doorbells(self, lane_offer: LaneOffer, now: float) -> list[Doorbell]:
        """Builds the doorbells of a lane: urgent parts within their own window, then normal and bulk mixed."""
        backlog = lane_offer.backlog
        if not lane_offer.due:
            self._remove_unless_requested(backlog)
            return []
        backlog.read_at = now
        # Not for ever: the offered ids may be lost in the broker, and then no further part fills the doorbell.
        patient = now - backlog.offered_at < PATIENCE_S
        offered_for_s = backlog.offered_for_s(list(lane_offer.batches.values()), now, self._offer_s, self._offer_max_s)
        was_offered = lane_offer.was_offered
        self._apply_bound(lane_offer, now)
        quota, batches = lane_offer.quota, lane_offer.batches
        urgent = quota.split(batches[Priority.URGENT], quota.urgent_window, patient=patient)
        backlog.bulk_credit = min(MAX_CREDIT, backlog.bulk_credit + sum(len(ids) for ids in urgent))
        mixed = quota.split_mixed(
            batches[Priority.NORMAL], batches[Priority.BULK], backlog.bulk_credit, patient=patient
        )
        # While normal parts are due, a doorbell of bulk alone goes into their queue, too: threads take from the queue
        # of bulk last, so bulk would lose its share of the lane. Parts that no process took from a queue of their own
        # in time also go with the normal parts.
        bulk = not batches[Priority.NORMAL].due and not was_offered
        files = lane_offer.moves_files and not was_offered
        other = self._within_capacity(lane_offer, mixed)
        if urgent or other:
            backlog.offered_at = now
            self._offer_capacity.record_offer(backlog.lane, [part for ids in (*urgent, *other) for part in ids])
        # A thread that moves a file does nothing else meanwhile.
        calls = 1 if lane_offer.moves_files else quota.calls_per_doorbell
        doorbell = partial(Doorbell, backlog.lane, offered_for_s=offered_for_s)
        return [
            *(doorbell(ids, urgent=True, calls=n) for ids, n in _combined(urgent, calls)),
            *(doorbell(ids, urgent=False, bulk=bulk, files=files, calls=n) for ids, n in _combined(other, calls)),
        ]

    def _apply_bound(self, lane_offer: LaneOffer, now: float) -> None:
        """Limits the offer of a lane whose calls in flight are bounded."""
        capacity = self._offer_capacity.capacity(
            lane_offer.backlog.lane, now, due=lane_offer.due, offered=lane_offer.in_broker()
        )
        if capacity.calls is not None:
            lane_offer.backlog.is_bounded = True
            lane_offer.limit_to(capacity.calls)

    def _remove_unless_requested(self, backlog: Backlog) -> None:
        """Forgets a lane without due parts, unless it is to be read again."""
        # The parts that were read may have been postponed, with more due parts behind them.
        if not self._backlogs.is_requested(backlog.lane):
            self._backlogs.remove(backlog.lane)

    def _within_capacity(
        self, lane_offer: LaneOffer, mixed: Sequence[tuple[tuple[str, ...], int]]
    ) -> Sequence[tuple[str, ...]]:
        """Returns the ids of as many portions as the account has capacity for.

        `mixed`: the ids of each portion and bulk's credit after it. A lane that got nothing is read again.
        """
        backlog, batches = lane_offer.backlog, (lane_offer.batches[Priority.NORMAL], lane_offer.batches[Priority.BULK])
        offered, size = sum(len(batch.in_broker) for batch in batches), lane_offer.quota.size
        in_flight = lane_offer.in_flight or 0
        # Each call in flight holds the other ids of its portion, which a thread has taken from the broker already.
        waiting = ceil(max(0, offered - in_flight * (size - 1)) / size)
        backlog.portions = waiting + in_flight
        free_portions = self._fair_share.free_portions(account_of(backlog.lane), backlog.queue)
        may_go = mixed[: max(0, min(free_portions, lane_offer.max_portions() - waiting))]
        backlog.portions += len(may_go)
        backlog.bulk_credit = may_go[-1][1] if may_go else backlog.bulk_credit
        if len(may_go) < len(mixed) and not backlog.portions:
            self._backlogs.request(backlog.lane)
        return [ids for ids, _ in may_go]


def _combined(portions: Sequence[tuple[str, ...]], calls: int) -> list[tuple[tuple[str, ...], int]]:
    """Combines up to `calls` portions for each doorbell. Returns its ids, and how many portions they are."""
    if not portions:
        return []
    size = ceil(len(portions) / ceil(len(portions) / calls))
    groups = (portions[at : at + size] for at in range(0, len(portions), size))
    return [(tuple(chain.from_iterable(group)), len(group)) for group in groups]
