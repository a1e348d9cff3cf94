"""One attempt: resolve, authorise, render, connect, admit, mark, call, read, record.

This page alone states that order: `deliver` takes a few parts of a doorbell until their calls have begun, and `_land`
records the calls that have ended. How a part is prepared stands in `prepare.py`, what becomes of one without room in
`admit.py`, what its answer means in `record.py`. To connect, mark and call stands below.

Before the mark an error leaves a part queued, or ends it after its last try. From the mark on every path queues an end:
certainly not sent, answered, or in doubt. The part never stays `sending`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from worker.delivery.sender.admit import admit, give_back, give_back_for_others
from worker.delivery.sender.in_flight import Flights, InFlight
from worker.delivery.sender.prepare import authorise, end_unprepared, make_request, render, resolve
from worker.delivery.sender.record import end_in_error, log_attempt, mark_for, read, record, take_back
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.set_aside import our_error
from worker.delivery.sender.slots import CallSlots
from worker.delivery.sender.writer import Ticket
from worker.domain.call import NeverLeft, Unsent
from worker.domain.job import RepeatRule
from worker.domain.outcome import Retry, Scope, Verdict, Wait
from worker.domain.pacing.limit import Denied
from worker.domain.state import JobState
from worker.outbox.commit.commands import JobUpdate
from worker.outbox.jobs.loading import JobPart
from worker.transport.pending_call import EndedCall, PendingCall

PATIENCE_S = 0.005
"""Seconds for which a free slot waits for others, so that calls are reserved, marked and begun together."""
LONGER = 1.5
"""Times `doorbell_s` that a doorbell waits for its first slot: the one before it has begun its last calls by then."""


class Attempts:
    """The attempts of one doorbell, in one thread. Up to `calls` of them are in flight at once, a slot each.

    Calls `let_go` with each part that other threads of this process may work on again. At the end of the `with` block
    no call is in flight.
    """

    def __init__(
        self,
        runtime: Runtime,
        slots: CallSlots,
        lane: str,
        calls: int,
        let_go: Callable[[list[str]], None],
        *,
        urgent: bool = False,
    ):
        self._runtime, self._slots, self._lane, self._calls, self._let_go = runtime, slots, lane, calls, let_go
        self._urgent = urgent
        self._at_work = False
        self._in_flight: dict[PendingCall, InFlight] = {}
        self._looked_at = self._landed_at = 0.0
        self.slots = 0
        """Number of slots held: one for each call in flight, and free ones."""
        self.left: dict[str, None] = {}
        """Parts that may be offered again at once: they have no end yet, and do not wait for limits of their own."""
        self.called: list[str] = []
        self.proved_open: list[str] = []
        """Lanes and accounts whose blocks the vendor's answers disprove."""
        self.last: Ticket | None = None
        """The end that was given to the writer last."""

    def __enter__(self) -> Attempts:
        return self

    def __exit__(self, *_error: object) -> None:
        errors = list[Exception]()
        self.no_more()
        while self._in_flight:
            self._free(self._room())
            try:
                self._land()
            except Exception as error:  # noqa: BLE001  the others have to land, too
                errors.append(error)
        self._free(self.slots)
        if errors:
            raise errors[0]

    def deliver(self, due_parts: Sequence[JobPart]) -> list[str]:
        """Carries parts of one lane through the steps until their calls have begun. Returns the ids of those called."""
        runtime, since = self._runtime, self._runtime.monotonic()
        # Before more is read: a thread with one slot holds one message at a time.
        if not (self._room() or self.make_room()):
            return []
        # What a part needs before its mark, such as a token, may take long: others have the rest meanwhile.
        self._free(self._room() - 1)
        ready = prepare(runtime, due_parts, self._look)
        if len(ready) < len(due_parts):
            runtime.lane_states.moved(self._lane)
        # Before the limits: a host that is down must not use up room in them.
        if not ready or not connect(runtime, ready[:1]):
            return []
        waiting = deque[InFlight]()
        try:
            admitted = admit(runtime, ready, self.left)
            if len(admitted) < len(ready):
                runtime.lane_states.moved(self._lane)
            waiting += admitted
            while waiting:
                self.make_room()
                self._start([waiting.popleft() for _ in range(min(len(waiting), self._room()))], since)
                since = self._runtime.monotonic()
        finally:
            with ExitStack() as ends:
                for flight in waiting:
                    ends.callback(give_back, runtime, flight)
                ends.callback(_release, ready[0])
        return [flight.due.id for flight in admitted if flight.is_called]

    def _start(self, flights: Flights, since: float) -> None:
        """Connects, marks and calls. A part that is neither in flight nor has an end afterwards is queued as before."""
        runtime, going = self._runtime, Flights()
        for flight in flights:
            # What happened since one of the calls before landed: its slot was free from then on.
            flight.began_at = max(since, self._landed_at)
            if may_start(runtime, flight, len(going)):
                going.append(flight)
        try:
            connected = connect(runtime, going)
            # The mark is committed before the first byte. After a crash a marked part is in doubt; without the mark it
            # would be offered again and sent twice.
            marked = mark(runtime, connected)
            call(runtime, marked)
        except Exception as error:
            with ExitStack() as ends:  # every one of them, whatever happens at another
                for flight in going:
                    if flight.pending is None:
                        ends.callback(end_in_error, runtime, flight, our_error(error))
            raise
        finally:
            self._in_flight |= {flight.pending: flight for flight in flights if flight.pending is not None}
            with ExitStack() as ends:
                for flight in flights:
                    if flight.pending is None:
                        ends.callback(self._leave, flight)

    def _land(self, timeout_s: float | None = None) -> int:
        """Waits until a call has ended, or for so many seconds. Reads and records those that have; returns how many."""
        runtime, errors = self._runtime, list[Exception]()
        try:
            ended = runtime.transport.await_any(self._in_flight.keys(), timeout_s)
        except Exception as error:  # noqa: BLE001  each call can wait for itself, and none may stay in flight
            ended = list(self._in_flight)
            errors.append(error)
        for pending in ended:
            flight = self._in_flight.pop(pending)
            try:
                read(runtime, flight)
                record(runtime, flight)
            except Exception as error:  # noqa: BLE001  the others have ended, too, and are recorded first
                end_in_error(runtime, flight, our_error(error))
                errors.append(error)
            self._leave(flight)
        self._looked_at = runtime.monotonic()
        if ended:
            self._landed_at = self._looked_at
        if errors:
            raise errors[0]
        return len(ended)

    def _leave(self, flight: InFlight) -> None:
        """Notes what became of a part that is not in flight any more, and gives back what it did not use."""
        runtime, part = self._runtime, flight.due.id
        _release(flight)
        flight.due.facts = {}  # a file's bytes may be among them
        if flight.ticket is None:
            # Its job was cancelled or its time over, say, or another process has it.
            runtime.lane_states.moved(self._lane)
            give_back(runtime, flight)
            return
        self.left.pop(part, None)
        self.last = flight.ticket
        self.proved_open += flight.proved_open
        if flight.is_called:
            self.called.append(part)
        runtime.lane_states.cycled(flight.due.lane, runtime.monotonic() - flight.began_at)
        # Not at the end of the doorbell: queued again at once (a stale token, a short backoff), it may come elsewhere.
        self._let_go([part])

    def make_room(self) -> int:
        """Waits for calls to end until half of the slots are free, or until one is and no more call ends for a moment.

        Returns how many calls may begin now, or 0 if the doorbell got no slot in time.
        """
        if not self.slots:
            patience_s = LONGER * self._runtime.settings.doorbell_s
            self.slots = self._slots.first(self._lane, self._calls, patience_s, urgent=self._urgent)
            self._at_work = self.slots > 0
        if 0 < self.slots < self._calls:
            self.slots += self._slots.more(self._calls - self.slots)
        while 2 * self._room() < self.slots:
            if not self._land(PATIENCE_S if self._room() else None):
                break
            if self.slots > 1 and self._slots.awaited:
                self._free(1)
        return self._room()

    def no_more(self) -> None:
        """Lets another doorbell of the lane have its turn. This one begins no further calls."""
        if self._at_work:
            self._at_work = False
            self._slots.no_more(self._lane, self._calls)

    def wait(self) -> None:
        """Waits until every call in flight has been answered or has failed, and records the results."""
        while self._in_flight:
            self._land()

    def in_flight(self) -> set[str]:
        """Returns the parts whose calls are in flight."""
        return {flight.due.id for flight in self._in_flight.values()}

    def _look(self) -> None:
        """Records calls that have ended, between the preparation of two parts, unless it did so just before."""
        if self._in_flight and self._runtime.monotonic() - self._looked_at >= PATIENCE_S:
            self._land(0)
            self._free(self._room() - 1)

    def _room(self) -> int:
        return self.slots - len(self._in_flight)

    def _free(self, slots: int) -> None:
        self._slots.free(slots)
        self.slots -= slots


