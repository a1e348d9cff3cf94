"""The group commit: one thread per process commits everything that the senders have queued, in one transaction.

`mark` returns when the mark is durable. `end` returns at once; the end is written in the same transaction as the
sender's next mark, or in an earlier one. An accepted call is not urgent: its end waits a moment for such a mark, to
share its commit. While the database is away, results stay in memory and nothing new is marked. A vendor's text that the
database refuses is made storable; everything else is stored as it came.
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
from worker.domain.errors import WorkerError
from worker.domain.outcome import Accepted, Unknown, Verdict
from worker.domain.settle import Policy
from worker.outbox.commit.commands import (
    CallEnd,
    Change,
    CommitResult,
    Deferral,
    Item,
    JobUpdate,
    Mark,
    MarkedCall,
    Tries,
)
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.database import Database, is_data_error
from worker.outbox.lanes.lanes import log_lane_events

log = Logger()

MAX_ROWS = 400
MAX_BYTES = 4 * 1024 * 1024
LINGER_S = 0.025
"""Seconds for which the end of an accepted call waits for an urgent item."""
ALIVE_S = 1.0
"""Seconds after which a thread that waits for a change checks that the writer's thread is still alive."""


class WriterClosed(WorkerError):
    """The process is ending, and nothing is marked any more."""


class PendingWrite:
    """One item in the writer's queue, on whose transaction its sender can wait."""

    __slots__ = ("_done", "call", "is_deferred", "item")

    def __init__(self, item: Item) -> None:
        self.item = item
        self._done = threading.Lock()
        self._done.acquire()
        self.call: MarkedCall | None = None
        """The call that may begin after a mark, or None if none may."""
        self.is_deferred = False
        """Whether the recipients of a deferral were moved."""

    def finish(self, result: CommitResult | None = None) -> None:
        """Wakes the waiting sender; called once by the writer.

        Without a result the item was not written, because the database refuses it or the process ends.
        """
        # The result itself is not kept: the marks of other senders in it may have large bodies.
        match self.item:
            case Mark() if result is not None:
                self.call = result.calls.get(self.item)
            case Deferral() if result is not None:
                self.is_deferred = self.item in result.deferred
        self._done.release()

    def wait(self, timeout_s: float = -1) -> bool:
        """Waits for the transaction. Returns True when it is durable, False when the time is over."""
        return self._done.acquire(timeout=timeout_s)


