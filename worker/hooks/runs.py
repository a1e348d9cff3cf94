"""Runs the application's hooks for one event: claims it, calls the functions in a transaction, ends it with that.

The event's end is part of the transaction: both are committed or neither. A run that fails is due again after a random
delay, and parked after ten runs; runs whose process ended are counted, too. While the database is away the outcome of a
run is kept in memory until it can be written.
"""

from __future__ import annotations

import inspect
import json
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from traceback import format_exception
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from worker.config.application import close_old_connections, traceback_summary
from worker.config.settings import DeliverySettings
from worker.domain.callbacks.hook import (
    CallbackReceived,
    CardPressed,
    EventKind,
    EventState,
    HookEvent,
    JobDone,
    MessageReceived,
    TagDone,
)
from worker.domain.callbacks.inbound import MESSAGE
from worker.domain.errors import ConfigurationError, WorkerError
from worker.domain.mailing import MailingStage, StageCount
from worker.domain.state import JobState
from worker.domain.stored import object_or_empty
from worker.domain.trace import HookRun, Tracing
from worker.hooks.registry import ApplicationHooks
from worker.outbox.engine.clock import instant, micros
from worker.outbox.engine.database import Database
from worker.outbox.jobs import events
from worker.outbox.jobs.events import ClaimedEvent

log = structlog.get_logger()

BUSY_RETRY_S = 0.25
"""Seconds until an event may be offered again that found all hook threads busy."""
MIN_UNHANDLED_S = 15.0
"""Seconds, at least, for which an event without a hook in this process is left to other processes."""
MAX_RUNS = 10
"""Most runs of a hook before its event is parked for a person."""
MORE = 16
"""Events that a thread hears after that of its message: each would wait for a way through the broker and back."""
NEXT = 32
"""Due events of which a thread hears one at random, so that threads seldom want the same."""
_KINDS = frozenset(EventKind)
MAX_UNHANDLED_S = 240.0
"""The age in seconds from which such an event is ended without a hook."""


