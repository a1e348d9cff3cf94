"""One worker process without its threads: relay, senders, recovery and hooks by turns, until nothing is left to do."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from worker.channels.registry import amount_of, channel, weight_of
from worker.config.policy import policy_of
from worker.config.settings import Settings
from worker.delivery.maintenance.recovery import Recovery
from worker.delivery.scheduler.fair_share import ThreadShares
from worker.delivery.scheduler.lane_offer import Doorbell
from worker.delivery.scheduler.relay import Relay, RelayTimes
from worker.delivery.sender.doorbell_sender import DoorbellSender
from worker.delivery.sender.runtime import Dependencies, build_runtime
from worker.delivery.sender.writer import PendingWrite, Writer
from worker.hooks.callbacks import CallbackStore
from worker.hooks.offers import HookOffers
from worker.hooks.registry import load_hooks
from worker.hooks.runs import HookRuns, hook_threads
from worker.hooks.verifiers import Verifiers
from worker.language import with_chinese_note
from worker.outbox.commit.commands import Item
from worker.outbox.engine.clock import SECOND, instant
from worker.outbox.engine.database import Database
from worker.outbox.jobs.events import ClaimedEvent
from worker.outbox.upkeep.indexing import index_lot
from worker.service.tag_ends import TagEnds
from worker_simulator.testing.accounts import KitAccounts
from worker_simulator.testing.clock import KitClock
from worker_simulator.testing.database import still_open
from worker_simulator.testing.tables import BoundDatabase, next_wake
from worker_simulator.testing.vendor import UrlPages, Vendor

TICK_S = 1.1
"""Seconds of the worker's own pauses between two turns: as long as its longest."""
BEAT_S = 3.0
"""Seconds between two renewals of the process's lease, which each turn would pay for."""
LEADER = "kit"
"""Holds the relay's lease, also after a move of the clock by which the process's own has run out."""
MOST_TURNS = 5_000
BUSY = (
    "drain() made {turns} turns and parts are still due; the last calls were {paths}. Something sends again and again:"
    " a hook that enqueues on the end of its own job, or a fault with times=None"
)


class WriterAtOnce(Writer):
    """Commits in the thread that asks."""

    def start(self) -> None:
        """There is no thread to start."""

    def _put(self, item: Item) -> PendingWrite:
        pending_write = PendingWrite(item)
        self._write([pending_write])
        return pending_write

    def flush(self, timeout_s: float) -> bool:
        """All is durable already."""
        return True


class RunsThatRaise(HookRuns):
    """Hooks whose errors reach the test, after they were written down as always."""

    def _run(self, event: ClaimedEvent, hooks: Sequence[Callable[[Session], Any]]) -> None:
        bound = isinstance(self._database, BoundDatabase)
        # In a savepoint, or the end of a hook's session would be that of the test's transaction.
        with self._database.writing() if bound else nullcontext():
            super()._run(event, hooks)

    def _failed(self, event: ClaimedEvent, error: BaseException) -> None:
        super()._failed(event, error)
        raise error


