"""Builds everything that one process needs to deliver, such as its clock and database, and passes it on."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog
from uuid_utils import uuid7

from worker.channels.base import Channel
from worker.channels.registry import channel as find_channel
from worker.config.accounts import AccountSource
from worker.config.application import traceback_summary
from worker.config.policy import policy_of
from worker.config.settings import DeliverySettings
from worker.delivery.resolver.download import Downloads
from worker.delivery.resolver.follow_ups import FollowUps
from worker.delivery.resolver.group_sends import GroupSends
from worker.delivery.resolver.media import MediaResolver
from worker.delivery.resolver.members import Members, Resolver
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

ReportUpdates = Callable[[Sequence[JobUpdate]], None]
EXIT_WRITER_DIED = 70
"""EX_SOFTWARE: a defect of this program, not of its settings."""


@dataclass
class Runtime:
    """The machinery of one process; see `build_runtime`."""

    database: Database
    accounts: AccountSource
    settings: DeliverySettings
    lease: Lease
    renewals: Renewals
    writer: Writer
    governor: Governor
    tokens: Tokens
    transport: Transport
    web: Web
    follow_ups: FollowUps
    group_sends: GroupSends
    media: MediaResolver
    members: Members
    lane_states: LaneStates
    lane_blocks: LaneBlocks
    retry_hints: RetryHints
    fault_reports: FaultReports
    unexpected_answers: UnexpectedAnswers
    rng: random.Random
    tracing: Tracing | None
    """Writes a span for each call, or None without tracing."""
    monotonic: Callable[[], float] = time.monotonic
    report_updates: ReportUpdates = lambda happened: None
    channel: Callable[[str], Channel] = find_channel
    checkpoint: Callable[[str], None] = lambda label: None
    draining: threading.Event = field(default_factory=threading.Event)

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


def die(error: BaseException, exit: Callable[[int], None] = os._exit) -> None:
    """Logs why the writer's thread ended, and ends the process at once."""
    # Without the writer no answer can be recorded: each further call would be in doubt.
    log.critical("writer_died", error=type(error).__name__, where=traceback_summary(error))
    exit(EXIT_WRITER_DIED)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a runtime is built from: everything that tests replace."""

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
    report_updates: ReportUpdates = lambda happened: None
    on_death: Callable[[BaseException], None] = die
    checkpoint: Callable[[str], None] | None = None
    resolver: Resolver | None = None
    """Names the members of departments and tags. If None, the accounts' estimates count instead."""
    hooks: Subscriptions = NO_HOOKS
    """The hooks of this process. Each process stores events for the hooks of all."""
    tracing: Tracing | None = None
    """Writes a span for each call, or None without tracing."""
    queues: Callable[[], Iterable[str] | None] = lambda: None
    """The queues from which this process takes doorbells, or None for all of them."""
    writer: type[Writer] = Writer


def build_runtime(dependencies: Dependencies) -> Runtime:
    """Builds the runtime of one process. Nothing runs until its writer is started and its lease is renewed once."""
    database, settings = dependencies.database, dependencies.settings
    with database.reading() as connection:
        key = lane_key(connection)
    lease = _lease(dependencies)
    writer = _writer(dependencies)

    def lane_of(account: str, label: str) -> str:
        return lane_name(key, account, label)

    def draining() -> bool:
        return runtime.draining.is_set()

    rules = policy_of(settings).lanes
    lane_states = LaneStates(dependencies.monotonic, settings.silence_s, rules)
    follow_ups = _follow_ups(dependencies, writer)
    url_files = _url_files(dependencies, writer, lane_states, draining)
    runtime = Runtime(
        database=database,
        accounts=dependencies.accounts,
        settings=settings,
        lease=lease,
        renewals=Renewals(database, lambda: lease.incarnation, dependencies.monotonic),
        writer=writer,
        governor=Governor(database, site_key=key, monotonic=dependencies.monotonic),
        tokens=_tokens(dependencies, lease),
        transport=dependencies.transport,
        web=dependencies.web,
        follow_ups=follow_ups,
        group_sends=GroupSends(database, dependencies.accounts, follow_ups, writer.change),
        media=MediaResolver(database, url_files, new_id=dependencies.new_id, lane_of=lane_of),
        members=_members(dependencies),
        lane_states=lane_states,
        lane_blocks=LaneBlocks(database, lane_states, rules, dependencies.rng, _has_peer(database, lease)),
        retry_hints=RetryHints(dependencies.monotonic),
        fault_reports=FaultReports(database, dependencies.monotonic),
        unexpected_answers=UnexpectedAnswers(dependencies.monotonic),
        rng=dependencies.rng,
        tracing=dependencies.tracing,
        monotonic=dependencies.monotonic,
        report_updates=dependencies.report_updates,
        checkpoint=dependencies.checkpoint or (lambda label: None),
    )
    return runtime


