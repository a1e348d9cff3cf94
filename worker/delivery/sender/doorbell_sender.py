"""Delivers a doorbell: part ids of one lane, in one thread, with as many calls in flight as the doorbell allows.

It works for about two seconds and releases the other parts, which are offered again. Limits are reserved together for
as many parts as can start while a permit is fresh. In between go parts of the lane that waited for a limit of their
recipient and may go now. Every tenth part of the lane is bulk while other parts wait.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice, pairwise

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from worker.config.log import Logger
from worker.delivery.sender.attempt import Attempts
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.slots import CallSlots
from worker.delivery.sender.writer import WriterClosed
from worker.domain import settle
from worker.domain.job import JobKind, Priority
from worker.domain.pacing.bulk import MAX_CREDIT, mix
from worker.domain.pacing.lane import account_of, with_accounts
from worker.outbox.engine.database import error_name, is_about_rows
from worker.outbox.engine.sql import sqlalchemy_errors
from worker.outbox.jobs.loading import (
    JobPart,
    load_parts,
    load_without_documents,
    release_for_others,
    release_parts,
    set_aside,
)
from worker.outbox.lanes.lanes import read_lane_states
from worker.outbox.lanes.offering import offer

log = Logger()

PERMIT_S = 0.2
"""Seconds in which calls that are reserved together must start. A permit is usually fresh for 250 ms."""

AHEAD = 16
"""The largest number of calls reserved together, unless more may be in flight at once."""
PEER_RETRY_S = 1.0
"""Seconds until ids are offered again, or a lane is tried again, after this process could not send them."""
MAX_MISSED = 10_000
"""The largest number of ids remembered in an outage of the database. Others wait until their offer has ended."""
SET_ASIDE_S = 300.0
"""Seconds until a part that cannot even be read without its documents is read again."""
MAX_LANES = 10_000
"""The largest number of lanes whose bulk credit is remembered. With one more, all of them start from 0."""


class DoorbellSender:
    """Answers doorbells, in the calling thread."""

    def __init__(self, runtime: Runtime):
        self._runtime = runtime
        self._lock = threading.Lock()
        self._claimed: set[str] = set()
        self._bulk_credit = BulkCredit()
        self._slots = CallSlots(runtime.settings.threads)
        self._missed: deque[str] = deque(maxlen=MAX_MISSED)
        """Ids that came while the database was away; they are released as soon as it is back."""

    def answer(self, lane: str, ids: Sequence[str], *, probe: bool = False, calls: int = 1) -> int:
        """Delivers as many of the parts as possible, and returns the number of calls.

        `probe` tries a parked lane. `calls` is how many calls may be in flight at once, if this process has slots.
        """
        claimed = self._claim(ids)
        try:
            if probe:
                return self._try_parked(lane, claimed)
            with self._runtime.lane_states.trying(lane) as tries:
                return self._answer(lane, claimed, 1 if tries else calls)
        except SQLAlchemyError:
            self._missed.extend(claimed)
            raise
        finally:
            self._unclaim(claimed)

    def release_missed(self) -> None:
        """Releases the ids that came in an outage of the database, so that they may be offered again at once."""
        ids = []
        with suppress(IndexError):
            while True:
                ids.append(self._missed.popleft())
        if ids:
            try:
                self._end_offer(ids)
            except SQLAlchemyError:
                self._missed.extend(ids)
                raise

    def _claim(self, ids: Sequence[str]) -> list[str]:
        """Claims the ids that no other thread of this process works on, and returns them."""
        # An id may come twice: it is offered again when its first doorbell waits too long in the broker.
        with self._lock:
            claimed = [part for part in ids if part not in self._claimed]
            self._claimed.update(claimed)
        return claimed

    def _unclaim(self, ids: Sequence[str]) -> None:
        with self._lock:
            self._claimed.difference_update(ids)

    def _answer(self, lane: str, ids: Sequence[str], calls: int) -> int:
        runtime = self._runtime
        with runtime.database.reading() as connection:
            # Before the parts are loaded, so that blocks that another process wrote or lifted count here.
            self._read_states(connection, lane)
            may_go = runtime.lease.may_act() and not runtime.lane_states.is_closed(lane)
            due_parts = _load_due_parts(runtime, connection, lane, ids) if may_go else []
        exclusive = any(map(_is_exclusive, due_parts))
        calls = 1 if exclusive else min(calls, max(1, len(due_parts)))
        urgent = any(part.priority == Priority.URGENT for part in due_parts)
        attempts = Attempts(runtime, self._slots, lane, calls, self._unclaim, urgent=urgent)
        # The writer closes when the process ends. Parts that are still queued are left to other processes.
        with suppress(WriterClosed), attempts:
            self._deliver_all(lane, deque(due_parts), attempts, exclusive=exclusive)
            attempts.stop_starting()
            # Released now, not after the last call has ended, which may take long.
            in_flight = attempts.in_flight()
            untried = [id for id in attempts.unfinished if id not in in_flight]
            if untried:
                self._end_offer(untried, lane)
                self._unclaim(untried)
                attempts.unfinished = dict.fromkeys(in_flight)
        # The doorbell is acknowledged when its ends are durable. They are committed in order: the last is enough.
        if attempts.last_write is not None:
            runtime.writer.wait(attempts.last_write, runtime.settings.call_deadline_s)
        runtime.checkpoint("before_ack")
        remaining = list(attempts.unfinished if due_parts else ids)
        if remaining:
            self._end_offer(remaining, lane)
        return len(attempts.called)

    def _read_states(self, connection: Connection, lane: str) -> None:
        """Reads the states of the lane and its account from SQL into this process's copy."""
        names = with_accounts([lane])
        states = self._runtime.lane_states
        states.update(names, read_lane_states(connection, self._runtime.database.now, names, states.clock))

    def _try_parked(self, lane: str, ids: Sequence[str]) -> int:
        """Sends one part as the probe of a parked lane or account. Opens the lane or account if it succeeds."""
        runtime = self._runtime
        attempts = Attempts(runtime, self._slots, lane, 1, self._unclaim, urgent=True)
        if runtime.lease.may_act():
            with runtime.database.reading() as connection:
                due_parts = _load_due_parts(runtime, connection, lane, ids)[:1]
                self._read_states(connection, lane)
            # In this process only: for all others the lane stays parked until the vendor has answered.
            runtime.lane_states.unblock(lane)
            runtime.lane_states.unblock(account_of(lane))
            with attempts:
                attempts.deliver(due_parts)
        if attempts.proved_open:
            runtime.lane_blocks.unpark(attempts.proved_open)
        elif not attempts.called:
            self._return_probe(lane, ids)
        self._end_offer(ids, lane)
        return len(attempts.called)

    def _return_probe(self, lane: str, ids: Sequence[str]) -> None:
        """Returns a probe that made no call, so that another part can be the probe of this interval.

        If the part itself is as before, the next one tries later: when the lane's block ends, but not within a second.
        """
        runtime = self._runtime
        with runtime.database.reading() as connection:
            is_as_before = bool(_load_due_parts(runtime, connection, lane, ids))
        wait_s = max(runtime.lane_states.closed_for_s(lane), PEER_RETRY_S if is_as_before else 0.0)
        runtime.lane_blocks.return_probe(lane, wait_s)

    def _deliver_all(self, lane: str, due_parts: deque[JobPart], attempts: Attempts, *, exclusive: bool) -> None:
        """Delivers the parts, a few at a time, until the doorbell's time is over. With `exclusive`, one at a time."""
        runtime = self._runtime
        attempts.unfinished.update((part.id, None) for part in due_parts)
        if not (due_parts and attempts.await_slots()):
            return
        # The time counts from the first slot on.
        until = runtime.monotonic() + runtime.settings.doorbell_s
        while (
            due_parts
            and runtime.monotonic() < until
            and not runtime.draining.is_set()
            and not runtime.lane_states.is_closed(lane)
            and attempts.await_slots()
        ):
            ahead = 1 if exclusive else self._calls_ahead(lane, attempts.slots)
            self._deliver_retries(lane, due_parts[0].priority, ahead, attempts)
            picked = self._bulk_credit.pick(lane, due_parts, ahead)
            called = attempts.deliver([part for part, _ in picked])
            self._bulk_credit.refund(lane, sum(cost for part, cost in picked if part.id not in called))

    def _deliver_retries(self, lane: str, lowest: int, limit: int, attempts: Attempts) -> None:
        """Delivers up to `limit` parts that waited for a limit and are due again, none less urgent than `lowest`."""
        due_parts = self._claim_retries(lane, lowest, limit)
        if due_parts:
            attempts.unfinished.update((part.id, None) for part in due_parts)
            exclusive, called = any(map(_is_exclusive, due_parts)), list[str]()
            try:
                for group in [[part] for part in due_parts] if exclusive else [due_parts]:
                    if exclusive:
                        attempts.wait()
                    called += attempts.deliver(group)
                if exclusive:
                    attempts.wait()
            finally:
                self._unclaim([part.id for part in due_parts if part.id not in called])

    def _claim_retries(self, lane: str, lowest: int, limit: int) -> list[JobPart]:
        """Claims parts that are due again, as if they had come in a doorbell. The relay then does not offer them."""
        runtime = self._runtime
        # Of a bounded lane the relay has offered as many parts as may be in flight, so no further ones may go.
        if not runtime.retry_hints.waiting or runtime.lane_states.capacity(lane).calls is not None:
            return []
        ids = runtime.retry_hints.take_due(lane, lowest, limit)
        if not ids:
            return []
        with runtime.database.reading() as connection:
            due_parts = _load_due_parts(runtime, connection, lane, ids)
        ids, offer_us = [part.id for part in due_parts], int(runtime.settings.republish_after_s * settle.SECOND)
        if not ids:
            return []
        # Claimed only after the offer: an id that the relay has just offered may come to another thread of this
        # process, which would otherwise leave it alone.
        claimed = self._claim(
            runtime.database.run(lambda connection: offer(connection, runtime.database.now, ids, offer_us))
        )
        return [part for part in due_parts if part.id in claimed]

    def _calls_ahead(self, lane: str, slots: int) -> int:
        """Returns how many calls can start while their permits are fresh; at least one."""
        return max(
            1, min(max(AHEAD, slots), int(slots * PERMIT_S / max(self._runtime.lane_states.cycle_s(lane), 0.001)))
        )

    def _end_offer(self, ids: Sequence[str], lane: str = "") -> None:
        """Ends the offer of the ids: they may be offered again at once, or soon if this process avoids the account."""
        database = self._runtime.database
        # Offered at once, they could come back to this process, which cannot use their account.
        if self._runtime.lane_states.is_left_to_peers(lane):
            database.run(
                lambda connection: release_for_others(connection, database.now, ids, int(PEER_RETRY_S * settle.SECOND))
            )
        else:
            database.run(lambda connection: release_parts(connection, ids))


