"""Relay: due parts, lane by lane, as much as each may send soon -> ids for the broker.

One process at a time is active, by a lease in SQL. It follows newly due parts by time, keeps the heads of lanes with a
backlog offered, and takes over what the walk over all lanes finds, late commits and lost ids, within a second. What
is offered is a window at the head of each lane: as parts are marked they leave the window and the next ones come in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import structlog
from sqlalchemy import Connection

from worker.delivery.offers import Offers
from worker.delivery.sharing import Share, Sharing
from worker.delivery.walk import Walk
from worker.domain.job import Priority
from worker.outbox.clock import micros
from worker.outbox.database import Database
from worker.outbox.lanes import account_of, blocked, parked, take_probe
from worker.outbox.offering import Head, head_of_lane, lanes_newly_due, offer
from worker.outbox.processes import free_lease, living, take_lease

log = structlog.get_logger()

LEASE = "relay"
NEWLY_DUE = 2_000
LANES = 200
"""The heads of so many lanes are read in one turn at most; the rest come in the next ones, in order."""
PATIENCE_S = 1.0
"""How long a busy lane's remainder waits for a full doorbell (its offered ids may be lost, and then none comes)."""
OVERLAP_US = 500_000
"""How far behind the newest instant the walk by time starts again: commits arrive out of order."""


@dataclass(frozen=True, slots=True)
class Ring:
    """One doorbell to publish."""

    lane: str
    ids: tuple[str, ...]
    urgent: bool
    stands_s: float
    """How long these ids count as offered."""
    probe: bool = False
    """The one job that tries a parked lane."""


@dataclass(frozen=True, slots=True)
class RelayTimes:
    """Seconds; all settings."""

    poll_s: float = 0.02
    idle_poll_s: float = 0.05
    lease_s: float = 10.0
    offer_s: float = 5.0
    offer_max_s: float = 60.0
    round_s: float = 1.0
    """A full round over all lanes takes at most this long."""
    park_probe_s: float = 600.0
    look_s: float = 0.2
    """How often the head of a lane with a backlog is looked at."""


