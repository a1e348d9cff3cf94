"""A doorbell: part ids of one lane, delivered in one thread, with as many calls in flight as the doorbell allows.

It works for about two seconds and leaves the rest to be offered again. Limits are reserved for the next few parts at
once, for as many as can start while a permit is fresh. Between them go parts of the lane whose member had no room
before and has it now. Every tenth part of the lane is bulk while others wait.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice, pairwise

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from worker.delivery.sender.attempt import Attempts
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.slots import CallSlots
from worker.delivery.sender.writer import WriterClosed
from worker.domain import settle
from worker.domain.job import Kind, Priority
from worker.domain.pacing.bulk import MAX_CREDIT, mix
from worker.domain.pacing.lane import account_of, with_accounts
from worker.outbox.jobs.loading import JobPart, leave, load, pass_on
from worker.outbox.lanes.lanes import read_lane_states
from worker.outbox.lanes.offering import offer

PERMIT_S = 0.2
"""Seconds in which calls that were reserved together must start; a permit is usually fresh for 250 ms."""

AHEAD = 16
"""Calls that are reserved together at most, or as many as may be in flight at once."""
ELSEWHERE_S = 1.0
"""Seconds until ids are offered again, or a lane is tried again, that came to a process which could not go on."""
MISSED = 10_000
"""Ids remembered during an outage of the database at most; further ones are offered again when their offer runs out."""
LANES_KEPT = 10_000
"""Lanes whose credit for bulk is remembered; one more, and all of them start again from 0."""


class BatchSender:
    """Answers doorbells, in the calling thread."""

    def __init__(self, runtime: Runtime):
        self._runtime = runtime
        self._guard = threading.Lock()
        self._in_hand: set[str] = set()
        self._bulk_quota = BulkQuota()
        self._slots = CallSlots(runtime.settings.threads)
        self._missed: deque[str] = deque(maxlen=MISSED)
        """Ids that came while the database was away; they are left as soon as it is back."""

    def answer(self, lane: str, ids: Sequence[str], *, probe: bool = False, calls: int = 1) -> int:
        """Delivers what can be delivered of the ids, and returns the number of calls.

        `probe` tries a parked lane. `calls`: how many calls may be in flight at once, where this process has slots.
        """
        mine = self._take(ids)
        try:
            if probe:
                return self._try_parked(lane, mine)
            with self._runtime.lane_states.trying(lane) as tries:
                return self._answer(lane, mine, 1 if tries else calls)
        except SQLAlchemyError:
            self._missed.extend(mine)
            raise
        finally:
            self._let_go(mine)

    def leave_missed(self) -> None:
        """Leaves the ids that came in an outage of the database, so that they may be offered again at once."""
        ids = []
        with suppress(IndexError):
            while True:
                ids.append(self._missed.popleft())
        if ids:
            try:
                self._leave(ids)
            except SQLAlchemyError:
                self._missed.extend(ids)
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

    def _answer(self, lane: str, ids: Sequence[str], calls: int) -> int:
        runtime = self._runtime
        with runtime.database.reading() as connection:
            # Before the parts, so that a block that another process wrote or lifted counts for this doorbell.
            self._learn(connection, lane)
            may_go = runtime.lease.may_act() and not runtime.lane_states.closed(lane)
            due_parts = load(connection, runtime.database.now, ids) if may_go else []
        alone = any(map(_goes_alone, due_parts))
        calls = 1 if alone else min(calls, max(1, len(due_parts)))
        urgent = any(due.priority == Priority.URGENT for due in due_parts)
        attempts = Attempts(runtime, self._slots, lane, calls, self._let_go, urgent=urgent)
        # The writer closes when the process ends; what is still queued is left to other processes.
        with suppress(WriterClosed), attempts:
            self._work_off(lane, deque(due_parts), attempts, alone=alone)
            attempts.no_more()
            # Now, and not when the last call has landed: it may hang.
            in_flight = attempts.in_flight()
            untried = [part for part in attempts.left if part not in in_flight]
            if untried:
                self._leave(untried, lane)
                self._let_go(untried)
                attempts.left = dict.fromkeys(in_flight)
        # The doorbell is acknowledged when its ends are durable; they are committed in order, so the last is enough.
        if attempts.last is not None:
            runtime.writer.wait(attempts.last, runtime.settings.call_deadline_s)
        runtime.probe("before_ack")
        left = list(attempts.left if due_parts else ids)
        if left:
            self._leave(left, lane)
        return len(attempts.called)

    def _learn(self, connection: Connection, lane: str) -> None:
        """Reads the blocks and bounds of the lane and its account into the lane states of this process."""
        names = with_accounts([lane])
        states = self._runtime.lane_states
        states.learn(names, read_lane_states(connection, self._runtime.database.now, names, states.clock))

    def _try_parked(self, lane: str, ids: Sequence[str]) -> int:
        """Lets one part try a parked lane or account, and opens what the vendor's answer proves to be open."""
        runtime = self._runtime
        attempts = Attempts(runtime, self._slots, lane, 1, self._let_go, urgent=True)
        if runtime.lease.may_act():
            with runtime.database.reading() as connection:
                due_parts = load(connection, runtime.database.now, ids)[:1]
                self._learn(connection, lane)
            # In this process alone: for all others the lane stays parked until the vendor has answered.
            runtime.lane_states.open(lane)
            runtime.lane_states.open(account_of(lane))
            with attempts:
                attempts.deliver(due_parts)
        if attempts.proved_open:
            runtime.lane_blocks.unpark(attempts.proved_open)
        elif not attempts.called:
            self._return_probe(lane, ids)
        self._leave(ids, lane)
        return len(attempts.called)

    def _return_probe(self, lane: str, ids: Sequence[str]) -> None:
        """Returns a probe that made no call: the one of this interval must not be lost with a part that waits or ended.

        Where that was not the part's own doing, the next one tries later: when the lane is open again, or in a second.
        """
        runtime = self._runtime
        with runtime.database.reading() as connection:
            is_as_before = bool(load(connection, runtime.database.now, ids))
        wait_s = max(runtime.lane_states.closed_for(lane), ELSEWHERE_S if is_as_before else 0.0)
        runtime.lane_blocks.return_probe(lane, wait_s)

    def _work_off(self, lane: str, due_parts: deque[JobPart], attempts: Attempts, *, alone: bool) -> None:
        """Delivers the parts, a few at a time, until the time is over; `alone`: one at a time."""
        runtime = self._runtime
        attempts.left.update((due.id, None) for due in due_parts)
        if not (due_parts and attempts.make_room()):
            return
        # From its turn on.
        until = runtime.monotonic() + runtime.settings.doorbell_s
        while (
            due_parts
            and runtime.monotonic() < until
            and not runtime.draining.is_set()
            and not runtime.lane_states.closed(lane)
            and attempts.make_room()
        ):
            ahead = 1 if alone else self._ahead(lane, attempts.slots)
            self._work_off_returned(lane, due_parts[0].priority, ahead, attempts)
            picked = self._bulk_quota.pick(lane, due_parts, ahead)
            called = attempts.deliver([due for due, _ in picked])
            self._bulk_quota.refund(lane, sum(paid for due, paid in picked if due.id not in called))

    def _work_off_returned(self, lane: str, lowest: int, most: int, attempts: Attempts) -> None:
        """Delivers parts that had no room when this process asked, and are due again.

        At most `most` of them, and none that is less urgent than `lowest`.
        """
        due_parts = self._take_returned(lane, lowest, most)
        if due_parts:
            attempts.left.update((due.id, None) for due in due_parts)
            alone, called = any(map(_goes_alone, due_parts)), list[str]()
            try:
                for few in [[due] for due in due_parts] if alone else [due_parts]:
                    if alone:
                        attempts.wait()
                    called += attempts.deliver(few)
                if alone:
                    attempts.wait()
            finally:
                self._let_go([due.id for due in due_parts if due.id not in called])

    def _take_returned(self, lane: str, lowest: int, most: int) -> list[JobPart]:
        """Takes parts that are due again as if they had come in a doorbell; the relay does not offer them meanwhile."""
        runtime = self._runtime
        # The relay offers as many parts of a bound lane as it may have in flight; further ones would exceed that.
        if not runtime.retry_hints.waiting or runtime.lane_states.room(lane).calls is not None:
            return []
        ids = runtime.retry_hints.due(lane, lowest, most)
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

    def _ahead(self, lane: str, slots: int) -> int:
        """How many calls can start while their permits are fresh; one at least."""
        return max(1, min(max(AHEAD, slots), int(slots * PERMIT_S / max(self._runtime.lane_states.cycle(lane), 0.001))))

    def _leave(self, ids: Sequence[str], lane: str = "") -> None:
        """Ends the offer of the ids: they may be offered again at once, or soon where their account is unknown here."""
        database = self._runtime.database
        # Offered again at once they could come back to this process, which cannot use their account.
        if self._runtime.lane_states.does_without(lane):
            database.run(lambda connection: pass_on(connection, database.now, ids, int(ELSEWHERE_S * settle.SECOND)))
        else:
            database.run(lambda connection: leave(connection, ids))


