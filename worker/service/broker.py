"""Lines to the broker of our own: one message at a time, never a retry, two seconds at most; and how the app connects.

Celery's own publishing waits for ever for a broker that is away (kombu's default).
"""

from __future__ import annotations

from typing import Any

import structlog
from kombu import Producer

log = structlog.get_logger()

TIMEOUT_S = 2.0
EMBEDDED = "embedded"


def broker_url(broker: str) -> str:
    """The settings' broker as Celery spells it."""
    return "memory://localhost" if broker == EMBEDDED else broker


def transport_options(broker: str) -> dict[str, Any]:
    """How long a socket may stay silent; without these a black hole hangs a process for ever."""
    if broker == EMBEDDED:
        return {"polling_interval": 0.005}
    if broker.startswith("redis"):
        timeouts = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S, "socket_keepalive": True}
        return {**timeouts, "queue_order_strategy": "priority"}
    return {}


class Line:
    """A connection and its producer, made when needed and thrown away at the first error."""

    def __init__(self, app: Any, purpose: str):
        self._app, self._purpose = app, purpose
        self._connection: Any = None
        self._producer: Any = None
        self.away = False

    def open(self) -> bool:
        """True when there is a producer; asks the broker at most once a call."""
        if self._producer is not None:
            return True
        try:
            self._connection = self._app.connection_for_write(connect_timeout=TIMEOUT_S, heartbeat=0)
            self._connection.transport_options = {**self._connection.transport_options, **self._write_options()}
            self._connection.connect()
            self._producer = Producer(self._connection.channel(), auto_declare=False)
        except Exception as error:  # noqa: BLE001  every transport has errors of its own; the next turn tries again
            self._failed(error)
            return False
        if self.away:
            log.info("broker_back", line=self._purpose)
        self.away = False
        return True

    def channel(self) -> Any:
        """The open channel, for declarations."""
        return self._producer.channel

    def publish(self, body: Any, **options: Any) -> bool:
        """Hands one message over; False when the broker is away. Said once an outage, never raised."""
        if not self.open():
            return False
        try:
            self._producer.publish(body, serializer="json", retry=False, **options)
        except Exception as error:  # noqa: BLE001  as in open; what was published is offered again anyway
            self._failed(error)
            return False
        return True

    def close(self) -> None:
        """Lets go of the connection, whatever state it is in."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.close()
            except Exception as error:  # noqa: BLE001  it is thrown away in any case
                log.debug("line_close_failed", line=self._purpose, error=type(error).__name__)

    def _write_options(self) -> dict[str, Any]:
        if self._connection.transport.driver_type == "amqp":
            return {"read_timeout": TIMEOUT_S, "write_timeout": TIMEOUT_S}
        return {}

    def _failed(self, error: BaseException) -> None:
        if not self.away:
            log.warning("broker_away", line=self._purpose, error=type(error).__name__)
        self.away = True
        self.close()