class Relay:
    """The turns of one process's relay; `turn` returns the seconds until the next."""

    def __init__(
        self,
        database: Database,
        *,
        holder: Callable[[], str],
        publish: Callable[[Sequence[Ring]], None],
        sharing: Sharing,
        times: RelayTimes,
        monotonic: Callable[[], float],
        walk_clock: Callable[[], float] | None = None,
    ):
        self._database, self._holder, self._publish = database, holder, publish
        self._sharing, self._times, self._monotonic = sharing, times, monotonic
        self.active = False
        self._lease_until = 0.0
        self._since = 0
        self._walk = Walk(database, round_s=times.round_s, monotonic=walk_clock or monotonic)
        self._waiting: dict[str, None] = {}
        """Lanes to look at, in order."""
        self._looked: dict[str, float] = {}
        """Lanes with a backlog -> when their head was last looked at."""
        self._full: dict[str, Priority] = {}
        """Those whose window is full -> from which priority on: what comes behind it need not be looked at at once."""
        self._rang: dict[str, float] = {}
        """Those lanes -> when something of theirs was last offered."""
        self._offers = Offers(times.offer_s, times.offer_max_s)
        self._shares_at = -1.0

    def turn(self) -> float:
        """One turn: lease, due parts, offers. Raises what the database raises; the caller waits and comes again."""
        if not self.lead():
            return self._times.lease_s / 10
        self._queue_lanes()
        lanes = self._next_lanes()
        offered = self._offer_lanes(lanes) if lanes else 0
        return self._times.poll_s if offered or self._looked else self._times.idle_poll_s

    def walk(self) -> float:
        """A step of the round over all lanes, for a thread of its own; the seconds until the next."""
        return self._walk.step() if self.active else self._times.idle_poll_s

    def stop(self) -> None:
        """Gives the lease back."""
        if self.active:
            self.active = False
            self._database.run(lambda connection: free_lease(connection, LEASE, self._holder()))

    def lead(self) -> bool:
        """Renews the lease at a third of its length; a relay that lost it offers nothing."""
        now = self._monotonic()
        if self.active and now < self._lease_until:
            return True
        lease_us = micros(self._times.lease_s)
        database, holder = self._database, self._holder()
        was = self.active
        self.active = database.run(lambda c: take_lease(c, database.now, LEASE, holder, lease_us))
        self._lease_until = now + self._times.lease_s / 3
        if self.active and not was:
            self._since, self._looked, self._full, self._waiting = database.read_now(), {}, {}, {}
            log.info("relay_active", process=holder)
        return self.active

    def _queue_lanes(self) -> None:
        """Lanes with newly due parts, those whose known backlog was not looked at for a while, and the walk's finds."""
        now = self._monotonic()
        with self._database.reading() as connection:
            due = lanes_newly_due(connection, self._database.now, self._since - OVERLAP_US, NEWLY_DUE)
        self._since = max([self._since, *(newest for newest, _ in due.values())])
        new = sorted(lane for lane, (_, priority) in due.items() if priority < self._full.get(lane, len(Priority)))
        later = [lane for lane, seen in self._looked.items() if now - seen >= self._times.look_s]
        found = self._walk.found() - self._looked.keys()
        for lane in (*new, *later, *sorted(found)):
            self._waiting[lane] = None

    def _next_lanes(self) -> list[str]:
        lanes = list(islice(self._waiting, LANES))
        for lane in lanes:
            del self._waiting[lane]
        return lanes

    def _offer_lanes(self, lanes: Sequence[str]) -> int:
        """Offers the heads of these lanes, commits, then publishes; the number of ids offered."""
        now = self._monotonic()
        with self._database.reading() as connection:
            closed = blocked(connection, self._database.now)
            waiting_for_people = parked(connection)
            if now - self._shares_at >= 1.0:
                self._sharing.learn(living(connection, self._database.now))
                self._shares_at = now
            busy = len({*self._looked, *lanes, *self._waiting})
            rings: list[Ring] = []
            for lane in lanes:
                keys = {lane, account_of(lane)}
                if keys & closed.keys():
                    self._forget(lane)
                elif keys & waiting_for_people:
                    rings += self._probe(connection, lane, sorted(keys & waiting_for_people))
                else:
                    rings += self._rings(connection, lane, self._sharing.of(lane, busy), now)
        return self._send(rings)

    def _probe(self, connection: Connection, lane: str, keys: Sequence[str]) -> list[Ring]:
        """One job of a parked scope, and the next one only after the interval."""
        heads = (head_of_lane(connection, self._database.now, lane, priority, 1) for priority in Priority)
        first = next((head.ids for head in heads if head.ids), [])
        delay_us = micros(self._times.park_probe_s)
        if not first or not all(
            self._database.run(lambda c, key=key: take_probe(c, self._database.now, key, delay_us))  # type: ignore[misc]
            for key in keys
        ):
            return []
        return [Ring(lane, tuple(first), urgent=False, stands_s=self._times.offer_s, probe=True)]

    def _rings(self, connection: Connection, lane: str, share: Share, now: float) -> list[Ring]:
        """Doorbells for the head of a lane: urgent parts in their own share, normal and bulk one after the other."""
        heads = self._heads(connection, lane, share)
        if not any(head.due for _, head, _ in heads):
            self._forget(lane)
            return []
        self._looked[lane] = now
        self._note_full(lane, heads)
        patient = now - self._rang.get(lane, 0.0) < PATIENCE_S
        stands_s = self._offers.stands_s(lane, [head for _, head, _ in heads], now)
        rings = [
            Ring(lane, ids, urgent=priority is Priority.URGENT, stands_s=stands_s)
            for priority, head, window in heads
            for ids in share.doorbells(head, window, patient=patient)
        ]
        if rings:
            self._rang[lane] = now
        return rings

    def _note_full(self, lane: str, heads: Sequence[tuple[Priority, Head, int]]) -> None:
        """Normal and bulk share a window; urgent parts have their own and are always looked at."""
        self._full.pop(lane, None)
        for priority, head, window in heads:
            if priority is not Priority.URGENT and head.due >= window:
                self._full[lane] = priority

    def _heads(self, connection: Connection, lane: str, share: Share) -> list[tuple[Priority, Head, int]]:
        """The head of each priority, and the window it was read in; the most urgent first."""
        heads: list[tuple[Priority, Head, int]] = []
        left = share.window
        for priority in Priority:
            window = share.urgent_window if priority is Priority.URGENT else left
            if window <= 0:
                break
            head = head_of_lane(connection, self._database.now, lane, priority, window)
            left -= 0 if priority is Priority.URGENT else head.due
            heads.append((priority, head, window))
        return heads

    def _forget(self, lane: str) -> None:
        """Nothing of the lane is due, or nothing of it may go."""
        self._looked.pop(lane, None)
        self._full.pop(lane, None)
        self._rang.pop(lane, None)
        self._offers.forget(lane)

    def _send(self, rings: Sequence[Ring]) -> int:
        """Compare-and-set first, committed; publish second. An id that gets lost is offered again."""
        if not rings:
            return 0
        mine = set(self._database.run(lambda connection: self._note(connection, rings)))
        kept = [replace(ring, ids=tuple(part for part in ring.ids if part in mine)) for ring in rings]
        self._publish([ring for ring in kept if ring.ids])
        return len(mine)

    def _note(self, connection: Connection, rings: Sequence[Ring]) -> list[str]:
        """Writes the offers, those that stand equally long together; the ids that are ours."""
        by_length: dict[float, list[str]] = {}
        for ring in rings:
            by_length.setdefault(ring.stands_s, []).extend(ring.ids)
        now = self._database.now
        return [part for length, ids in by_length.items() for part in offer(connection, now, ids, micros(length))]
