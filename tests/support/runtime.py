"""A whole runtime on a test database: scripted or simulated vendor, driven clocks, seeded random, no thread but the
writer's. Tests ring parts one by one, or let the relay find them.

with planted(database, driven_clock) as site:
    job = site.send("hello", to="lisi")
    site.vendor.says(busy())
    site.ring(job)
"""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import structlog
from sqlalchemy import text
from uuid_utils import uuid7

from tests.support.noise import plain
from tests.support.scripted_transport import ScriptedTransport, answered
from tests.support.scripted_web import ScriptedWeb
from worker import ButtonCard, CardUpdate, File, Image, Text, To, enqueue, recall, replay, update_card, upload
from worker.channels.registry import amount_of, channel
from worker.config.accounts import FixedAccounts
from worker.config.policy import policy_of
from worker.config.settings import DeliverySettings
from worker.delivery.maintenance.recovery import Recovery
from worker.delivery.resolver.members import Resolver
from worker.delivery.scheduler.fair_share import ThreadShares
from worker.delivery.scheduler.lane_offer import Doorbell
from worker.delivery.scheduler.relay import Relay
from worker.delivery.sender import attempt
from worker.delivery.sender.doorbell_sender import DoorbellSender
from worker.delivery.sender.in_flight import InFlight
from worker.delivery.sender.runtime import Runtime
from worker.domain.account import Account, Secret
from worker.domain.call import CallResult, NoAnswer, NotSent, Request, Unsent
from worker.domain.callbacks.hook import Ends, Subscriptions
from worker.domain.content.message import Message
from worker.domain.content.recipient import Recipients
from worker.domain.job import part_id
from worker.domain.state import JobState, PartState
from worker.domain.trace import Tracing
from worker.outbox.commit.commands import JobUpdate
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.sql import collect, send
from worker.outbox.lanes.processes import Process
from worker.transport.http import Transport
from worker.transport.session import Web

SEND = "/cgi-bin/message/send"
RECALL = "/cgi-bin/message/recall"
UPDATE = "/cgi-bin/message/update_template_card"
UPLOAD = "/cgi-bin/media/upload"
GETTOKEN = "/cgi-bin/gettoken"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)

Say = CallResult | Callable[[Request], CallResult]


class Ticks:
    """A monotonic clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Moves forward."""
        self.now += seconds


def refused(errcode: int, errmsg: str = "no", **more: Any) -> CallResult:
    """The vendor's readable refusal."""
    return answered(json.dumps({"errcode": errcode, "errmsg": errmsg, **more}).encode())


def busy() -> CallResult:
    """The vendor's -1."""
    return refused(-1, "system busy")


def lost(reason: str = "read_timeout") -> CallResult:
    """Bytes may have left, no answer came."""
    return NoAnswer(reason, 0.1)


def unsent(why: str = "reset") -> CallResult:
    """Certain: nothing left."""
    return NotSent(why, 0.1, Unsent(why) if why in set(Unsent) else None)


class ScriptedVendor:
    """Takes every call, unless told otherwise with `says`; tokens are `t1`, `t2`, ..., msgids `m1`, `m2`, ..."""

    def __init__(self) -> None:
        self._next: deque[Say] = deque()
        self._next_tokens: deque[CallResult] = deque()
        self.tokens = 0
        self.taken = 0

    def says(self, *answers: Say) -> None:
        """What the next calls (tokens aside) are answered, in order; then everything is taken again."""
        self._next += answers

    def says_for_tokens(self, *answers: CallResult) -> None:
        """What the next gettoken calls are answered; then every one is given a token again."""
        self._next_tokens += answers

    def heals(self) -> None:
        """From now on everything is taken."""
        self._next.clear()
        self._next_tokens.clear()

    def __call__(self, request: Request) -> CallResult:
        if request.path == GETTOKEN:
            self.tokens += 1
            if self._next_tokens:
                return self._next_tokens.popleft()
            return refused(0, "ok", access_token=f"t{self.tokens}", expires_in=7200)
        if not self._next:
            return self.takes(request)
        said = self._next.popleft()
        return said(request) if callable(said) else said

    def takes(self, request: Request, **more: Any) -> CallResult:
        """An answer that takes the call and gives what its kind promises."""
        self.taken += 1
        given: dict[str, Any] = {}
        if request.path == SEND:
            given = {"msgid": f"m{self.taken}"}
            if b"template_card" in (request.body if isinstance(request.body, bytes) else b""):
                given["response_code"] = f"code{self.taken}"
        if request.path == UPLOAD:
            given = {"media_id": f"media{self.taken}", "type": "image"}
        return refused(0, "ok", **given, **more)


