"""The application's hooks in one worker process: offered by the relay's leader, run by whoever takes the message."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from worker.config.accounts import AccountSource
from worker.config.current import configure
from worker.delivery.hook_offers import HookOffers
from worker.delivery.hook_runs import HookRuns, hook_threads
from worker.delivery.hooks import ApplicationHooks
from worker.delivery.plant import Plant
from worker.service.broker import Line
from worker.service.queues import HOOKS, TRANSIENT
from worker.service.tasks import HEAR


class HookRoom:
    """Both sides of one process."""

    def __init__(
        self,
        app: Any,
        prefix: str,
        plant: Plant,
        hooks: ApplicationHooks,
        accounts: AccountSource,
        *,
        leads: Callable[[], bool],
        rng: random.Random,
    ):
        self._app, self._queue, self._leads = app, prefix + HOOKS, leads
        self._line, self._settings = Line(app, "hooks"), plant.settings
        self._declared = False
        configure(accounts)  # what a hook enqueues goes by this worker's accounts
        self._offers = HookOffers(
            plant.database,
            self._publish,
            threads=hook_threads(plant.settings),
            offer_s=plant.settings.offer_s,
            monotonic=time.monotonic,
        )
        self.runs = HookRuns(
            plant.database,
            hooks,
            plant.settings,
            holder=lambda: plant.life.incarnation,
            may_act=plant.life.may_act,
            rng=rng,
        )

    def turn(self) -> float:
        """One turn of the leader's offers; the seconds until the next."""
        if not self._leads():
            return self._settings.lease_s / 10
        if not self._ready():
            return 0.5
        return self._settings.poll_s if self._offers.turn() else self._settings.idle_poll_s

    def close(self) -> None:
        """Closes the line to the broker."""
        self._line.close()

    def _ready(self) -> bool:
        if not self._line.open():
            self._declared = False
        elif not self._declared:
            [queue] = [queue for queue in self._app.conf.task_queues if queue.name == self._queue]
            queue.bind(self._line.channel()).declare()
            self._declared = True
        return self._declared

    def _publish(self, ids: Sequence[str]) -> None:
        """One message an event; the first failure ends the round."""
        for one in ids:
            if not (self._ready() and self._send(one)):
                return

    def _send(self, event: str) -> bool:
        message = self._app.amqp.as_task_v2(
            secrets.token_hex(16), HEAR, [event], {}, ignore_result=True, argsrepr="", kwargsrepr=""
        )
        return self._line.publish(
            message.body,
            exchange="",
            routing_key=self._queue,
            headers=message.headers,
            delivery_mode=TRANSIENT,
            **message.properties,
        )