def prepare(runtime: Runtime, due_parts: Sequence[JobPart], between: Callable[[], None]) -> Flights:
    """Returns the parts that are ready to be admitted. Each of the others waits or has ended, and its row says why.

    Calls `between` before each part, because one may take seconds. Raises `WriterClosed`, and errors of the database
    that are not about one row.
    """
    ready = Flights()
    for due in due_parts:
        between()
        # One part after another: a part that finds no token closes its lane for those behind it.
        if runtime.lane_states.closed(due.lane):
            continue
        flight = InFlight(due)
        try:
            if resolve(runtime, flight) and authorise(runtime, flight):
                render(runtime, flight)
                ready.append(flight)
                continue
        except Exception as error:  # noqa: BLE001  one part that we cannot prepare must not hold up the others
            end_unprepared(runtime, due, error)
        # Its message and files may be megabytes, and leaving the part takes its id alone.
        due.message, due.facts = {}, {}
    return ready


def connect(runtime: Runtime, flights: Flights) -> Flights:
    """Makes the connections that are missing, and returns the flights that have one.

    Where a host cannot be reached, its account waits, and no attempt is counted.
    """
    missing = [flight for flight in flights if flight.connection is None]
    connections = runtime.transport.connect_all([flight.request for flight in missing])
    for flight, connection in zip(missing, connections, strict=True):
        if not isinstance(connection, NeverLeft):
            flight.connection = connection
            continue
        # The account waits, not the part: an attempt of every queued part for one broken host would exhaust them.
        rest = runtime.lane_blocks.unreachable(flight.due, f"no connection: {connection.reason}", connection.remedy)
        runtime.lane_blocks.apply(rest)
        delay = rest.delay if rest else 0.0
        log_attempt(flight, 0, Verdict(Retry(connection.reason)), delay, connection.duration_s)
    return [flight for flight in flights if flight.connection is not None]


