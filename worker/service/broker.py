"""Our own connections to the broker: one message at a time, no retry, two seconds at most; and how the app connects.

Celery's publishing would wait for ever for a broker that is away (kombu's default).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kombu import Connection, Producer

from worker.config.log import Logger
from worker.domain.errors import ConfigurationError
from worker.service.rabbitmq import Alarm, Confirms, heed, refusal

log = Logger()

TIMEOUT_S = 2.0
EMBEDDED = "embedded"
ONCE = {"interval_start": 0, "interval_step": 0, "reraise_as_library_errors": False}
"""Options of `ensure_connection` for one try, without a pause, whose error is the transport's own."""


def broker_url(broker: str) -> str:
    """The broker of the settings as a URL for Celery."""
    return "memory://localhost" if broker == EMBEDDED else broker


def transport_options(broker: str) -> dict[str, Any]:
    """Celery's options for the broker, with the time after which a silent socket fails."""
    # Without these timeouts a network that drops all packets hangs the process for ever.
    if broker == EMBEDDED:
        return {"polling_interval": 0.005}
    if broker.startswith("redis"):
        timeouts = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S, "socket_keepalive": True}
        return {**timeouts, "queue_order_strategy": "priority"}
    return {}


def require_client(broker: str) -> None:
    """Raises a ConfigurationError that names the extra when the client for the broker's URL is not installed."""
    try:
        Connection(broker_url(broker)).create_transport()
    except ImportError:
        raise ConfigurationError(
            f"broker: the client of {broker.partition(':')[0]}:// is not installed;"
            " run `pip install 'im-delivery-worker[redis]'`"
        ) from None


def reachable(broker: str) -> str:
    """Tries a connection; returns the class of the error, or an empty text when the broker takes it."""
    try:
        options = transport_options(broker)
        with Connection(broker_url(broker), connect_timeout=TIMEOUT_S, transport_options=options) as connection:
            connection.ensure_connection(max_retries=0, **ONCE)
            connection.channel().close()
    except Exception as error:  # noqa: BLE001  every transport has errors of its own
        return type(error).__name__
    return ""


class BrokerLine:
    """A connection and its producer, made when needed and thrown away at the first error.

    With `confirms`, RabbitMQ confirms each message (Redis answers each anyway); `settle` waits for that.
    """

    def __init__(self, app: Any, purpose: str, *, confirms: bool = False):
        self._app, self._purpose, self._wants_confirms = app, purpose, confirms
        self._connection: Any = None
        self._producer: Any = None
        self._confirms: Confirms | None = None
        self._alarm = Alarm()
        self.away = False
        self.why = ""
        """The class of the error with which it went away, or that it is blocked."""

    def open(self) -> bool:
        """True when there is a producer that may publish; tries the broker at most once a call."""
        try:
            if self._producer is None:
                self._connect()
            elif self._is_rabbitmq:
                heed(self._connection.connection)
        except Exception as error:  # noqa: BLE001  every transport has errors of its own; the next turn tries again
            self._failed(error)
            return False
        if self._alarm.blocked:
            self.why = "blocked"
            self._say_away("broker_blocked")
            return False
        if self.away:
            log.info("broker_back", line=self._purpose)
        self.away = False
        return True

    def channel(self) -> Any:
        """The open channel, for declarations."""
        return self._producer.channel

    def declare(self, entities: Iterable[Any]) -> str | None:
        """Declares queues or exchanges; returns a sentence for the operator when the broker refuses one for good."""
        try:
            for entity in entities:
                entity.bind(self.channel()).declare()
        except Exception as error:  # noqa: BLE001  as in open
            sentence = refusal(error)
            if sentence is None:
                self._failed(error)
            else:
                self.close()
            return sentence
        return None

    def publish(self, body: Any, **options: Any) -> bool:
        """Publishes one message; False when the broker is away. Never raises, and logs an outage once."""
        if not self.open():
            return False
        try:
            self._producer.publish(body, serializer="json", retry=False, mandatory=bool(self._confirms), **options)
        except Exception as error:  # noqa: BLE001  as in open; what was published is offered again anyway
            self._failed(error)
            return False
        if self._confirms:
            self._confirms.sent()
        return True

    def settle(self) -> bool:
        """Waits until the broker has taken all messages; False when a message found no queue."""
        if not self._confirms:
            return True
        confirms = self._confirms
        try:
            confirms.wait(self._alarm)
        except Exception as error:  # noqa: BLE001  as in open
            self._failed(error)
        return not confirms.unroutable

    def close(self) -> None:
        """Closes the connection, whatever state it is in."""
        connection, self._connection, self._producer, self._confirms = self._connection, None, None, None
        if connection is None:
            return
        try:
            if self.away and connection.transport.driver_type == "amqp":
                # close() would wait for RabbitMQ to agree, which may never answer.
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
        others = max(0, len(self._connection.alt) - 1)
        self._connection.ensure_connection(max_retries=others, **ONCE)
        channel = self._connection.channel()
        self._confirms = Confirms(channel) if self._wants_confirms and self._is_rabbitmq else None
        self._producer = Producer(channel, auto_declare=False)

    def _failed(self, error: BaseException) -> None:
        self.why = type(error).__name__
        self._say_away("broker_away", error=self.why)
        self.close()

    def _say_away(self, event: str, **fields: str) -> None:
        if not self.away:
            log.warning(event, line=self._purpose, **fields)
        self.away = True
