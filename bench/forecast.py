"""Whether the forecast comes true: 100,000 parts of two accounts under three limits.

Each end is foretold at the start and in the middle, and compared with when the vendor took the last part in truth. The
worker's own relay, sender, limits and outbox deliver to the simulated vendor, which enforces the same limits, all in
this process and on one clock that is moved: a call takes a millisecond of it, and where nothing can go it moves half a
second.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from bench import Figure
from bench.throughput.rig import BenchFailed
from worker import Chats, NewJob, Text, To, enqueue_many
from worker.channels import wecom_webhook as webhook
from worker.channels.registry import amount_of
from worker.config.accounts import FixedAccounts
from worker.config.settings import DeliverySettings
from worker.delivery.scheduler.fair_share import Sharing
from worker.delivery.scheduler.lane_head import Doorbell
from worker.delivery.scheduler.relay import Relay, RelayTimes
from worker.delivery.sender.batch import BatchSender
from worker.delivery.sender.runtime import Dependencies, build_runtime
from worker.domain.account import Account, Secret
from worker.domain.call import Answered, CallResult, NeverLeft, Reply, Request
from worker.outbox.engine import migrate
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.sql import execute
from worker.reporting.forecast import AccountForecast, forecast
from worker.transport.http import Connection
from worker.transport.pending_call import EndedCall, PendingCall
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.wire import routes
from worker_simulator.world import World

GOAL = 0.10
PARTS = 100_000
CALL_S, IDLE_S = 0.001, 0.5
CHATS = {"wr1": 0.3, "wr2": 0.2, "wr3": 0.1}
"""Chat -> its part of all parts; the rest are messages to members."""
MEMBER_MINUTE = 30
_ACCOUNTS = {"/cgi-bin/webhook/send": "push", "/cgi-bin/message/send": "hr"}
LONGEST_S = 6 * 3_600
AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Scale:
    """How much there is to send, and under which limits."""

    parts: int
    minutes: int = 60
    """How long the webhook's key alone would let its part take."""
    idle_s: float = IDLE_S

    @property
    def key_minute(self) -> int:
        """Of the webhook's key, which its chats share."""
        return round(self.parts * sum(CHATS.values()) / self.minutes)

    @property
    def chat_minute(self) -> int:
        """Of one chat: it decides when the other chats are through."""
        return self.key_minute * 6 // 10

    @property
    def members(self) -> int:
        """So few that each gets messages for almost half of that time, at thirty a minute."""
        return max(1, round(self.parts * (1 - sum(CHATS.values())) / (0.45 * self.minutes * MEMBER_MINUTE)))


@dataclass(frozen=True, slots=True)
class Told:
    """One account's end, as foretold and in truth."""

    when: str
    account: str
    foretold_s: float
    true_s: float
    binds: str

    @property
    def error(self) -> float:
        """The difference as a part of the truth."""
        return abs(self.foretold_s - self.true_s) / self.true_s


def main(argv: list[str]) -> Figure:
    """All parts; the figure is the worst error of four."""
    options = argparse.ArgumentParser(prog="python -m bench forecast")
    options.add_argument("--parts", type=int, default=PARTS)
    given = options.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="bench-forecast-") as folder:
        engine = make_engine(f"sqlite:///{Path(folder) / 'outbox.db'}")
        with closing(Database(engine, clock=DrivenClock())) as database:
            migrate.upgrade(database.engine)
            found = measure(database, Scale(given.parts))
    for one in found:
        print(
            f"  {one.when:<6} {one.account:<5} foretold {one.foretold_s:8.1f} s, in truth {one.true_s:8.1f} s:"
            f" {one.error:6.2%} off ({one.binds})",
            flush=True,
        )
    worst = max(one.error for one in found)
    return Figure("forecast", f"{worst:.1%} off", f"{GOAL:.0%}", worst <= GOAL)


