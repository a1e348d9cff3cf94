"""The group commit: one thread per process commits for all senders all that is queued, together.

A mark returns when it is durable; an end returns at once and is written in the same or an earlier transaction than the
sender's next mark. An acceptance makes no haste: it waits a moment for such a mark, whose commit takes it along.
While the database is away, results stay in memory and nothing new is marked.
A vendor's text that a database refuses is made storable; everything else stays as it came.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from worker.config.log import Logger
from worker.domain.callbacks.hook import Ends
from worker.domain.errors import WorkerError
from worker.domain.outcome import Accepted, Unknown, Verdict
from worker.domain.settle import Policy
from worker.outbox.commit.commands import CallEnd, Change, CommitResult, Deferral, Item, JobUpdate, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.database import Database, is_about_the_row
from worker.outbox.lanes.lanes import log_steps

log = Logger()

MAX_ROWS = 400
MAX_BYTES = 4 * 1024 * 1024
LINGER_S = 0.025
"""Seconds for which an acceptance waits for something that makes haste."""
ALIVE_S = 1.0
"""Seconds after which a thread that waits for a change checks that the writer's thread is still alive."""


class WriterClosed(WorkerError):
    """The process is ending: nothing is marked any more."""


class Ticket:
    """One item in the writer's queue; waits for the transaction that carries it."""

    __slots__ = ("_done", "failed", "item")

    def __init__(self, item: Item) -> None:
        self.item = item
        self._done = threading.Lock()
        self._done.acquire()
        self.failed = False
        """True when it was not written: its database refuses it, or the process ends."""

    def finish(self, *, failed: bool = False) -> None:
        """Called once by the writer."""
        self.failed = failed
        self._done.release()

    def wait(self, timeout_s: float = -1) -> bool:
        """True when the transaction is durable."""
        return self._done.acquire(timeout=timeout_s)