class Machine:
    """The worker process of a test, on its database."""

    def __init__(
        self,
        database: Database,
        accounts: KitAccounts,
        vendor: Vendor,
        pages: UrlPages,
        clock: KitClock,
        settings: Settings,
    ):
        hooks, delivery, rng = load_hooks(settings.hooks), settings.delivery, random.Random(7)
        self._database, self._accounts, self._vendor, self._clock = database, accounts, vendor, clock
        self._runtime = runtime = build_runtime(
            Dependencies(
                database,
                accounts,
                vendor,
                delivery,
                web=pages,
                monotonic=clock.monotonic,
                life_clock=clock.monotonic,
                rng=rng,
                pause=still_open,
                on_death=_raised,
                hooked_ends=hooks.ends,
                hooked_tags=hooks.tags,
                writer=WriterAtOnce,
            )
        )
        self._sender, self._rings = DoorbellSender(runtime), list[Doorbell]()
        self._relay = self._new_relay()
        self._recovery = self._new_recovery()
        self._heard = list[str]()
        self._offers = HookOffers(
            database,
            self._heard.extend,
            threads=hook_threads(delivery),
            offer_s=delivery.offer_s,
            monotonic=clock.monotonic,
        )
        self._runs = RunsThatRaise(
            database, hooks, delivery, holder=lambda: runtime.lease.incarnation, may_act=runtime.lease.may_act, rng=rng
        )
        self._has_hooks, self._beat_at = bool(hooks), float("-inf")
        self._tag_ends = TagEnds(database, clock.monotonic) if hooks.tags else None
        self._doors = Verifiers(accounts, delivery.callback_max_age_s, clock.monotonic)
        self._store = CallbackStore(database, settings, accounts)

    def drain(self, within_s: float) -> None:
        """Delivers all that is due, and moves the clock over the worker's own waits, so many seconds at most."""
        end = self._clock.sql.micros + int(within_s * SECOND)
        for _ in range(MOST_TURNS):
            if self._turn():
                continue
            self._recovery.turn()
            self._look_at_tags()
            if self._turn():
                continue
            with self._database.reading() as connection:
                wake = next_wake(connection, self._clock.sql.micros)
            if wake is None or wake > end:
                return
            self._clock.move_to(instant(wake))
        paths = ", ".join(call.request.path for call in self._vendor.calls()[-3:]) or "none"
        raise with_chinese_note(AssertionError(BUSY.format(turns=MOST_TURNS, paths=paths)))

    def receive(self, url: str, query: Mapping[str, str], body: bytes) -> None:
        """Takes a callback as `worker receiver` does."""
        name = urlsplit(url).path.rpartition("/")[2]
        door = self._doors.of(name)
        if door is None:
            raise with_chinese_note(ValueError(f"account {name} has no callback address"))
        self._store.store(name, door.read(query, body, self._clock.sql.micros / SECOND))

    def _turn(self) -> bool:
        """One turn of everything; False: there was nothing to do."""
        self._clock.tick(TICK_S)
        if self._clock.monotonic() - self._beat_at >= BEAT_S:
            self._runtime.lease.beat(self._runtime.lane_states.summary())
            self._beat_at = self._clock.monotonic()
        self._relay.lead()
        self._relay.full_scan()
        self._relay.turn()
        rings = self._taken(self._rings)
        for ring in rings:
            self._sender.answer(ring.lane, ring.ids, probe=ring.probe)
        if self._has_hooks:
            self._offers.turn()
        heard = self._taken(self._heard)
        for event in heard:
            self._runs.hear(event)
        return bool(rings or heard)

    def _look_at_tags(self) -> None:
        """Notices which tags have ended, for a hook of theirs."""
        if self._tag_ends is not None:
            while index_lot(self._database):
                pass
            self._tag_ends.turn()

    def _new_relay(self) -> Relay:
        accounts, delivery = self._accounts, self._runtime.settings
        return Relay(
            self._database,
            holder=lambda: LEADER,
            publish=self._rings.extend,
            thread_shares=ThreadShares(delivery.doorbell_size, delivery.threads),
            times=RelayTimes(park_probe_s=delivery.park_probe_s, silence_s=delivery.silence_s),
            monotonic=self._clock.monotonic,
            weight=lambda account: weight_of(accounts, account),
            amount=lambda account, limit: amount_of(accounts, account, limit),
        )

    def _new_recovery(self) -> Recovery:
        return Recovery(
            self._database,
            change=self._runtime.writer.change,
            accounts=self._accounts,
            channel=channel,
            policy=policy_of(self._runtime.settings),
            lease_s=self._runtime.settings.lease_s,
            monotonic=self._clock.monotonic,
        )

    @staticmethod
    def _taken(queue: list[Any]) -> list[Any]:
        taken, queue[:] = list(queue), []
        return taken


def _raised(error: BaseException) -> None:
    raise error
