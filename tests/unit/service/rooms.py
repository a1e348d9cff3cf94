"""Worker processes and Celery workers inside a test's own process, and what they leave behind taken away again.

Tests wait for events and jobs with a generous limit; nothing here waits for a fixed time.
"""

from __future__ import annotations

import logging
import os
import queue
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import celery._state
import celery.worker.state
import pytest
from celery.app import trace
from celery.app.log import Logging
from celery.worker import loops

from tests.support.runtime import ScriptedVendor, an_account
from tests.support.scripted_transport import ScriptedTransport
from worker import Text, To, enqueue
from worker.config.accounts import FixedAccounts
from worker.config.settings import DeliverySettings, Settings
from worker.outbox.engine.database import Database, make_engine
from worker.service.celery_app import make_app, start_worker
from worker.service.lifecycle import Replacements, WorkerProcess
from worker.service.queues import NORMAL

LIMIT_S = 30.0
SHORT = {"call_deadline_s": 0.4, "heartbeat_s": 0.1}
"""Deadlines that a test can wait for."""


@dataclass
class Site:
    """One installation on SQLite with a broker in memory and a scripted vendor."""

    url: str
    vendor: ScriptedVendor = field(default_factory=ScriptedVendor)
    accounts: FixedAccounts = field(default_factory=lambda: FixedAccounts([an_account(settings={"deadline_s": 0.4})]))
    delivery: dict[str, Any] = field(default_factory=dict)
    broker: str = "embedded"
    prefix: str = field(default_factory=lambda: f"room-{secrets.token_hex(4)}.")
    top: dict[str, str] = field(default_factory=dict)
    """Further settings, outside of every table."""
    exits: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)
    probe: Callable[[str], None] = lambda label: None

    def __post_init__(self) -> None:
        self.transport = ScriptedTransport(self.vendor)
        self.database = Database(make_engine(self.url))

    @property
    def settings(self) -> Settings:
        """Everything a worker is told."""
        return Settings(
            database=self.url,
            broker=self.broker,
            queue_prefix=self.prefix,
            delivery=DeliverySettings(**self.delivery),
            **self.top,  # type: ignore[arg-type]
        )

    @property
    def hooks(self) -> Replacements:
        """A scripted vendor, and an exit that only remembers."""
        return Replacements(
            accounts=self.accounts,
            transport=lambda: self.transport,
            probe=self.probe,
            revoked=frozenset(),
            exit=self.exits.put,
        )

    def app(self) -> Any:
        """A Celery app with this site's worker process."""
        return make_app(self.settings, self.hooks)

    def send(self, text: str = "hello", **options: Any) -> str:
        """A job that waits."""
        with self.database.writing() as connection:
            people = To(users=["anna"])
            return enqueue(connection, "hr", Text(content=text), people, accounts=self.accounts, **options).id

    def one(self, query: str) -> Any:
        """A single value."""
        with self.database.reading() as connection:
            return connection.exec_driver_sql(query).scalar_one()

    def part(self, job: str) -> tuple[str, str]:
        """Lane and id of a job's first part."""
        with self.database.reading() as connection:
            found = connection.exec_driver_sql(f"select lane, id from worker_parts where job_id = '{job}'").one()
        return found[0], found[1]

    def doorbell(self) -> Any:
        """The arguments of the next doorbell that the process which was opened last puts into the normal queue."""
        with self.opened.connection_for_read() as connection:
            bells = connection.SimpleQueue(self.opened.amqp.queues[self.prefix + NORMAL])
            message = bells.get(timeout=LIMIT_S)
            message.ack()
            bells.close()
        return message.decode()[0]

    @contextmanager
    def open(self, *, events: bool = False) -> Iterator[WorkerProcess]:
        """An open worker process without Celery around it; finished at the end."""
        self.opened = self.app()
        room: WorkerProcess = self.opened.worker_process
        assert room.open(threads=2, node="w1@test", events=events)
        try:
            yield room
        finally:
            room.finish()


ALONE = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}


def started(app: Any, **options: Any) -> tuple[threading.Thread, list[int]]:
    """A Celery worker in a thread, and where its exit status will be. Use within `celery_restored`."""
    status: list[int] = []
    run = threading.Thread(
        target=lambda: status.append(start_worker(app, threads=2, **ALONE, **options)), name="celery", daemon=True
    )
    run.start()
    return run, status


@contextmanager
def working(app: Any, **options: Any) -> Iterator[list[int]]:
    """A Celery worker in a thread; told to end at the end, its exit status is then in the list."""
    with celery_restored(app):
        thread, status = started(app, **options)
        try:
            yield status
        finally:
            celery.worker.state.should_stop = 0
            thread.join(LIMIT_S)
            assert not thread.is_alive(), "the worker did not end"


def _awake(loop: Any, consumer: Any, connection: Any, *given: Any, **options: Any) -> None:
    """Celery's loop, which waits two seconds for a message, twice, before it sees that it is to end."""
    drain = connection.drain_events
    connection.drain_events = lambda timeout: drain(timeout=timeout / 40)
    loop(consumer, connection, *given, **options)


@contextmanager
def celery_restored(app: Any = None) -> Iterator[None]:
    """Celery's globals afterwards as they were before a worker ran in this process."""
    default, Logging._setup = celery._state.default_app, False
    environment = dict(os.environ)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loops, "synloop", partial(_awake, loops.synloop))
            yield
    finally:
        celery.worker.state.should_stop = celery.worker.state.should_terminate = None
        celery.worker.state.revoked.clear()
        celery._state.set_default_app(default)
        trace.reset_worker_optimizations(app or SimpleNamespace())
        Logging._setup = False
        logging.captureWarnings(False)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
