"""One attempt: resolve, authorise, render, connect, admit, mark, call, read, record.

This file alone states that order. `deliver` takes a few parts of a doorbell through the steps until their calls have
begun, and `_record_ended` records the calls that have ended. `prepare.py` prepares a part, `admit.py` reserves its
limits, and `record.py` says what its answer means. To connect, mark and call stands below.

Before the mark, an error leaves a part queued, or ends it after its last try. From the mark on, every path writes an
end: certainly not sent, answered, or in doubt. The part never stays `sending`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from worker.delivery.sender.admit import admit, return_permit, return_permit_and_wake
from worker.delivery.sender.fault_reports import program_error
from worker.delivery.sender.in_flight import Flights, InFlight
from worker.delivery.sender.prepare import authorise, end_unprepared, make_request, render, resolve
from worker.delivery.sender.record import end_in_error, log_attempt, mark_for, read, record, requeue_unsent
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.slots import CallSlots
from worker.delivery.sender.writer import PendingWrite
from worker.domain.call import NotSent, Unsent
from worker.domain.job import RepeatRule
from worker.domain.outcome import Retry, Scope, Verdict, Wait
from worker.domain.pacing.limit import Denied
from worker.domain.state import JobState
from worker.outbox.commit.commands import JobUpdate
from worker.outbox.jobs.loading import JobPart
from worker.transport.pending_call import EndedCall, PendingCall

SLOT_PATIENCE_S = 0.005
"""Seconds for which a free slot waits for further ones, so that calls are reserved, marked and begun together."""
FIRST_SLOT_PATIENCE = 1.5
"""How long a doorbell waits for its first slot, in multiples of `doorbell_s`.

