"""Everything one process needs to deliver, built once and passed in: no module reaches for a clock or a connection."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import structlog
from uuid_utils import uuid7

from worker.channels import channel as find_channel
from worker.channels.base import Channel
from worker.config.accounts import AccountSource
from worker.config.settings import DeliverySettings
from worker.delivery.admission import Governor
from worker.delivery.fetching import Fetching
from worker.delivery.followups import Followups
from worker.delivery.gates import Gates
from worker.delivery.life import Life, boot_clock
from worker.delivery.media import Media
from worker.delivery.members import Members, Resolver
from worker.delivery.remote import Remote
from worker.delivery.tokens import Tokens, TokenSettings
from worker.delivery.tracking import Tracking
from worker.delivery.transport import Transport
from worker.delivery.web import SocketWeb, Web
from worker.delivery.writer import Writer
from worker.domain.address import Allowed
from worker.domain.lane import LaneRules
from worker.domain.settle import Policy
from worker.domain.state import JobState
from worker.outbox.database import Database
from worker.outbox.items import Happened
from worker.outbox.site import lane_key, lane_name

log = structlog.get_logger()

Tell = Callable[[Sequence[Happened]], None]


@dataclass
class Plant:
    """The machinery of one process; see `build`."""

    database: Database
    accounts: AccountSource
    settings: DeliverySettings
    life: Life
    writer: Writer
    governor: Governor
    tokens: Tokens
    transport: Transport
    followups: Followups
    tracking: Tracking
    media: Media
    members: Members
    gates: Gates
    lane_of: Callable[[str, str], str]
    rng: random.Random
    monotonic: Callable[[], float] = time.monotonic
    channel: Callable[[str], Channel] = find_channel
    revoked: Collection[str] = frozenset()
    """Jobs that a person revoked, as far as this process has heard."""
    probe: Callable[[str], None] = lambda label: None
    draining: threading.Event = field(default_factory=threading.Event)


def die(error: BaseException) -> None:
    """The writer's thread ended: without it this process can record nothing, so it ends too, and says why."""
    log.error("writer_died", error=type(error).__name__)
    os._exit(70)


@dataclass(frozen=True, slots=True)
class Outside:
    """What a plant is built upon: everything that tests replace."""

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
    revoked: Collection[str] = frozenset()
    probe: Callable[[str], None] | None = None
    resolver: Resolver | None = None
    """Names the members of departments and tags; none: the accounts' estimates are all there is."""
    reported: frozenset[JobState] = frozenset()
    """The ends of jobs that application hooks hear of; empty: nobody pays for any."""
    roads: Callable[[], Iterable[str] | None] = lambda: None
    """What this process takes from; null: everything."""


def policy_of(settings: DeliverySettings) -> Policy:
    """How often and how long, out of the settings."""
    return Policy(
        attempts=settings.attempts,
        busy=settings.busy_attempts,
        repeats=settings.repeats,
        max_age_s=settings.max_age_s,
        doubt_margin_s=settings.deadline_margin_s,
        lanes=LaneRules(
            strike_s=settings.strike_s,
            strike_again_s=settings.strike_again_s,
            failures=settings.breaker_failures,
            open_s=settings.breaker_s,
            open_max_s=settings.breaker_max_s,
        ),
    )


def build(outside: Outside) -> Plant:
    """Puts one process's machinery together; nothing runs until its writer is started and its life has beaten once."""
    database, settings = outside.database, outside.settings
    with database.reading() as connection:
        key = lane_key(connection)
    life = _life(outside)
    writer = Writer(
        database,
        policy_of(settings),
        tell=outside.tell,
        died=outside.died,
        pause=outside.pause,
        probe=outside.probe,
        reported=outside.reported,
    )

    def lane_of(account: str, label: str) -> str:
        return lane_name(key, account, label)

    def draining() -> bool:
        return plant.draining.is_set()

    gates = Gates(outside.monotonic, settings.silence_s)
    followups = _followups(outside, writer)
    plant = Plant(
        database=database,
        accounts=outside.accounts,
        settings=settings,
        life=life,
        writer=writer,
        governor=Governor(database, site_key=key, monotonic=outside.monotonic),
        tokens=_tokens(outside, life),
        transport=outside.transport,
        followups=followups,
        tracking=Tracking(database, outside.accounts, followups, writer.change),
        media=Media(database, _remote(outside, writer, gates, draining), new_id=outside.new_id, lane_of=lane_of),
        members=_members(outside),
        gates=gates,
        lane_of=lane_of,
        rng=outside.rng,
        monotonic=outside.monotonic,
        revoked=outside.revoked,
        probe=outside.probe or (lambda label: None),
    )
    return plant


def _members(outside: Outside) -> Members:
    settings = outside.settings
    return Members(
        outside.resolver,
        valid_s=settings.members_valid_s,
        deadline_s=settings.members_deadline_s,
        monotonic=outside.monotonic,
    )


def _followups(outside: Outside, writer: Writer) -> Followups:
    settings = outside.settings
    return Followups(
        outside.database,
        writer.change,
        recall_window_s=settings.recall_window_s,
        call_deadline_s=settings.call_deadline_s,
        code_ttl_s=settings.response_code_ttl_s,
    )


def _remote(outside: Outside, writer: Writer, gates: Gates, draining: Callable[[], bool]) -> Remote:
    """Fetching takes a quarter of the threads at most: others' servers may be slow."""
    settings = outside.settings
    allowed, deadline_s = Allowed(settings.fetch_allow), settings.fetch_deadline_s
    return Remote(
        outside.database,
        writer.change,
        Fetching(outside.web, allowed, deadline_s=deadline_s, stopping=draining, monotonic=outside.monotonic),
        deadline_s=deadline_s,
        at_once=max(1, settings.threads // 4),
        new_id=outside.new_id,
        monotonic=outside.monotonic,
        took=gates.cycled,
    )


def _life(outside: Outside) -> Life:
    return Life(
        outside.database,
        threads=outside.settings.threads,
        roads=outside.roads,
        lease_s=outside.settings.lease_s,
        clock=outside.life_clock,
        new_id=outside.new_id,
    )


def _tokens(outside: Outside, life: Life) -> Tokens:
    settings = outside.settings
    return Tokens(
        outside.database,
        outside.transport,
        incarnation=lambda: life.incarnation,
        monotonic=outside.monotonic,
        rng=outside.rng,
        pause=outside.pause,
        settings=TokenSettings(
            refresh_ahead_s=settings.token_refresh_s,
            lease_s=settings.token_lease_s,
            call_s=settings.token_call_s,
            probe_s=settings.park_probe_s,
        ),
    )
