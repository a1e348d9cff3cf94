"""`worker metrics`: /metrics for Prometheus, one process for the installation.

A thread reads the outbox every few seconds (`collector.py`), and a scrape returns its last reading. So neither many
scrapes nor a large outbox make a scrape slower or load the database more.
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
from worker.service.web.collector import OutboxCollector, all_metrics
from worker.service.web.health_endpoints import HealthEndpoints
from worker.service.web.serving import application, serve

LAST_PORT = 65_535
READ_EVERY_S = 5.0
IDLE_FACTOR, MAX_IDLE_S = 20, 15.0
"""Factor from the time of a reading to the pause after it, which is at most `MAX_IDLE_S`."""
STALE_S = 30.0
"""Seconds by which a reading may be late. After that the database counts as away."""
STOP_S = 5.0
MAX_ACCEPT = 1024
"""Characters of an Accept header that are read. Prometheus's has 300."""


class LatestMetrics(Collector):
    """The last reading of the outbox, for scrapes, in the format that each asks for. Thread-safe."""

    def __init__(self, outbox: Collector, monotonic: Callable[[], float] = time.monotonic):
        self._outbox, self._monotonic = outbox, monotonic
        self._lock = threading.Lock()
        self._metrics: list[Metric] = []
        self._valid_until = float("inf")

    def turn(self) -> float:
        """Reads the outbox, and returns the seconds until the next reading."""
        began = self._monotonic()
        self.refresh()
        return max(READ_EVERY_S, min(MAX_IDLE_S, IDLE_FACTOR * (self._monotonic() - began)))

    def refresh(self) -> None:
        """Reads the outbox."""
        self._metrics = list(self._outbox.collect())
        self._valid_until = self._monotonic() + MAX_IDLE_S + STALE_S

    def encoded(self, accepts: str) -> tuple[bytes, str]:
        """Returns the last reading in an accepted format, with its content type. Reads the outbox if there is none."""
        with self._lock:
            if not self._metrics:
                self.refresh()
        encode, content_type = _encoder(accepts)
        return encode(self), content_type

    def collect(self) -> Iterable[Metric]:
        """Returns the last reading. If readings hang or fail for too long, it reports that the database is away."""
        return self._metrics if self._monotonic() <= self._valid_until else all_metrics([])


def _encoder(accepts: str) -> tuple[Callable[[Collector], bytes], str]:
    """Returns the encoder of an accepted format, or of Prometheus's text if the header cannot be read."""
    try:
        # Version and escaping may be in quotes, which the library takes for a part of them.
        return choose_encoder(accepts[:MAX_ACCEPT].replace('"', ""))
    except (TypeError, ValueError):
        return choose_encoder("")


def metrics_app(latest: LatestMetrics) -> Starlette:
    """Returns the ASGI application."""

    def metrics(request: Request) -> Response:
        """Answers in a thread, because Starlette runs endpoints that are not asynchronous in one."""
        text, content_type = latest.encoded(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})

    # Ready even without a database: an outage is what Prometheus has to learn from this process.
    return application(Route("/metrics", metrics, methods=["GET"]), *HealthEndpoints().routes)


def run_metrics(settings: Settings, listen: str, loglevel: str) -> int:
    """Serves until SIGTERM or SIGINT, and returns the exit status. Raises before it listens if a setting is wrong."""
    host, port = address(listen)
    accounts = accounts_of(settings)
    database = make_database(settings, pool_size=2)
    try:
        require_current(database)
        our_logging.set_up(loglevel, **dict(settings.logs))
        latest = LatestMetrics(OutboxCollector(database, accounts))
        with Loop("reading", latest.turn).running(STOP_S):
            return serve(metrics_app(latest), host, port, "metrics", f"--listen {listen}")
    finally:
        database.close()


def address(listen: str) -> tuple[str, int]:
    """Returns host and port of HOST:PORT, or of [HOST]:PORT for an address with colons."""
    host, colon, port = listen.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    usable = colon and bare and (bare == host) == (":" not in host)
    if not usable or not (port.isascii() and port.isdigit()) or int(port) > LAST_PORT:
        raise ConfigurationError(f"--listen {listen}: must be HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464")
    return bare, int(port)
