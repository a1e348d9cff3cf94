"""Publishes the ids of due parts to the broker, only as many per lane as its workers can send in the next seconds.

One process at a time is active, by a lease in SQL. In each turn it reads the lanes with newly due parts and those with
a backlog, and offers the first due parts of each. Marked parts leave this window, and the next ones come in. A full
scan over all lanes finds late commits and lost ids within a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import Connection

from worker.config.settings import DeliverySettings
from worker.delivery.scheduler.backlog import Backlog, Backlogs
from worker.delivery.scheduler.due_lanes import DueLanes, FullScan
from worker.delivery.scheduler.fair_share import FairShare, RecentLimits, ThreadShares
from worker.delivery.scheduler.lane_offer import Doorbell, DoorbellBuilder, LaneOffer, LaneReader
from worker.delivery.scheduler.offer_capacity import OfferCapacity
from worker.delivery.sender.lease import Leadership, Renewals
from worker.domain.errors import NotPublished
from worker.domain.pacing.bulk import Pacing
from worker.domain.pacing.lane import SECOND, account_of
from worker.domain.pacing.limit import Amount
from worker.domain.pacing.poll_interval import PollInterval
from worker.domain.pause import Pause
from worker.outbox.engine.clock import micros
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import release_parts
from worker.outbox.lanes.agenda import Agenda, Work
from worker.outbox.lanes.lanes import change_lanes, claim_probe
from worker.outbox.lanes.offering import is_anything_paused, offer
from worker.outbox.lanes.pauses import active_pauses, paused_parts
from worker.outbox.lanes.processes import RELAY, QueueName

log = structlog.get_logger()

SCAN = "full_scan"
PAUSE_RECHECK_S = 1.0
"""Seconds until the relay checks again whether a lane is still paused."""
WAIT_SHARE = 0.02
"""The part of a quiet time for which the first part after it waits at most."""
IDLE_S = 0.1
"""From this pause between two turns on, a turn first asks the agenda, which all loops share, what there is to do."""
MAX_LANES = 200
"""The largest number of lanes that one turn reads; the others follow in the next turns, in order."""


class Relay:
    """The turns of one process's relay; `turn` returns the seconds until the next."""

    def __init__(
        self,
        database: Database,
        *,
        holder: Callable[[], str],
        publish: Callable[[Sequence[Doorbell]], None],
        thread_shares: ThreadShares,
        settings: DeliverySettings,
        monotonic: Callable[[], float],
        scan_clock: Callable[[], float] | None = None,
        weight: Callable[[str], float] = lambda account: 1.0,
        amount: Callable[[str, str], Amount | None] = lambda account, limit: None,
        pacing: Pacing | None = None,
        agenda: Agenda | None = None,
        renewals: Renewals | None = None,
    ):
        self._database, self._publish = database, publish
        self._settings, self._monotonic = settings, monotonic
        self._times = times = RelayTimes()
        self.leadership = Leadership(
            database, RELAY, holder=holder, lease_s=settings.lease_s, monotonic=monotonic, renewals=renewals
        )
        self._poll_interval = PollInterval(times.shortest_poll_s, times.longest_poll_s, monotonic, WAIT_SHARE)
        self._agenda, self._shares_agenda = agenda or Agenda(database, monotonic), agenda is not None
        self._full_scan = FullScan(database, round_s=times.round_s, monotonic=scan_clock or monotonic)
        self._backlogs, self._offer_capacity = Backlogs(), OfferCapacity(settings.cold_after_s)
        self._due_lanes = DueLanes(
            database, self._backlogs, self._full_scan, reread_s=times.reread_s, monotonic=monotonic
        )
        self._fair_share = FairShare(self._backlogs, thread_shares, self._offer_capacity, RecentLimits(amount), weight)
        shared = self._backlogs, self._fair_share, self._offer_capacity
        self._lane_reader = LaneReader(database, *shared, pacing)
        self._builder = DoorbellBuilder(
            *shared, republish_after_s=settings.republish_after_s, offer_max_s=settings.offer_max_s
        )

    def turn(self) -> float:
        """Makes one turn: lease, due lanes, offers. Raises errors of the database; the caller waits and calls again."""
        if not self.lead():
            self.leadership.record_idle()
            return self.leadership.retry_s
        with self.leadership.trying():
            began = self._monotonic()
            is_idle = self._poll_interval.delay() >= IDLE_S and self._agenda.is_refresh_cheap()
            has_new = self._due_lanes.gather(self._agenda if is_idle else None)
            self._fair_share.divide()
            next_lanes = self._backlogs.next(MAX_LANES, self._fair_share.is_full)
            lanes = self._offer_capacity.least_served_first(next_lanes)
            offered = self._offer_lanes(lanes) if lanes else 0
        # A turn without offers proves little: the lane that made the last turn fail may not have been among its lanes.
        (self.leadership.succeeded if offered else self.leadership.record_idle)()
        if offered or has_new:
            self._poll_interval.reset()
        return self._delay(self._monotonic() - began)

    def _delay(self, turn_s: float) -> float:
        """Returns the seconds until the next turn after one that took so long."""
        if self._backlogs.has_any():
            # A turn takes longer beside busy threads, which need the processor more than the relay does.
            return min(self._times.poll_s, max(self._times.shortest_poll_s, turn_s))
        return min(self._poll_interval.delay(), max(self._times.shortest_poll_s, self._due_lanes.opens_in_s()))

    def full_scan(self) -> float:
        """Makes a step of the full scan, in a thread of its own. Returns the seconds until the next step."""
        if not self.active:
            self.leadership.record_idle(SCAN)
            return self._times.longest_poll_s
        if self._shares_agenda and self._full_scan.between_rounds and self._agenda.lacks(Work.DUE):
            return self._times.longest_poll_s
        with self.leadership.trying(SCAN):
            pause = self._full_scan.step()
        self.leadership.succeeded(SCAN)
        return pause

    def has_untaken_parts(self, can_send: Callable[[str, QueueName], bool]) -> bool:
        """Returns True while due parts of open lanes are offered and no process takes them.

        `can_send` tells, by lane and queue, whether the calling process can send the lane's parts. Returns False where
        another process leads.
        """
        return self.active and self._backlogs.has_untaken(can_send)

    # -- the lease ----------------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """True while this process has the lease."""
        return self.leadership.active

    def lead(self) -> bool:
        """Takes the lease, or renews it when a third of it is over. Returns False if another process has it."""
        was = self.active
        if self.leadership.lead() and not was:
            self._due_lanes.begin(self._database.read_now())
            self._poll_interval.reset()
            log.info("relay_active")
        return self.active

    def stop(self) -> None:
        """Gives the lease back, so that another process takes over at once."""
        self.leadership.stop()

    # -- the offers ---------------------------------------------------------------------------------------------------

    def _offer_lanes(self, lanes: Sequence[Backlog]) -> int:
        """Reads these lanes and offers the parts that may go. Returns the number of ids offered."""
        now = self._monotonic()
        with self._database.reading() as connection:
            names = [backlog.lane for backlog in lanes]
            self._fair_share.refresh(connection, self._database.now, now, names)
            pauses = active_pauses(connection, ()) if (is_paused := is_anything_paused(connection)) else []
            lane_offers = self._read_lanes(connection, lanes, pauses, now)
            paused = dict[str, Pause]()
            if is_paused:
                lane_offers, paused = self._without_paused(connection, lane_offers, now)
            out_of_order, delayed = self._lane_reader.find_waiting(connection, lane_offers)
        self._lane_reader.postpone(lane_offers, out_of_order, delayed, paused)
        doorbells = list[Doorbell]()
        for lane_offer in lane_offers:
            doorbells += self._probe(lane_offer) if lane_offer.parked else self._builder.doorbells(lane_offer, now)
        return self._send(doorbells)

    def _read_lanes(
        self, connection: Connection, lanes: Sequence[Backlog], pauses: Sequence[Pause], now: float
    ) -> list[LaneOffer]:
        """Reads the lanes that are open, and the parked lanes that may be tried; closes the others for a while."""
        lane_offers: list[LaneOffer] = []
        for backlog in lanes:
            capacity = self._offer_capacity.capacity(backlog.lane, now)
            backlog.is_bounded = capacity.calls is not None
            if capacity.blocked_until:
                self._due_lanes.close(backlog.lane, capacity.blocked_until / SECOND)
            elif self._is_paused(backlog.lane, pauses):
                self._due_lanes.close(backlog.lane, now + PAUSE_RECHECK_S)
            elif capacity.parked:
                lane_offers.append(self._lane_reader.read_parked(connection, backlog, capacity.parked))
            elif capacity.calls != 0 or not self._was_just_read(backlog, now):
                lane_offers.append(self._lane_reader.read(connection, backlog))
        return lane_offers

    def _without_paused(
        self, connection: Connection, lane_offers: Sequence[LaneOffer], now: float
    ) -> tuple[list[LaneOffer], dict[str, Pause]]:
        """Closes the lanes that are paused as a whole. Returns the other lanes, and their paused parts."""
        paused = paused_parts(connection, [part for offer in lane_offers for part in offer.unoffered()])
        whole = [
            offer
            for offer in lane_offers
            if (pause := paused.get(next(offer.unoffered(), ""))) and pause.covers_lanes()
        ]
        for lane_offer in whole:
            self._due_lanes.close(lane_offer.backlog.lane, now + PAUSE_RECHECK_S)
        remaining = [offer for offer in lane_offers if offer not in whole]
        ids = [part for offer in remaining for part in offer.unoffered()]
        return remaining, {part: paused[part] for part in ids if part in paused}

    def _is_paused(self, lane: str, pauses: Sequence[Pause]) -> bool:
        """Returns True for a lane that is paused as a whole, as far as that is known before it is read."""
        kind = self._lane_reader.kind(lane) if pauses else None
        return kind is not None and any(pause.covers_lane(account_of(lane), kind) for pause in pauses)

    def _was_just_read(self, backlog: Backlog, now: float) -> bool:
        # A bounded lane is looked at in every turn. Reading it each time would delay all others, and most turns would
        # find that no call of it has ended.
        return backlog.read_at is not None and now - backlog.read_at < self._times.reread_s

    def _probe(self, lane_offer: LaneOffer) -> list[Doorbell]:
        """Builds the doorbell of a parked lane's probe, or none before the interval since the last probe is over."""
        # First a part that may go: a probe taken for a lane without one would be lost for the whole interval.
        first = next(lane_offer.unoffered(), None)
        delay_us = micros(self._settings.park_probe_s)
        database = self._database
        if first is None or not all(
            database.run(lambda c, name=name: claim_probe(c, database.now, name, delay_us))  # type: ignore[misc]
            for name in lane_offer.parked
        ):
            return []
        return [
            Doorbell(
                lane_offer.backlog.lane,
                (first,),
                urgent=False,
                offered_for_s=self._settings.republish_after_s,
                probe=True,
            )
        ]

    def _send(self, doorbells: Sequence[Doorbell]) -> int:
        """Writes the offers and publishes the ids that were free. Returns their number."""
        if not doorbells:
            return 0
        # Committed before published: a worker that came first would find the part not offered and leave it alone, and
        # the id would be lost while its offer lasts. An id that the broker loses is offered again in the same way.
        offered = set(self._database.run(lambda connection: self._store_offers(connection, doorbells)))
        free = [
            replace(doorbell, ids=tuple(part for part in doorbell.ids if part in offered)) for doorbell in doorbells
        ]
        # Threads take doorbells in the order of the broker, so urgent ones are published first, and bulk last.
        doorbells = sorted(
            (doorbell for doorbell in free if doorbell.ids), key=lambda doorbell: (not doorbell.urgent, doorbell.bulk)
        )
        try:
            self._publish(doorbells)
        except NotPublished as error:
            # Released now, not when their offer ends: the process that leads next, or this one, offers them at once.
            ids = [part for doorbell in error.left for part in doorbell.ids]
            self._database.run(lambda connection: release_parts(connection, ids))
            raise
        return len(offered)

    def _store_offers(self, connection: Connection, doorbells: Sequence[Doorbell]) -> list[str]:
        """Writes the offers, one statement for each duration. Returns the ids that were free."""
        by_duration: dict[float, list[str]] = {}
        for doorbell in doorbells:
            by_duration.setdefault(doorbell.offered_for_s, []).extend(doorbell.ids)
        now = self._database.now
        change_lanes(connection, now, self._offer_capacity.slow_starts)
        return [part for seconds, ids in by_duration.items() for part in offer(connection, now, ids, micros(seconds))]


@dataclass(frozen=True, slots=True)
class RelayTimes:
    """The times of a relay in seconds that no setting changes."""

    shortest_poll_s: float = 0.01
    """The pause between two turns while parts come in."""
    poll_s: float = 0.02
    """The longest pause between two turns while there is a backlog."""
    longest_poll_s: float = 0.28
    """The longest pause between two turns: the first part after a quiet time may wait so long."""
    round_s: float = 1.0
    """How long a round of the full scan may take, with the pause after it."""
    reread_s: float = 0.2
    """Seconds after which a lane with a backlog is read again."""
