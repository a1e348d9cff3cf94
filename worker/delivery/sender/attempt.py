"""One attempt: resolve, authorise, render, connect, admit, mark, call, read, record.

This page alone states that order. Each step takes flights and returns those that go on. Before the mark an error leaves
a part queued, or ends it after its last try. From the mark on every path queues an end: certainly not sent, answered,
or in doubt. The part never stays `sending`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from worker.delivery.sender.admit import admit, give_back
from worker.delivery.sender.call import call, connect, mark, may_start, reach
from worker.delivery.sender.in_flight import Flights, InFlight
from worker.delivery.sender.prepare import authorise, end_unprepared, render, resolve
from worker.delivery.sender.record import end_in_error, read, record
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.set_aside import our_error
from worker.delivery.sender.slots import CallSlots
from worker.outbox.jobs.loading import DuePart
from worker.transport.pending_call import PendingCall

Step = Callable[[Runtime, Flights], Flights]

PREPARE: tuple[Step, ...] = (resolve, authorise, render)
"""A part may wait here, or end; nothing is reserved, and nothing is marked."""

START: tuple[Step, ...] = (connect, mark, call)
"""The mark is committed before the first byte. After a crash a marked part is in doubt; without the mark it would be
offered again and sent twice.
"""

LAND: tuple[Step, ...] = (read, record)
"""Every call that was begun comes through here, and its end is queued."""

PATIENCE_S = 0.005
"""Seconds for which a free slot waits for others, so that calls are reserved, marked and begun together."""
LONGER = 1.5
"""Times `doorbell_s` that a doorbell waits for its first slot: the one before it has begun its last calls by then."""


class Attempts:
    """The attempts of one doorbell, in one thread: up to `calls` of them are in the air at once, a slot each.

    Calls `done` for each part that may not be offered again at once: its end is queued, or it waits for limits of its
    own. All others are as queued as before. At the end of the `with` block every call has landed.
    """

    def __init__(
        self,
        runtime: Runtime,
        slots: CallSlots,
        lane: str,
        calls: int,
        done: Callable[[InFlight], None],
        *,
        urgent: bool = False,
    ):
        self._runtime, self._slots, self._lane, self._calls, self._done = runtime, slots, lane, calls, done
        self._urgent = urgent
        self._at_work = False
        self._in_the_air: dict[PendingCall, InFlight] = {}
        self._looked_at = self._landed_at = 0.0
        self.slots = 0
        """The slots that it holds: one for each call in the air, and free ones."""

    def __enter__(self) -> Attempts:
        return self

    def __exit__(self, *_error: object) -> None:
        errors = list[Exception]()
        self.no_more()
        while self._in_the_air:
            self._free(self._room())
            try:
                self._land()
            except Exception as error:  # noqa: BLE001  the others have to land, too
                errors.append(error)
        self._free(self.slots)
        if errors:
            raise errors[0]

    def deliver(self, due_parts: Sequence[DuePart]) -> list[str]:
        """Carries parts of one lane through the steps until their calls are begun; returns those that were called."""
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
        if not ready or not reach(runtime, ready[0]):
            return []
        admitted = admit(runtime, ready, self._done)
        if len(admitted) < len(ready):
            runtime.lane_states.moved(self._lane)
        waiting = deque(admitted)
        try:
            while waiting:
                self.make_room()
                self._start([waiting.popleft() for _ in range(min(len(waiting), self._room()))], since)
                since = self._runtime.monotonic()
        finally:
            with ExitStack() as ends:
                for flight in waiting:
                    ends.callback(give_back, runtime, flight)
        return [flight.due.id for flight in admitted if flight.is_called]

    def _start(self, flights: Flights, since: float) -> None:
        """Connects, marks and calls; a flight without a `ticket` that is not in the air then is queued as before."""
        runtime, going = self._runtime, Flights()
        for flight in flights:
            # What happened since one of the calls before landed: its slot was free from then on.
            flight.began_at = max(since, self._landed_at)
            if may_start(runtime, flight, len(going)):
                going.append(flight)
        try:
            # Once more: usually it is the connection that `reach` made.
            through(START, runtime, going)
        except Exception as error:
            with ExitStack() as ends:  # every one of them, whatever happens at another
                for flight in going:
                    if flight.pending is None:
                        ends.callback(end_in_error, runtime, flight, our_error(error))
            raise
        finally:
            self._in_the_air |= {flight.pending: flight for flight in flights if flight.pending is not None}
            with ExitStack() as ends:
                for flight in flights:
                    if flight.pending is None:
                        ends.callback(self._leave, flight)

    def make_room(self) -> int:
        """Lands calls until half of the slots are free, or one is and nothing more lands for a moment.

        Returns how many calls may begin now; 0: the doorbell got no slot in time.
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
        """Begins no further calls: another doorbell of the lane may have its turn."""
        if self._at_work:
            self._at_work = False
            self._slots.no_more(self._lane, self._calls)

    def wait(self) -> None:
        """Lands all calls."""
        while self._in_the_air:
            self._land()

    def in_the_air(self) -> set[str]:
        """The parts whose calls are in the air."""
        return {flight.due.id for flight in self._in_the_air.values()}

    def _look(self) -> None:
        """Lands what has ended, between two parts that are prepared, unless it has just looked."""
        if self._in_the_air and self._runtime.monotonic() - self._looked_at >= PATIENCE_S:
            self._land(0)
            self._free(self._room() - 1)

    def _land(self, timeout_s: float | None = None) -> int:
        """Waits until calls have ended, or for so many seconds; reads and records those that have, and counts them."""
        runtime, errors = self._runtime, list[Exception]()
        try:
            ended = runtime.transport.await_any(self._in_the_air.keys(), timeout_s)
        except Exception as error:  # noqa: BLE001  each call can wait for itself, and none may stay in the air
            ended = list(self._in_the_air)
            errors.append(error)
        for pending in ended:
            flight = self._in_the_air.pop(pending)
            try:
                through(LAND, runtime, [flight])
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
        """Ends the way of a flight that is not in the air."""
        if flight.connection is not None:
            flight.connection.release()
        if flight.ticket is None:
            # Its job was cancelled or its time over, say, or another process has it.
            self._runtime.lane_states.moved(self._lane)
            give_back(self._runtime, flight)
        else:
            self._done(flight)

    def _room(self) -> int:
        return self.slots - len(self._in_the_air)

    def _free(self, slots: int) -> None:
        self._slots.free(slots)
        self.slots -= slots


def prepare(runtime: Runtime, due_parts: Sequence[DuePart], between: Callable[[], None]) -> Flights:
    """The parts that are ready to be admitted; each of the others waits or has ended, and its row says why.

    Calls `between` before each part, because one may take seconds. Raises `WriterClosed`, and errors of the database
    that are not about one row.
    """
    ready: Flights = []
    for due in due_parts:
        between()
        # One part after another: a part that finds no token closes its lane for those behind it.
        if runtime.lane_states.closed(due.lane):
            continue
        try:
            flights = through(PREPARE, runtime, [InFlight(due)])
        except Exception as error:  # noqa: BLE001  one part that we cannot prepare must not hold up the others
            end_unprepared(runtime, due, error)
            flights = []
        ready += flights
        if not flights:
            # The message may be megabytes, and leaving the part takes its id alone.
            due.message = {}
    return ready


def through(steps: Sequence[Step], runtime: Runtime, flights: Flights) -> Flights:
    """Takes the flights through the steps and returns those that no step has stopped."""
    for step in steps:
        flights = step(runtime, flights)
    return flights