def _load_due_parts(runtime: Runtime, connection: Connection, lane: str, ids: Sequence[str]) -> list[JobPart]:
    """Loads those of the parts that may be sent now, in the order of the ids.

    If that fails because of one of them, their documents are read later, each just before its call.
    """
    try:
        with sqlalchemy_errors(connection):
            # One that was moved to another lane is offered again there.
            return [part for part in load_parts(connection, runtime.database.now, ids) if part.lane == lane]
    except Exception as error:
        if not is_about_rows(error):
            raise
    return _load_without_documents(runtime, connection, lane, ids)


def _load_without_documents(runtime: Runtime, connection: Connection, lane: str, ids: Sequence[str]) -> list[JobPart]:
    """Loads the parts without their documents. Finds one that cannot even be read so by halving, and sets it aside."""
    try:
        with sqlalchemy_errors(connection):
            parts = load_without_documents(connection, runtime.database.now, ids)
            return [part for part in parts if part.lane == lane]
    except Exception as error:
        if not is_about_rows(error):
            raise
        if len(ids) == 1:
            fault = error_name(error)
            _set_aside(runtime, lane, ids[0], f"error in this program: the row cannot be read: {fault}")
            return []
    middle = len(ids) // 2
    halves = ids[:middle], ids[middle:]
    return [part for half in halves for part in _load_without_documents(runtime, connection, lane, half)]


