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

from worker.delivery.sender.admission import Denied, Permit
from worker.delivery.sender.attempt import Attempt
from worker.delivery.sender.bulk_quota import BulkQuota
from worker.delivery.sender.in_flight import Delivered, InFlight
from worker.delivery.sender.retry_hints import SEEN, RetryHints
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.split_recipients import first_to_go_s
from worker.delivery.sender.writer import WriterClosed
from worker.domain import settle
from worker.domain.job import Priority
from worker.domain.lane import account_of, with_accounts
from worker.domain.outcome import Scope
from worker.domain.state import PartState
from worker.outbox.commit.commands import Change
from worker.outbox.jobs.loading import DuePart, leave, load, pass_on
from worker.outbox.lanes.lanes import noted, used_up
from worker.outbox.lanes.offering import like, offer

PERMIT_S = 0.2
"""Permits are young for 250 ms; calls reserved together must start well within."""

ELSEWHERE_S = 1.0
"""How long ids wait until they are offered again that came to a process which cannot use their account."""
OWED = 10_000
"""So many ids are remembered; those beyond are offered again when their time in the broker is over."""


class BatchSender:
    """Answers doorbells, in the calling thread."""

    def __init__(self, runtime: Runtime):
        self._runtime = runtime
        self._attempt = Attempt(runtime)
        self._retry_hints = RetryHints(runtime.monotonic)
        self._guard = threading.Lock()
        self._in_hand: set[str] = set()
        self._bulk_quota = BulkQuota()
        self._owed: deque[str] = deque(maxlen=OWED)
        """Ids that came while the database was away: they are to be left as soon as it is back."""

    def answer(self, lane: str, ids: Sequence[str], *, probe: bool = False) -> int:
        """Delivers what can be delivered of these; the number of calls made. A probe passes its lane's parking."""
        mine = self._take(ids)
        try:
            if not self._runtime.lease.may_act():
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
        credit = []
        with suppress(IndexError):
            while True:
                credit.append(self._owed.popleft())
        if credit:
            try:
                self._leave(credit)
            except SQLAlchemyError:
                self._owed.extend(credit)
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
        runtime = self._runtime
        with runtime.database.reading() as connection:
            self._learn(connection, lane)
            due_parts = [] if runtime.lane_states.closed(lane) else load(connection, runtime.database.now, ids)
        left, calls = self._work_off(lane, deque(due_parts), runtime.monotonic() + runtime.settings.doorbell_s)
        if left or not due_parts:
            self._leave([due.id for due in left] if due_parts else list(ids), lane)
        return calls

    def _learn(self, connection: Connection, lane: str) -> None:
        """What stands on the lane and its account."""
        names = with_accounts([lane])
        known = noted(connection, self._runtime.database.now, names)
        self._runtime.lane_states.learn(
            names, known.blocked, known.calls, known.needs_feedback, known.used_up, known.failures
        )

    def _try_parked(self, ids: Sequence[str]) -> int:
        """One job tries a parked lane or account; as far as the vendor hears it out, everything behind it may go."""
        runtime = self._runtime
        with runtime.database.reading() as connection:
            due_parts = load(connection, runtime.database.now, ids)[:1]
            for due in due_parts:
                self._learn(connection, due.lane)
        calls = 0
        for due in due_parts:
            runtime.lane_states.open(due.lane)
            runtime.lane_states.open(account_of(due.lane))
            left: list[DuePart] = []
            delivered = self._work_off_chunk([due], left)
            calls = sum(one.called for one in delivered.values())
            if heard := [name for one in delivered.values() for name in one.heard]:
                self._attempt.lane_blocks.unpark(heard)
            elif not calls:
                self._attempt.lane_blocks.pass_on(
                    due, ELSEWHERE_S if runtime.lane_states.does_without(due.lane) else None
                )
        self._leave(ids, *(due.lane for due in due_parts))
        return calls

    def _work_off(self, lane: str, due_parts: deque[DuePart], until: float) -> tuple[list[DuePart], int]:
        """Chunk by chunk until the time is over; what it did not get to, and how many calls were made."""
        runtime, calls = self._runtime, 0
        left: list[DuePart] = []
        last: Delivered | None = None
        with suppress(WriterClosed):  # the process ends: what is queued is left to others
            while (
                due_parts
                and runtime.monotonic() < until
                and not runtime.draining.is_set()
                and not runtime.lane_states.closed(lane)
            ):
                ahead = 1 if any(due.holds_bytes for due in due_parts) else self._ahead(lane)
                returned = self._work_off_returned(lane, due_parts[0].priority, ahead, left)
                picked = self._bulk_quota.pick(lane, due_parts, ahead)
                delivered = returned | self._work_off_chunk(picked.due_parts, left)
                called = [part for part, one in delivered.items() if one.called]
                self._bulk_quota.take_back(lane, picked, called)
                calls += len(called)
                last = next(reversed(delivered.values()), last)
        if last is not None:
            last.ticket.wait(runtime.settings.call_deadline_s)
        runtime.probe("before_ack")
        return [*left, *due_parts], calls

    def _work_off_returned(self, lane: str, lowest: int, most: int, left: list[DuePart]) -> dict[str, Delivered]:
        """Parts that had no room when this process asked, and are due again.

        No more of them than the doorbell has parts, and none less urgent.
        """
        due_parts = self._take_returned(lane, lowest, most)
        try:
            return self._work_off_chunk(due_parts, left) if due_parts else {}
        finally:
            self._let_go([due.id for due in due_parts])

    def _take_returned(self, lane: str, lowest: int, most: int) -> list[DuePart]:
        """They become this thread's as if they had rung; the relay offers them to nobody meanwhile.

        In hand only once they are ours: what the relay has just offered may ring here, and must not be sent away.
        """
        runtime = self._runtime
        if runtime.lane_states.is_bound(lane):  # so many as may go are offered, and no more
            return []
        ids = self._retry_hints.due(lane, lowest, most)
        if not ids:
            return []
        with runtime.database.reading() as connection:
            due_parts = load(connection, runtime.database.now, ids)
        ids, stands_us = [due.id for due in due_parts], int(runtime.settings.offer_s * settle.SECOND)
        if not ids:
            return []
        mine = self._take(
            runtime.database.run(lambda connection: offer(connection, runtime.database.now, ids, stands_us))
        )
        return [due for due in due_parts if due.id in mine]

    def _work_off_chunk(self, chunk: Sequence[DuePart], left: list[DuePart]) -> dict[str, Delivered]:
        """Admits the parts together and delivers one after the other; room that is not used is given back."""
        delivered = {}
        waiting = deque(self._admit(chunk, left))
        try:
            while waiting:
                flight = waiting.popleft()
                try:
                    one = self._deliver(flight, left)
                except BaseException:
                    left.append(flight.due)
                    raise
                if one is not None:
                    delivered[flight.due.id] = one
        finally:
            for flight in waiting:
                self._attempt.give_back(flight)
                left.append(flight.due)
        return delivered

    def _deliver(self, flight: InFlight, left: list[DuePart]) -> Delivered | None:
        """A lane blocked by the part before it makes no further call; one that is merely full those with a permit."""
        runtime = self._runtime
        if (
            runtime.lane_states.stopped(flight.due.lane)
            or runtime.lane_states.full(flight.due.lane)
            or runtime.draining.is_set()
        ):
            self._attempt.give_back(flight)
            left.append(flight.due)
            return None
        started = runtime.monotonic()
        delivered = self._attempt.deliver(flight)
        if delivered is None:
            left.append(flight.due)
            return None
        runtime.lane_states.cycled(flight.due.lane, runtime.monotonic() - started)
        self._let_go([flight.due.id])  # queued again at once (a stale token, a short backoff), it may ring elsewhere
        return delivered

    def _ahead(self, lane: str) -> int:
        """How many calls can start one after another while their permits are young."""
        return max(1, min(16, int(PERMIT_S / max(self._runtime.lane_states.cycle(lane), 0.001))))

    def _admit(self, chunk: Sequence[DuePart], left: list[DuePart]) -> list[InFlight]:
        """Prepares the parts and reserves for all of them together; those without room wait."""
        flights = []
        for due in chunk:
            if self._runtime.lane_states.closed(due.lane):
                left.append(due)
            elif (flight := self._attempt.prepare(due)) is not None:
                flights.append(flight)
            else:
                left.append(due)
                due.message = {}  # it may be megabytes, and to leave it takes its id
        if flights and not self._attempt.reach(flights[0]):
            left += [flight.due for flight in flights]
            return []
        answers = self._runtime.governor.reserve([flight.charges for flight in flights])
        for flight, answer in zip(flights, answers, strict=True):
            flight.permit = None if isinstance(answer, Denied) else answer
        try:
            return self._with_room(flights, answers, left)
        except BaseException:  # the database is away, or the process ends: no call follows, so their room is free
            self._runtime.governor.give_back([flight.permit for flight in flights if flight.permit is not None])
            raise

    def _with_room(
        self, flights: Sequence[InFlight], answers: Sequence[Permit | Denied], left: list[DuePart]
    ) -> list[InFlight]:
        """Those that may go; of the others each waits by itself, or the lane or account that is full for all of it."""
        admitted, waits, full = [], [], []
        for flight, answer in zip(flights, answers, strict=True):
            permit = self._attempt.narrow(flight, answer) if isinstance(answer, Denied) else answer
            if not isinstance(permit, Denied):
                admitted.append(flight)
                self._prefetch(flight.due, permit.room)
            elif permit.scope is Scope.PART:
                waits.append((flight, permit))
            else:
                full.append((flight, permit))
        left += [flight.due for flight, _ in full]
        for flight, denied in {denied.scope: (flight, denied) for flight, denied in reversed(full)}.values():
            self._attempt.lane_blocks.fill(flight.due, denied)  # the first that waits speaks for those behind it
        self._wait_for_room(waits)
        return admitted

    def _prefetch(self, due: DuePart, room: int) -> None:
        """More parts for a member whose limits will hold the rest up.

        Such a member's windows are best filled at once, because they give room again a window after they were filled.
        """
        runtime = self._runtime
        if not room or due.priority == Priority.URGENT or not self._retry_hints.may_seek():
            return
        began = runtime.monotonic()
        try:
            with runtime.database.reading() as connection:
                parts = like(connection, runtime.database.now, due.lane, due.priority, due.id, SEEN, room)
        finally:
            self._retry_hints.sought(began)
        for part in parts:
            self._retry_hints.note(due.lane, due.priority, part, 0.0)

    def _wait_for_room(self, waits: Sequence[tuple[InFlight, Denied]]) -> None:
        """Durable first: whoever comes back finds the part due."""
        delays = [(flight.due, denied, _room_in_s(flight, denied)) for flight, denied in waits]
        self._runtime.writer.change([_wait(due, denied, delay_s) for due, denied, delay_s in delays])
        for due, denied, delay_s in delays:
            if not denied.impossible:
                self._retry_hints.note(due.lane, due.priority, due.id, delay_s)

    def _leave(self, ids: Sequence[str], lane: str = "") -> None:
        database = self._runtime.database
        if self._runtime.lane_states.does_without(lane):
            database.run(lambda connection: pass_on(connection, database.now, ids, int(ELSEWHERE_S * settle.SECOND)))
        else:
            database.run(lambda connection: leave(connection, ids))


def _room_in_s(flight: InFlight, denied: Denied) -> float:
    """Seconds until a part whose members have no room may go; urgent ones stand in no line."""
    if denied.appointment_s is not None and flight.due.priority != Priority.URGENT:
        return denied.appointment_s
    return first_to_go_s(denied.members, flight.charges) if denied.members else denied.delay


def _wait(due: DuePart, denied: Denied, delay_s: float) -> Change:
    """Members without room delay their part alone; it is not an attempt."""
    delay_us, claim, reason = int(delay_s * settle.SECOND), due.claim, used_up(denied.limit)

    def wait(part: settle.PartFacts, now: int) -> None:
        if part.state is PartState.QUEUED and part.claim == claim:
            settle.wait_until(part, now + delay_us, reason)

    return Change(due.id, wait)
