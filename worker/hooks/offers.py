"""Offers due events to processes with hooks, at most as many as their hook threads can take.

The one process that has the lease runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from worker.domain.errors import NotPublished
from worker.outbox.engine.clock import micros
from worker.outbox.engine.database import Database
from worker.outbox.jobs import events
from worker.outbox.lanes.agenda import Agenda, Work
from worker.outbox.lanes.processes import living_processes

PROCESSES_S = 1.0
"""Seconds between two readings of how many processes there are, and which have ended."""


class HookOffers:
    """Offers events to the processes with hooks, turn by turn."""

    def __init__(
        self,
        database: Database,
        publish: Callable[[Sequence[str]], None],
        *,
        threads: int,
        republish_after_s: float,
        monotonic: Callable[[], float],
        agenda: Agenda | None = None,
    ):
        self._database, self._publish = database, publish
        self._threads, self._offer_us, self._monotonic = threads, micros(republish_after_s), monotonic
        self._agenda = agenda or Agenda(database, monotonic)
        self._read_at = float("-inf")
        self._free_threads = threads

    def turn(self) -> int:
        """Offers the due events once and returns their number."""
        if self._agenda.lacks(Work.EVENTS):
            return 0
        now = self._monotonic()
        if now - self._read_at >= PROCESSES_S:
            self._read_processes()
            self._read_at = now
        with self._database.reading() as connection:
            ids = events.due_events(connection, self._database.now, self._free_threads)
        if ids:
            # Committed before published, so that an id which the broker loses is offered again.
            note, wait = self._database.now, self._offer_us
            self._database.run(lambda connection: events.offer_events(connection, note, ids, wait))
            try:
                self._publish(ids)
            except NotPublished as error:
                left = error.left
                self._database.run(lambda connection: events.offer_events(connection, note, left, 0))
                raise
        return len(ids)

    def _read_processes(self) -> None:
        """Makes events of ended processes due again, and counts how many hooks all processes can run at a time."""
        now = self._database.now
        with self._database.reading() as connection:
            processes = living_processes(connection, now)
            stranded = events.has_events_of_ended_processes(connection)
        if stranded:
            self._database.run(lambda connection: events.free_events_of_ended_processes(connection, now))
        self._free_threads = self._threads * max(1, sum(process.fresh for process in processes))
