"""A simulated worker process: `worker.service` starts it as it starts a real one, on fibers in place of threads."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import structlog

from bench.explore.broker import App, Broker, Connection
from bench.explore.database import Databases
from bench.explore.fibers import Died, Home, Scheduler
from bench.explore.hooks import CURRENT, load
from bench.explore.network import Network
from bench.explore.stand_ins import Uuid, installed, monotonic, sleep
from bench.explore.threads import WORLD
from bench.explore.vendor import Vendor
from worker.channels.registry import channel, names
from worker.config.accounts import AccountSource
from worker.config.settings import DeliverySettings, Settings
from worker.control.opening import make_database
from worker.delivery.scheduler import relay
from worker.delivery.sender.runtime import EXIT_WRITER_DIED, Runtime
from worker.hooks.registry import load_hooks
from worker.outbox.engine.database import Database
from worker.service import hook_service, lifecycle
from worker.service.broker import PublisherConnection
from worker.service.queues import DOORBELL_TASK

Step = Callable[[str], None]
HOOKS = "explored"
"""The name of the module of hooks, which `bench.explore.hooks` takes the place of."""


@dataclass
class ExplorerRuntime(Runtime):
    """A runtime whose clocks, ids and chance are those of its universe."""

    monotonic: Callable[[], float] = monotonic
    life_clock: Callable[[], float] = monotonic
    rng: random.Random = field(default_factory=lambda: WORLD.chance)
    new_id: Callable[[], str] = lambda: Uuid().hex
    pause: Callable[[float], None] = sleep


def settings_of(chance: random.Random) -> Settings:
    """The settings of a universe: all comes soon, and a lease ends before the calls that begin in it or after."""
    lease_s, call_deadline_s = chance.choice([(4, 4), (4, 2), (8, 2)])
    return Settings(
        delivery=DeliverySettings(
            lease_s=lease_s,
            heartbeat_s=1,
            call_deadline_s=call_deadline_s,
            backoff_base_s=0.5,
            backoff_max_s=4,
            republish_after_s=2,
            doorbell_s=1,
            park_probe_s=5,
            rate_limit_block_s=2,
            rate_limit_block_again_s=5,
        )
    )


class Host:
    """A simulated host: one worker process at a time, which begins again after it died."""

    def __init__(
        self,
        home: Home,
        scheduler: Scheduler,
        *,
        broker: Broker,
        vendor: Vendor,
        databases: Databases,
        accounts: AccountSource,
        settings: Settings,
        step: Step,
        threads: int,
        queues: Collection[str],
    ):
        self.name = home.name
        self.home, self._scheduler = home, scheduler
        self._broker, self._vendor, self._databases, self._accounts = broker, vendor, databases, accounts
        self._settings, self._step, self._threads, self._queues = settings, step, threads, queues
        self.process: lifecycle.WorkerProcess | None = None

    def start(self) -> None:
        """Starts its process."""
        self._scheduler.spawn(self.home, "main", self._main)

    def again(self) -> None:
        """Starts a new process in the place of the one that died."""
        self.home = self.home.again()
        self.start()

    def leave(self) -> None:
        """Ends its process in good order, as a signal does."""
        process, home = self.process, self.home
        if process is not None and not home.dead:
            self._scheduler.spawn(home, "end", lambda: self._end(process, home))

    def _end(self, process: lifecycle.WorkerProcess, home: Home) -> None:
        process.finish()
        self._scheduler.kill(home)

    def _main(self) -> None:
        home = self.home
        replaced = lifecycle.Replacements(
            accounts=self._accounts,
            transport=lambda: Network(self._vendor, home, self._step),
            probe=self._step,
            runtime=ExplorerRuntime,
            revoked=(),
            exit=lambda status: self._exit(home, status),
        )
        process = lifecycle.WorkerProcess(self._settings, App(self._broker, home, self._queues), replaced)
        database_of[home.name] = self._databases.of(home)
        if process.open(threads=self._threads, node=home.name, events=False):
            self.process = process
            for number in range(self._threads):
                self._scheduler.spawn(home, f"sender{number}", lambda: self._take_doorbells(process, home))

    def _exit(self, home: Home, status: int) -> None:
        if status == EXIT_WRITER_DIED and not home.dead:
            self._scheduler.failures.append(f"the writer of {home.name} died")
        self._scheduler.kill(home)

    def _take_doorbells(self, process: lifecycle.WorkerProcess, home: Home) -> None:
        while not process.draining:
            message = self._broker.take(home, self._queues)
            try:
                self._step("taken")
                if message.task == DOORBELL_TASK:
                    lane, ids, probe, calls = message.arguments
                    process.answer_doorbell(lane, ids, probe=probe, calls=calls)
                else:
                    process.run_hooks(*message.arguments)
            except Died:
                self._broker.return_unread(message)
                raise


database_of: dict[str, Database] = {}
"""Home -> its way to the store, from which a process that opens takes its own."""


def _own_database(*_: Any, **__: Any) -> Database:
    home = WORLD.home
    assert home is not None
    return database_of[home.name]


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent


@contextmanager
def explorable() -> Iterator[None]:
    """The worker's modules have what a universe needs in place of threads, time, chance, and connections."""
    quiet = SimpleNamespace(collect=int, freeze=int, set_threshold=lambda *_: None)
    for name in names():
        channel(name)  # loaded now, so that its modules have the stand-ins too
    structlog.configure(processors=[_drop], cache_logger_on_first_use=False)
    try:
        # More than half of the time went into the turns of relays that had nothing to offer.
        patient = partial(relay.RelayTimes, shortest_poll_s=0.2, poll_s=0.2, reread_s=0.5)
        # Each command of a person would read the environment.
        settings = {True: Settings(hooks=HOOKS), False: Settings()}
        replaced: list[tuple[Any, Any]] = [
            (make_database, _own_database),
            (PublisherConnection, Connection),
            (Settings, lambda: settings[CURRENT.hooks.there]),
            (load_hooks, load),
            # Idle turns of hooks took as much as all other statements.
            (hook_service.MIN_IDLE_S, 0.2),
            (hook_service.MAX_IDLE_S, 0.5),
        ]
        # The module that makes a value keeps its own: only there is `RelayTimes` used.
        with patch.object(relay, "RelayTimes", patient), installed((gc, quiet), *replaced):
            yield
    finally:
        structlog.reset_defaults()
