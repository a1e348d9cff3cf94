"""A doorbell: up to fifty part ids of one lane, delivered one after another in one thread.

It works for about two seconds and leaves the rest to be offered again. Admission is asked for the next few parts at
once, as many as can start while a permit is young. Between them go parts of the lane that had no room for their member
and have it now.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from worker.delivery.admission import Denied, Permit
from worker.delivery.attempt import Attempt
from worker.delivery.errand import Delivered, Errand
from worker.delivery.mixing import Mixing
from worker.delivery.narrowing import first_to_go_s
from worker.delivery.plant import Plant
from worker.delivery.returning import SEEN, Returning
from worker.delivery.writer import WriterClosed
from worker.domain import settle
from worker.domain.job import Priority
from worker.domain.outcome import Scope
from worker.domain.state import PartState
from worker.outbox.items import Change
from worker.outbox.lanes import account_of, noted, used_up, with_accounts
from worker.outbox.loading import Loaded, leave, load, pass_on
from worker.outbox.offering import like, offer

PERMIT_S = 0.2
"""Permits are young for 250 ms; calls reserved together must start well within."""

ELSEWHERE_S = 1.0
"""How long ids wait until they are offered again that came to a process which cannot use their account."""
OWED = 10_000
"""So many ids are remembered; those beyond are offered again when their time in the broker is over."""


class Doorbell:
    """Answers doorbells, in the calling thread."""

    def __init__(self, plant: Plant):
        self._plant = plant
        self._attempt = Attempt(plant)
        self._returning = Returning(plant.monotonic)
        self._guard = threading.Lock()
        self._in_hand: set[str] = set()
        self._mixing = Mixing()
        self._owed: deque[str] = deque(maxlen=OWED)
        """Ids that came while the database was away: they are to be left as soon as it is back."""

    def answer(self, lane: str, ids: Sequence[str], *, probe: bool = False) -> int:
        """Delivers what can be delivered of these; the number of calls made. A probe passes its lane's parking."""
        mine = self._take(ids)
        try:
            if not self._plant.life.may_act():
                self._leave(mine)
                return 0
            return self._try_parked(mine) if probe else self._answer(lane, mine)
        except SQLAlchemyError:
            self._owed.extend(mine)
            raise
        finally:
            self._let_go(mine)

    def leave_owed(self) -> None:
        """After an outage of the database: what rang in it may be offered at once, before its offer has run out."""
        owed = []
        with suppress(IndexError):
            while True:
                owed.append(self._owed.popleft())
        if owed:
            try:
                self._leave(owed)
            except SQLAlchemyError:
                self._owed.extend(owed)
                raise

    def _take(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that no other thread of this process has in hand: an id may ring twice."""
        with self._guard:
            mine = [part for part in ids if part not in self._in_hand]
            self._in_hand.update(mine)
        return mine

    def _let_go(self, ids: Sequence[str]) -> None:
        with self._guard:
            self._in_hand.difference_update(ids)

    def _answer(self, lane: str, ids: Sequence[str]) -> int:
        plant = self._plant
        with plant.database.reading() as connection:
            self._learn(connection, lane)
            works = [] if plant.gates.closed(lane) else load(connection, plant.database.now, ids)
        left, calls = self._work_off(lane, deque(works), plant.monotonic() + plant.settings.doorbell_s)
        if left or not works:
            self._leave([work.id for work in left] if works else list(ids), lane)
        return calls

    def _learn(self, connection: Connection, lane: str) -> None:
        """What stands on the lane and its account."""
        names = with_accounts([lane])
        known = noted(connection, self._plant.database.now, names)
        self._plant.gates.learn(names, known.blocked, known.calls, known.uneasy, known.used_up, known.failures)

    def _try_parked(self, ids: Sequence[str]) -> int:
        """One job tries a parked lane or account; as far as the vendor hears it out, everything behind it may go."""
        plant = self._plant
        with plant.database.reading() as connection:
            works = load(connection, plant.database.now, ids)[:1]
            for work in works:
                self._learn(connection, work.lane)
        calls = 0
        for work in works:
            plant.gates.open(work.lane)
            plant.gates.open(account_of(work.lane))
            left: list[Loaded] = []
            delivered = self._work_off_chunk([work], left)
            calls = sum(one.called for one in delivered.values())
            if heard := [name for one in delivered.values() for name in one.heard]:
                self._attempt.blocking.unpark(heard)
            elif not calls:
                self._attempt.blocking.pass_on(work, ELSEWHERE_S if plant.gates.does_without(work.lane) else None)
        self._leave(ids, *(work.lane for work in works))
        return calls

    def _work_off(self, lane: str, works: deque[Loaded], until: float) -> tuple[list[Loaded], int]:
        """Chunk by chunk until the time is over; what it did not get to, and how many calls were made."""
        plant, calls = self._plant, 0
        left: list[Loaded] = []
        last: Delivered | None = None
        with suppress(WriterClosed):  # the process ends: what is queued is left to others
            while works and plant.monotonic() < until and not plant.draining.is_set() and not plant.gates.closed(lane):
                ahead = 1 if any(work.holds_bytes for work in works) else self._ahead(lane)
                returned = self._work_off_returned(lane, works[0].priority, ahead, left)
                picked = self._mixing.pick(lane, works, ahead)
                delivered = returned | self._work_off_chunk(picked.works, left)
                called = [part for part, one in delivered.items() if one.called]
                self._mixing.take_back(lane, picked, called)
                calls += len(called)
                last = next(reversed(delivered.values()), last)
        if last is not None:
            last.ticket.wait(plant.settings.call_deadline_s)
        plant.probe("before_ack")
        return [*left, *works], calls

    def _work_off_returned(self, lane: str, lowest: int, most: int, left: list[Loaded]) -> dict[str, Delivered]:
        """Parts that had no room when this process asked and are due again: no more than of the doorbell's own, and no
        less urgent.
        """
        works = self._take_returned(lane, lowest, most)
        try:
            return self._work_off_chunk(works, left) if works else {}
        finally:
            self._let_go([work.id for work in works])

    def _take_returned(self, lane: str, lowest: int, most: int) -> list[Loaded]:
        """They become this thread's as if they had rung; the relay offers them to nobody meanwhile.

        In hand only once they are ours: what the relay has just offered may ring here, and must not be sent away.
        """
        plant = self._plant
        if plant.gates.is_bound(lane):  # so many as may go are offered, and no more
            return []
        ids = self._returning.due(lane, lowest, most)
        if not ids:
            return []
        with plant.database.reading() as connection:
            works = load(connection, plant.database.now, ids)
        due, stands_us = [work.id for work in works], int(plant.settings.offer_s * settle.SECOND)
        if not due:
            return []
        mine = self._take(plant.database.run(lambda connection: offer(connection, plant.database.now, due, stands_us)))
        return [work for work in works if work.id in mine]

    def _work_off_chunk(self, chunk: Sequence[Loaded], left: list[Loaded]) -> dict[str, Delivered]:
        """Admits the parts together and delivers one after the other; room that is not used is given back."""
        delivered = {}
        waiting = deque(self._admit(chunk, left))
        try:
            while waiting:
                errand = waiting.popleft()
                try:
                    one = self._deliver(errand, left)
                except BaseException:
                    left.append(errand.work)
                    raise
                if one is not None:
                    delivered[errand.work.id] = one
        finally:
            for errand in waiting:
                self._attempt.give_back(errand)
                left.append(errand.work)
        return delivered

    def _deliver(self, errand: Errand, left: list[Loaded]) -> Delivered | None:
        """A lane blocked by the part before it makes no further call; one that is merely full those with a permit."""
        plant = self._plant
        if plant.gates.stopped(errand.work.lane) or plant.gates.full(errand.work.lane) or plant.draining.is_set():
            self._attempt.give_back(errand)
            left.append(errand.work)
            return None
        started = plant.monotonic()
        delivered = self._attempt.deliver(errand)
        if delivered is None:
            left.append(errand.work)
            return None
        plant.gates.cycled(errand.work.lane, plant.monotonic() - started)
        self._let_go([errand.work.id])  # queued again at once (a stale token, a short backoff), it may ring elsewhere
        return delivered

    def _ahead(self, lane: str) -> int:
        """How many calls can start one after another while their permits are young."""
        return max(1, min(16, int(PERMIT_S / max(self._plant.gates.cycle(lane), 0.001))))

    def _admit(self, chunk: Sequence[Loaded], left: list[Loaded]) -> list[Errand]:
        """Prepares the parts and reserves for all of them together; those without room wait."""
        errands = []
        for work in chunk:
            if self._plant.gates.closed(work.lane):
                left.append(work)
            elif (errand := self._attempt.prepare(work)) is not None:
                errands.append(errand)
            else:
                left.append(work)
                work.message = {}  # it may be megabytes, and to leave it takes its id
        if errands and not self._attempt.reach(errands[0]):
            left += [errand.work for errand in errands]
            return []
        answers = self._plant.governor.reserve([errand.charges for errand in errands])
        for errand, answer in zip(errands, answers, strict=True):
            errand.permit = None if isinstance(answer, Denied) else answer
        try:
            return self._with_room(errands, answers, left)
        except BaseException:  # the database is away, or the process ends: no call follows, so their room is free
            self._plant.governor.give_back([errand.permit for errand in errands if errand.permit is not None])
            raise

    def _with_room(
        self, errands: Sequence[Errand], answers: Sequence[Permit | Denied], left: list[Loaded]
    ) -> list[Errand]:
        """Those that may go; of the others each waits by itself, or the lane or account that is full for all of it."""
        admitted, waits, full = [], [], []
        for errand, answer in zip(errands, answers, strict=True):
            permit = self._attempt.narrow(errand, answer) if isinstance(answer, Denied) else answer
            if not isinstance(permit, Denied):
                admitted.append(errand)
                self._seek_others(errand.work, permit.room)
            elif permit.scope is Scope.PART:
                waits.append((errand, permit))
            else:
                full.append((errand, permit))
        left += [errand.work for errand, _ in full]
        for errand, denied in {denied.scope: (errand, denied) for errand, denied in reversed(full)}.values():
            self._attempt.blocking.fill(errand.work, denied)  # the first that waits speaks for those behind it
        self._wait_for_room(waits)
        return admitted

    def _seek_others(self, work: Loaded, room: int) -> None:
        """More for a member whose limits will hold the rest up: his windows are best filled at once, for they give room
        again when they were filled.
        """
        plant = self._plant
        if not room or work.priority == Priority.URGENT or not self._returning.may_seek():
            return
        began = plant.monotonic()
        try:
            with plant.database.reading() as connection:
                parts = like(connection, plant.database.now, work.lane, work.priority, work.id, SEEN, room)
        finally:
            self._returning.sought(began)
        for part in parts:
            self._returning.note(work.lane, work.priority, part, 0.0)

    def _wait_for_room(self, waits: Sequence[tuple[Errand, Denied]]) -> None:
        """Durable first: whoever comes back finds the part due."""
        delays = [(errand.work, denied, _room_in_s(errand, denied)) for errand, denied in waits]
        self._plant.writer.change([_wait(work, denied, delay_s) for work, denied, delay_s in delays])
        for work, denied, delay_s in delays:
            if not denied.impossible:
                self._returning.note(work.lane, work.priority, work.id, delay_s)

    def _leave(self, ids: Sequence[str], lane: str = "") -> None:
        database = self._plant.database
        if self._plant.gates.does_without(lane):
            database.run(lambda connection: pass_on(connection, database.now, ids, int(ELSEWHERE_S * settle.SECOND)))
        else:
            database.run(lambda connection: leave(connection, ids))


def _room_in_s(errand: Errand, denied: Denied) -> float:
    """Seconds until a part whose members have no room may go; urgent ones stand in no line."""
    if denied.appointment_s is not None and errand.work.priority != Priority.URGENT:
        return denied.appointment_s
    return first_to_go_s(denied.members, errand.charges) if denied.members else denied.delay


def _wait(work: Loaded, denied: Denied, delay_s: float) -> Change:
    """Members without room delay their part alone; it is not an attempt."""
    delay_us, claim, reason = int(delay_s * settle.SECOND), work.claim, used_up(denied.limit)

    def wait(part: settle.PartFacts, now: int) -> None:
        if part.state is PartState.QUEUED and part.claim == claim:
            settle.wait_until(part, now + delay_us, reason)

    return Change(work.id, wait)