def hook_threads(settings: DeliverySettings) -> int:
    """How many hooks a process runs at a time: a quarter of its threads at most, so that it goes on sending."""
    return max(1, min(settings.hook_threads, settings.threads // 4))


class LostRun(Exception):
    """Another process has this event now: the hook's transaction is rolled back."""


class HookRuns:
    """Runs the hooks of one process. Thread-safe."""

    def __init__(
        self,
        database: Database,
        hooks: ApplicationHooks,
        settings: DeliverySettings,
        *,
        holder: Callable[[], str],
        may_act: Callable[[], bool],
        rng: random.Random,
        tracing: Tracing | None = None,
    ):
        """`tracing` writes a span for each run; None: none is written."""
        self._tracing = tracing
        self._database, self._hooks, self._settings = database, hooks, settings
        self._holder, self._may_act, self._rng = holder, may_act, rng
        self._slots = threading.BoundedSemaphore(hook_threads(settings))
        self._end_slots = threading.BoundedSemaphore(events.most_ends(hook_threads(settings)))
        """For threads that go on with ends of jobs: the others are kept free for what people do."""
        self._lock = threading.Lock()
        self._pending_writes: list[Callable[[], None]] = []
        """Outcomes of runs that could not be written yet."""
        self._claimed: set[str] = set()
        """Events that a thread of this process runs, or whose claim it has to take back; other threads leave them."""

    def hear(self, event_id: str, goes_on: Callable[[], bool] = lambda: False) -> None:
        """Runs the hooks of one event in the calling thread; returns at once when they cannot run here now.

        While `goes_on`, more that are due follow.
        """
        if not self._slots.acquire(blocking=False):
            self.leave([event_id], BUSY_RETRY_S)
            return
        try:
            if not self._may_act():
                self.leave([event_id])
                return
            event = self._hear(event_id)
            if event is None:
                return
            if event.job_state is None:
                self._hear_more(goes_on, ends=False)
            elif self._end_slots.acquire(blocking=False):
                try:
                    self._hear_more(goes_on, ends=True)
                finally:
                    self._end_slots.release()
        finally:
            self._slots.release()

    def _hear_more(self, goes_on: Callable[[], bool], *, ends: bool) -> None:
        """Runs the hooks of more events that are due, one after the other; only with `ends` of ends of jobs."""
        for _ in range(MORE):
            if not (goes_on() and self._may_act()):
                return
            with self._database.reading() as connection:
                ids = events.unoffered_events(connection, self._database.now, NEXT, ends=ends)
            if not ids:
                return
            close_old_connections()
            self._hear(self._rng.choice(ids))

    def leave(self, ids: list[str], wait_s: float = 0.0) -> None:
        """Lets events be offered again after `wait_s` seconds, also to other processes."""
        with self._database.writing() as connection:
            events.offer_events(connection, self._database.now, ids, micros(wait_s))

    def settle(self) -> None:
        """Writes what could not be written during an outage of the database. Raises while the outage lasts."""
        while True:
            with self._lock:
                if not self._pending_writes:
                    return
                owed = self._pending_writes.pop()
            try:
                owed()
            except SQLAlchemyError:
                with self._lock:
                    self._pending_writes.append(owed)
                raise

    def _hear(self, event_id: str) -> ClaimedEvent | None:
        with self._lock:
            if event_id in self._claimed:
                return None
            self._claimed.add(event_id)
        event = self._claim(event_id)
        try:
            if event is not None:
                self._run_hooks(event)
        finally:
            self._let_go(event_id)
        return event

    def _claim(self, event_id: str) -> ClaimedEvent | None:
        now, holder = self._database.now, self._holder()
        try:
            return self._database.run(lambda connection: events.claim_event(connection, now, event_id, holder))
        except Exception:
            # The claim may have been committed although no answer came: then the event would be ours and never run.
            def take_back() -> None:
                self._database.run(lambda connection: events.return_event(connection, now, event_id, holder))
                self._let_go(event_id)

            with self._lock:
                self._pending_writes.append(take_back)
            raise

    def _let_go(self, event_id: str) -> None:
        with self._lock:
            self._claimed.discard(event_id)

    def _run_hooks(self, event: ClaimedEvent) -> None:
        try:
            if event.tries > MAX_RUNS:
                # A run is counted when it begins. The hook may be what ended the process, and would end this one, too.
                self._failed(event, WorkerError("no run is left, and the process of the last one ended during it"))
                return
            if event.kind not in _KINDS:
                # Of a newer release. Ended here without a hook it would be lost to the processes that know it.
                self._leave_unheard(
                    event, min(max(micros(MIN_UNHANDLED_S), 3 * _age_us(event)), micros(MAX_UNHANDLED_S))
                )
                return
            hook_event = hook_event_of(event)
            hooks = [partial(hook, hook_event) for hook in self._hooks.functions_for(hook_event)] if hook_event else []
            if hook_event is not None and not hooks and (wait_us := _unhandled_wait_us(event)):
                self._leave_unheard(event, wait_us)
            else:
                with self._traced(event):
                    self._run(event, hooks)
        except LostRun:
            log.warning("hook_run_lost", kind=event.kind, job=event.job_id)
        except BaseException as error:  # noqa: BLE001  whatever the application raises; it may not end us
            self._failed(event, error)

    def _traced(self, event: ClaimedEvent) -> AbstractContextManager[None]:
        if self._tracing is None:
            return nullcontext()
        return self._tracing.hooks(HookRun(event.trace, event.kind, event.job_id, event.part_id, event.tries))

    def _leave_unheard(self, event: ClaimedEvent, wait_us: int) -> None:
        now = self._database.now
        self._write(lambda connection: events.return_without_hook(connection, now, event, wait_us))

    def _run(self, event: ClaimedEvent, hooks: Sequence[Callable[[Session], Any]]) -> None:
        end = EventState.DONE if hooks else EventState.IGNORED
        # The session takes no connection before it is used, so a hook that begins with slow work holds no locks.
        with Session(self._database.engine) as session:
            for hook in hooks:
                _require_run(hook(session))
            if not events.end_event(session.connection(), self._database.now, event, end):
                raise LostRun
            session.commit()
        log.info("hook", kind=event.kind, job=event.job_id, part=event.part_id, attempt=event.tries, outcome=end.label)

    def _failed(self, event: ClaimedEvent, error: BaseException) -> None:
        settings = self._settings
        parks = event.tries >= MAX_RUNS
        most = min(settings.hook_backoff_max_s, settings.hook_backoff_base_s * 2.0 ** min(event.tries - 1, 60))
        delay_us = None if parks else micros(self._rng.uniform(0, most))
        text = traceback_summary(error, below=__file__)
        log.warning(
            "hook_parked" if parks else "hook_failed",
            kind=event.kind,
            job=event.job_id,
            attempt=event.tries,
            error=type(error).__name__,
            where=text,
            delay=None if delay_us is None else delay_us / 1_000_000,
        )
        if settings.hook_tracebacks:
            log.error("hook_traceback", kind=event.kind, job=event.job_id, text="".join(format_exception(error)))
        now = self._database.now
        self._write(lambda connection: events.fail_event(connection, now, event, text, delay_us))

    def _write(self, work: Callable[[Connection], None]) -> None:
        """Writes the outcome of a run in a transaction of its own, now or when the database is back."""
        with self._lock:
            self._pending_writes.append(lambda: self._database.run(work))
        # What cannot be written now is kept, and written by the heartbeat's thread.
        with suppress(SQLAlchemyError):
            self.settle()


def _require_run(result: object) -> None:
    """ConfigurationError when a hook returned what has yet to run: behind a decorator its own shape is not seen."""
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        if inspect.iscoroutine(result):
            result.close()  # or Python warns that it was never awaited
        raise ConfigurationError("the hook is async or a generator, so nothing of it ran; write def, without yield")


def _unhandled_wait_us(event: ClaimedEvent) -> int:
    """Returns for how many microseconds an event without a hook is left to other processes; 0 if it may end."""
    age_us = _age_us(event)
    return 0 if age_us >= micros(MAX_UNHANDLED_S) else max(micros(MIN_UNHANDLED_S), 3 * age_us)


def _age_us(event: ClaimedEvent) -> int:
    return event.started_at - event.created_at


def _received(event: ClaimedEvent) -> MessageReceived | CallbackReceived | None:
    """Makes the event of a message or another callback. None if its content was deleted or erased."""
    data = json.loads(event.payload or "{}").get("message")
    if event.account is None or event.event is None or not isinstance(data, dict):
        return None
    about: dict[str, Any] = {
        "id": event.id,
        "account": event.account,
        "person": event.person or "",
        "data": data,
        "happened_at": instant(event.happened_at or event.created_at),
    }
    if event.kind == EventKind.MESSAGE:
        return MessageReceived(**about, type=event.event.removeprefix(MESSAGE), text=_text_of(data))
    key = data.get("EventKey")
    return CallbackReceived(**about, event=event.event, key=key if isinstance(key, str) and key else None)


def _text_of(data: Mapping[str, Any]) -> str | None:
    """Returns the text that a person wrote, under each vendor's key."""
    inner = next((data[name] for name in ("text", "Text") if isinstance(data.get(name), dict)), data)
    found = next((inner[name] for name in ("Content", "content") if isinstance(inner.get(name), str)), None)
    return None if found is None else str(found)


def _ended(event: ClaimedEvent) -> TagDone:
    """Makes the event of a tag whose jobs have all ended."""
    found = json.loads(event.counts or "{}")
    stages = {MailingStage(name): StageCount(*counts) for name, counts in found["stages"].items()}
    return TagDone(event.id, event.tag or "", stages, found["is_cut_short"], instant(event.created_at))


def _own_id(event: ClaimedEvent, press: Mapping[str, Any]) -> str:
    """Returns the id that the application gave to the pressed card, or the one on the wire if it gave none."""
    # Looked up here, because the receiver's database role may read no message.
    path = press.get("own_id_at", ())
    value: Any = object_or_empty(event.message) if path else None
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            # The path belongs to another kind of message than the job's.
            value = None
            break
    return value if isinstance(value, str) else str(press["task_id"])


def hook_event_of(event: ClaimedEvent) -> HookEvent | None:
    """Returns the event as the hooks get it, or None if its job or its callback was deleted."""
    if event.kind in (EventKind.MESSAGE, EventKind.CALLBACK):
        return _received(event)
    if event.kind == EventKind.TAG_DONE:
        return _ended(event)
    if event.job_id is None or event.account is None:
        return None
    about: dict[str, Any] = {
        "id": event.id,
        "account": event.account,
        "job_id": event.job_id,
        "tags": tuple(json.loads(event.tags or "[]")),
        "dedupe_key": event.dedupe_key,
        "replay_of": event.replay_of,
    }
    if event.kind == EventKind.JOB_DONE and event.job_state is not None:
        return JobDone(
            **about, kind=event.job_kind or "", state=JobState(event.job_state), happened_at=instant(event.created_at)
        )
    press = json.loads(event.payload or "{}").get("press")
    if not press or event.part_id is None:
        return None
    return CardPressed(
        **about,
        part_id=event.part_id,
        person=event.person or "",
        button=press["button"],
        selected={question: tuple(chosen) for question, chosen in press["selected"].items()},
        task_id=_own_id(event, press),
        card_type=press["card_type"],
        menu=press["menu"],
        happened_at=instant(event.happened_at or event.created_at),
    )
