"""Relay: due parts, lane by lane, as much as each may send soon -> ids for the broker.

One process at a time is active, by a lease in SQL. It follows newly due parts by time, keeps the heads of lanes with a
backlog offered, and takes over what the walk over all lanes finds, late commits and lost ids, within a second. What
is offered is a window at the head of each lane: as parts are marked they leave the window and the next ones come in.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import Connection

from worker.delivery.backlog import Backlog, Backlogs
from worker.delivery.limited import Amount, Limited
from worker.delivery.mixing import BULK_EVERY, OTHERS, after, mix
from worker.delivery.pacing import Pacing
from worker.delivery.relay_times import RelayTimes
from worker.delivery.sharing import Bell, Share, Sharing
from worker.delivery.starts import Starts
from worker.delivery.walk import Walk
from worker.domain.job import Kind, Priority
from worker.domain.road import Road
from worker.outbox.clock import micros
from worker.outbox.database import Database
from worker.outbox.lanes import account_of, begin_lanes, noted, take_probe
from worker.outbox.offering import Head, ending_before, head_of_lane, kinds_of, lanes_newly_due, offer, put_off
from worker.outbox.processes import free_lease, living, take_lease
from worker.outbox.sql import fetch
from worker.outbox.turns import out_of_turn, send_to_sleep

log = structlog.get_logger()

LEASE = "relay"
NEWLY_DUE = 2_000
LANES = 200
"""The heads of so many lanes are read in one turn at most; the rest come in the next ones, in order."""
PROBED = 20
"""Parts at the head of a parked lane among which the one is sought that may try it."""
KINDS_KEPT = 100_000
PATIENCE_S = 1.0
"""How long a busy lane's remainder waits for a full doorbell (its offered ids may be lost, and then none comes)."""
LEFT_US = 60_000_000
"""Bulk that is kept off a busy minute has so long after it, at least, before it ends."""
FEW = 5
"""Ids of a doorbell whose calls take a thread long: from a fifth of a second each."""
MICRO = 1e-6
TOGETHER_S = 0.02
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
    bulk: bool = False
    """Nothing but bulk is in it."""
    files: bool = False
    """It moves files, which takes long."""


