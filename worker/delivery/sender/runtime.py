"""Everything that one process needs to deliver, such as its clock, its database and its writer."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog
from uuid_utils import uuid7

from worker.channels.base import Channel
from worker.channels.registry import channel as find_channel
from worker.config.accounts import AccountSource
from worker.config.application import traceback_summary
from worker.config.policy import policy_of
from worker.config.settings import DeliverySettings
from worker.delivery.resolver.download import Downloads
from worker.delivery.resolver.group_sends import GroupSends
from worker.delivery.resolver.media import MediaResolver
from worker.delivery.resolver.members import Members, Resolver
from worker.delivery.resolver.recall_and_update import FollowUps
from worker.delivery.resolver.url_file import UrlFiles
from worker.delivery.sender.admission import Governor
from worker.delivery.sender.fault_reports import FaultReports, UnexpectedAnswers
from worker.delivery.sender.lane_blocks import LaneBlocks
from worker.delivery.sender.lane_states import LaneStates
from worker.delivery.sender.lease import Leadership, Lease, Renewals
from worker.delivery.sender.retry_hints import RetryHints
from worker.delivery.sender.writer import Writer
from worker.domain.callbacks.hook import NO_HOOKS, Subscriptions
from worker.domain.content.address import Allowed
from worker.domain.trace import Tracing
from worker.outbox.commit.commands import JobUpdate
from worker.outbox.engine.clock import boot_clock
from worker.outbox.engine.database import Database
from worker.outbox.engine.site_keys import lane_key, lane_name
from worker.outbox.lanes.processes import QueueName, alive_processes, deferred_account
from worker.transport.http import Transport
from worker.transport.session import Web
from worker.transport.tokens import Tokens

log = structlog.get_logger()

EXIT_WRITER_DIED = 70
"""EX_SOFTWARE: a defect of this program, not of its settings."""


def die(error: BaseException, exit: Callable[[int], None] = os._exit) -> None:
    """Logs why the writer's thread ended, and ends the process at once."""
    # Without the writer no answer can be recorded: each further call would be in doubt.
    log.critical("writer_died", error=type(error).__name__, where=traceback_summary(error))
    exit(EXIT_WRITER_DIED)


@dataclass
class Runtime:
    """The machinery of one process. Its fields are what differs between processes and what tests replace.

    Making one reads the site's key from the database. Nothing runs until the writer is started and the lease is renewed
    once.
    """

    database: Database
    accounts: AccountSource
    transport: Transport
    settings: DeliverySettings
    web: Web = field(default_factory=Web)
    monotonic: Callable[[], float] = boot_clock
    life_clock: Callable[[], float] = boot_clock
    rng: random.Random = field(default_factory=random.Random)
    new_id: Callable[[], str] = lambda: uuid7().hex
    pause: Callable[[float], None] = time.sleep
    report_updates: Callable[[Sequence[JobUpdate]], None] = lambda happened: None
    on_death: Callable[[BaseException], None] = die
    checkpoint: Callable[[str], None] = lambda label: None
    resolver: Resolver | None = None
    """Names the members of departments and tags. If None, the accounts' estimates count instead."""
    hooks: Subscriptions = NO_HOOKS
    """The hooks of this process. Each process stores events for the hooks of all."""
    tracing: Tracing | None = None
    """Writes a span for each call, or None without tracing."""
    queues: Callable[[], Iterable[str] | None] = lambda: None
    """The queues from which this process takes doorbells, or None for all of them."""
    channel: Callable[[str], Channel] = find_channel
    draining: threading.Event = field(default_factory=threading.Event)
    writer_class: type[Writer] = Writer

    def __post_init__(self) -> None:
        database, settings, monotonic = self.database, self.settings, self.monotonic
        with database.reading() as connection:
            key = lane_key(connection)
        rules = policy_of(settings).lanes
        self.lease = self._new_lease()
        self.renewals = Renewals(database, lambda: self.lease.incarnation, monotonic)
        self.writer = self._new_writer()
        self.governor = Governor(database, site_key=key, monotonic=monotonic)
        self.tokens = self._new_tokens()
        self.lane_states = LaneStates(monotonic, settings.cold_after_s, rules)
        self.lane_blocks = LaneBlocks(database, self.lane_states, rules, self.rng, self._has_peer)
        self.follow_ups = FollowUps(
            database,
            self.writer.change,
            lane_of=partial(lane_name, key),
            call_deadline_s=settings.call_deadline_s,
            code_ttl_s=settings.response_code_ttl_s,
        )
        self.group_sends = GroupSends(database, self.accounts, self.follow_ups, self.writer.change)
        self.media = MediaResolver(database, self._new_url_files(), new_id=self.new_id, lane_of=partial(lane_name, key))
        self.members = Members(
            self.resolver,
            valid_s=settings.members_valid_s,
            deadline_s=settings.members_deadline_s,
            monotonic=monotonic,
        )
        self.retry_hints = RetryHints(monotonic)
        self.fault_reports = FaultReports(database, monotonic)
        self.unexpected_answers = UnexpectedAnswers(monotonic)

    def leadership(self, name: str, lease_s: float) -> Leadership:
        """Returns this process's lease of a work that one process does at a time."""
        return Leadership(
            self.database,
            name,
            holder=lambda: self.lease.incarnation,
            lease_s=lease_s,
            monotonic=self.monotonic,
            renewals=self.renewals,
        )

    def _has_peer(self, account: str) -> bool:
        """Returns True if another living process may be able to use an account."""
        with self.database.reading() as connection:
            living = alive_processes(connection, self.database.now)
        return any(
            process.id != self.lease.incarnation
            and process.queues - {QueueName.HOOKS}
            and account not in process.unusable
            and deferred_account(account) not in process.health.hindered
            for process in living
        )

    def _new_lease(self) -> Lease:
        return Lease(
            self.database,
            threads=self.settings.threads,
            queues=self.queues,
            hooks=self.hooks,
            lease_s=self.settings.lease_s,
            clock=self.life_clock,
            new_id=self.new_id,
        )

    def _new_writer(self) -> Writer:
        return self.writer_class(
            self.database,
            policy_of(self.settings),
            report_updates=self.report_updates,
            on_death=self.on_death,
            pause=self.pause,
            checkpoint=self.checkpoint,
            monotonic=self.monotonic,
        )

    def _new_tokens(self) -> Tokens:
        return Tokens(
            self.database,
            self.transport,
            self.web,
            settings=self.settings,
            incarnation=lambda: self.lease.incarnation,
            monotonic=self.monotonic,
            rng=self.rng,
            pause=self.pause,
            accounts=self.accounts,
        )

    def _new_url_files(self) -> UrlFiles:
        """Returns the fetcher of files behind URLs, which uses at most a quarter of the threads."""
        allowed, deadline_s = Allowed(self.settings.fetch_allow), self.settings.fetch_deadline_s
        return UrlFiles(
            self.database,
            self.writer.change,
            Downloads(self.web, allowed, deadline_s=deadline_s, stopping=self.draining.is_set),
            deadline_s=deadline_s,
            # The servers are not ours and may be slow: three quarters of the threads stay free for calls.
            max_fetches=max(1, self.settings.threads // 4),
            new_id=self.new_id,
            monotonic=self.monotonic,
            record_duration=self.lane_states.record_cycle,
        )