class Writer:
    """The group commit of one process."""

    def __init__(
        self,
        database: Database,
        policy: Policy,
        *,
        report_updates: Callable[[Sequence[JobUpdate]], None] = lambda updates: None,
        on_death: Callable[[BaseException], None],
        pause: Callable[[float], None] = time.sleep,
        checkpoint: Callable[[str], None] = lambda label: None,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        self._database, self._policy = database, policy
        self._report_updates, self._on_death = report_updates, on_death
        self._pause, self._checkpoint = pause, checkpoint
        self._monotonic = monotonic
        self._queue: SimpleQueue[PendingWrite | None] = SimpleQueue()
        self._is_urgent = threading.Event()
        """Set after every urgent item was queued."""
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._closing = False
        self._pause_s = 0.001 if database.has_one_writer else 0.0
        self._began_at: float | None = None
        """When the commit under way, or its newest try, began, or None if nothing is queued."""
        self.marked_at = monotonic()
        """When a mark last became durable, in seconds of the monotonic clock; at first, when the writer was made."""
        self.away_at = float("-inf")
        """When a commit last failed because the database was away."""
        self.batches = 0
        self.rows = 0

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def mark(self, marks: Sequence[Mark]) -> list[MarkedCall | None]:
        """Returns when each mark is durable or refused. For a refused mark it returns None, and nothing may be sent.

        Raises WriterClosed, with no mark written, if the process is ending.
        """
        if self._closing:
            raise WriterClosed("the process is ending")
        pending_writes = [self._put(mark) for mark in marks]
        self._is_urgent.set()
        for pending_write in pending_writes:
            self._await(pending_write)
        calls = [pending_write.call for pending_write in pending_writes]
        if any(calls):
            self.marked_at = self._monotonic()
        return calls

    def end(self, end: CallEnd) -> PendingWrite:
        """Queues the result of a call, which is written no later than this sender's next mark."""
        pending_write = self._put(end)
        # Other processes must see a block soon, and a lane in slow start gets more calls with each success.
        if not isinstance(end.verdict.outcome, Accepted) or end.lane_changes:
            self._is_urgent.set()
        return pending_write

    def wait(self, pending_write: PendingWrite, timeout_s: float) -> bool:
        """Waits until an end is durable, without waiting for a mark to share its commit. Returns False if too late."""
        if pending_write.wait(0):
            return True
        self._is_urgent.set()
        return pending_write.wait(timeout_s)

    def change(self, changes: Sequence[Change]) -> None:
        """Carries out other changes and returns when they are durable. Raises WriterClosed if the thread has ended."""
        pending_writes = [self._put(change) for change in changes]
        self._is_urgent.set()
        for pending_write in pending_writes:
            self._await(pending_write)

    def defer(self, deferral: Deferral) -> bool:
        """Splits a part's recipients, and returns when that is durable. Returns False if nothing has changed."""
        pending_write = self._put(deferral)
        self._is_urgent.set()
        self._await(pending_write)
        return pending_write.is_deferred

    def flush(self, timeout_s: float) -> bool:
        """Waits until everything queued so far is durable. Returns False if that takes longer."""
        barrier = PendingWrite(_BARRIER)
        self._queue.put(barrier)
        return self.wait(barrier, timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Takes no new marks and writes what is queued. Returns False if the database did not take it in time."""
        self._closing = True
        self._queue.put(None)
        self._is_urgent.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def busy_s(self, now: float) -> float:
        """Returns for how many seconds the newest try of the commit under way has run, or 0 if the writer is idle."""
        began_at = self._began_at
        return 0.0 if began_at is None else now - began_at

    def _await(self, pending_write: PendingWrite) -> None:
        while not pending_write.wait(ALIVE_S):
            if not self._thread.is_alive() and not pending_write.wait(0):
                raise WriterClosed("the process has ended")

    def _put(self, item: Item) -> PendingWrite:
        pending_write = PendingWrite(item)
        self._queue.put(pending_write)
        return pending_write

    def _run(self) -> None:
        try:
            while self._write_next():
                if self._pause_s:
                    self._pause(self._pause_s)
            self._empty_queue()
        except BaseException as error:  # noqa: BLE001  the thread must never die in silence: the process ends with it
            self._on_death(error)

    def _empty_queue(self) -> None:
        """Empties the queue after `stop`: results are written, marks are refused."""
        with contextlib.suppress(Empty):
            while True:
                pending_write = self._queue.get_nowait()
                if pending_write is not None and isinstance(pending_write.item, Mark):
                    pending_write.finish()
                elif pending_write is not None and pending_write.item is not _BARRIER:
                    self._write([pending_write])
                elif pending_write is not None:
                    pending_write.finish()

    def _write_next(self) -> bool:
        pending_writes, last = self._next_batch()
        due = [pending_write for pending_write in pending_writes if pending_write.item is not _BARRIER]
        if due:
            self._began_at = self._monotonic()
            self._write(due)
            self._began_at = None
        for pending_write in pending_writes:
            if pending_write.item is _BARRIER:
                pending_write.finish()
        return not last

    def _next_batch(self) -> tuple[list[PendingWrite], bool]:
        """Takes the next item and everything queued behind it, limited by rows and bytes.

        Returns the items, and True if this is the last batch.
        """
        first = self._queue.get()
        if first is None:
            return [], True
        if isinstance(first.item, CallEnd):
            self._is_urgent.wait(LINGER_S)
        # Before further items are taken, because it is set after an item is queued.
        self._is_urgent.clear()
        pending_writes, size = [first], _size(first.item)
        with contextlib.suppress(Empty):
            while len(pending_writes) < MAX_ROWS and size < MAX_BYTES:
                pending_write = self._queue.get_nowait()
                if pending_write is None:
                    return pending_writes, True
                pending_writes.append(pending_write)
                size += _size(pending_write.item)
            # The items that remain for the next batch may be urgent, too.
            self._is_urgent.set()
        return pending_writes, False

    def _write(self, pending_writes: list[PendingWrite]) -> None:
        """Commits the items, and waits for the database as long as it takes. Finds a refused row by halving."""
        tries = Tries()
        try:
            result = self._commit([pending_write.item for pending_write in pending_writes], tries)
        except Exception as error:
            if not is_data_error(error):
                raise
            self._write_halves(pending_writes, error)
            return
        if any(isinstance(pending_write.item, CallEnd) for pending_write in pending_writes):
            self._checkpoint("after_record")
        self.batches += 1
        self.rows += len(pending_writes)
        for pending_write in pending_writes:
            pending_write.finish(result)
        log_lane_events(result.lane_events)
        if tries.job_updates:
            self._report_updates(list(tries.job_updates))

    def _commit(self, items: list[Item], tries: Tries) -> CommitResult:
        """Commits the items, again and again until the database has taken them."""
        away = 0
        while True:
            try:
                return commit(self._database, items, self._policy, tries)
            except SQLAlchemyError as error:
                if is_data_error(error):
                    raise
                away += 1
                if away == 1 or away % 60 == 0:
                    log.warning("database_away", error=type(error).__name__, items=len(items))
                self._pause(min(1.0, 0.05 * 2 ** min(away, 5)))
                self.away_at = self._began_at = self._monotonic()

    def _write_halves(self, pending_writes: list[PendingWrite], error: Exception) -> None:
        if len(pending_writes) > 1:
            middle = len(pending_writes) // 2
            self._write(pending_writes[:middle])
            self._write(pending_writes[middle:])
            return
        pending_write = pending_writes[0]
        storable = _storable(pending_write.item)
        log.error(
            "row_not_storable",
            part=pending_write.item.part_id,
            error=type(error).__name__,
            plainer=storable is not None,
        )
        if storable is None and isinstance(pending_write.item, CallEnd):
            # An end is never dropped: the process ends, and recovery finds its part in doubt.
            raise error
        if storable is None:
            pending_write.finish()
            return
        pending_write.item = storable
        self._write([pending_write])


_BARRIER: Change = Change("", lambda part, now: None)


def _size(item: Item) -> int:
    return len(item.body or "") if isinstance(item, Mark) else 200


def _storable(item: Item) -> Item | None:
    """Returns a form of a refused item that the database may accept, or None if there is none.

    That is the end with its texts made storable, or next the end in doubt, without the vendor's answer.
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
    """Returns a value with every text in it made storable, also inside dataclasses, tuples and mappings."""
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
