"""Builds the loops of one worker process, and the leases of those that only one process may run.

They are built before any of them starts. `lifecycle.py` starts and stops them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import structlog

from worker.channels.registry import amount_of, channel, weight_of
from worker.config.policy import policy_of
from worker.config.settings import RetentionSettings, Settings
from worker.control.cancel import Revocations
from worker.delivery.maintenance.housekeeping import Housekeeping
from worker.delivery.maintenance.recovery import Recovery
from worker.delivery.scheduler.fair_share import ThreadShares
from worker.delivery.scheduler.relay import Relay
from worker.delivery.sender.runtime import Runtime
from worker.domain.pacing.bulk import Pacing
from worker.hooks.registry import ApplicationHooks
from worker.outbox.lanes.agenda import Agenda, Work
from worker.outbox.lanes.lanes import retry_changed_accounts
from worker.outbox.upkeep.indexing import IDLE_S, Indexing
from worker.outbox.upkeep.totals import EVERY_S, SPARE_EVERY_S, Totals
from worker.service.account_updates import AccountUpdates
from worker.service.broker import EMBEDDED
from worker.service.flower.events import FlowerEvents
from worker.service.flower.waiting_jobs import WaitingJobs
from worker.service.hook_service import HookService
from worker.service.loop import Loop
from worker.service.notify.notifier import Notifier
from worker.service.publisher import BROKER_AWAY_S, DoorbellPublisher
from worker.service.tag_ends import TagEnds
from worker.service.wait_log import WaitLog
from worker.transport.grants import ChangedCodes, CodeExchanges, SuiteAccounts
from worker.transport.token_probe import POLL_S, TokenProbe

log = structlog.get_logger()

UPKEEP_LEASE_FACTOR = 3
"""Factor from a process's own lease to the lease of upkeep work, for whose turns nothing waits."""

Turns = dict[str, Callable[[], float]]
"""Loop name to its turn, which returns the seconds until the next."""


