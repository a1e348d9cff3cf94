"""A doorbell: up to fifty part ids of one lane, delivered one after another in one thread.

It works for about two seconds and leaves the rest to be offered again. Limits are reserved for the next few parts at
once, for as many as can start while a permit is fresh. Between them go parts of the lane whose member had no room
before and has it now.
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
from worker.domain.outcome import Scope
from worker.domain.pacing.lane import account_of, with_accounts
from worker.domain.state import PartState
from worker.outbox.commit.commands import Change
from worker.outbox.jobs.loading import DuePart, leave, load, pass_on
from worker.outbox.lanes.lanes import noted, used_up
from worker.outbox.lanes.offering import like, offer

PERMIT_S = 0.2
"""Seconds in which calls that were reserved together must start; a permit is usually fresh for 250 ms."""

ELSEWHERE_S = 1.0
"""Seconds until ids are offered again that came to a process which cannot use their account."""
OWED = 10_000
"""Ids remembered during an outage of the database at most; further ones are offered again when their offer runs out."""


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
        """Ids that came while the database was away; they are left as soon as it is back."""

    def answer(self, lane: str, ids: Sequence[str], *, probe: bool = False) -> int:
        """Delivers what can be delivered of the ids, and returns the number of calls; `probe` tries a parked lane."""
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
        """Leaves the ids that came in an outage of the database, so that they may be offered again at once."""
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
        """Takes the ids that no other thread of this process has in hand, and returns them."""
        # An id may come twice: it is offered again when its first doorbell waits too long in the broker.
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
            # Before the parts, so that a block that another process wrote or lifted counts for this doorbell.
            self._learn(connection, lane)
            due_parts = [] if runtime.lane_states.closed(lane) else load(connection, runtime.database.now, ids)
        left, calls = self._work_off(lane, deque(due_parts), runtime.monotonic() + runtime.settings.doorbell_s)
        if left or not due_parts:
            self._leave([due.id for due in left] if due_parts else list(ids), lane)
        return calls

    def _learn(self, connection: Connection, lane: str) -> None:
        """Reads the blocks and bounds of the lane and its account into the lane states of this process."""
        names = with_accounts([lane])
        known = noted(connection, self._runtime.database.now, names)
        self._runtime.lane_states.learn(
            names, known.blocked, known.calls, known.needs_feedback, known.used_up, known.failures
        )

    def _try_parked(self, ids: Sequence[str]) -> int:
        """Lets one part try a parked lane or account, and opens what the vendor's answer proves to be open."""
        runtime = self._runtime
        with runtime.database.reading() as connection:
            due_parts = load(connection, runtime.database.now, ids)[:1]
            for due in due_parts:
                self._learn(connection, due.lane)
        calls = 0
        for due in due_parts:
            # In this process alone: for all others the lane stays parked until the vendor has answered.
            runtime.lane_states.open(due.lane)
            runtime.lane_states.open(account_of(due.lane))
            left: list[DuePart] = []
            delivered = self._work_off_chunk([due], left)
            calls = sum(one.called for one in delivered.values())
            if heard := [name for one in delivered.values() for name in one.heard]:
                self._attempt.lane_blocks.unpark(heard)
            elif not calls:
                # The one probe of this interval must not be lost with a part that could not be called.
                self._attempt.lane_blocks.pass_on(
                    due, ELSEWHERE_S if runtime.lane_states.does_without(due.lane) else None
                )
        self._leave(ids, *(due.lane for due in due_parts))
        return calls

    def _work_off(self, lane: str, due_parts: deque[DuePart], until: float) -> tuple[list[DuePart], int]:
        """Works chunk by chunk until the time is over; returns the parts that are left, and the number of calls."""
        runtime, calls = self._runtime, 0
        left: list[DuePart] = []
        last: Delivered | None = None
        # The writer closes when the process ends; what is still queued is left to other processes.
        with suppress(WriterClosed):
            while (
                due_parts
                and runtime.monotonic() < until
                and not runtime.draining.is_set()
                and not runtime.lane_states.closed(lane)
            ):
                # Large documents are read one at a time, or a thread would hold many megabytes at once.
                ahead = 1 if any(due.holds_bytes for due in due_parts) else self._ahead(lane)
                returned = self._work_off_returned(lane, due_parts[0].priority, ahead, left)
                picked = self._bulk_quota.pick(lane, due_parts, ahead)
                delivered = returned | self._work_off_chunk(picked.due_parts, left)
                called = [part for part, one in delivered.items() if one.called]
                self._bulk_quota.take_back(lane, picked, called)
                calls += len(called)
                last = next(reversed(delivered.values()), last)
        # The doorbell is acknowledged when its ends are durable; they are committed in order, so the last is enough.
        if last is not None:
            last.ticket.wait(runtime.settings.call_deadline_s)
        runtime.probe("before_ack")
        return [*left, *due_parts], calls

    def _work_off_returned(self, lane: str, lowest: int, most: int, left: list[DuePart]) -> dict[str, Delivered]:
        """Delivers parts that had no room when this process asked, and are due again.

        At most `most` of them, and none that is less urgent than `lowest`.
        """
        due_parts = self._take_returned(lane, lowest, most)
        try:
            return self._work_off_chunk(due_parts, left) if due_parts else {}
        finally:
            self._let_go([due.id for due in due_parts])

    def _take_returned(self, lane: str, lowest: int, most: int) -> list[DuePart]:
        """Takes parts that are due again as if they had come in a doorbell; the relay does not offer them meanwhile."""
        runtime = self._runtime
        # The relay offers as many parts of such a lane as it may have in the air; further ones would exceed that.
        if runtime.lane_states.is_bound(lane):
            return []
        ids = self._retry_hints.due(lane, lowest, most)
        if not ids:
            return []
        with runtime.database.reading() as connection:
            due_parts = load(connection, runtime.database.now, ids)
        ids, stands_us = [due.id for due in due_parts], int(runtime.settings.offer_s * settle.SECOND)
        if not ids:
            return []
        # In hand only after the offer: an id that the relay has just offered may come to another thread of this
        # process, which would then leave it alone.
        mine = self._take(
            runtime.database.run(lambda connection: offer(connection, runtime.database.now, ids, stands_us))
        )
        return [due for due in due_parts if due.id in mine]

    def _work_off_chunk(self, chunk: Sequence[DuePart], left: list[DuePart]) -> dict[str, Delivered]:
        """Admits the parts together and delivers them one after another; unused reservations are returned."""
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
        """Delivers one part, unless its lane was stopped by the part before it."""
        runtime = self._runtime
        # `stopped`, not `closed`: a lane whose limit is used up still makes the calls that have a permit.
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
        # Not at the end of the doorbell: queued again at once (a stale token, a short backoff), it may come elsewhere.
        self._let_go([flight.due.id])
        return delivered

    def _ahead(self, lane: str) -> int:
        """How many calls can start one after another while their permits are fresh; 1 to 16."""
        return max(1, min(16, int(PERMIT_S / max(self._runtime.lane_states.cycle(lane), 0.001))))

    def _admit(self, chunk: Sequence[DuePart], left: list[DuePart]) -> list[InFlight]:
        """Prepares the parts and reserves for all of them together; a part without room waits."""
        flights = []
        for due in chunk:
            if self._runtime.lane_states.closed(due.lane):
                left.append(due)
            elif (flight := self._attempt.prepare(due)) is not None:
                flights.append(flight)
            else:
                left.append(due)
                # The message may be megabytes, and leaving the part takes its id alone.
                due.message = {}
        # Before the limits: a host that is down must not use up room in them.
        if flights and not self._attempt.reach(flights[0]):
            left += [flight.due for flight in flights]
            return []
        answers = self._runtime.governor.reserve([flight.charges for flight in flights])
        for flight, answer in zip(flights, answers, strict=True):
            flight.permit = None if isinstance(answer, Denied) else answer
        try:
            return self._with_room(flights, answers, left)
        except BaseException:
            # The database is away, or the process ends: no call follows, so the reservations are returned.
            self._runtime.governor.give_back([flight.permit for flight in flights if flight.permit is not None])
            raise

    def _with_room(
        self, flights: Sequence[InFlight], answers: Sequence[Permit | Denied], left: list[DuePart]
    ) -> list[InFlight]:
        """Returns the admitted parts; of the others a part waits by itself, or its full lane or account for all."""
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
        # One block per scope, by the first part that was denied: the parts behind it wait for the same limits.
        for flight, denied in {denied.scope: (flight, denied) for flight, denied in reversed(full)}.values():
            self._attempt.lane_blocks.fill(flight.due, denied)
        self._wait_for_room(waits)
        return admitted

    def _prefetch(self, due: DuePart, room: int) -> None:
        """Notes up to `room` further parts for a member whose limits are about to be used up."""
        runtime = self._runtime
        # The window gives room again one window after it was filled, so the earlier it is full the sooner all are sent.
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
        """Puts off parts whose members have no room, and notes when to take them up again."""
        delays = [(flight.due, denied, _room_in_s(flight, denied)) for flight, denied in waits]
        # Durable before it is noted: the thread that follows the note must find the part due at that time.
        self._runtime.writer.change([_wait(due, denied, delay_s) for due, denied, delay_s in delays])
        for due, denied, delay_s in delays:
            if not denied.impossible:
                self._retry_hints.note(due.lane, due.priority, due.id, delay_s)

    def _leave(self, ids: Sequence[str], lane: str = "") -> None:
        """Ends the offer of the ids: they may be offered again at once, or soon where their account is unknown here."""
        database = self._runtime.database
        # Offered again at once they could come back to this process, which cannot use their account.
        if self._runtime.lane_states.does_without(lane):
            database.run(lambda connection: pass_on(connection, database.now, ids, int(ELSEWHERE_S * settle.SECOND)))
        else:
            database.run(lambda connection: leave(connection, ids))


def _room_in_s(flight: InFlight, denied: Denied) -> float:
    """Seconds until a part whose members have no room asks again; urgent parts do not queue behind others."""
    if denied.appointment_s is not None and flight.due.priority != Priority.URGENT:
        return denied.appointment_s
    return first_to_go_s(denied.members, flight.charges) if denied.members else denied.delay


def _wait(due: DuePart, denied: Denied, delay_s: float) -> Change:
    """Puts the part off for so many seconds; waiting for room is not an attempt."""
    delay_us, claim, reason = int(delay_s * settle.SECOND), due.claim, used_up(denied.limit)

    def wait(part: settle.PartFacts, now: int) -> None:
        if part.state is PartState.QUEUED and part.claim == claim:
            settle.wait_until(part, now + delay_us, reason)

    return Change(due.id, wait)
