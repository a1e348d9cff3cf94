"""A vendor that is ill costs little: a few calls find it out, its lane or account rests, nothing is exhausted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.pipeline.webhook_site import a_webhook
from tests.support.runtime import GETTOKEN, ScriptedVendor, Site, busy, lost, planted, refused, unsent
from tests.support.scripted_transport import ScriptedTransport
from tests.unit.transport.raw_server import OK_BODY, Peer, response
from worker import Chats, resend_failed
from worker.channels import wecom_webhook as webhook
from worker.domain.call import CallResult, NotSent, Request
from worker.domain.state import PartState
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.transport.http import Connection, SocketTransport

pytestmark = pytest.mark.fewer_databases("ten minutes of many steps; the rows are written on each elsewhere")

MINUTES = 10


@dataclass
class Tunnel:
    """A server that takes every connection and closes it at once, for what is behind it is away; or answers."""

    away: bool = True
    taken: int = 0
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.taken += 1
                with sock:
                    if not self.away:
                        Peer(sock).read_request()
                        sock.sendall(response(OK_BODY, Connection="close"))
                self.closed.release()

    def close(self) -> None:
        """Takes no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(120)


class Through:
    """A transport whose connections are handed out when the tunnel has closed them, as slow marks would find them."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel, self._real = tunnel, SocketTransport()
        self.calls: list[Request] = []
        self.close, self.await_any = self._real.close, self._real.await_any

    def connect(self, request: Request) -> Connection | NotSent:
        """A new connection each time: the one before is closed."""
        connection = self._real.connect(request)
        assert not self._tunnel.away or self._tunnel.closed.acquire(timeout=30)
        return connection

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NotSent]:
        """The same for each."""
        return [self.connect(request) for request in requests]


@contextmanager
def behind(tunnel: Tunnel, database: Database, clock: DrivenClock) -> Iterator[Site]:
    """A webhook's runtime whose vendor stands behind the tunnel."""
    with (
        closing(Through(tunnel)) as transport,
        planted(database, clock, accounts=[a_webhook(tunnel.url)], transport=transport, breaks=True) as site,
    ):
        yield site


def live_on(site: Site, minutes: float) -> None:
    """Relay, doorbells and recovery at work, every fifteen seconds."""
    for _ in range(int(minutes * 4)):
        site.advance(15)
        site.run()
        site.recover()


def events(site: Site) -> list[str]:
    return [row.what for row in site.rows("select what from worker_lane_events order by id")]


def test_a_server_that_accepts_and_closes_is_left_alone(sqlite_database: Database, driven_clock: DrivenClock) -> None:
    """Ten minutes of it: some tries, each of them an attempt at most, and a lane event; then the message goes."""
    with closing(Tunnel()) as tunnel, behind(tunnel, sqlite_database, driven_clock) as site:
        job = site.ask(webhook.Text(content="hello"), Chats("wr-1"), account="alerts")

        live_on(site, MINUTES)
        ill, tries = site.part(job), len(site.of("attempts", job))
        taken = tunnel.taken
        tunnel.away = False
        live_on(site, 1)

        assert (ill.state, ill.tries) == ("queued", 0)
        assert 5 < tries <= 30
        assert taken <= 2 * tries
        assert events(site) == ["breaker opened", "breaker closed"]
        assert site.state(job) == "accepted"


def test_a_process_tries_a_vendor_that_it_did_not_reach_with_one_call(
    sqlite_database: Database, driven_clock: DrivenClock
) -> None:
    """Not with as many as a doorbell may have in flight, nor from two threads at once; all go once it has answered."""
    shut, beside = unsent("closed_at_once"), list[int]()
    with planted(sqlite_database, driven_clock, breaks=True) as site:
        jobs = [site.send(f"{n}", f"u{n}") for n in range(16)]

        def meanwhile(_: Request) -> CallResult:
            with ThreadPoolExecutor(1) as pool:
                beside.append(pool.submit(site.ring, *jobs[8:], calls=8).result())
            return shut

        site.vendor.says(*[shut] * 8)
        first = site.ring(*jobs[:8], calls=8)
        site.vendor.heals()
        site.advance(2)
        site.vendor.says(meanwhile, *[shut] * 16)
        tried = site.ring(*jobs[:8], calls=8)
        site.vendor.heals()
        site.advance(4)
        site.ring(*jobs[:8], calls=8)
        site.advance(1)
        site.ring(*jobs[8:], calls=8)

        assert first > 1
        assert (tried, beside) == (1, [0])
        assert states(site) == {"accepted"}


ILL = {"busy": busy(), "no answer": lost()}


class Ward:
    """A vendor that is ill for so long, and well afterwards."""

    def __init__(self, said: CallResult, clock: DrivenClock, minutes: float):
        self._said, self._clock = said, clock
        self._until = clock.micros + int(minutes * 60_000_000)
        self._well = ScriptedVendor()
        self.calls_when_ill = 0

    def __call__(self, request: Request) -> CallResult:
        if request.path == GETTOKEN or self._clock.micros >= self._until:
            return self._well(request)
        self.calls_when_ill += 1
        return self._said


@contextmanager
def beside(ward: Ward, database: Database, clock: DrivenClock, **options: Any) -> Iterator[Site]:
    """A runtime whose vendor is ill, with the breaker as it is in production."""
    with planted(database, clock, transport=ScriptedTransport(ward), breaks=True, **options) as site:
        yield site