class Loops:
    """The loops of one process by name, and the leases of those that only one process may run."""

    def __init__(
        self,
        runtime: Runtime,
        settings: Settings,
        app: Any,
        doorbells: DoorbellPublisher,
        application: ApplicationHooks,
        flower: FlowerEvents | None,
        *,
        revoked: Collection[str],
        beat: Callable[[], float],
    ):
        """`beat` is the turn of the heartbeat. `revoked` has the ids of jobs that were revoked in Flower."""
        self._runtime, self._doorbells = runtime, doorbells
        self._is_embedded = settings.broker.url == EMBEDDED
        self._agenda = Agenda(runtime.database, runtime.monotonic)
        self.relay = self._new_relay()
        self.leaderships = [self.relay.leadership]
        self.hooks: HookService | None = None
        """None if the application has no hooks."""
        turns = {"heartbeat": beat, **self._delivery_turns(revoked), **self._account_turns()}
        turns |= self._upkeep_turns(settings.retention)
        if settings.notify.to:
            notifier = Notifier(settings.notify, runtime, agenda=self._agenda, zone=settings.zone)
            turns["notify"] = notifier.turn
            self.leaderships.append(notifier.leadership)
        if flower:
            turns |= self._flower_turns(flower)
        if application:
            self.hooks = HookService(app, settings.queue_prefix, runtime, application, self._agenda)
            turns["hooks"] = self.hooks.turn
            self.leaderships.append(self.hooks.leadership)
        if application.subscriptions.tags:
            turns["tag_ends"] = self._leader_only("tag_ends", TagEnds(runtime.database, runtime.monotonic).turn)
        # The last turn of `revocations` saves what was revoked a moment before a restart.
        self.by_name = {name: Loop(name, turn, once_more=name == "revocations") for name, turn in turns.items()}

    def all_but(self, *names: str) -> list[Loop]:
        """Returns all loops but these."""
        return [loop for name, loop in self.by_name.items() if name not in names]

    # -- what turns ---------------------------------------------------------------------------------------------------

    def _delivery_turns(self, revoked: Collection[str]) -> Turns:
        runtime = self._runtime
        delivery = runtime.settings
        recovery = Recovery(
            runtime.database,
            change=runtime.writer.change,
            accounts=runtime.accounts,
            channel=channel,
            policy=policy_of(delivery),
            lease_s=delivery.lease_s,
            monotonic=runtime.monotonic,
            agenda=self._agenda,
        )
        return {
            "relay": self._relay_turn,
            "full_scan": self.relay.full_scan,
            "recovery": self._leader_only("recovery", recovery.turn, delivery.lease_s),
            "revocations": Revocations(runtime.database, runtime.fault_reports, runtime.writer.change, revoked).turn,
        }

    def _account_turns(self) -> Turns:
        runtime = self._runtime
        updates = AccountUpdates(runtime.accounts, runtime.lane_states, self._try_changed)
        probe = TokenProbe(runtime.database, runtime.accounts, runtime.tokens)
        suites = SuiteAccounts(lambda: updates.usable)
        exchanges = CodeExchanges(runtime.database, runtime.accounts, runtime.tokens, runtime.transport)
        return {
            "accounts": updates.turn,
            "wait_log": WaitLog(
                runtime.database,
                is_leader=lambda: self.relay.active,
                lane_states=runtime.lane_states,
                monotonic=runtime.monotonic,
                is_embedded=self._is_embedded,
            ).turn,
            "token_probe": partial(self._agenda.run_unless_idle, Work.TOKENS, probe.turn, POLL_S),
            "changed_codes": partial(suites.turn, ChangedCodes(runtime.database, runtime.tokens).turn),
            "code_exchanges": partial(suites.turn, exchanges.turn),
        }

    def _upkeep_turns(self, retention: RetentionSettings) -> Turns:
        database = self._runtime.database
        indexing, housekeeping = Indexing(database), Housekeeping(database, retention)
        return {
            "indexing": self._leader_only(
                "indexing", partial(self._agenda.run_unless_idle, Work.UNINDEXED, indexing.turn, IDLE_S)
            ),
            "totals": partial(self._sum_counters, Totals(database)),
            "housekeeping": self._leader_only("housekeeping", partial(_purge, housekeeping)),
        }

    def _flower_turns(self, flower: FlowerEvents) -> Turns:
        waiting_jobs = WaitingJobs(
            self._runtime.database,
            flower.add,
            leads=lambda: self.relay.active,
            monotonic=self._runtime.monotonic,
            agenda=self._agenda,
        )
        return {"flower": flower.turn, "waiting_jobs": waiting_jobs.turn}

    def _new_relay(self) -> Relay:
        runtime = self._runtime
        delivery = runtime.settings
        return Relay(
            runtime.database,
            holder=lambda: runtime.lease.incarnation,
            publish=self._doorbells.publish,
            thread_shares=ThreadShares(delivery.doorbell_size, delivery.threads),
            settings=delivery,
            monotonic=runtime.monotonic,
            weight=lambda account: weight_of(runtime.accounts, account),
            amount=lambda account, limit: amount_of(runtime.accounts, account, limit),
            pacing=Pacing(runtime.rng) if delivery.pace_bulk else None,
            agenda=self._agenda,
            renewals=runtime.renewals,
        )

    # -- how they turn ------------------------------------------------------------------------------------------------

    def _leader_only(self, name: str, turn: Callable[[], float], lease_s: float | None = None) -> Callable[[], float]:
        """Returns a turn that runs in one process at a time. Another process takes over if it fails."""
        leadership = self._runtime.leadership(name, lease_s or UPKEEP_LEASE_FACTOR * self._runtime.settings.lease_s)
        self.leaderships.append(leadership)
        return partial(leadership.turn, turn)

    def _relay_turn(self) -> float:
        """Takes a turn of the relay. While the broker is away, it leaves the lease to a process that has one."""
        if self._doorbells.ready():
            self.relay.leadership.has_means()
            return self.relay.turn()
        # Nothing is offered: parts that are offered and not published would have to wait until their offer ends.
        self.relay.leadership.hold_back(self._doorbells.problem)
        return BROKER_AWAY_S

    def _try_changed(self, accounts: Collection[str]) -> None:
        database = self._runtime.database
        database.run(lambda connection: retry_changed_accounts(connection, database.now, accounts))
        for account in accounts:
            self._runtime.lane_states.unblock(account)
            self._runtime.lane_states.record_reached(account)

    def _sum_counters(self, totals: Totals) -> float:
        delay = self._agenda.run_unless_idle(Work.COUNTS, totals.turn, EVERY_S)
        return delay if self.relay.active else max(delay, SPARE_EVERY_S)


def _purge(housekeeping: Housekeeping) -> float:
    delay = housekeeping.turn()
    if housekeeping.deleted:
        log.info("purged", **housekeeping.deleted)
    return delay
