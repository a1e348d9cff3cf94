"""A worker process without its threads: relay, senders, recovery and hooks take turns until nothing is due."""

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
from worker.delivery.scheduler.relay import Relay
from worker.delivery.sender.doorbell_sender import DoorbellSender
from worker.delivery.sender.runtime import Runtime
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
from worker.outbox.upkeep.indexing import index_batch
from worker.service.tag_ends import TagEnds
from worker_simulator.testing.accounts import KitAccounts
from worker_simulator.testing.clock import KitClock
from worker_simulator.testing.database import still_open
from worker_simulator.testing.tables import BoundDatabase, next_wake
from worker_simulator.testing.vendor import UrlPages, Vendor

TICK_S = 1.1
"""Seconds between two turns: as long as the longest of the worker's own pauses."""
BEAT_S = 3.0
"""Seconds between two renewals of the process's lease, which would slow down each turn."""
LEADER = "kit"
"""Holds the relay's lease, even after the clock was moved beyond the end of the process's own lease."""
MAX_TURNS = 5_000
BUSY = (
    "deliver() made {turns} turns and parts are still due; the last calls were {paths}. Something sends again and"
    " again: a hook that enqueues on the end of its own job, or a fault with times=None"
)


class SynchronousWriter(Writer):
    """Commits in the calling thread."""

    def start(self) -> None:
        """Does nothing: there is no thread."""

    def _put(self, item: Item) -> PendingWrite:
        pending_write = PendingWrite(item)
        self._write([pending_write])
        return pending_write

    def flush(self, timeout_s: float) -> bool:
        """Returns True: everything is committed already."""
        return True


class RaisingHookRuns(HookRuns):
    """Runs hooks, stores their errors as usual, and then raises them in the test."""

    def _run(self, event: ClaimedEvent, hooks: Sequence[Callable[[Session], Any]]) -> None:
        bound = isinstance(self._database, BoundDatabase)
        # In a savepoint, or the end of a hook's session would be that of the test's transaction.
        with self._database.writing() if bound else nullcontext():
            super()._run(event, hooks)

    def _failed(self, event: ClaimedEvent, error: BaseException) -> None:
        super()._failed(event, error)
        raise error


class KitWorker:
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
        self._runtime = runtime = Runtime(
            database,
            accounts,
            vendor,
            delivery,
            web=pages,
            monotonic=clock.monotonic,
            life_clock=clock.monotonic,
            rng=rng,
            pause=still_open,
            on_death=_raise,
            hooks=hooks.subscriptions,
            writer_class=SynchronousWriter,
        )
        self._sender, self._doorbells = DoorbellSender(runtime), list[Doorbell]()
        self._relay = self._new_relay()
        self._recovery = self._new_recovery()
        self._offered_events = list[str]()
        self._offers = HookOffers(
            database,
            self._offered_events.extend,
            threads=hook_threads(delivery),
            republish_after_s=delivery.republish_after_s,
            monotonic=clock.monotonic,
        )
        self._runs = RaisingHookRuns(
            database, hooks, delivery, holder=lambda: runtime.lease.incarnation, may_act=runtime.lease.may_act, rng=rng
        )
        self._has_hooks, self._beat_at = bool(hooks), float("-inf")
        self._tag_ends = TagEnds(database, clock.monotonic) if hooks.subscriptions.tags else None
        self._verifiers = Verifiers(accounts, delivery.callback_max_age_s, clock.monotonic)
        self._store = CallbackStore(database, settings, accounts)

    def deliver(self, within_s: float) -> None:
        """Delivers all that is due. Moves the clock over the worker's own waits, up to `within_s` seconds."""
        end = self._clock.sql.micros + int(within_s * SECOND)
        for _ in range(MAX_TURNS):
            if self._turn():
                continue
            self._recovery.turn()
            self._end_tags()
            if self._turn():
                continue
            with self._database.reading() as connection:
                wake = next_wake(connection, self._clock.sql.micros)
            if wake is None or wake > end:
                return
            self._clock.move_to(instant(wake))
        paths = ", ".join(call.request.path for call in self._vendor.calls()[-3:]) or "none"
        raise with_chinese_note(AssertionError(BUSY.format(turns=MAX_TURNS, paths=paths)))

    def receive(self, url: str, query: Mapping[str, str], body: bytes) -> None:
        """Stores a callback as `worker receiver` does."""
        name = urlsplit(url).path.rpartition("/")[2]
        verifier = self._verifiers.of(name)
        if verifier is None:
            raise with_chinese_note(ValueError(f"account {name} has no callback address"))
        self._store.store(name, verifier.read(query, body, self._clock.sql.micros / SECOND))

    def _turn(self) -> bool:
        """Runs each part of the worker once. Returns False if there was nothing to do."""
        self._clock.tick(TICK_S)
        if self._clock.monotonic() - self._beat_at >= BEAT_S:
            self._runtime.lease.beat(self._runtime.lane_states.summary())
            self._beat_at = self._clock.monotonic()
        self._relay.lead()
        self._relay.full_scan()
        self._relay.turn()
        doorbells = self._emptied(self._doorbells)
        for doorbell in doorbells:
            self._sender.answer(doorbell.lane, doorbell.ids, probe=doorbell.probe)
        if self._has_hooks:
            self._offers.turn()
        events = self._emptied(self._offered_events)
        for event in events:
            self._runs.hear(event)
        return bool(doorbells or events)

    def _end_tags(self) -> None:
        """Finds tags whose jobs have all ended, for hooks on them."""
        if self._tag_ends is not None:
            while index_batch(self._database):
                pass
            self._tag_ends.turn()

    def _new_relay(self) -> Relay:
        accounts, delivery = self._accounts, self._runtime.settings
        return Relay(
            self._database,
            holder=lambda: LEADER,
            publish=self._doorbells.extend,
            thread_shares=ThreadShares(delivery.doorbell_size, delivery.threads),
            settings=delivery,
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
    def _emptied(queue: list[Any]) -> list[Any]:
        items, queue[:] = list(queue), []
        return items


def _raise(error: BaseException) -> None:
    raise error