def _set_aside(runtime: Runtime, lane: str, part_id: str, reason: str) -> None:
    database, wait_us = runtime.database, int(SET_ASIDE_S * settle.SECOND)
    log.warning("not_prepared", part=part_id, reason=reason)
    runtime.fault_reports.report("part to be read", reason, lane=lane, account=account_of(lane), part=part_id)
    database.run(lambda connection: set_aside(connection, database.now, part_id, reason, wait_us))


def _is_exclusive(part: JobPart) -> bool:
    """Returns True for a part whose thread must have no other call in flight."""
    # Large documents are read one at a time, or a thread would hold many megabytes. A file behind a URL is fetched by
    # this thread, for up to a minute: the answers of its other calls would not be read.
    files = part.message.get("files", {}).values()
    is_remote = "fetched" not in part.spec and any("url" in file for file in files)
    return part.holds_bytes or part.kind == JobKind.UPLOAD or is_remote


class BulkCredit:
    """Bulk's credit in one process, by lane. Thread-safe."""

    def __init__(self) -> None:
        self._credit: dict[str, int] = {}
        self._lock = threading.Lock()

    def pick(self, lane: str, due_parts: deque[JobPart], limit: int) -> list[tuple[JobPart, int]]:
        """Removes up to `limit` parts that go next from `due_parts`, and returns each with the credit it has cost."""
        normal = [part for part in due_parts if part.priority != Priority.BULK]
        bulk = [part for part in due_parts if part.priority == Priority.BULK]
        with self._lock:
            before = self._credit.get(lane, 0)
            mixed = list(islice(mix(normal, bulk, before), limit))
            credit = [before, *(after for _, after in mixed)]
            self._set(lane, credit[-1])
        ids = {part.id for part, _ in mixed}
        remaining = [part for part in due_parts if part.id not in ids]
        due_parts.clear()
        due_parts.extend(remaining)
        return [(part, earlier - later) for (part, _), (earlier, later) in zip(mixed, pairwise(credit), strict=True)]

    def refund(self, lane: str, cost: int) -> None:
        """Returns the credit of parts that were picked but not called.

        A lane's credit may fall below 0, if several threads picked parts and only their bulk parts were called.
        """
        if cost:
            with self._lock:
                self._set(lane, min(MAX_CREDIT, self._credit.get(lane, 0) + cost))

    def _set(self, lane: str, credit: int) -> None:
        if len(self._credit) >= MAX_LANES and lane not in self._credit:
            self._credit.clear()
        self._credit[lane] = credit