By then the doorbell before it has begun its last calls.
"""


class Attempts:
    """The attempts of one doorbell, in one thread. Up to `calls` of them are in flight at once, a slot each.

    Calls `unclaim` with each part that other threads of this process may work on again. At the end of the `with`
    block no call is in flight.
    """

    def __init__(
        self,
        runtime: Runtime,
        slots: CallSlots,
        lane: str,
        calls: int,
        unclaim: Callable[[list[str]], None],
        *,
        urgent: bool = False,
    ):
        self._runtime, self._slots, self._lane, self._calls = runtime, slots, lane, calls
        self._unclaim = unclaim
        self._urgent = urgent
        self._at_work = False
        self._in_flight: dict[PendingCall, InFlight] = {}
        self._polled_at = self._ended_at = 0.0
        self.slots = 0
        """The number of slots that this doorbell has, for calls in flight or still free."""
        self.unfinished: dict[str, None] = {}
        """Parts that may be offered again at once: they have no end yet, and wait for no limit of their own."""
        self.called: list[str] = []
        """Parts whose call has ended."""
        self.proved_open: list[str] = []
        """Lanes and accounts that are not blocked, as an answer of the vendor showed."""
        self.last_write: PendingWrite | None = None
        """The end that was queued for the writer last, or None."""

    def __enter__(self) -> Attempts:
        return self

    def __exit__(self, *_error: object) -> None:
        errors = list[Exception]()
        self.stop_starting()
        while self._in_flight:
            self._return_slots(self._free_slots())
            try:
                self._record_ended()
            except Exception as error:  # noqa: BLE001  the other calls have to be recorded, too
                errors.append(error)
        self._return_slots(self.slots)
        if errors:
            raise errors[0]

    def deliver(self, due_parts: Sequence[JobPart]) -> list[str]:
        """Takes parts of one lane through the steps until their calls have begun. Returns the called ids."""
        runtime, since = self._runtime, self._runtime.monotonic()
        # Before further parts are read: a thread with one slot holds one message at a time.
        if not (self._free_slots() or self.await_slots()):
            return []
        # A part's preparation, such as fetching a token, may take long: other doorbells use the free slots meanwhile.
        self._return_slots(self._free_slots() - 1)
        ready = prepare(runtime, due_parts, self._poll)
        if len(ready) < len(due_parts):
            runtime.lane_states.record_progress(self._lane)
        # Before the limits are reserved: a host that is down must not use them up.
        if not ready or not connect(runtime, ready[:1]):
            return []
        waiting = deque[InFlight]()
        try:
            admitted = admit(runtime, ready, self.unfinished)
            if len(admitted) < len(ready):
                runtime.lane_states.record_progress(self._lane)
            waiting += admitted
            while waiting:
                self.await_slots()
                self._start([waiting.popleft() for _ in range(min(len(waiting), self._free_slots()))], since)
                since = self._runtime.monotonic()
        finally:
            with ExitStack() as ends:
                for flight in waiting:
                    ends.callback(return_permit, runtime, flight)
                ends.callback(_release, ready[0])
        return [flight.part.id for flight in admitted if flight.is_called]

    def _start(self, flights: Flights, since: float) -> None:
        """Connects, marks and calls. Afterwards a part is in flight, has an end, or is queued as before."""
        runtime, starting = self._runtime, Flights()
        for flight in flights:
            # The time since one of the earlier calls ended: the slot was free from then on.
            flight.began_at = max(since, self._ended_at)
            if may_start(runtime, flight, len(starting)):
                starting.append(flight)
        try:
            connected = connect(runtime, starting)
            # The mark is committed before the first byte. After a crash a marked part is in doubt; without the mark it
            # would be offered again and sent twice.
            marked = mark(runtime, connected)
            call(runtime, marked)
        except Exception as error:
            with ExitStack() as ends:  # every one of them, whatever happens at another
                for flight in starting:
                    if flight.pending is None:
                        ends.callback(end_in_error, runtime, flight, program_error(error))
            raise
        finally:
            self._in_flight |= {flight.pending: flight for flight in flights if flight.pending is not None}
            with ExitStack() as ends:
                for flight in flights:
                    if flight.pending is None:
                        ends.callback(self._close, flight)

    def _record_ended(self, timeout_s: float | None = None) -> int:
        """Waits until a call has ended, or for so many seconds. Reads and records the ended calls; returns how many."""
        runtime, errors = self._runtime, list[Exception]()
        try:
            ended = runtime.transport.await_any(self._in_flight.keys(), timeout_s)
        except Exception as error:  # noqa: BLE001  then each call is awaited by itself, for none may stay in flight
            ended = list(self._in_flight)
            errors.append(error)
        for pending in ended:
            flight = self._in_flight.pop(pending)
            try:
                read(runtime, flight)
                record(runtime, flight)
            except Exception as error:  # noqa: BLE001  the other ended calls are recorded first
                end_in_error(runtime, flight, program_error(error))
                errors.append(error)
            self._close(flight)
        self._polled_at = runtime.monotonic()
        if ended:
            self._ended_at = self._polled_at
        if errors:
            raise errors[0]
        return len(ended)

    def _close(self, flight: InFlight) -> None:
        """Notes how the attempt of a part ended, and gives back what it did not use."""
        runtime, part_id = self._runtime, flight.part.id
        _release(flight)
        flight.part.facts = {}  # a file's bytes may be among them
        if flight.pending_write is None:
            # For example, its job was cancelled or has expired, or another process has the part.
            runtime.lane_states.record_progress(self._lane)
            return_permit(runtime, flight)
            return
        self.unfinished.pop(part_id, None)
        self.last_write = flight.pending_write
        self.proved_open += flight.proved_open
        if flight.is_called:
            self.called.append(part_id)
        runtime.lane_states.record_cycle(flight.part.lane, runtime.monotonic() - flight.began_at)
        # Not at the end of the doorbell: a part that is queued again at once (a stale token, a short backoff) may come
        # in another doorbell.
        self._unclaim([part_id])

    def await_slots(self) -> int:
        """Waits for calls to end until half of the slots are free, or until one is and no more call ends for a moment.

        Returns how many calls may begin now, or 0 if the doorbell got no slot in time.
        """
        if not self.slots:
            patience_s = FIRST_SLOT_PATIENCE * self._runtime.settings.doorbell_s
            self.slots = self._slots.take_first(self._lane, self._calls, patience_s, urgent=self._urgent)
            self._at_work = self.slots > 0
        if 0 < self.slots < self._calls:
            self.slots += self._slots.take_more(self._calls - self.slots)
        while 2 * self._free_slots() < self.slots:
            if not self._record_ended(SLOT_PATIENCE_S if self._free_slots() else None):
                break
            if self.slots > 1 and self._slots.has_waiting:
                self._return_slots(1)
        return self._free_slots()

    def stop_starting(self) -> None:
        """Begins no further calls, so that another doorbell of the lane has its turn."""
        if self._at_work:
            self._at_work = False
            self._slots.stop_starting(self._lane, self._calls)

    def wait(self) -> None:
        """Waits until every call in flight has been answered or has failed, and records the results."""
        while self._in_flight:
            self._record_ended()

    def in_flight(self) -> set[str]:
        """Returns the parts whose calls are in flight."""
        return {flight.part.id for flight in self._in_flight.values()}

    def _poll(self) -> None:
        """Records ended calls between the preparation of two parts, unless it did so a moment ago."""
        if self._in_flight and self._runtime.monotonic() - self._polled_at >= SLOT_PATIENCE_S:
            self._record_ended(0)
            self._return_slots(self._free_slots() - 1)

    def _free_slots(self) -> int:
        return self.slots - len(self._in_flight)

    def _return_slots(self, slots: int) -> None:
        self._slots.give_back(slots)
        self.slots -= slots


def prepare(runtime: Runtime, due_parts: Sequence[JobPart], between: Callable[[], None]) -> Flights:
    """Returns the parts that are ready to be admitted. Any other part waits or has ended, and its row says why.

    Calls `between` before each part, because a preparation may take seconds. Raises `WriterClosed`, and errors of the
    database that are not about one row.
    """
    ready = Flights()
    for part in due_parts:
        between()
        # One part after another: a part that finds no token closes its lane for the parts behind it.
        if runtime.lane_states.is_closed(part.lane):
            continue
        flight = InFlight(part)
        try:
            if resolve(runtime, flight) and authorise(runtime, flight):
                render(runtime, flight)
                ready.append(flight)
                continue
        except Exception as error:  # noqa: BLE001  one part that we cannot prepare must not hold up the others
            end_unprepared(runtime, part, error)
        # Its message and files may be megabytes, and releasing the part needs its id alone.
        part.message, part.facts = {}, {}
    return ready


def connect(runtime: Runtime, flights: Flights) -> Flights:
    """Makes the missing connections, and returns the flights that have a connection.

    If a host cannot be reached, its account waits, and no attempt is counted.
    """
    missing = [flight for flight in flights if flight.connection is None]
    connections = runtime.transport.connect_all([flight.request for flight in missing])
    for flight, connection in zip(missing, connections, strict=True):
        if not isinstance(connection, NotSent):
            flight.connection = connection
            continue
        # The account waits, not the part: one broken host must not exhaust the attempts of every queued part.
        block = runtime.lane_blocks.block_unreachable(
            flight.part, f"no connection: {connection.reason}", connection.remedy
        )
        runtime.lane_blocks.apply(block)
        delay = block.delay if block else 0.0
        log_attempt(flight, 0, Verdict(Retry(connection.reason)), delay, connection.duration_s)
    return [flight for flight in flights if flight.connection is not None]


def _release(flight: InFlight) -> None:
    """Gives the connection of a flight back. Does nothing if a call has begun on it."""
    if flight.connection is not None:
        flight.connection.release()


def may_start(runtime: Runtime, flight: InFlight, starting: int) -> bool:
    """Returns False if the lane was stopped since the part was admitted, by an earlier part or by another thread.

    `starting` is the number of other calls of the lane that are about to begin.
    """
    # A lane whose limit is used up still makes the calls that have a permit.
    calls = runtime.lane_states.capacity(flight.part.lane, has_permit=True).calls
    return (calls is None or calls > starting) and not runtime.draining.is_set()


def mark(runtime: Runtime, flights: Flights) -> Flights:
    """Marks the parts in one transaction, and returns the marked ones. No call may follow without a mark."""
    flights = [flight for flight in flights if runtime.lease.may_act(flight.incarnation)]
    if not flights or runtime.draining.is_set():
        return []
    runtime.checkpoint("before_mark")
    # Read before the marks are written, so that the deadlines in SQL never end before those of the calls.
    marked_at = runtime.monotonic()
    marks = [mark_for(flight, runtime.settings) for flight in flights]
    calls = runtime.writer.mark(marks)
    # For every flight before anything that may fail, so that each mark gets its end.
    for flight, marked_call in zip(flights, calls, strict=True):
        if marked_call is not None:
            flight.claim, flight.flagged, flight.marked_at = marked_call.number, marked_call.flagged, marked_at
    marked = [flight for flight in flights if flight.claim]
    for flight in flights:
        if not flight.claim:
            return_permit_and_wake(runtime, flight)
    runtime.report_updates([_happened(flight) for flight in marked])
    runtime.checkpoint("after_mark")
    return marked


def _happened(flight: InFlight) -> JobUpdate:
    """Returns the update of the job that is reported when its call begins."""
    part, account = flight.part, flight.account
    is_first = part.n == 0 and part.first_marked_at is None
    named = part.job_id, part.kind, account.channel, part.account
    return JobUpdate(*named, JobState.OPEN, is_first=is_first, retries=flight.claim - 1)


def call(runtime: Runtime, flights: Flights) -> None:
    """Begins the calls, with no transaction open. Queues a part again that may no longer be called."""
    errors = list[Exception]()
    for flight in flights:
        try:
            # Checked again, because the commit of the mark may have taken longer than the lease or the permit lasts.
            obstacle = _obstacle(runtime, flight)
            if obstacle is not None:
                requeue_unsent(runtime, flight, Verdict(Wait(Scope.PART, 0.0, obstacle)))
            else:
                _begin(runtime, flight)
        except Exception as error:  # noqa: BLE001  the other marked parts are called first
            errors.append(error)
    if errors:
        raise errors[0]


def _obstacle(runtime: Runtime, flight: InFlight) -> str | None:
    """Returns why the call of a marked part may not begin, or None if it may."""
    if flight.permit is not None and not _renew_permit(runtime, flight):
        return "another call used up its limit meanwhile"
    # Last, because the renewal of a permit may wait for the database longer than the lease lasts.
    if not runtime.lease.may_act(flight.incarnation):
        return "the process lost its lease"
    return None


def _renew_permit(runtime: Runtime, flight: InFlight) -> bool:
    """Renews the permit if it expired while the mark was written. Returns False if the limits have no room now."""
    assert flight.permit is not None
    if runtime.governor.is_fresh(flight.permit):
        return True
    try:
        renewed = runtime.governor.renew(flight.permit, flight.charges)
    except SQLAlchemyError:
        # The part is marked already, so the error must not leave it `sending`: it is queued again.
        return False
    flight.permit = None if isinstance(renewed, Denied) else renewed
    return flight.permit is not None


def _begin(runtime: Runtime, flight: InFlight) -> None:
    """Begins the call, with the rest of its deadline."""
    assert flight.connection is not None
    # From here on an exception means doubt: bytes may have been sent, so the part must not simply be queued again.
    flight.is_called, flight.called_at = True, runtime.monotonic()
    lane, request = flight.part.lane, flight.request
    if flight.rule is RepeatRule.DUPLICATE_CHECK and not flight.flagged:
        # The duplicate check must not cover this call: with its two fields the vendor could drop the call in silence.
        request = make_request(flight, flagged=False)
    # The deadline counts from the mark: after it another process may repeat the call. So a process that was stopped
    # after the mark must send nothing when it goes on too late.
    remaining_s = request.deadline_s - (runtime.monotonic() - flight.marked_at)
    runtime.lane_states.begin_call(lane, max(0.0, remaining_s))
    try:
        if remaining_s <= 0:
            flight.pending = EndedCall(NotSent(Unsent.DEADLINE.value, 0.0, Unsent.DEADLINE))
        else:
            flight.pending = flight.connection.begin(replace(request, deadline_s=remaining_s))
    except BaseException:
        runtime.lane_states.end_call(lane)
        raise