class ChangingAccounts(FixedAccounts):
    """Accounts that change while the process runs."""

    def replace(self, *accounts: Account) -> None:
        """From now on there are these and no others."""
        super().__init__(accounts)


class SteadyThreadShares(ThreadShares):
    """So many threads as it was made with, whatever the heartbeats say."""

    def update(self, processes: Sequence[Process]) -> None:
        """Does nothing."""


@dataclass
class Site:
    """One process's runtime in a test, and its hands and eyes."""

    runtime: Runtime
    accounts: ChangingAccounts
    clock: DrivenClock
    ticks: Ticks
    vendor: ScriptedVendor
    transport: ScriptedTransport | Any
    told: list[JobUpdate]
    pauses: list[float]
    died: list[BaseException]
    rings: list[Doorbell] = field(default_factory=list)
    probes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database: Database = self.runtime.database
        self.bell = DoorbellSender(self.runtime)
        self.thread_shares = ThreadShares()
        self.publish: Callable[[Sequence[Doorbell]], None] = self.rings.extend
        """What the relays do with their doorbells; a test may put something else here at any time."""
        self.relay = self.new_relay()
        self.recovery = Recovery(
            self.database,
            # Looked up each time: a test may put something else in the place of `change`.
            change=lambda changes: self.runtime.writer.change(changes),
            accounts=self.accounts,
            channel=channel,
            policy=policy_of(self.runtime.settings),
            lease_s=self.runtime.settings.lease_s,
            monotonic=self.ticks,
        )

    def new_relay(self, holder: Callable[[], str] | None = None, cold_after_s: float = 0, **more: Any) -> Relay:
        """A relay that publishes into `rings`; without a holder, this process's."""
        return Relay(
            self.database,
            holder=holder or (lambda: self.runtime.lease.incarnation),
            publish=lambda rings: self.publish(rings),
            thread_shares=self.thread_shares,
            settings=self.runtime.settings.model_copy(update={"cold_after_s": cold_after_s}),
            monotonic=self.ticks,
            amount=lambda account, limit: amount_of(self.accounts, account, limit),
            **more,
        )

    def share(self, size: int, threads: int | None = None, **more: Any) -> None:
        """A relay anew: so many ids a doorbell, and so many threads instead of those that the heartbeats tell of."""
        self.thread_shares = ThreadShares(size) if threads is None else SteadyThreadShares(size, threads)
        self.relay = self.new_relay(**more)

    # -- asking -------------------------------------------------------------------------------------------------------

    def ask(
        self, message: Message, to: str | Recipients | None = "lisi", *, account: str = "hr", **options: Any
    ) -> str:
        """Enqueues in a transaction of its own; the job's id."""
        with self.database.writing() as connection:
            people = To(to) if isinstance(to, str) else to
            options = {"accounts": self.accounts, **options}
            return enqueue(connection, account, message, people, **options).id

    def send(self, content: str = "hello", to: str | Recipients = "lisi", **options: Any) -> str:
        """A text."""
        duplicate_check = options.pop("duplicate_check", True)
        return self.ask(Text(content=content, duplicate_check=duplicate_check), to, **options)

    def card(self, to: str | Recipients = "lisi", task_id: str | None = None, **options: Any) -> str:
        """A button card."""
        fields: dict[str, Any] = {"main_title": {"title": "leave"}, "button_list": [{"text": "ok", "key": "ok"}]}
        if task_id is not None:
            fields["task_id"] = task_id
        return self.ask(ButtonCard(**fields), to, **options)

    def image(self, content: bytes = PNG, to: str = "lisi", **options: Any) -> str:
        """An image from a file."""
        return self.ask(Image(file=File(content, "a.png")), to, **options)

    def upload(self, content: bytes = PNG, **options: Any) -> str:
        """An upload of its own."""
        with self.database.writing() as connection:
            options = {"accounts": self.accounts, **options}
            return upload(connection, "hr", File(content, "a.png"), "image", **options).id

    def recall(self, job: str, **options: Any) -> str:
        """A recall of a job."""
        with self.database.writing() as connection:
            return recall(connection, job, accounts=self.accounts, **options).id

    def update(self, job: str, to: str | None = None, **options: Any) -> str:
        """A card update of a job."""
        with self.database.writing() as connection:
            update = CardUpdate(replace_name="done")
            options = {"accounts": self.accounts, **options}
            return update_card(connection, job, update, To(to) if to else None, **options).id

    def replay(self, job: str, **options: Any) -> str:
        """The same job once more, to all of its recipients unless told otherwise."""
        options = {"accepted": True, "unknown": True, "cancelled": True, **options}
        with self.database.writing() as connection:
            return replay(connection, job, accounts=self.accounts, **options).id

    # -- doing --------------------------------------------------------------------------------------------------------

    def ring(self, *jobs: str, probe: bool = False, calls: int = 1) -> int:
        """Answers a doorbell with the queued parts of these jobs (of one lane); how many calls were made."""
        ids = [part for job in jobs for part in self._queued(job)]
        if not ids:
            return 0
        made = self.bell.answer(self.part_row(ids[0]).lane, ids, probe=probe, calls=calls)
        self.settle()
        return made

    def run(self, turns: int = 30) -> None:
        """Relay and doorbells by turns until nothing is offered any more; the monotonic clock moves, SQL's does not."""
        for _ in range(turns):
            self.ticks.advance(1.1)
            self.runtime.lease.beat(self.runtime.lane_states.summary())
            self.relay.lead()
            self.relay.full_scan()
            self.relay.turn()
            rings, self.rings[:] = list(self.rings), []
            if not rings:
                break
            for ring in rings:
                self.bell.answer(ring.lane, ring.ids, probe=ring.probe)
            self.settle()
        self.settle()

    def settle(self) -> None:
        """Everything given to the writer is durable."""
        assert self.runtime.writer.flush(10), "the writer did not flush"

    def advance(self, seconds: float) -> None:
        """Moves every clock, and the process lives on."""
        self.clock.advance(seconds)
        self.ticks.advance(seconds)
        self.runtime.lease.beat()

    def recover(self) -> None:
        """One turn of the recovery."""
        self.recovery.turn()
        self.settle()

    def finish(self) -> None:
        """Runs until what waits some seconds and what is in doubt have come to their ends."""
        for _ in range(3):
            self.run()
            self.advance(2)
        self.recover()
        self.run()

    def forget_tokens(self) -> None:
        """No token is valid in SQL any more, and none is in memory, as after a start."""
        self.sql("update worker_tokens set expires_at = 0")
        self.runtime.tokens = replace(self.runtime).tokens

    @contextmanager
    def database_away(self) -> Iterator[None]:
        """Meanwhile the database cannot be reached."""
        away = Database(make_engine("sqlite:////nowhere/outbox.db"))
        with pytest.MonkeyPatch.context() as patch:
            for name in ("reading", "writing", "run"):
                patch.setattr(self.database, name, getattr(away, name))
            yield

    # -- looking ------------------------------------------------------------------------------------------------------

    def rows(self, query: str, **values: Any) -> list[SimpleNamespace]:
        """Rows of any query, with reasons as people read them; see `noise.py`."""
        with self.database.reading() as connection:
            cursor = send(connection, query, values)
            names = [column[0] for column in cursor.description]
            return [SimpleNamespace(**dict(zip(names, map(plain, row), strict=True))) for row in collect(cursor)]

    def sql(self, statement: str, **values: Any) -> None:
        """Changes rows behind everybody's back."""
        with self.database.writing() as connection:
            connection.execute(text(statement), values)

    def job(self, job: str) -> SimpleNamespace:
        """A job's row; `state` is its label."""
        [row] = self.rows("select * from worker_jobs where id = :id", id=job)
        row.state = JobState(row.state).label
        return row

    def part_row(self, id_: str) -> SimpleNamespace:
        """A part's row; `state` is its label."""
        [row] = self.rows("select * from worker_parts where id = :id", id=id_)
        row.state = PartState(row.state).label
        return row

    def part(self, job: str, n: int = 0) -> SimpleNamespace:
        """The n-th part of a job."""
        return self.part_row(part_id(job, n))

    def state(self, job: str, n: int = 0) -> str:
        """The label of the n-th part's state."""
        return str(self.part(job, n).state)

    def of(self, table: str, job: str) -> list[SimpleNamespace]:
        """A job's rows in `attempts`, `receipts`, `failures`, `bodies`, `response_codes`, in order."""
        order = {"attempts": "part_id, claim", "receipts": "part_id, claim", "failures": "part_id, recipient_key"}
        return self.rows(
            f"select * from worker_{table} where part_id like :like order by {order.get(table, 'part_id')}",
            like=f"{job}-%",
        )

    def lane(self, name: str) -> SimpleNamespace | None:
        """The block of a lane or account, if one was ever written."""
        found = self.rows("select * from worker_lanes where lane = :lane", lane=name)
        return found[0] if found else None

    def carry_out(self, flights: Sequence[InFlight]) -> None:
        """Marks, calls, reads and records parts that were prepared."""
        marked = attempt.mark(self.runtime, attempt.connect(self.runtime, list(flights)))
        attempt.call(self.runtime, marked)
        for flight in marked:
            attempt.read(self.runtime, flight)
            attempt.record(self.runtime, flight)

    def units_used(self) -> list[int]:
        """Units in each bucket of each limit."""
        rows = self.rows("select buckets from worker_budgets")
        return [used for row in rows for _, used, *_ in json.loads(row.buckets)]

    def reservations(self) -> list[int]:
        """For how many calls at once limits are reserved; filled from now on."""
        asked: list[int] = []
        reserve = self.runtime.governor.reserve

        def noted(requests: Any, **options: Any) -> Any:
            asked.append(len(requests))
            return reserve(requests, **options)

        self.runtime.governor.reserve = noted  # type: ignore[method-assign]
        return asked

    def calls(self, path: str | None = None) -> list[Request]:
        """The vendor calls made so far, tokens aside."""
        made = [request for request in self.transport.calls if request.path != GETTOKEN]
        return made if path is None else [request for request in made if request.path == path]

    def bodies(self, path: str = SEND) -> list[dict[str, Any]]:
        """The JSON bodies of the calls of a path."""
        return [json.loads(request.body) for request in self.calls(path) if isinstance(request.body, bytes)]

    def _queued(self, job: str) -> Sequence[str]:
        found = self.rows("select id from worker_parts where job_id = :job and state = 0 order by n", job=job)
        return [row.id for row in found]


