"""Publishes the ids of due parts to the broker, only as many per lane as its workers can send in the next seconds.

One process at a time is active, by a lease in SQL. It follows newly due parts by time, keeps the heads of lanes with a
backlog offered, and takes over what the full scan over all lanes finds, late commits and lost ids, within a second. The
offered parts are a window at the head of each lane: marked parts leave the window, and the next ones come in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import Connection

from worker.delivery.scheduler.backlog import Backlog, Backlogs
from worker.delivery.scheduler.due_lanes import DueLanes, FullScan
from worker.delivery.scheduler.fair_share import Allotment, Limited, Sharing
from worker.delivery.scheduler.lane_head import Batches, Doorbell, LaneHead, LaneHeads
from worker.delivery.scheduler.paces import Paces
from worker.delivery.sender.lease import Leadership, Renewals
from worker.domain.errors import NotPublished
from worker.domain.pacing.bulk import Pacing
from worker.domain.pacing.lane import SECOND, account_of
from worker.domain.pacing.limit import Amount
from worker.domain.pacing.rest import Rest
from worker.domain.pause import Pause
from worker.outbox.engine.clock import micros
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import leave
from worker.outbox.lanes.agenda import Agenda, Work
from worker.outbox.lanes.lanes import change_lanes, take_probe
from worker.outbox.lanes.offering import offer, some_paused
from worker.outbox.lanes.pauses import paused_among, standing_pauses
from worker.outbox.lanes.processes import RELAY, QueueName

log = structlog.get_logger()

SCAN = "full_scan"
PAUSED_S = 1.0
"""Seconds until the relay looks again whether a lane is still paused."""
SHARE = 0.02
"""The part of a quiet time for which what comes after it waits at most."""
RESTED_S = 0.1
"""From this pause on between two turns, a turn also asks for the other loops whether there is anything to do."""
LANES = 200
"""Lanes whose heads are read in one turn at most; the rest follow in the next turns, in order."""


class Relay:
    """The turns of one process's relay; `turn` returns the seconds until the next."""

    def __init__(
        self,
        database: Database,
        *,
        holder: Callable[[], str],
        publish: Callable[[Sequence[Doorbell]], None],
        sharing: Sharing,
        times: RelayTimes,
        monotonic: Callable[[], float],
        scan_clock: Callable[[], float] | None = None,
        weight: Callable[[str], float] = lambda account: 1.0,
        amount: Callable[[str, str], Amount | None] = lambda account, limit: None,
        pacing: Pacing | None = None,
        agenda: Agenda | None = None,
        renewals: Renewals | None = None,
    ):
        self._database, self._publish = database, publish
        self._times, self._monotonic = times, monotonic
        self.leadership = Leadership(
            database, RELAY, holder=holder, lease_s=times.lease_s, monotonic=monotonic, renewals=renewals
        )
        self._rest = Rest(times.shortest_poll_s, times.longest_poll_s, monotonic, SHARE)
        self._agenda, self._shares = agenda or Agenda(database, monotonic), agenda is not None
        self._full_scan = FullScan(database, round_s=times.round_s, monotonic=scan_clock or monotonic)
        self._backlogs, self._paces = Backlogs(), Paces(times.silence_s)
        self._due_lanes = DueLanes(database, self._backlogs, self._full_scan, look_s=times.look_s, monotonic=monotonic)
        self._allotment = Allotment(self._backlogs, sharing, self._paces, Limited(amount), weight)
        parts = self._backlogs, self._allotment, self._paces
        self._heads = LaneHeads(database, *parts, pacing)
        self._batches = Batches(*parts, offer_s=times.offer_s, offer_max_s=times.offer_max_s)

    def turn(self) -> float:
        """Makes one turn: lease, due lanes, offers. Raises errors of the database; the caller waits and calls again."""
        if not self.lead():
            self.leadership.passed()
            return self.leadership.asks_every_s
        with self.leadership.trying():
            began = self._monotonic()
            rests = self._rest.delay() >= RESTED_S and self._agenda.is_cheap()
            found = self._due_lanes.gather(self._agenda if rests else None)
            self._allotment.divide()
            lanes = self._paces.by_turns(self._backlogs.next(LANES, self._allotment.is_full))
            offered = self._offer_lanes(lanes) if lanes else 0
        # A turn without offers proves little: the lane at which the last one failed may not have been among its lanes.
        (self.leadership.succeeded if offered else self.leadership.passed)()
        if offered or found:
            self._rest.found()
        return self._delay(self._monotonic() - began)

    def _delay(self, turn_s: float) -> float:
        """Returns the seconds until the next turn after one that took so long."""
        if self._backlogs.any_looked_at():
            # A turn takes longer beside busy threads, which need the processor more than the relay does.
            return min(self._times.poll_s, max(self._times.shortest_poll_s, turn_s))
        return min(self._rest.delay(), max(self._times.shortest_poll_s, self._due_lanes.opens_in_s()))

    def full_scan(self) -> float:
        """Makes a step of the full scan, for a thread of its own; returns the seconds until the next."""
        if not self.active:
            self.leadership.passed(SCAN)
            return self._times.longest_poll_s
        if self._shares and self._full_scan.between_rounds and self._agenda.lacks(Work.DUE):
            return self._times.longest_poll_s
        with self.leadership.trying(SCAN):
            pause = self._full_scan.step()
        self.leadership.succeeded(SCAN)
        return pause

    def knows_due(self, can_send: Callable[[str, QueueName], bool]) -> bool:
        """True while parts are due on open lanes, are offered, and no process takes them; False where another leads.

        `can_send`: whether the process that asks can send a lane's parts, by the lane and its queue.
        """
        return self.active and self._backlogs.any_untaken(can_send)

    # -- the lease ----------------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """True while this process has the lease."""
        return self.leadership.active

    def lead(self) -> bool:
        """Takes or renews the lease when a third of it is over; False: another process has it, so offer nothing."""
        was = self.active
        if self.leadership.lead() and not was:
            self._due_lanes.begin(self._database.read_now())
            self._rest.found()
            log.info("relay_active")
        return self.active

    def stop(self) -> None:
        """Gives the lease back, so that another process takes over at once."""
        self.leadership.stop()

    # -- the offers ---------------------------------------------------------------------------------------------------

    def _offer_lanes(self, lanes: Sequence[Backlog]) -> int:
        """Reads the heads of these lanes and offers the parts that may go; returns the number of ids offered."""
        now = self._monotonic()
        with self._database.reading() as connection:
            names = [backlog.lane for backlog in lanes]
            self._allotment.learn(connection, self._database.now, now, names)
            pauses = standing_pauses(connection, ()) if (is_paused := some_paused(connection)) else []
            heads = self._read_heads(connection, lanes, pauses, now)
            paused = dict[str, Pause]()
            if is_paused:
                heads, paused = self._paused(connection, heads, now)
            waits, later = self._heads.ask_more(connection, heads)
        self._heads.postpone(heads, waits, later, paused)
        doorbells = list[Doorbell]()
        for head in heads:
            doorbells += self._probe(head) if head.parked else self._batches.doorbells(head, now)
        return self._send(doorbells)

    def _read_heads(
        self, connection: Connection, lanes: Sequence[Backlog], pauses: Sequence[Pause], now: float
    ) -> list[LaneHead]:
        """The heads of the lanes that are open, and of those that are parked and may be tried."""
        heads: list[LaneHead] = []
        for backlog in lanes:
            room = self._paces.room(backlog.lane, now)
            backlog.bound = room.calls is not None
            if room.blocked_until:
                self._due_lanes.close(backlog.lane, room.blocked_until / SECOND)
            elif self._is_paused(backlog.lane, pauses):
                self._due_lanes.close(backlog.lane, now + PAUSED_S)
            elif room.parked:
                heads.append(self._heads.parked(connection, backlog, room.parked))
            elif room.calls != 0 or not self._was_just_read(backlog, now):
                heads.append(self._heads.read(connection, backlog))
        return heads

    def _paused(
        self, connection: Connection, heads: Sequence[LaneHead], now: float
    ) -> tuple[list[LaneHead], dict[str, Pause]]:
        """The lanes of which not all is paused, and their parts that are; the others are looked at in a second."""
        paused = paused_among(connection, [part for head in heads for part in head.free()])
        whole = [head for head in heads if (pause := paused.get(next(head.free(), ""))) and pause.holds_lanes()]
        for head in whole:
            self._due_lanes.close(head.backlog.lane, now + PAUSED_S)
        left = [head for head in heads if head not in whole]
        return left, {part: paused[part] for head in left for part in head.free() if part in paused}

    def _is_paused(self, lane: str, pauses: Sequence[Pause]) -> bool:
        """True for a lane of which all is paused, as far as that is known before its head is read."""
        kind = self._heads.kind(lane) if pauses else None
        return kind is not None and any(pause.holds_lane(account_of(lane), kind) for pause in pauses)

    def _was_just_read(self, backlog: Backlog, now: float) -> bool:
        # A lane with a bound is looked at in every turn, and most turns find nothing landed. All others wait meanwhile.
        return backlog.read_at is not None and now - backlog.read_at < self._times.look_s

    def _probe(self, head: LaneHead) -> list[Doorbell]:
        """The doorbell of a parked lane's probe; none before the interval since the last probe is over."""
        # First a part that may go: a probe taken for a lane without one would be lost for the whole interval.
        first = next(head.free(), None)
        delay_us = micros(self._times.park_probe_s)
        database = self._database
        if first is None or not all(
            database.run(lambda c, key=key: take_probe(c, database.now, key, delay_us))  # type: ignore[misc]
            for key in head.parked
        ):
            return []
        return [Doorbell(head.backlog.lane, (first,), urgent=False, offered_for_s=self._times.offer_s, probe=True)]

    def _send(self, doorbells: Sequence[Doorbell]) -> int:
        """Writes the offers and publishes the ids that were free; returns their number."""
        if not doorbells:
            return 0
        # Committed before published: a worker that came first would find the part not offered and leave it alone, and
        # the id would be lost while its offer lasts. An id that the broker loses is offered again in the same way.
        mine = set(self._database.run(lambda connection: self._note(connection, doorbells)))
        kept = [replace(doorbell, ids=tuple(part for part in doorbell.ids if part in mine)) for doorbell in doorbells]
        # Threads take doorbells in the order of the broker, so urgent ones are published first, and bulk last.
        doorbells = sorted(
            (doorbell for doorbell in kept if doorbell.ids), key=lambda doorbell: (not doorbell.urgent, doorbell.bulk)
        )
        try:
            self._publish(doorbells)
        except NotPublished as error:
            # Not when their offer has lapsed: the process that leads next, or this one, offers them at once.
            ids = [part for doorbell in error.left for part in doorbell.ids]
            self._database.run(lambda connection: leave(connection, ids))
            raise
        return len(mine)

    def _note(self, connection: Connection, doorbells: Sequence[Doorbell]) -> list[str]:
        """Writes the offers, one statement for each length; returns the ids that were free."""
        by_length: dict[float, list[str]] = {}
        for doorbell in doorbells:
            by_length.setdefault(doorbell.offered_for_s, []).extend(doorbell.ids)
        now = self._database.now
        change_lanes(connection, now, self._paces.begun)
        return [part for length, ids in by_length.items() for part in offer(connection, now, ids, micros(length))]


@dataclass(frozen=True, slots=True)
class RelayTimes:
    """Seconds; all settings."""

    shortest_poll_s: float = 0.01
    """The pause between two turns while parts come in."""
    poll_s: float = 0.02
    """The longest pause between two turns while there is a backlog."""
    longest_poll_s: float = 0.28
    """The longest pause between two turns, which the first part after a quiet time may wait."""
    lease_s: float = 10.0
    offer_s: float = 5.0
    offer_max_s: float = 60.0
    round_s: float = 1.0
    """How long a round of the full scan may take, pause included."""
    park_probe_s: float = 600.0
    look_s: float = 0.2
    """The head of a lane with a backlog is read again after so many seconds."""
    silence_s: float = 0.0
    """A lane without a success for so many seconds starts with one call in flight; 0: never."""
