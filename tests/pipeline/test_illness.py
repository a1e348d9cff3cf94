"""A vendor that is ill costs little: a few calls find it out, its lane or account rests, nothing is exhausted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

from tests.pipeline.webhook_site import a_webhook
from tests.support.plant import Site, planted
from tests.unit.transport.raw_server import OK_BODY, Peer, response
from worker import Chats
from worker.channels.wecom_webhook import Text
from worker.delivery.transport import Connection, RequestsTransport
from worker.domain.call import NeverLeft, Request
from worker.outbox.clock import DrivenClock
from worker.outbox.database import Database

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
        self._thread.join(30)


class Through:
    """A transport whose connections are handed out when the tunnel has closed them, as slow marks would find them."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel, self._real = tunnel, RequestsTransport()
        self.calls: list[Request] = []
        self.close = self._real.close

    def connect(self, request: Request) -> Connection | NeverLeft:
        """A new connection each time: the one before is closed."""
        connection = self._real.connect(request)
        assert not self._tunnel.away or self._tunnel.closed.acquire(timeout=30)
        return connection


@contextmanager
def behind(tunnel: Tunnel, database: Database, clock: DrivenClock) -> Iterator[Site]:
    """A webhook's plant whose vendor stands behind the tunnel."""
    with (
        closing(Through(tunnel)) as transport,
        planted(database, clock, accounts=[a_webhook(tunnel.url)], transport=transport, breaker_failures=5) as site,
    ):
        yield site


def live_on(site: Site, minutes: float) -> None:
    """Relay, doorbells and recovery at work, looked at every five seconds."""
    for _ in range(int(minutes * 12)):
        site.advance(5)
        site.run()
        site.recover()


def test_a_server_that_accepts_and_closes_is_left_alone(sqlite_database: Database, driven_clock: DrivenClock) -> None:
    """Ten minutes of it: two dozen tries, each of them an attempt at most, and a lane event; then the message goes."""
    with closing(Tunnel()) as tunnel, behind(tunnel, sqlite_database, driven_clock) as site:
        job = site.ask(Text(content="hello"), Chats("wr-1"), account="alerts")

        live_on(site, MINUTES)
        ill, tries = site.part(job), len(site.of("attempts", job))
        taken = tunnel.taken
        tunnel.away = False
        live_on(site, 1)

        assert ("queued", 0) == (ill.state, ill.tries)
        assert 5 < tries <= 24
        assert taken <= 2 * tries
        events = [row.what for row in site.rows("select what from worker_lane_events order by id")]
        assert ["breaker opened", "breaker closed"] == events
        assert "accepted" == site.state(job)
