"""`worker metrics`: /metrics for Prometheus, one process for the installation.

This is the HTTP side; the values come from the collector.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.accounts.sources import accounts_of
from worker.config import logging as our_logging
from worker.config.settings import Settings
from worker.control.opening import database_of
from worker.domain.errors import ConfigurationError
from worker.outbox.engine.migrate import require_current
from worker.service.web.collector import Outbox
from worker.service.web.serving import serve

LAST_PORT = 65_535


def metrics_app(outbox: Outbox) -> Starlette:
    """The ASGI application."""
    registry = CollectorRegistry()
    registry.register(outbox)

    def metrics(request: Request) -> Response:
        """Answers in a thread, as Starlette does with endpoints that are not asynchronous."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return Starlette(routes=[Route("/metrics", metrics, methods=["GET"])])


def run_metrics(settings: Settings, listen: str, loglevel: str) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status. Raises before it listens when the settings are wrong."""
    host, port = address(listen)
    accounts = accounts_of(settings)
    database = database_of(settings, pool_size=2)
    try:
        require_current(database)
        our_logging.set_up(loglevel)
        outbox = Outbox(database, accounts, settings.delivery.breaker_failures)
        return serve(metrics_app(outbox), host, port, "metrics", f"--listen {listen}")
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