def an_account(name: str = "hr", base_url: str = "http://vendor", **fields: Any) -> Account:
    """An application account; `settings` are merged over corpid, agentid and callback."""
    settings = {"corpid": "ww1", "agentid": 7, "callback": True, **fields.pop("settings", {})}
    return Account(name, "wecom_app", base_url, settings, Secret(lambda: "s1"), **fields)


class Unbroken(DeliverySettings):
    """No breaker opens: most tests lose answers in a row that are about something else."""

    breaker_failures: ClassVar[int] = 1_000


@contextmanager
def planted(
    database: Database,
    clock: DrivenClock,
    *,
    accounts: Sequence[Account] = (),
    transport: Transport | None = None,
    refuse: Callable[[Request], NotSent | None] | None = None,
    life_clock: Callable[[], float] | None = None,
    ticks: Ticks | None = None,
    seed: int = 7,
    hooked_ends: Ends | None = None,
    hooked_tags: Sequence[str] = (),
    web: Web | None = None,
    resolver: Resolver | None = None,
    new_id: Callable[[], str] = lambda: uuid7().hex,
    queues: Callable[[], Iterable[str] | None] = lambda: None,
    tracing: Tracing | None = None,
    breaks: bool = False,
    **settings: Any,
) -> Iterator[Site]:
    """A runtime with its writer running and its life begun; `settings` are those of `[delivery]`.

    `breaks`: five failures in a row open a breaker, as everywhere.
    """
    structlog.configure(processors=[_drop])
    vendor, ticks = ScriptedVendor(), ticks or Ticks()
    told: list[JobUpdate] = []
    pauses: list[float] = []
    died: list[BaseException] = []
    probes: list[str] = []
    carrier = transport or ScriptedTransport(vendor, refuse)
    known = ChangingAccounts(accounts or [an_account(), an_account("it", settings={"agentid": 8})])
    marks = {"on_job_done": hooked_ends, "on_tag_done": hooked_tags}
    names = frozenset(mark for mark, about in marks.items() if about)
    hooks = Subscriptions(names, hooked_ends or {}, frozenset(hooked_tags))
    runtime = Runtime(
        database,
        known,
        carrier,
        (DeliverySettings if breaks else Unbroken)(**settings),
        web=web or ScriptedWeb(carrier=carrier if isinstance(carrier, ScriptedTransport) else None),
        monotonic=ticks,
        life_clock=life_clock or ticks,
        rng=random.Random(seed),
        new_id=new_id,
        pause=pauses.append,
        report_updates=told.extend,
        on_death=died.append,
        checkpoint=probes.append,
        resolver=resolver,
        hooks=hooks,
        queues=queues,
        tracing=tracing,
    )
    site = Site(runtime, known, clock, ticks, vendor, carrier, told, pauses, died, probes=probes)
    runtime.writer.start()
    runtime.lease.beat()
    try:
        yield site
    finally:
        assert runtime.writer.stop(10), "the writer did not stop"
        structlog.reset_defaults()


def _drop(logger: Any, name: str, event: Any) -> Any:
    raise structlog.DropEvent
