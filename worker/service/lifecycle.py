"""Opens and drains one worker process with its threads.

It knows no Celery step and no signal: `bootsteps.py` calls it. It survives broker reconnects and a database outage.
"""

from __future__ import annotations

import gc
import os
import random
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import celery.worker.state
import structlog

from worker.accounts.sources import accounts_of
from worker.config import logging as our_logging, tracing
from worker.config.accounts import AccountSource, unknown_account
from worker.config.application import close_old_connections, traceback_summary
from worker.config.settings import DeliverySettings, Settings, unknown_line
from worker.config.surroundings import surprises
from worker.control.opening import make_database
from worker.delivery.resolver.members import load_resolver
from worker.delivery.sender.doorbell_sender import DoorbellSender
from worker.delivery.sender.lease import Leadership
from worker.delivery.sender.runtime import Runtime, die
from worker.domain.errors import ConfigurationError, WorkerError
from worker.hooks.registry import load_hooks
from worker.outbox.engine import migrate
from worker.outbox.engine.counting import BufferedCounts
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import release_parts
from worker.outbox.lanes.processes import BROKER, LOG, Health, QueueName, deferred_account
from worker.service.application_celery import ApplicationCelery
from worker.service.flower.events import FlowerEvents
from worker.service.health import HealthSignals, WorkerHealth
from worker.service.hook_service import HookService
from worker.service.loops import Loops
from worker.service.publisher import DoorbellPublisher
from worker.service.queues import queues_of
from worker.service.unreadable import drops
from worker.transport.http import SocketTransport, Transport

if TYPE_CHECKING:
    from worker.service.spans import Spans

log = structlog.get_logger()

GARBAGE_THRESHOLDS = (20_000, 50, 100)
"""Thresholds of the garbage collector. An attempt leaves few objects to it, so a run every 700 objects finds little."""
EXIT_OVERDUE = 1


@dataclass(frozen=True, slots=True)
class Replacements:
    """What tests replace."""

    accounts: AccountSource | None = None
    transport: Callable[[], Transport] = SocketTransport
    probe: Callable[[str], None] = lambda label: None
    runtime: type[Runtime] = Runtime
    revoked: Collection[str] = field(default_factory=lambda: celery.worker.state.revoked)
    """The ids of jobs that were revoked in Flower."""
    exit: Callable[[int], None] = os._exit


