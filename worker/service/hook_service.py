"""The application's hooks in one worker process: the relay's leader offers events, any process may take and run one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from worker.accounts.current import configure
from worker.delivery.sender.runtime import Runtime
from worker.hooks.offers import HookOffers
from worker.hooks.registry import ApplicationHooks
from worker.hooks.runs import HookRuns, hook_threads
from worker.service.publisher import EventDoorbells


class HookService:
    """Offers events while this process leads the relay, and runs the hooks of events that it takes."""

    def __init__(
        self,
        app: Any,
        prefix: str,
        runtime: Runtime,
        hooks: ApplicationHooks,
        *,
        leads: Callable[[], bool],
        rng: random.Random,
    ):
        self._doorbells, self._leads, self._settings = EventDoorbells(app, prefix), leads, runtime.settings
        # A hook may enqueue jobs; they are checked by this worker's accounts.
        configure(runtime.accounts)
        self._offers = HookOffers(
            runtime.database,
            self._doorbells.publish,
            threads=hook_threads(runtime.settings),
            offer_s=runtime.settings.offer_s,
            monotonic=time.monotonic,
        )
        self.runs = HookRuns(
            runtime.database,
            hooks,
            runtime.settings,
            holder=lambda: runtime.lease.incarnation,
            may_act=runtime.lease.may_act,
            rng=rng,
            tracing=runtime.tracing,
        )

    def turn(self) -> float:
        """Offers due events while this process leads the relay; returns the seconds until the next turn."""
        if not self._leads():
            return self._settings.lease_s / 10
        if not self._doorbells.ready():
            return 0.5
        return self._settings.poll_s if self._offers.turn() else self._settings.idle_poll_s

    def close(self) -> None:
        """Closes the connection to the broker."""
        self._doorbells.close()
