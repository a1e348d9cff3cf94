"""`worker metrics`: /metrics for Prometheus, one process for the installation.

A thread reads the outbox every few seconds, and a scrape is given what it has read: however many ask, and however
large the outbox is, a scrape takes no longer and the database is not asked more often.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.accounts.sources import accounts_of
from worker.config import logging as our_logging
from worker.config.settings import Settings
from worker.control.opening import make_database
from worker.domain.errors import ConfigurationError
from worker.outbox.engine.migrate import require_current
from worker.service.loop import Loop
from worker.service.web.collector import Outbox, reading_of
from worker.service.web.probes import Probes
from worker.service.web.serving import serve

LAST_PORT = 65_535
READ_EVERY_S = 5.0
RESTS, REST_S = 20, 15.0
"""It rests so many times as long as a reading took, so that it takes a twentieth of a connection; but no longer."""
STALE_S = 30.0
"""Seconds after which a reading should have come and did not; then the database counts as away."""
STOP_S = 5.0


class Answers(Collector):
    """What a scrape is answered: the last reading, in the format that it asks for. Thread-safe."""

    def __init__(self, outbox: Collector, monotonic: Callable[[], float] = time.monotonic):
        self._outbox, self._monotonic = outbox, monotonic
        self._first = threading.Lock()
        self._kept: list[Metric] = []
        self._true_until = float("inf")

    def turn(self) -> float:
        """Reads the outbox; returns the seconds until the next reading."""
        began = self._monotonic()
        self.fresh()
        return max(READ_EVERY_S, min(REST_S, RESTS * (self._monotonic() - began)))

    def fresh(self) -> None:
        """Reads the outbox."""
        self._kept = list(self._outbox.collect())
        self._true_until = self._monotonic() + REST_S + STALE_S

    def of(self, accepts: str) -> tuple[bytes, str]:
        """The last reading in the format that is asked for, and its content type; without one it is made here."""
        with self._first:
            if not self._kept:
                self.fresh()
        encode, form = choose_encoder(accepts)
        return encode(self), form

    def collect(self) -> Iterable[Metric]:
        """The last reading. When readings hang or fail, it is no longer true: then the database is told to be away."""
        return self._kept if self._monotonic() <= self._true_until else reading_of([])


def metrics_app(answers: Answers) -> Starlette:
    """The ASGI application."""

    def metrics(request: Request) -> Response:
        """Answers in a thread, as Starlette does with endpoints that are not asynchronous."""
        text, content_type = answers.of(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})

    # Ready without a database: that it is away is what Prometheus has to hear from it.
    return Starlette(routes=[Route("/metrics", metrics, methods=["GET"]), *Probes().routes])


def run_metrics(settings: Settings, listen: str, loglevel: str) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status. Raises before it listens when the settings are wrong."""
    host, port = address(listen)
    accounts = accounts_of(settings)
    database = make_database(settings, pool_size=2)
    try:
        require_current(database)
        our_logging.set_up(loglevel, **dict(settings.logs))
        answers = Answers(Outbox(database, accounts))
        with Loop("reading", answers.turn).running(STOP_S):
            return serve(metrics_app(answers), host, port, "metrics", f"--listen {listen}")
    finally:
        database.close()


def address(listen: str) -> tuple[str, int]:
    """Host and port of HOST:PORT, or of [HOST]:PORT for an address with colons."""
    host, colon, port = listen.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    usable = colon and bare and (bare == host) == (":" not in host)
    if not usable or not (port.isascii() and port.isdigit()) or int(port) > LAST_PORT:
        raise ConfigurationError(f"--listen {listen}: must be HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464")
    return bare, int(port)