def _release(flight: InFlight) -> None:
    """Gives the connection of a flight back. Does nothing if a call has begun on it."""
    if flight.connection is not None:
        flight.connection.release()


def may_start(runtime: Runtime, flight: InFlight, beside: int) -> bool:
    """Returns False if the lane was stopped since the part was admitted, by an earlier part or by another thread.

    `beside`: other calls of the lane that are about to begin.
    """
    # A lane whose limit is used up still makes the calls that have a permit.
    calls = runtime.lane_states.room(flight.due.lane, has_permit=True).calls
    return (calls is None or calls > beside) and not runtime.draining.is_set()


def mark(runtime: Runtime, flights: Flights) -> Flights:
    """Marks the parts in one transaction, and returns the marked ones. No call may follow without a mark."""
    flights = [flight for flight in flights if runtime.lease.may_act(flight.incarnation)]
    if not flights or runtime.draining.is_set():
        return []
    runtime.probe("before_mark")
    # Before the marks: their deadlines in SQL then never end earlier than the calls'.
    marked_at = runtime.monotonic()
    marks = [mark_for(flight, runtime.settings) for flight in flights]
    runtime.writer.mark(marks)
    # All of them before anything that may fail, so that each mark has its end.
    for flight, mark in zip(flights, marks, strict=True):
        flight.claim, flight.flagged, flight.marked_at = mark.call, mark.flagged, marked_at
    marked = [flight for flight in flights if flight.claim]
    for flight in flights:
        if not flight.claim:
            give_back_for_others(runtime, flight)
    runtime.tell([_happened(flight) for flight in marked])
    runtime.probe("after_mark")
    return marked


