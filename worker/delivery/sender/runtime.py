"""Everything one process needs to deliver, built once and passed in: no module reaches for a clock or a connection."""

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
from worker.config.application import places_of
from worker.config.policy import policy_of
from worker.config.settings import DeliverySettings
from worker.delivery.resolver.download import Downloads
from worker.delivery.resolver.follow_ups import FollowUps
from worker.delivery.resolver.group_sends import GroupSends
from worker.delivery.resolver.http_get import SocketWeb, Web
from worker.delivery.resolver.media import MediaResolver
from worker.delivery.resolver.members import Members, Resolver
from worker.delivery.resolver.url_file import UrlFiles
from worker.delivery.sender.admission import Governor
from worker.delivery.sender.lane_blocks import LaneBlocks
from worker.delivery.sender.lane_state import LaneStates
from worker.delivery.sender.lease import Leadership, Lease, Renewals
from worker.delivery.sender.retry_hints import RetryHints
from worker.delivery.sender.set_aside import OddAnswers, SetAside
from worker.delivery.sender.writer import Writer
from worker.domain.callbacks.hook import Ends
from worker.domain.content.address import Allowed
from worker.domain.trace import Tracing
from worker.outbox.commit.commands import JobUpdate
from worker.outbox.engine.clock import boot_clock
from worker.outbox.engine.database import Database
from worker.outbox.engine.site_keys import lane_key, lane_name
from worker.outbox.lanes.processes import QueueName, account_left, alive
from worker.transport.http import Transport
from worker.transport.tokens import Tokens, TokenTimes

log = structlog.get_logger()

Tell = Callable[[Sequence[JobUpdate]], None]
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
    follow_ups: FollowUps
    group_sends: GroupSends
    media: MediaResolver
    members: Members
    lane_states: LaneStates
    lane_blocks: LaneBlocks
    retry_hints: RetryHints
    set_aside: SetAside
    odd_answers: OddAnswers
    rng: random.Random
    tracing: Tracing | None
    """Writes a span for each call; None: none is written."""
    monotonic: Callable[[], float] = time.monotonic
    tell: Tell = lambda happened: None
    channel: Callable[[str], Channel] = find_channel
    probe: Callable[[str], None] = lambda label: None
    draining: threading.Event = field(default_factory=threading.Event)

    def leadership(self, name: str, lease_s: float) -> Leadership:
        """This process's part in a work that one process does at a time."""
        return Leadership(
            self.database,
            name,
            holder=lambda: self.lease.incarnation,
            lease_s=lease_s,
            monotonic=self.monotonic,
            renewals=self.renewals,
        )


def die(error: BaseException, exit: Callable[[int], None] = os._exit) -> None:
    """Ends the process at once after its writer's thread ended, and logs why."""
    # Without the writer no answer can be recorded: each further call would be in doubt.
    log.critical("writer_died", error=type(error).__name__, where=places_of(error))
    exit(EXIT_WRITER_DIED)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a runtime is built upon: everything that tests replace."""

    database: Database
    accounts: AccountSource
    transport: Transport
    settings: DeliverySettings
    web: Web = field(default_factory=SocketWeb)
    monotonic: Callable[[], float] = boot_clock
    life_clock: Callable[[], float] = boot_clock
    rng: random.Random = field(default_factory=random.Random)
    new_id: Callable[[], str] = lambda: uuid7().hex
    pause: Callable[[float], None] = time.sleep
    tell: Tell = lambda happened: None
    died: Callable[[BaseException], None] = die
    probe: Callable[[str], None] | None = None
    resolver: Resolver | None = None
    """Names the members of departments and tags; None: the accounts' estimates count instead."""
    hooked_ends: Ends = field(default_factory=dict)
    """The ends of jobs for which the application has a hook; no event is stored for other ends."""
    hooked_tags: Iterable[str] = ()
    """The tags for whose end the application has a hook."""
    tracing: Tracing | None = None
    """Writes a span for each call; None: none is written."""
    queues: Callable[[], Iterable[str] | None] = lambda: None
    """The queues this process takes doorbells from; None: all of them."""
    writer: type[Writer] = Writer


def build_runtime(dependencies: Dependencies) -> Runtime:
    """Puts one process's machinery together; nothing runs until its writer is started and its lease is renewed once."""
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
        follow_ups=follow_ups,
        group_sends=GroupSends(database, dependencies.accounts, follow_ups, writer.change),
        media=MediaResolver(database, url_files, new_id=dependencies.new_id, lane_of=lane_of),
        members=_members(dependencies),
        lane_states=lane_states,
        lane_blocks=LaneBlocks(database, lane_states, rules, dependencies.rng, _others(database, lease)),
        retry_hints=RetryHints(dependencies.monotonic),
        set_aside=SetAside(database, dependencies.monotonic),
        odd_answers=OddAnswers(dependencies.monotonic),
        rng=dependencies.rng,
        tracing=dependencies.tracing,
        monotonic=dependencies.monotonic,
        tell=dependencies.tell,
        probe=dependencies.probe or (lambda label: None),
    )
    return runtime


def _others(database: Database, lease: Lease) -> Callable[[str], bool]:
    """Whether another process lives that may be able to use an account."""

    def others(account: str) -> bool:
        with database.reading() as connection:
            living = alive(connection, database.now)
        return any(
            process.id != lease.incarnation
            and process.queues - {QueueName.HOOKS}
            and account not in process.unusable
            and account_left(account) not in process.health.hindered
            for process in living
        )

    return others


def _writer(dependencies: Dependencies) -> Writer:
    return dependencies.writer(
        dependencies.database,
        policy_of(dependencies.settings),
        tell=dependencies.tell,
        died=dependencies.died,
        pause=dependencies.pause,
        probe=dependencies.probe,
        hooked_ends=dependencies.hooked_ends,
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
    """The fetching of files behind URLs, which takes a quarter of the threads at most."""
    settings = dependencies.settings
    allowed, deadline_s = Allowed(settings.fetch_allow), settings.fetch_deadline_s
    return UrlFiles(
        dependencies.database,
        writer.change,
        Downloads(
            dependencies.web, allowed, deadline_s=deadline_s, stopping=draining, monotonic=dependencies.monotonic
        ),
        deadline_s=deadline_s,
        # The servers are not ours and may be slow: three quarters of the threads stay free for calls.
        at_once=max(1, settings.threads // 4),
        new_id=dependencies.new_id,
        monotonic=dependencies.monotonic,
        took=lane_states.cycled,
    )


def _lease(dependencies: Dependencies) -> Lease:
    return Lease(
        dependencies.database,
        threads=dependencies.settings.threads,
        queues=dependencies.queues,
        hooked_ends=dependencies.hooked_ends,
        hooked_tags=dependencies.hooked_tags,
        lease_s=dependencies.settings.lease_s,
        clock=dependencies.life_clock,
        new_id=dependencies.new_id,
    )


def _tokens(dependencies: Dependencies, lease: Lease) -> Tokens:
    settings = dependencies.settings
    return Tokens(
        dependencies.database,
        dependencies.transport,
        incarnation=lambda: lease.incarnation,
        monotonic=dependencies.monotonic,
        rng=dependencies.rng,
        pause=dependencies.pause,
        times=TokenTimes(
            refresh_ahead_s=settings.token_refresh_s,
            lease_s=settings.token_lease_s,
            call_s=settings.token_call_s,
            probe_s=settings.park_probe_s,
        ),
        accounts=dependencies.accounts,
    )