class WorkerProcess:
    """One worker process, apart from Celery's part of it."""

    runtime: Runtime

    def __init__(self, settings: Settings, app: Any, replaced: Replacements):
        self._settings, self._app, self._replaced = settings, app, replaced
        self._rng = random.Random()
        self._doorbells = DoorbellPublisher(app, settings.queue_prefix)
        self._celery = ApplicationCelery()
        self._busy = 0
        self._idle = threading.Condition()
        self._closed = threading.Event()
        self._draining = threading.Event()
        self._loops: Loops | None = None
        self._flower: FlowerEvents | None = None
        self._spans: Spans | None = None
        self._transport: Transport | None = None
        self._hook_service: HookService | None = None
        self._dropped_counted = 0
        """How many of the dropped Flower events have been added to the counter."""
        self._drops_counted = drops.count
        """The same of messages that could not be read."""

    # -- opening ------------------------------------------------------------------------------------------------------

    def open(self, *, threads: int, node: str, events: bool, is_cancelled: Callable[[], bool] = lambda: False) -> bool:
        """Builds the process and takes its lease, once the database is there. Returns False if it was cancelled."""
        for name in self._settings.unknown_variables:
            log.warning("variable_unknown", text=unknown_line(name))
        for sentence in surprises(os.environ):
            log.warning("variable_of_others", text=sentence)
        self._application = load_hooks(self._settings.hooks)
        self._celery.remember_current()
        self._resolver = load_resolver(self._settings.members_of)
        delivery = self._settings.delivery.model_copy(update={"threads": threads})
        database = make_database(self._settings, pool_size=threads + 8)
        self._accounts = self._replaced.accounts or accounts_of(self._settings, database)
        self._flower = FlowerEvents(self._app, node, self._settings.console.jobs_at) if events else None
        self._spans = open_spans(os.environ)
        while not is_cancelled():
            try:
                self._build(database, delivery)
            except ConfigurationError:
                raise
            except Exception as error:  # noqa: BLE001  a database that is away at the start is waited for, like later
                log.warning("database_away", error=type(error).__name__)
                self._draining.wait(self._rng.uniform(0.5, 1.5))
            else:
                self._start(delivery)
                return True
        return False

    def _build(self, database: Database, delivery: DeliverySettings) -> None:
        try:
            migrate.require_current(database)
            self._transport = self._replaced.transport()
            self.runtime = self._new_runtime(database, self._transport, delivery)
            self.runtime.lease.beat()
        except BaseException:
            database.close()
            raise

    def _new_runtime(self, database: Database, transport: Transport, delivery: DeliverySettings) -> Runtime:
        return self._replaced.runtime(
            database,
            self._accounts,
            transport,
            delivery,
            report_updates=self._flower.add if self._flower else lambda happened: None,
            on_death=partial(die, exit=self._replaced.exit),
            checkpoint=self._replaced.probe,
            resolver=self._resolver,
            hooks=self._application.subscriptions,
            tracing=self._spans,
            queues=lambda: queues_of(self._app, self._settings.queue_prefix),
            draining=self._draining,
        )

    def _start(self, delivery: DeliverySettings) -> None:
        # Objects that live as long as the process (modules, settings, statements) are kept from the garbage collector.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE_THRESHOLDS)
        runtime = self.runtime
        self._sender = DoorbellSender(runtime)
        self._counts = BufferedCounts(runtime.database)
        self._loops = loops = Loops(
            runtime,
            self._settings,
            self._app,
            self._doorbells,
            self._application,
            self._flower,
            revoked=self._replaced.revoked,
            beat=self._beat,
        )
        self._hook_service = loops.hooks
        self._health = WorkerHealth(loops.by_name, self._signals(loops), runtime.monotonic, delivery.heartbeat_s)
        runtime.writer.start()
        threading.Thread(target=self._watch_drain, name="drain", daemon=True).start()
        for loop in loops.by_name.values():
            loop.start()
        names = self._accounts.names()
        for name in sorted(self._application.accounts.difference(names)):
            log.warning("hook_never_runs", account=name, reason=str(unknown_account(name, names)))
        log.info("worker_started", process=runtime.lease.incarnation, threads=delivery.threads)

    def _signals(self, loops: Loops) -> HealthSignals:
        writer = self.runtime.writer
        return HealthSignals(
            writer_busy_s=writer.busy_s,
            writer_away_at=lambda: writer.away_at,
            marked_at=lambda: writer.marked_at,
            has_untaken_parts=lambda: loops.relay.has_untaken_parts(self._can_send),
            busy=lambda: self._busy,
            broker_away=lambda: self._doorbells.away,
            hindered=lambda: self._hindrances(loops.leaderships),
        )

    def _hindrances(self, leaderships: Sequence[Leadership]) -> dict[str, str]:
        deferred = self.runtime.lane_states.unreachable_accounts()
        return {
            **({BROKER: self._doorbells.problem} if self._doorbells.away else {}),
            **({LOG: lost} if (lost := our_logging.problem()) else {}),
            **{one.name: why for one in leaderships if (why := one.problem())},
            **{deferred_account(name): why for name, why in deferred.items()},
        }

    def _can_send(self, lane: str, queue: QueueName) -> bool:
        """Returns True if this process consumes the lane's queue and can use its account."""
        is_consumed = queue in queues_of(self._app, self._settings.queue_prefix)
        return is_consumed and not self.runtime.lane_states.is_left_to_peers(lane)

    # -- running ------------------------------------------------------------------------------------------------------

    def answer_doorbell(self, lane: str, ids: list[str], *, probe: bool = False, calls: int = 1) -> None:
        """Sends the parts of one doorbell in the calling thread. Never raises."""
        with self._at_work("doorbell_failed"):
            if self._draining.is_set():
                # Released, so that another process may be offered them at once.
                self.runtime.database.run(lambda connection: release_parts(connection, ids), tries=1)
            else:
                self._sender.answer(lane, ids, probe=probe, calls=calls)

    def run_hooks(self, event: str) -> None:
        """Runs the application's hooks for an event, and for more that are due, in the calling thread. Never raises."""
        with self._at_work("event_failed"):
            # Without hooks in this process the event is offered again, until a process that has some runs them.
            if self._hook_service and self._draining.is_set():
                self._hook_service.runs.leave([event])
            elif self._hook_service:
                with self._celery.current():
                    self._hook_service.runs.hear(event, goes_on=lambda: not self._draining.is_set())

    @contextmanager
    def _at_work(self, failure_event: str) -> Iterator[None]:
        """Makes a drain wait for the block, and logs every exception instead of raising it."""
        with self._idle:
            self._busy += 1
        # Celery would publish the text of an exception, which may hold secrets.
        try:
            close_old_connections()
            yield
        except WorkerError as error:
            log.warning(failure_event, error=type(error).__name__, text=str(error))
        except Exception as error:  # noqa: BLE001  the ids are offered again; a foreign error's text may hold secrets
            log.warning(failure_event, error=type(error).__name__, where=traceback_summary(error))
        finally:
            close_old_connections()
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def _beat(self) -> float:
        states = self.runtime.lane_states
        self.runtime.lease.beat(states.summary(), states.unusable(), self._checked_health())
        self._sender.release_missed()
        if self._hook_service:
            self._hook_service.runs.settle()
        if self._flower and (dropped := self._flower.dropped - self._dropped_counted):
            self._counts.add("events_dropped", times=dropped)
            self._dropped_counted += dropped
        if more := drops.count - self._drops_counted:
            # Not one line each, because there may be very many.
            log.warning("messages_dropped", count=more, error=drops.error)
            self._counts.add("messages_dropped", times=more)
            self._drops_counted += more
        self._counts.flush()
        return self.runtime.settings.heartbeat_s

    def _checked_health(self) -> Health:
        try:
            return self._health.check()
        except Exception as error:  # noqa: BLE001  a heartbeat that stops would stop all delivery
            return Health((f"its own health cannot be read ({type(error).__name__})",))

    # -- draining -----------------------------------------------------------------------------------------------------

    @property
    def threads(self) -> int:
        """The number of sender threads."""
        return self.runtime.settings.threads

    @property
    def draining(self) -> bool:
        """True once the process is to end."""
        return self._draining.is_set()

    def begin_drain(self) -> None:
        """Stops the relay and takes no more doorbells. May be called from a signal handler, and more than once."""
        self._draining.set()
        for loop in self._loops.all_but("heartbeat", "flower", "revocations") if self._loops else ():
            loop.request_stop()

    def finish(self) -> None:
        """Waits for the calls in flight, records their results, and returns the leases of relay and process."""
        self.begin_drain()
        if self._loops is None:
            return
        loops, limit_s = self._loops, self._drain_limit_s()
        with self._idle:
            self._idle.wait_for(lambda: not self._busy, limit_s)
        for loop in loops.all_but("heartbeat", "flower"):
            loop.stop(limit_s)
        if not self.runtime.writer.stop(limit_s):
            # Some results are not written yet, so the lease is kept. `_watch_drain` ends the process.
            return
        # The heartbeat stops after the writer. Without a lease, other processes would take its marked parts for those
        # of a dead process.
        loops.by_name["heartbeat"].stop(limit_s)
        self._give_back(loops.leaderships)
        if self._flower and loops.by_name["flower"].stop(limit_s):
            self._flower.close()
        self._closed.set()
        log.info("worker_drained", events_dropped=self._flower.dropped if self._flower else 0)

    def _give_back(self, leaderships: Sequence[Leadership]) -> None:
        """Returns the leases and closes all connections."""
        # Otherwise other processes would wait until the leases run out: ten seconds while the database is away.
        for give_back in (*(leadership.stop for leadership in leaderships), self.runtime.lease.end):
            try:
                give_back()
            except Exception as error:  # noqa: BLE001  the process ends in any case
                log.warning("not_given_back", error=type(error).__name__)
        if isinstance(self._transport, SocketTransport):
            self._transport.close()
        if self._spans:
            self._spans.close()
        self._doorbells.close()
        if self._hook_service:
            self._hook_service.close()
        self.runtime.database.close()

    def _drain_limit_s(self) -> float:
        settings = self.runtime.settings
        return (
            max(settings.call_deadline_s, self.runtime.lane_states.until_last_deadline_s()) + settings.deadline_margin_s
        )

    def _watch_drain(self) -> None:
        """Ends the process if its drain takes longer than the calls' deadline and a margin."""
        self._draining.wait()
        if not self._closed.wait(self._drain_limit_s()):
            log.error("drain_overdue", calls=self.runtime.lane_states.in_flight())
            self._replaced.exit(EXIT_OVERDUE)


def open_spans(environ: Mapping[str, str]) -> Spans | None:
    """Returns what exports spans, or None if no collector is set or it cannot be used, which is logged."""
    if not tracing.is_enabled(environ):
        return None
    remedy = tracing.unsupported(environ)
    if remedy is None:
        try:
            # Imported only here: it takes a tenth of a second, and is an extra that most installations lack.
            from worker.service.spans import spans_from_environment

            return spans_from_environment()
        except ImportError:
            remedy = tracing.NOT_INSTALLED
        except (ValueError, RuntimeError):
            remedy = tracing.NOT_USABLE
    log.warning("tracing_off", remedy=remedy)
    return None