def _has_peer(database: Database, lease: Lease) -> Callable[[str], bool]:
    """Returns a function that tells whether another living process may be able to use an account."""

    def has_peer(account: str) -> bool:
        with database.reading() as connection:
            living = alive_processes(connection, database.now)
        return any(
            process.id != lease.incarnation
            and process.queues - {QueueName.HOOKS}
            and account not in process.unusable
            and deferred_account(account) not in process.health.hindered
            for process in living
        )

    return has_peer


def _writer(dependencies: Dependencies) -> Writer:
    return dependencies.writer(
        dependencies.database,
        policy_of(dependencies.settings),
        report_updates=dependencies.report_updates,
        on_death=dependencies.on_death,
        pause=dependencies.pause,
        checkpoint=dependencies.checkpoint,
        monotonic=dependencies.monotonic,
    )


def _members(dependencies: Dependencies) -> Members:
    settings = dependencies.settings
    return Members(
        dependencies.resolver,
        valid_s=settings.members_valid_s,
        deadline_s=settings.members_deadline_s,
        monotonic=dependencies.monotonic,
    )


def _follow_ups(dependencies: Dependencies, writer: Writer) -> FollowUps:
    settings = dependencies.settings
    return FollowUps(
        dependencies.database,
        writer.change,
        call_deadline_s=settings.call_deadline_s,
        code_ttl_s=settings.response_code_ttl_s,
    )


def _url_files(
    dependencies: Dependencies, writer: Writer, lane_states: LaneStates, draining: Callable[[], bool]
) -> UrlFiles:
    """Returns the fetcher of files behind URLs, which uses at most a quarter of the threads."""
    settings = dependencies.settings
    allowed, deadline_s = Allowed(settings.fetch_allow), settings.fetch_deadline_s
    return UrlFiles(
        dependencies.database,
        writer.change,
        Downloads(dependencies.web, allowed, deadline_s=deadline_s, stopping=draining),
        deadline_s=deadline_s,
        # The servers are not ours and may be slow: three quarters of the threads stay free for calls.
        max_fetches=max(1, settings.threads // 4),
        new_id=dependencies.new_id,
        monotonic=dependencies.monotonic,
        record_duration=lane_states.record_cycle,
    )


def _lease(dependencies: Dependencies) -> Lease:
    return Lease(
        dependencies.database,
        threads=dependencies.settings.threads,
        queues=dependencies.queues,
        hooks=dependencies.hooks,
        lease_s=dependencies.settings.lease_s,
        clock=dependencies.life_clock,
        new_id=dependencies.new_id,
    )


def _tokens(dependencies: Dependencies, lease: Lease) -> Tokens:
    return Tokens(
        dependencies.database,
        dependencies.transport,
        dependencies.web,
        settings=dependencies.settings,
        incarnation=lambda: lease.incarnation,
        monotonic=dependencies.monotonic,
        rng=dependencies.rng,
        pause=dependencies.pause,
        accounts=dependencies.accounts,
    )