def measure(database: Database, scale: Scale) -> list[Told]:
    """Sends everything; what was foretold at the start and in the middle, and what came true."""
    with _site(database, scale) as site:
        site.enqueue()
        site.beat()
        foretold: list[tuple[str, int, AccountForecast]] = []
        for when, left in (("start", scale.parts), ("middle", scale.parts // 2)):
            site.send_until(left)
            foretold += [(when, site.clock.micros, one) for one in site.forecast()]
        site.send_until(0)
        site.judge()
        ends = site.vendor.ended_at
        return [
            Told(when, one.account, one.through_in_s or 0.0, (ends[one.account] - at) / 1e6, one.binds or "nothing")
            for when, at, one in foretold
        ]


class _Ticks:
    """The process's own clock, which goes with the outbox's."""

    def __init__(self, clock: DrivenClock) -> None:
        self._clock = clock

    def __call__(self) -> float:
        return self._clock.micros / 1e6


class Vendor:
    """The simulated vendor without a network: a transport whose calls take a millisecond of the one clock."""

    def __init__(self, clock: DrivenClock, scale: Scale) -> None:
        limits = {"ip_per_minute": 0, "ip_per_hour": 0, "api_per_minute": 0, "api_per_hour": 0}
        settings = {
            "keep_calls": 1,
            "limits": {**limits, "member_per_minute": MEMBER_MINUTE, "account_cap": 1_000_000},
            "webhook": {
                "keys": [{"key": "key-push", "profile": "internal"}],
                "chat_per_minute": scale.chat_minute,
                "key_per_minute": scale.key_minute,
            },
        }
        self.world = World(SimulatorSettings.model_validate(settings))
        self._clock = clock
        self.taken = 0
        """Messages that it took."""
        self.ended_at: dict[str, int] = {}
        """Account -> when it took the newest message of it."""

    def connect(self, request: Request) -> Connection | NeverLeft:
        """Nothing to connect to."""
        return self

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NeverLeft]:
        """The same for each."""
        return [self for _ in requests]

    def await_any(self, calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
        """Every call ended as it began."""
        return list(calls)

    def begin(self, request: Request, *, deadline: float | None = None) -> PendingCall:
        """One call."""
        return EndedCall(self.call(request))

    def call(self, request: Request, *, deadline: float | None = None) -> CallResult:
        """One call, answered by the simulator's own rules."""
        self._clock.advance(CALL_S)
        self.world.clock.set(self._clock.micros / 1e6, frozen=True)
        body = request.body if isinstance(request.body, bytes) else b""
        headers = {"content-type": request.content_type}
        asked = HttpRequest(request.method, request.path, dict(request.query), "127.0.0.1", 1, 1, headers, body)
        answer = routes.answer(self.world, asked)
        if answer.errcode == 0 and request.path in _ACCOUNTS:
            self.taken += 1
            self.ended_at[_ACCOUNTS[request.path]] = self._clock.micros
        return Answered(Reply(answer.status, answer.headers, answer.body), CALL_S)

    def release(self) -> None:
        """Nothing was held."""


class Site:
    """One process that sends, with its relay."""

    def __init__(self, database: Database, clock: DrivenClock, scale: Scale, accounts: FixedAccounts, vendor: Vendor):
        self.clock, self._database, self._scale, self._accounts, self.vendor = clock, database, scale, accounts, vendor
        self._ticks = _Ticks(clock)
        self.runtime = build_runtime(
            Dependencies(
                database,
                accounts,
                vendor,
                DeliverySettings(),
                monotonic=self._ticks,
                life_clock=self._ticks,
                rng=random.Random(7),
                pause=lambda seconds: None,
            )
        )
        self._rings: list[Doorbell] = []
        self._sender = BatchSender(self.runtime)
        self._relay = Relay(
            database,
            holder=lambda: self.runtime.lease.incarnation,
            publish=self._rings.extend,
            sharing=Sharing(),
            times=RelayTimes(),
            monotonic=self._ticks,
            amount=lambda account, limit: amount_of(accounts, account, limit),
        )
        self._looked_at = 0
        self._rng = random.Random(11)

    def enqueue(self) -> None:
        """All parts, in transactions of a thousand; those of the chats and of the members by turns."""
        jobs = list(self._jobs())
        for at in range(0, len(jobs), AT_ONCE):
            with self._database.writing() as connection:
                enqueue_many(connection, jobs[at : at + AT_ONCE], accounts=self._accounts, clock=self.clock)

    def _jobs(self) -> Iterator[NewJob]:
        whole, rng = self._scale.parts, random.Random(7)
        whom: list[str] = [chat for chat, part in CHATS.items() for _ in range(int(whole * part))]
        whom += [f"u{n % self._scale.members}" for n in range(whole - len(whom))]
        rng.shuffle(whom)
        for n, one in enumerate(whom):
            if one in CHATS:
                yield NewJob("push", webhook.Text(content=f"n {n}"), Chats(one))
            else:
                yield NewJob("hr", Text(content=f"n {n}"), To([one]))

    def forecast(self) -> list[AccountForecast]:
        """What `worker forecast` says."""
        with self._database.reading() as connection:
            return forecast(connection, self._database.now, self._accounts)

    def beat(self) -> None:
        """A heartbeat, with what the process knows of its lanes."""
        self.runtime.lease.beat(self.runtime.lane_states.summary())

    def send_until(self, left: int) -> None:
        """Sends until so many parts wait."""
        began = self.clock.micros
        while self._queued() > left:
            if self.clock.micros - began > LONGEST_S * 1e6:
                raise BenchFailed(f"{self._queued()} parts still wait")
            before = self.clock.micros
            self._turn()
            if self.clock.micros == before:
                self.clock.advance(self._scale.idle_s)

    def _turn(self) -> None:
        if self.clock.micros - self._looked_at > 1e6:
            self.beat()
            self._relay.lead()
            self._relay.full_scan()
            self._looked_at = self.clock.micros
        self._relay.turn()
        rings, self._rings[:] = list(self._rings), []
        # As threads of several processes come to them. In one fixed order the first chat would get all it may of the
        # limit that the chats share, and the end be up to a tenth earlier.
        self._rng.shuffle(rings)
        for ring in rings:
            self._sender.answer(ring.lane, ring.ids, probe=ring.probe, calls=ring.calls)
        if not self.runtime.writer.flush(60):
            raise BenchFailed("the writer did not flush")

    def _queued(self) -> int:
        return self._scale.parts - self.vendor.taken

    def judge(self) -> None:
        """Fails where the vendor had to refuse, or dropped something: the limits would not have been the ones kept."""
        seen = self.vendor.world.limits.shown()
        if found := {name: seen[name] for name in ("limits", "drops", "blocked_calls") if seen[name]}:
            raise BenchFailed(f"the vendor saw limits overstepped: {found}")
        with self._database.reading() as connection:
            refused = execute(connection, "select count(*) from worker_attempts where errcode <> 0").scalar_one()
        if refused:
            raise BenchFailed(f"{refused} calls were refused")


@contextmanager
def _site(database: Database, scale: Scale) -> Iterator[Site]:
    structlog.configure(processors=[_drop])
    clock = database.clock
    assert isinstance(clock, DrivenClock)
    secret = Secret(lambda: "key-push")
    limits = {"chat_minute": scale.chat_minute, "key_minute": scale.key_minute}
    push = Account("push", "wecom_webhook", "http://vendor", {"edition": "push"}, secret, limits=limits)
    app = {"corpid": "ww1", "agentid": 7, "account_cap": 1_000_000}
    hr = Account("hr", "wecom_app", "http://vendor", app, Secret(lambda: "s1"))
    site = Site(database, clock, scale, FixedAccounts([push, hr]), Vendor(clock, scale))
    site.runtime.writer.start()
    try:
        yield site
    finally:
        site.runtime.writer.stop(10)
        structlog.reset_defaults()


def _drop(logger: Any, name: str, event: Any) -> Any:
    raise structlog.DropEvent