def _happened(flight: InFlight) -> JobUpdate:
    """Returns what is reported when a call begins."""
    due, account = flight.due, flight.account
    is_first = due.n == 0 and due.first_marked_at is None
    return JobUpdate(due.job_id, due.kind, account.channel, due.account, JobState.OPEN, is_first=is_first)


def call(runtime: Runtime, flights: Flights) -> None:
    """Begins the calls; no transaction is open. A part that may not be called any more is queued again."""
    errors = list[Exception]()
    for flight in flights:
        try:
            # Again, because the commit of the mark may have taken longer than the lease or the permit lasts.
            obstacle = _obstacle(runtime, flight)
            if obstacle is not None:
                take_back(runtime, flight, Verdict(Wait(Scope.PART, 0.0, obstacle)))
            else:
                _begin(runtime, flight)
        except Exception as error:  # noqa: BLE001  the others are marked, too, and are called first
            errors.append(error)
    if errors:
        raise errors[0]


def _obstacle(runtime: Runtime, flight: InFlight) -> str | None:
    """Returns why the call of a marked part may not begin, or None if it may."""
    if not runtime.lease.may_act(flight.incarnation):
        return "the process lost its lease"
    if flight.permit is not None and not _renew_permit(runtime, flight):
        return "the limit's room was gone"
    return None


def _renew_permit(runtime: Runtime, flight: InFlight) -> bool:
    """Reserves anew if the permit became too old while the mark was written. Returns False if there is no room now."""
    assert flight.permit is not None
    if runtime.governor.is_fresh(flight.permit):
        return True
    try:
        again = runtime.governor.renew(flight.permit, flight.charges)
    except SQLAlchemyError:
        # The part is marked already, so the error must not leave it `sending`: it is taken back.
        return False
    flight.permit = None if isinstance(again, Denied) else again
    return flight.permit is not None


def _begin(runtime: Runtime, flight: InFlight) -> None:
    """Begins the call, with what is left of its deadline."""
    assert flight.connection is not None
    # From here on an exception means doubt: bytes may have left, so the part must not simply be queued again.
    flight.is_called, flight.called_at = True, runtime.monotonic()
    lane, request = flight.due.lane, flight.request
    if flight.rule is RepeatRule.DUPLICATE_CHECK and not flight.flagged:
        # The check does not cover this call: sent with its two fields, it could be swallowed in silence.
        request = make_request(flight, flagged=False)
    # The deadline counts from the mark: after it another process may repeat the call, so a process that was stopped
    # in between must send nothing when it goes on.
    left_s = request.deadline_s - (runtime.monotonic() - flight.marked_at)
    runtime.lane_states.begin_call(lane, max(0.0, left_s))
    try:
        if left_s <= 0:
            flight.pending = EndedCall(NeverLeft(Unsent.DEADLINE.value, 0.0, Unsent.DEADLINE))
        else:
            flight.pending = flight.connection.begin(replace(request, deadline_s=left_s))
    except BaseException:
        runtime.lane_states.end_call(lane)
        raise
