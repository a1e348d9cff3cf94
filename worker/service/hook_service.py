"""Runs the application's hooks in one worker process. One process offers the events, any process may run them."""

from __future__ import annotations

import time
from typing import Any

from worker.accounts.current import configure
from worker.delivery.sender.runtime import Runtime
from worker.domain.pacing.poll_interval import PollInterval
from worker.hooks.offers import HookOffers
from worker.hooks.registry import ApplicationHooks
from worker.hooks.runs import HookRuns, hook_threads
from worker.outbox.lanes.agenda import Agenda
from worker.service.publisher import BROKER_AWAY_S, EventPublisher

LEASE = "hooks"
MIN_IDLE_S, MAX_IDLE_S = 0.02, 0.25
"""Seconds between two searches for events: at least, and at most."""


class HookService:
    """Offers events while this process holds the lease for it, and runs the hooks of events that it receives."""

    def __init__(self, app: Any, prefix: str, runtime: Runtime, hooks: ApplicationHooks, agenda: Agenda):
        self._publisher = EventPublisher(app, prefix)
        # A lease of its own, because the process with the active relay may have no hooks.
        self.leadership = runtime.leadership(LEASE, runtime.settings.lease_s)
        self._poll_interval = PollInterval(MIN_IDLE_S, MAX_IDLE_S, time.monotonic)
        # A hook may enqueue jobs, which are checked against this worker's accounts.
        configure(runtime.accounts)
        self._offers = HookOffers(
            runtime.database,
            self._publisher.publish,
            threads=hook_threads(runtime.settings),
            republish_after_s=runtime.settings.republish_after_s,
            monotonic=time.monotonic,
            agenda=agenda,
        )
        self.runs = HookRuns(
            runtime.database,
            hooks,
            runtime.settings,
            holder=lambda: runtime.lease.incarnation,
            may_act=runtime.lease.may_act,
            rng=runtime.rng,
            tracing=runtime.tracing,
        )

    def turn(self) -> float:
        """Offers due events if this process holds the lease, and returns the seconds until the next turn."""
        if not self._publisher.ready():
            self.leadership.hold_back(self._publisher.problem)
            return BROKER_AWAY_S
        self.leadership.has_means()
        if not self.leadership.lead():
            self.leadership.record_idle()
            return self.leadership.retry_s
        with self.leadership.trying():
            offered = self._offers.turn()
        if offered:
            self._poll_interval.reset()
        (self.leadership.succeeded if offered else self.leadership.record_idle)()
        return self._poll_interval.delay()

    def close(self) -> None:
        """Closes the connection to the broker."""
        self._publisher.close()