@dataclass(slots=True)
class _Look:
    """The head of one lane, priority by priority, as just read."""

    known: Backlog
    share: Share
    heads: dict[Priority, Head]
    air: int | None = None
    """Its calls in the air, where a thread has one for long."""

    def most_bells(self) -> int:
        """So many doorbells more may have a thread of it, or wait for one; urgent ones are not counted."""
        if self.air is None:
            return sys.maxsize
        return max(0, -(-2 * self.share.threads * BULK_EVERY // OTHERS) - self.air)

    def free(self) -> Iterator[str]:
        return (part for head in self.heads.values() for part in head.ids)

    def put_aside(self, later: Collection[str]) -> bool:
        """These wait; true when one of them is of this lane."""
        before = sum(len(head.ids) for head in self.heads.values())
        self.heads = {priority: head.without(later) for priority, head in self.heads.items()}
        return before > sum(len(head.ids) for head in self.heads.values())

    def offered(self) -> int:
        """How many of its parts are in the broker, as far as we know."""
        return sum(head.due - len(head.ids) for head in self.heads.values())

    def narrow(self, room: int) -> None:
        """So many more go, each in a doorbell of its own; urgent ones first, and bulk where it is owed."""
        urgent, normal, bulk = (self.heads[priority].ids for priority in Priority)
        line = [*urgent, *(part for part, _, _ in mix(normal, bulk, self.known.owed))]
        self.put_aside(set(line[max(0, room) :]))
        self.share = replace(self.share, size=1)


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
        weight: Callable[[str], float] = lambda account: 1.0,
        amount: Callable[[str, str], Amount | None] = lambda account, limit: None,
        pacing: Pacing | None = None,
    ):
        self._database, self._holder, self._publish = database, holder, publish
        self._sharing, self._times, self._monotonic = sharing, times, monotonic
        self._weight, self._pacing = weight, pacing
        self.active = False
        self._lease_until = 0.0
        self._since = 0
        self._walk = Walk(database, round_s=times.round_s, monotonic=walk_clock or monotonic)
        self._backlogs = Backlogs()
        self._limited = Limited(amount)
        self._reopens: dict[str, float] = {}
        """Blocked lanes with work -> when their block ends: they are looked at then, not when the walk comes by."""
        self._kinds: dict[str, str] = {}
        """Lane -> the kind of its jobs; it never changes."""
        self._parts: dict[str, float] = {}
        """Accounts with work -> their part of all weights, for this turn."""
        self._shares_at = -1.0
        self._starts = Starts(times.silence_s)

    def turn(self) -> float:
        """One turn: lease, due parts, offers. Raises what the database raises; the caller waits and comes again."""
        if not self.lead():
            return self._times.lease_s / 10
        self._queue_lanes()
        self._divide()
        lanes = self._backlogs.next(LANES, lambda account, road: self._room(account, road) <= 0)
        offered = self._offer_lanes(lanes) if lanes else 0
        return self._times.poll_s if offered or self._backlogs.any_looked_at() else self._times.idle_poll_s

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
            self._since, self._backlogs, self._reopens = database.read_now(), Backlogs(), {}
            log.info("relay_active", process=holder)
        return self.active

    # -- which lanes --------------------------------------------------------------------------------------------------

    def _queue_lanes(self) -> None:
        """Lanes with newly due parts, those whose known backlog was not looked at for a while, and the walk's finds."""
        with self._database.reading() as connection:
            due = lanes_newly_due(connection, self._database.now, self._since - OVERLAP_US, NEWLY_DUE)
        self._since = max([self._since, *(newest for newest, _ in due.values())])
        new = sorted(lane for lane, (_, priority) in due.items() if self._may_go_at_once(lane, priority))
        later = self._backlogs.overdue(self._monotonic() - self._times.look_s)
        found = sorted(lane for lane in self._walk.found() if not self._is_looked_after(lane))
        for lane in new:
            self._backlogs.want(lane, due[lane][1])
        for lane in (*later, *found, *self._open_again(), *self._bound()):
            self._backlogs.want(lane)

    def _open_again(self) -> list[str]:
        """Lanes whose block has ended."""
        now = self._monotonic()
        open_again = {account_of(lane) for lane, ends_at in self._reopens.items() if ends_at <= now}
        # Those of one account together: what is urgent in one of them must not come a turn after the others.
        soon = [lane for lane, ends_at in self._reopens.items() if ends_at <= now + TOGETHER_S]
        lanes = [lane for lane in soon if account_of(lane) in open_again]
        for lane in lanes:
            del self._reopens[lane]
        return lanes

    def _bound(self) -> list[str]:
        """Lanes with work that have a bound: each success may double it, so they are looked at in every turn."""
        lanes = [lane for name in self._starts.names() for lane in (name, *self._backlogs.names(name))]
        return [lane for lane in lanes if self._is_looked_after(lane)]

    def _may_go_at_once(self, lane: str, priority: int) -> bool:
        known = self._backlogs.of(lane)
        return known is None or priority < known.full

    def _is_looked_after(self, lane: str) -> bool:
        known = self._backlogs.of(lane)
        return known is not None and known.looked is not None

    def _divide(self) -> None:
        """The threads among the accounts that have work, by weight."""
        weights = {account: self._weight(account) for account in self._backlogs.accounts()}
        whole = sum(weights.values())
        self._parts = {account: weight / whole for account, weight in weights.items()}

    def _room(self, account: str, road: Road) -> int:
        """How many more doorbells of an account may go: with all of its lanes it has two out a thread of the road, and
        bulk beside them, as one lane has.
        """
        two_a_thread = 2 * self._sharing.threads(self._parts.get(account, 1.0), road)
        return -(-two_a_thread * BULK_EVERY // OTHERS) - self._backlogs.out(account, road)

    def _share(self, known: Backlog, wanted: Road) -> Share:
        """Its part of its account's threads of the road: all of its lanes with more than bulk have theirs first."""
        lane, account, front = known.lane, account_of(known.lane), known.front
        known.road = self._sharing.road(wanted)
        lanes, part = self._backlogs.lanes(account, known.road), self._parts.get(account, 1.0)
        if lanes[True] and lanes[False]:
            part = part * OTHERS / BULK_EVERY if front else part / BULK_EVERY
        share = self._sharing.of(lane, lanes[front], part, known.road)
        share = share.within(self._limited.most(lane, self._backlogs.lanes(account), front=front))
        most = self._starts.most(lane)
        if most is None:
            return share
        return replace(share, window=min(share.window, most), urgent_window=min(share.urgent_window, most))

    # -- what of them -------------------------------------------------------------------------------------------------

    def _offer_lanes(self, lanes: Sequence[Backlog]) -> int:
        """Offers the heads of these lanes, commits, then publishes; the number of ids offered."""
        now = self._monotonic()
        rings: list[Ring] = []
        with self._database.reading() as connection:
            stands = noted(connection, self._database.now)
            for key, limit in stands.used_up.items():
                self._limited.note(key, limit, now, stands.blocked[key] * MICRO)
            self._starts.look(connection, self._database.now, stands)
            if now - self._shares_at >= 1.0:
                self._sharing.learn(living(connection, self._database.now))
                self._starts.heard(self._sharing.silent_s, now)
                self._limited.tidy(now)
                self._shares_at = now
            looks = []
            for known in lanes:
                lane = known.lane
                keys = {lane, account_of(lane)}
                if keys & stands.blocked.keys():
                    self._backlogs.forget(lane)
                    left_us = max(stands.blocked[key] for key in keys & stands.blocked.keys())
                    self._reopens[lane] = now + left_us * MICRO
                elif keys & stands.parked:
                    rings += self._probe(connection, lane, sorted(keys & stands.parked))
                else:
                    looks.append(self._look(connection, known))
            self._count_air(connection, looks)
            waits = self._out_of_turn(connection, looks)
            later = self._kept_off(connection, looks, waits)
            self._learn_kinds(connection, looks)
        self._put_aside(looks, waits, later)
        for look in looks:
            rings += self._rings(look, now)
        return self._send(rings)

    def _look(self, connection: Connection, known: Backlog) -> _Look:
        """Urgent parts have a window of their own; normal and bulk share one."""
        files = self._kinds.get(known.lane) == Kind.UPLOAD
        share = self._share(known, Road.FILES if files else Road.NORMAL)
        known.pressing = False
        heads: dict[Priority, Head] = {}
        for priority in Priority:
            window = share.urgent_window if priority is Priority.URGENT else share.window
            if priority is Priority.BULK:
                normal = heads[Priority.NORMAL].due
                share = share if normal or files else self._share(known, Road.BULK)
                window = share.bulk_window(normal)
            heads[priority] = head_of_lane(connection, self._database.now, known.lane, priority, window)
        self._note_full(known, share, heads)
        if any(head.again for head in heads.values()):  # nobody took it there: it goes with the others
            share = self._share(known, Road.NORMAL)
        return _Look(known, share, heads)

    def _count_air(self, connection: Connection, looks: Sequence[_Look]) -> None:
        """Where a doorbell is a call or a few, what threads have taken is hardly in the broker. The calls in the
        air count too, else a slow lane has thread after thread.
        """
        slow = [look for look in looks if look.share.size <= FEW]
        air = self._starts.in_the_air(connection) if slow else {}
        for look in slow:
            look.air = air.get(look.known.lane, 0)

    def _note_full(self, known: Backlog, share: Share, heads: Mapping[Priority, Head]) -> None:
        """Urgent parts are always looked at."""
        self._backlogs.learn(known, heads)
        normal = heads[Priority.NORMAL].due
        if normal >= share.window:
            known.full = Priority.NORMAL
        elif heads[Priority.BULK].due >= share.bulk_window(normal):
            known.full = Priority.BULK
        else:
            known.full = len(Priority)

    def _out_of_turn(self, connection: Connection, looks: Sequence[_Look]) -> dict[str, str]:
        """Ordered parts that have to wait for others, and the order each is in; no question without such parts."""
        turns = {part: turn for look in looks for head in look.heads.values() for part, turn in head.turns.items()}
        return {part: turns[part] for part in out_of_turn(connection, list(turns))} if turns else {}

    def _kept_off(self, connection: Connection, looks: Sequence[_Look], waits: Collection[str]) -> dict[str, int]:
        """Bulk that is due in a minute in which everybody sends, and when it is due instead; what could end before
        that goes at once.
        """
        bulk = [part for look in looks for part in look.heads[Priority.BULK].ids if part not in waits]
        if self._pacing is None or not bulk:
            return {}
        now = int(fetch(connection, f"select {self._database.now}")[0][0])
        if not self._pacing.is_busy(now):
            return {}
        ending = ending_before(connection, bulk, self._pacing.latest(now) + LEFT_US)
        return {part: self._pacing.later(now) for part in bulk if part not in ending}

    def _learn_kinds(self, connection: Connection, looks: Sequence[_Look]) -> None:
        """One question for all lanes that were never seen before."""
        new = [next(look.free(), None) for look in looks if look.known.lane not in self._kinds]
        if ids := [part for part in new if part is not None]:
            if len(self._kinds) > KINDS_KEPT:
                self._kinds.clear()
            self._kinds |= kinds_of(connection, ids)

    def _put_aside(self, looks: Sequence[_Look], waits: Mapping[str, str], later: Mapping[str, int]) -> None:
        """What must not go now leaves the heads of its lanes, and the next ones come in with the next turn."""
        if waits:
            self._database.run(lambda connection: send_to_sleep(connection, waits))
        if later:
            self._database.run(lambda connection: put_off(connection, later))
        aside = {*waits, *later}
        for look in looks:
            if aside and look.put_aside(aside):
                look.known.full = len(Priority)
                self._backlogs.want(look.known.lane)

    def _probe(self, connection: Connection, lane: str, keys: Sequence[str]) -> list[Ring]:
        """One job of a parked scope, and the next one only after the interval."""
        heads = [head_of_lane(connection, self._database.now, lane, priority, PROBED) for priority in Priority]
        waits = out_of_turn(connection, [part for head in heads for part in head.turns])
        first = next((part for head in heads for part in head.ids if part not in waits), None)
        delay_us = micros(self._times.park_probe_s)
        if first is None or not all(
            self._database.run(lambda c, key=key: take_probe(c, self._database.now, key, delay_us))  # type: ignore[misc]
            for key in keys
        ):
            return []
        return [Ring(lane, (first,), urgent=False, stands_s=self._times.offer_s, probe=True)]

    # -- doorbells ----------------------------------------------------------------------------------------------------

    def _rings(self, look: _Look, now: float) -> list[Ring]:
        """Doorbells for the head of a lane: urgent parts in their own share, normal and bulk mixed as they deserve."""
        known = look.known
        if not any(head.due for head in look.heads.values()):
            self._forget_unless_wanted(known)
            return []
        known.looked = now
        patient = now - known.rang < PATIENCE_S
        stands_s = known.stands_s(list(look.heads.values()), now, self._times.offer_s, self._times.offer_max_s)
        again = any(head.again for head in look.heads.values())
        self._bind(look, now)
        share, heads = look.share, look.heads
        files = self._kinds.get(known.lane) == Kind.UPLOAD and not again
        pressing = share.doorbells(heads[Priority.URGENT], share.urgent_window, patient=patient)
        urgent = [Ring(known.lane, ids, urgent=True, stands_s=stands_s) for ids in pressing]
        for _ in [part for ring in urgent for part in ring.ids]:
            known.owed = after(known.owed, is_bulk=False)
        bells = share.mixed(heads[Priority.NORMAL], heads[Priority.BULK], known.owed, patient=patient)
        rest = [
            # What its own queue did not bring to anybody in time goes with the others.
            Ring(known.lane, bell.ids, urgent=False, stands_s=stands_s, bulk=bell.bulk and not again, files=files)
            for bell in self._as_many_as_may_go(look, bells)
        ]
        if urgent or rest:
            known.rang = now
            self._starts.offered(known.lane, [part for ring in (*urgent, *rest) for part in ring.ids])
        return [*urgent, *rest]

    def _bind(self, look: _Look, now: float) -> None:
        """A lane that starts, or was told to call less in parallel, has less than its share."""
        due = sum(head.due for head in look.heads.values())
        room = self._starts.room(look.known.lane, due, look.offered(), now)
        if room is not None:
            look.narrow(room)

    def _forget_unless_wanted(self, known: Backlog) -> None:
        """Nothing is due; unless what was is put aside, and more stands behind it."""
        if not self._backlogs.is_wanted(known.lane):
            self._backlogs.forget(known.lane)

    def _as_many_as_may_go(self, look: _Look, bells: Sequence[Bell]) -> Sequence[Bell]:
        """No more than its account has room for; a lane that got nothing comes first when there is room again."""
        known, heads = look.known, (look.heads[Priority.NORMAL], look.heads[Priority.BULK])
        offered, size, air = sum(head.due - len(head.ids) for head in heads), look.share.size, look.air or 0
        waiting = -(-max(0, offered - air * (size - 1)) // size)  # behind each call stand the others of its doorbell
        known.out = waiting + air
        room = min(self._room(account_of(known.lane), known.road), look.most_bells() - waiting)
        may_go = bells[: max(0, room)]
        known.out += len(may_go)
        known.owed = may_go[-1].owed if may_go else known.owed
        if len(may_go) < len(bells) and not known.out:
            self._backlogs.want(known.lane)
        return may_go

    def _send(self, rings: Sequence[Ring]) -> int:
        """Compare-and-set first, committed; publish second. An id that gets lost is offered again."""
        if not rings:
            return 0
        mine = set(self._database.run(lambda connection: self._note(connection, rings)))
        kept = [replace(ring, ids=tuple(part for part in ring.ids if part in mine)) for ring in rings]
        # What is first in the broker is mostly first at the vendor's.
        self._publish(sorted((ring for ring in kept if ring.ids), key=lambda ring: (not ring.urgent, ring.bulk)))
        return len(mine)

    def _note(self, connection: Connection, rings: Sequence[Ring]) -> list[str]:
        """Writes the offers, those that stand equally long together; the ids that are ours."""
        by_length: dict[float, list[str]] = {}
        for ring in rings:
            by_length.setdefault(ring.stands_s, []).extend(ring.ids)
        now = self._database.now
        begin_lanes(connection, now, self._starts.begun)
        return [part for length, ids in by_length.items() for part in offer(connection, now, ids, micros(length))]
