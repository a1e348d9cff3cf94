"""One attempt: resolve, authorise, render, connect, admit, mark, call, read, record.

This page alone states that order. Each step takes flights and returns those that go on. Before the mark an error leaves
a part queued, or ends it after its last try. From the mark on every path queues an end: certainly not sent, answered,
or in doubt. The part never stays `sending`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from worker.delivery.sender.admit import admit, give_back
from worker.delivery.sender.call import call, connect, mark, may_start, reach
from worker.delivery.sender.in_flight import Flights, InFlight
from worker.delivery.sender.prepare import authorise, end_unprepared, render, resolve
from worker.delivery.sender.record import end_in_error, read, record
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.set_aside import our_error
from worker.outbox.jobs.loading import DuePart

Step = Callable[[Runtime, Flights], Flights]

PREPARE: tuple[Step, ...] = (resolve, authorise, render)
"""A part may wait here, or end; nothing is reserved, and nothing is marked."""

CARRY_OUT: tuple[Step, ...] = (mark, call, read, record)
"""The mark is committed before the first byte. After a crash a marked part is in doubt; without the mark it would be
offered again and sent twice.
"""


def deliver(runtime: Runtime, due_parts: Sequence[DuePart], done: Callable[[InFlight], None]) -> None:
    """Carries parts of one lane through all steps, and calls `done` for each that may not be offered again at once.

    That is a part whose end is queued, and one that waits for limits of its own. All others are as queued as before.
    """
    ready = prepare(runtime, due_parts)
    # Before the limits: a host that is down must not use up room in them.
    if not ready or not reach(runtime, ready[0]):
        return
    admitted = deque(admit(runtime, ready, done))
    try:
        while admitted:
            flight = admitted.popleft()
            if may_start(runtime, flight):
                carry_out(runtime, [flight])
            else:
                give_back(runtime, flight)
            if flight.ticket is not None:
                done(flight)
    finally:
        for flight in admitted:
            give_back(runtime, flight)


def prepare(runtime: Runtime, due_parts: Sequence[DuePart]) -> Flights:
    """The parts that are ready to be admitted; each of the others waits or has ended, and its row says why.

    Raises `WriterClosed`, and errors of the database that are not about one row.
    """
    ready: Flights = []
    for due in due_parts:
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


def carry_out(runtime: Runtime, flights: Flights) -> None:
    """Marks, calls, reads and records; a flight that has no `ticket` then was not marked, and is queued as before."""
    try:
        # Once more: usually it is the connection that `reach` made.
        through(CARRY_OUT, runtime, connect(runtime, flights))
    except Exception as error:
        for flight in flights:
            end_in_error(runtime, flight, our_error(error))
        raise
    finally:
        for flight in flights:
            if flight.connection is not None:
                flight.connection.release()


def through(steps: Sequence[Step], runtime: Runtime, flights: Flights) -> Flights:
    """Takes the flights through the steps and returns those that no step has stopped."""
    for step in steps:
        flights = step(runtime, flights)
    return flights