def _goes_alone(due: JobPart) -> bool:
    """True for a part beside which its thread has no call in flight."""
    # Large documents are read one at a time, or a thread would hold many megabytes. A file behind a URL is fetched by
    # this thread, for up to a minute: the answers of its other calls would not be read.
    files = due.message.get("files", {}).values()
    is_remote = "fetched" not in due.spec and any("url" in file for file in files)
    return due.holds_bytes or due.kind == Kind.UPLOAD or is_remote


class BulkQuota:
    """Bulk's credit in one process, by lane. Thread-safe."""

    def __init__(self) -> None:
        self._credit: dict[str, int] = {}
        self._guard = threading.Lock()

    def pick(self, lane: str, due_parts: deque[JobPart], most: int) -> list[tuple[JobPart, int]]:
        """Takes the parts that go next out of `due_parts`, at most `most`; each with the credit that it has cost."""
        others = [due for due in due_parts if due.priority != Priority.BULK]
        bulk = [due for due in due_parts if due.priority == Priority.BULK]
        with self._guard:
            before = self._credit.get(lane, 0)
            mixed = list(islice(mix(others, bulk, before), most))
            credit = [before, *(behind for _, behind in mixed)]
            self._keep(lane, credit[-1])
        ids = {due.id for due, _ in mixed}
        rest = [due for due in due_parts if due.id not in ids]
        due_parts.clear()
        due_parts.extend(rest)
        return [(due, earlier - later) for (due, _), (earlier, later) in zip(mixed, pairwise(credit), strict=True)]

    def refund(self, lane: str, paid: int) -> None:
        """Returns the credit that parts have cost which were picked and not called.

        A lane's credit may fall below 0: when several threads have picked, and only their bulk parts were called.
        """
        if paid:
            with self._guard:
                self._keep(lane, min(MAX_CREDIT, self._credit.get(lane, 0) + paid))

    def _keep(self, lane: str, credit: int) -> None:
        if len(self._credit) >= LANES_KEPT and lane not in self._credit:
            self._credit.clear()
        self._credit[lane] = credit
