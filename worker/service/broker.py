"""Connections that publish to the broker, each message at once, without a retry, in at most two seconds.

Celery's own publishing would wait for ever for a broker that is away (kombu's default).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from kombu import Connection, Producer

from worker.config.log import Logger
from worker.domain.errors import ConfigurationError
from worker.service.rabbitmq import Alarm, Confirms, read_notices, refusal

log = Logger()

TIMEOUT_S = 2.0
RETRY_S = 5.0
"""Seconds until a broker that can be reached and refuses messages is tried again, at most."""
EMBEDDED = "embedded"
SINGLE_TRY = {"interval_start": 0, "interval_step": 0, "reraise_as_library_errors": False}
"""Options of `ensure_connection` for one try without a pause, which raises the transport's own error."""


def broker_url(broker: str) -> str:
    """Returns the broker of the settings as a URL for Celery."""
    return "memory://localhost" if broker == EMBEDDED else broker


def transport_options(broker: str) -> dict[str, Any]:
    """Returns Celery's options for the broker, with the seconds after which a silent socket fails."""
    # Without these timeouts a network that drops all packets hangs the process for ever.
    if broker == EMBEDDED:
        return {"polling_interval": 0.005}
    if broker.startswith("redis"):
        timeouts = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S, "socket_keepalive": True}
        return {**timeouts, "queue_order_strategy": "priority"}
    return {}


def require_client(broker: str) -> None:
    """Raises a ConfigurationError that names the extra to install if the client for the broker's URL is missing."""
    try:
        Connection(broker_url(broker)).create_transport()
    except ImportError:
        raise ConfigurationError(
            f"broker: the client of {broker.partition(':')[0]}:// is not installed;"
            " run `pip install 'PATH[redis]'`, with the PATH of the wheel or checkout"
        ) from None


def connection_error(broker: str) -> str:
    """Tries to connect. Returns the class name of the error, or an empty text if the broker can be used."""
    try:
        options = transport_options(broker)
        with Connection(broker_url(broker), connect_timeout=TIMEOUT_S, transport_options=options) as connection:
            connection.ensure_connection(max_retries=0, **SINGLE_TRY)
            connection.channel().close()
    except Exception as error:  # noqa: BLE001  every transport has errors of its own
        return type(error).__name__
    return ""


class PublisherConnection:
    """A connection to the broker with its producer, opened when it is needed and closed at the first error.

    With `confirms`, RabbitMQ confirms each message and `settle` waits for that. Redis answers each message anyway.
    """

    def __init__(
        self, app: Any, purpose: str, *, confirms: bool = False, monotonic: Callable[[], float] = time.monotonic
    ):
        self._app, self._purpose, self._wants_confirms = app, purpose, confirms
        self._monotonic = monotonic
        self._connection: Any = None
        self._producer: Any = None
        self._confirms: Confirms | None = None
        self._alarm = Alarm()
        self._refusals = 0
        """What failed on open connections since the last published message."""
        self._retry_at = float("-inf")
        self.away = False
        self.error = ""
        """The class name of the last connection error, or "blocked". Empty before the first."""

    def open(self) -> bool:
        """Returns True if messages can be published now. Tries to connect at most once a call."""
        if self._monotonic() < self._retry_at:
            return False
        try:
            if self._producer is None:
                self._connect()
            elif self._is_rabbitmq:
                read_notices(self._connection.connection)
        except Exception as error:  # noqa: BLE001  every transport has errors of its own; the next turn tries again
            self._drop(error)
            return False
        if self._alarm.blocked:
            self.error = "blocked"
            self._log_away("broker_blocked")
            return False
        if self.away:
            log.info("broker_back", line=self._purpose)
        self.away = False
        return True

    def channel(self) -> Any:
        """Returns the open channel, on which queues and exchanges are declared."""
        return self._producer.channel

    def declare(self, entities: Iterable[Any]) -> str | None:
        """Declares queues or exchanges. Returns a sentence for the operator if the broker refuses one for good."""
        try:
            for entity in entities:
                entity.bind(self.channel()).declare()
        except Exception as error:  # noqa: BLE001  as in open
            sentence = refusal(error)
            if sentence is None:
                self._refused(error)
            else:
                self.close()
            return sentence
        return None

    def publish(self, body: Any, **options: Any) -> bool:
        """Publishes one message. Returns False if the broker is away. Never raises, and logs an outage once."""
        if not self.open():
            return False
        try:
            self._producer.publish(body, serializer="json", retry=False, mandatory=bool(self._confirms), **options)
        except Exception as error:  # noqa: BLE001  as in open; the ids are offered again anyway
            self._refused(error)
            return False
        self._refusals = 0
        if self._confirms:
            self._confirms.sent()
        return True

    def settle(self) -> bool:
        """Waits until the broker has confirmed all messages. Returns False if a message found no queue."""
        if not self._confirms:
            return True
        confirms = self._confirms
        try:
            confirms.wait(self._alarm)
        except Exception as error:  # noqa: BLE001  as in open
            self._drop(error)
        return not confirms.unroutable

    def close(self) -> None:
        """Closes the connection, whatever state it is in."""
        connection, self._connection, self._producer, self._confirms = self._connection, None, None, None
        if connection is None:
            return
        try:
            if self.away and connection.transport.driver_type == "amqp":
                # close() would wait for RabbitMQ's reply, which may never come.
                connection.collect()
            else:
                connection.close()
        except Exception as error:  # noqa: BLE001  it is thrown away in any case
            log.debug("line_close_failed", line=self._purpose, error=type(error).__name__)

    @property
    def _is_rabbitmq(self) -> bool:
        return bool(self._connection.transport.driver_type == "amqp")

    def _connect(self) -> None:
        self._alarm.blocked = False
        self._connection = self._app.connection_for_write(connect_timeout=TIMEOUT_S, heartbeat=0)
        if self._is_rabbitmq:
            self._connection.transport_options = {**self._connection.transport_options, **self._alarm.options}
        # connect() would try each broker twice and sleep in between.
        alternatives = max(0, len(self._connection.alt) - 1)
        self._connection.ensure_connection(max_retries=alternatives, **SINGLE_TRY)
        channel = self._connection.channel()
        self._confirms = Confirms(channel) if self._wants_confirms and self._is_rabbitmq else None
        self._producer = Producer(channel, auto_declare=False)

    def _refused(self, error: BaseException) -> None:
        """Drops an open connection. After the first time in a row, the next one has to wait, longer each time."""
        # Otherwise a Redis that takes no writes would be away and back several times a second.
        self._refusals += 1
        if self._refusals > 1:
            self._retry_at = self._monotonic() + min(RETRY_S, 0.1 * 2.0 ** min(self._refusals, 10))
        self._drop(error)

    def _drop(self, error: BaseException) -> None:
        self.error = type(error).__name__
        self._log_away("broker_away", error=self.error)
        self.close()

    def _log_away(self, event: str, **fields: str) -> None:
        if not self.away:
            log.warning(event, line=self._purpose, **fields)
        self.away = True