def states(site: Site) -> set[str]:
    return {PartState(row.state).label for row in site.rows("select state from worker_parts")}


@pytest.mark.parametrize("name", ILL)
def test_ten_minutes_of_illness_exhaust_nothing(
    sqlite_database: Database, driven_clock: DrivenClock, name: str
) -> None:
    """A backlog of forty: some tries find it out, some more whether it is over; then everything goes."""
    ward = Ward(ILL[name], driven_clock, MINUTES)
    with beside(ward, sqlite_database, driven_clock) as site:
        for n in range(40):
            site.send(f"{n}", f"u{n}")

        live_on(site, MINUTES)
        ill = states(site)
        live_on(site, 5)

        assert {"queued", "unknown"} >= ill
        assert 30 >= ward.calls_when_ill
        assert states(site) == {"accepted"}
        assert {row.what for row in site.rows("select what from worker_lane_events")} == {
            "breaker opened",
            "breaker closed",
        }


@pytest.mark.parametrize("name", ILL)
def test_a_message_alone_outlasts_the_illness(sqlite_database: Database, driven_clock: DrivenClock, name: str) -> None:
    """The few tries that the settings and the vendor allow are spread over more than that."""
    ward = Ward(ILL[name], driven_clock, MINUTES)
    with beside(ward, sqlite_database, driven_clock) as site:
        job = site.send()

        live_on(site, 2 * MINUTES)

        assert site.state(job) == "accepted"
        assert 30 >= ward.calls_when_ill


def test_a_busy_spell_over_many_lanes_rests_the_account(sqlite_database: Database, driven_clock: DrivenClock) -> None:
    """Forty chats with a message each: a handful of calls tell for all of them, and no chat runs out of retries."""
    ward = Ward(busy(), driven_clock, MINUTES)
    with beside(ward, sqlite_database, driven_clock, accounts=[a_webhook("http://vendor")]) as site:
        for n in range(40):
            site.ask(webhook.Text(content="hello"), Chats(f"wr-{n}"), account="alerts")

        live_on(site, MINUTES)
        ill = states(site)
        live_on(site, 13)

        assert (ill, states(site)) == ({"queued"}, {"accepted"})
        assert 60 >= ward.calls_when_ill


def test_a_code_nobody_knows_burns_no_backlog(sqlite_database: Database, driven_clock: DrivenClock) -> None:
    """A new throttling code is every answer of the lane: a few are rejected, the lane rests and says the code, and the
    others go when it is over; what was rejected is brought back by a person.
    """
    ward = Ward(refused(48999, "quota of a new kind"), driven_clock, MINUTES)
    with beside(ward, sqlite_database, driven_clock) as site:
        jobs = [site.send(f"{n}", f"u{n}") for n in range(60)]

        live_on(site, MINUTES)
        rejected = [job for job in jobs if site.state(job) == "rejected"]
        live_on(site, 3)
        again = [resend_again(site, job) for job in rejected]
        live_on(site, 1)

        assert ward.calls_when_ill == len(rejected) <= 30
        assert [site.state(job) for job in [*(set(jobs) - set(rejected)), *again]] == ["accepted"] * 60
        assert events(site) == ["breaker opened", "breaker closed"]
        assert "48999" in site.rows("select reason from worker_lane_events order by id")[0].reason


def resend_again(site: Site, job: str) -> str:
    with site.database.writing() as connection:
        return resend_failed(connection, job, accounts=site.accounts).id


def test_a_code_nobody_knows_rests_nothing_among_others(sqlite_database: Database, driven_clock: DrivenClock) -> None:
    """Every other message is refused with it: those are rejected, and all others go at once."""
    vendor = ScriptedVendor()

    def odd(request: Request) -> CallResult:
        is_odd = b"odd" in (request.body if isinstance(request.body, bytes) else b"")
        return refused(48999) if is_odd else vendor(request)

    with planted(sqlite_database, driven_clock, transport=ScriptedTransport(odd), breaks=True) as site:
        for n in range(20):
            site.send("odd" if n % 2 else "even", f"u{n}")

        live_on(site, 0.25)

        assert states(site) == {"accepted", "rejected"}
        assert events(site) == []


@pytest.mark.parametrize(("name", "turn"), [("busy", 0), ("no answer", 1)])
def test_a_lane_that_is_well_again_does_not_wait_for_one_that_is_not(
    sqlite_database: Database, driven_clock: DrivenClock, name: str, turn: int
) -> None:
    """Cards and texts were ill together until the account rested; then one lane is well, whichever is asked first."""
    wards = [Ward(ILL[name], driven_clock, minutes) for minutes in (3 * MINUTES, MINUTES / 2)]
    ill: list[bool] = []

    def either(request: Request) -> CallResult:
        is_card = b"template_card" in (request.body if isinstance(request.body, bytes) else b"")
        return wards[is_card is not ill[0]](request)

    with planted(sqlite_database, driven_clock, transport=ScriptedTransport(either), breaks=True) as site:
        jobs = {True: [site.card(f"u{n}") for n in range(30)], False: [site.send(f"{n}", f"u{n}") for n in range(30)]}
        ill.append(sorted(jobs, key=lambda is_card: str(site.part(jobs[is_card][0]).lane))[turn])
        live_on(site, MINUTES / 2 - 1)
        before = states(site)

        live_on(site, 4)

        assert {"queued", "unknown"} >= before | {site.state(job) for job in jobs[ill[0]]}
        assert {site.state(job) for job in jobs[not ill[0]]} == {"accepted"}