class Writer:
    """The group commit of one process."""

    def __init__(
        self,
        database: Database,
        policy: Policy,
        *,
        tell: Callable[[Sequence[JobUpdate]], None] = lambda happened: None,
        died: Callable[[BaseException], None],
        pause: Callable[[float], None] = time.sleep,
        probe: Callable[[str], None] | None = None,
        hooked_ends: Ends | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        self._database, self._policy, self._hooked_ends = database, policy, hooked_ends
        self._tell, self._died, self._pause, self._probe = tell, died, pause, probe
        self._monotonic = monotonic
        self._queue: SimpleQueue[Ticket | None] = SimpleQueue()
        self._haste = threading.Event()
        """Set behind every item that makes haste."""
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._closing = False
        self._rest_s = 0.001 if database.has_one_writer else 0.0
        self._began_at: float | None = None
        """When the commit under way, or its newest try, began; None: nothing is queued."""
        self.marked_at = monotonic()
        """When a sender last had the answer to a mark, in seconds of the monotonic clock; at first, its start."""
        self.away_at = float("-inf")
        """When the database last failed to take a commit."""
        self.batches = 0
        self.rows = 0

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def mark(self, marks: Sequence[Mark]) -> None:
        """Returns when each mark is durable or refused. Of a part whose mark has no `call` then no byte may leave.

        WriterClosed: none of them was written, because the process ends.
        """
        if self._closing:
            raise WriterClosed("the process is ending")
        tickets = [self._put(mark) for mark in marks]
        self._haste.set()
        for ticket, mark in zip(tickets, marks, strict=True):
            ticket.wait()
            if ticket.failed:
                mark.call = 0  # a transaction that was rolled back may have set it
        if any(mark.call for mark in marks):
            self.marked_at = self._monotonic()

    def end(self, end: CallEnd) -> Ticket:
        """Queues the result of a call; it is written before this sender's next mark."""
        ticket = self._put(end)
        # Other processes must hear of a block; and a lane that starts slowly has more calls with each success.
        if not isinstance(end.verdict.outcome, Accepted) or end.lane_changes:
            self._haste.set()
        return ticket

    def wait(self, ticket: Ticket, timeout_s: float) -> bool:
        """True when the end with this ticket is durable; it does not wait for a mark any more."""
        if ticket.wait(0):
            return True
        self._haste.set()
        return ticket.wait(timeout_s)

    def change(self, changes: Sequence[Change]) -> None:
        """Carries out other moves and returns when they are durable; WriterClosed when the writer's thread ended."""
        tickets = [self._put(change) for change in changes]
        self._haste.set()
        for ticket in tickets:
            self._until_done(ticket)

    def narrow(self, narrowing: Deferral) -> bool:
        """Splits a part's recipients and returns when that is durable; False: nothing has changed."""
        ticket = self._put(narrowing)
        self._haste.set()
        self._until_done(ticket)
        return narrowing.done and not ticket.failed

    def flush(self, timeout_s: float) -> bool:
        """True when all that was queued so far is durable within the time."""
        barrier = Ticket(_BARRIER)
        self._queue.put(barrier)
        return self.wait(barrier, timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Takes no new marks, writes what is queued; False when the database did not take it in time."""
        self._closing = True
        self._queue.put(None)
        self._haste.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def busy_s(self, now: float) -> float:
        """For how many seconds the commit under way has run; each try counts from its own begin, and 0 is idle."""
        began_at = self._began_at
        return 0.0 if began_at is None else now - began_at

    def _until_done(self, ticket: Ticket) -> None:
        while not ticket.wait(ALIVE_S):
            if not self._thread.is_alive() and not ticket.wait(0):
                raise WriterClosed("the process has ended")

    def _put(self, item: Item) -> Ticket:
        ticket = Ticket(item)
        self._queue.put(ticket)
        return ticket

    def _run(self) -> None:
        try:
            while self._turn():
                if self._rest_s:
                    self._pause(self._rest_s)
            self._refuse_the_rest()
        except BaseException as error:  # noqa: BLE001  the thread must never die in silence: the process ends with it
            self._died(error)

    def _refuse_the_rest(self) -> None:
        """Empties the queue behind the end: results are written, marks are refused."""
        with contextlib.suppress(Empty):
            while True:
                ticket = self._queue.get_nowait()
                if ticket is not None and isinstance(ticket.item, Mark):
                    ticket.finish(failed=True)
                elif ticket is not None and ticket.item is not _BARRIER:
                    self._write([ticket])
                elif ticket is not None:
                    ticket.finish()

    def _turn(self) -> bool:
        tickets, last = self._gather()
        due = [ticket for ticket in tickets if ticket.item is not _BARRIER]
        if due:
            self._began_at = self._monotonic()
            self._write(due)
            self._began_at = None
        for ticket in tickets:
            if ticket.item is _BARRIER:
                ticket.finish()
        return not last

    def _gather(self) -> tuple[list[Ticket], bool]:
        """The next item and all that is queued behind it, limited by rows and bytes; True: this is the last batch."""
        first = self._queue.get()
        if first is None:
            return [], True
        if isinstance(first.item, CallEnd):
            self._haste.wait(LINGER_S)
        # Before the rest is taken, for it is set behind an item.
        self._haste.clear()
        tickets, size = [first], _size(first.item)
        with contextlib.suppress(Empty):
            while len(tickets) < MAX_ROWS and size < MAX_BYTES:
                ticket = self._queue.get_nowait()
                if ticket is None:
                    return tickets, True
                tickets.append(ticket)
                size += _size(ticket.item)
            # What is left for the next batch may make haste, too.
            self._haste.set()
        return tickets, False

    def _write(self, tickets: list[Ticket]) -> None:
        """Commits the tickets, and waits for the database as long as it takes; finds a bad row by halving."""
        happened: dict[JobUpdate, None] = {}
        try:
            done = self._commit([ticket.item for ticket in tickets], happened)
        except Exception as error:
            if not is_about_the_row(error):
                raise
            self._halve(tickets, error)
            return
        if self._probe and any(isinstance(ticket.item, CallEnd) for ticket in tickets):
            self._probe("after_record")
        self.batches += 1
        self.rows += len(tickets)
        for ticket in tickets:
            ticket.finish()
        log_steps(done.lane_events)
        if happened:
            self._tell(list(happened))

    def _commit(self, items: list[Item], happened: dict[JobUpdate, None]) -> CommitResult:
        """Commits until the database has taken the items; notes what happened, and what lanes have yet to hear."""
        # Both are kept over all tries: the try whose answer was lost may be the one that was committed.
        away = 0
        while True:
            try:
                return commit(self._database, items, self._policy, happened, self._hooked_ends)
            except SQLAlchemyError as error:
                if is_about_the_row(error):
                    raise
                away += 1
                if away == 1 or away % 60 == 0:
                    log.warning("database_away", error=type(error).__name__, items=len(items))
                self._pause(min(1.0, 0.05 * 2 ** min(away, 5)))
                self.away_at = self._began_at = self._monotonic()

    def _halve(self, tickets: list[Ticket], error: Exception) -> None:
        if len(tickets) > 1:
            middle = len(tickets) // 2
            self._write(tickets[:middle])
            self._write(tickets[middle:])
            return
        ticket = tickets[0]
        plainer = _plainer(ticket.item)
        log.error("row_not_storable", part=ticket.item.part_id, error=type(error).__name__, plainer=plainer is not None)
        if plainer is None and isinstance(ticket.item, CallEnd):
            # An end is never dropped: the process ends, and recovery finds its part in doubt.
            raise error
        if plainer is None:
            ticket.finish(failed=True)
            return
        ticket.item = plainer
        self._write([ticket])


_BARRIER: Change = Change("", lambda part, now: None)


def _size(item: Item) -> int:
    return len(item.body or "") if isinstance(item, Mark) else 200


def _plainer(item: Item) -> Item | None:
    """The same end with texts that can be stored, and if it has those already, in doubt without the vendor's answer.

    None: there is no plainer form of the item.
    """
    if not isinstance(item, CallEnd) or item.verdict == _UNSTORABLE:
        return None
    scrubbed = _scrub(item.verdict)
    if scrubbed != item.verdict:
        return replace(item, verdict=scrubbed)
    effects = replace(item.effects, recalled=None, media_valid_s=None)
    return replace(item, verdict=_UNSTORABLE, effects=effects, lane_changes=(), failures_in_a_row=0)


_UNSTORABLE = Verdict(Unknown("an answer came that could not be stored"))


def _scrub(value: Any) -> Any:
    """The same value with every text in it made storable; reaches into dataclasses, tuples and mappings."""
    if isinstance(value, str):
        # No NUL and no lone surrogate, which databases refuse.
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, tuple):
        return tuple(_scrub(entry) for entry in value)
    if isinstance(value, dict):
        return {_scrub(key): _scrub(entry) for key, entry in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{entry.name: _scrub(getattr(value, entry.name)) for entry in fields(value)})
    return value
