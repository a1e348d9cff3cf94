"""Connections that publish to the broker, each message at once, without a retry, in at most two seconds.

Celery's own publishing would wait for ever for a broker that is away (kombu's default).
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kombu import Producer

from worker.config.log import Logger
from worker.config.places import BrokerTls, broker_tls, without_tls_options
from worker.domain.errors import ConfigurationError
from worker.service.rabbitmq import Alarm, BrokerConnection, Confirms, read_notices, refusal

log = Logger()

TIMEOUT_S = 2.0
RETRY_S = 5.0
"""Seconds until a broker that can be reached and refuses messages is tried again, at most."""
EMBEDDED = "embedded"
SINGLE_TRY = {"interval_start": 0, "interval_step": 0, "reraise_as_library_errors": False}
"""Options of `ensure_connection` for one try without a pause, which raises the transport's own error."""


def broker_url(broker: str) -> str:
    """Returns the broker of the settings as a URL for Celery."""
    return "memory://localhost" if broker == EMBEDDED else without_tls_options(broker)


def tls_options(broker: str) -> dict[str, Any] | None:
    """Returns the client's options for TLS, or None without it. Whatever the URL does not say is verified.

    kombu itself would verify nothing of a Redis, and of RabbitMQ not the host's name.
    """
    if (tls := broker_tls(broker)) is None:
        return None
    required = ssl.CERT_REQUIRED if tls.verifies else ssl.CERT_NONE
    options = {"ca_certs": tls.ca, "certfile": tls.certificate, "keyfile": tls.key, "cert_reqs": required}
    if broker.startswith("redis"):
        return {**{f"ssl_{name}": value for name, value in options.items()}, "ssl_check_hostname": tls.verifies_name}
    # `SSLTransport` fills the name in.
    return {**options, "server_hostname": None} if tls.verifies_name else options


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
    """Raises a ConfigurationError if the client for the broker's URL is missing, or a file of its TLS."""
    tls = broker_tls(broker) or BrokerTls()
    for name, path in (("ssl_ca_certs", tls.ca), ("ssl_certfile", tls.certificate), ("ssl_keyfile", tls.key)):
        if path is not None and not (Path(path).is_file() and os.access(path, os.R_OK)):
            raise ConfigurationError(
                f"broker: {name} names file {path}, which cannot be read; correct it or its rights"
            )
    try:
        BrokerConnection(broker_url(broker), ssl=tls_options(broker) or False).create_transport()
    except ImportError:
        raise ConfigurationError(
            f"broker: the client of {broker.partition(':')[0]}:// is not installed;"
            " run `pip install 'PATH[redis]'`, with the PATH of the wheel or checkout"
        ) from None


def connection_error(broker: str) -> str:
    """Tries to connect. Returns what is wrong, as `reason_of` says it, or an empty text if the broker can be used."""
    try:
        options = {"transport_options": transport_options(broker), "ssl": tls_options(broker) or False}
        with BrokerConnection(broker_url(broker), connect_timeout=TIMEOUT_S, **options) as connection:
            connection.ensure_connection(max_retries=0, **SINGLE_TRY)
            connection.channel().close()
    except Exception as error:  # noqa: BLE001  every transport has errors of its own
        return reason_of(error)
    return ""


def reason_of(error: BaseException) -> str:
    """Returns the class name of a connection's error, or a sentence if it is about the broker's certificate."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__ if cause is None else CERTIFICATE.get(cause.verify_code, UNTRUSTED)


UNTRUSTED = "its certificate is signed by no authority that is trusted"
CERTIFICATE = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    62: "its certificate is for another host name",
    64: "its certificate is for another address",
}
"""What is wrong with a certificate, by OpenSSL's number. Any other number means that it is not trusted."""


def _name_of(connection: Any) -> str:
    kind = "RabbitMQ" if connection.transport.driver_type == "amqp" else "Redis"
    address = f"{connection.hostname or 'localhost'}:{connection.port or connection.transport.default_port}"
    return f"{kind} ({address})"


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
        self.broker = "broker"
        """Its kind and address, such as `RabbitMQ (mq:5672)`, once a connection was tried."""
        self.error = ""
        """The last connection error, as `reason_of` says it, or "blocked". Empty before the first."""

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
        self.broker = _name_of(self._connection)
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
        self.error = reason_of(error)
        self._log_away("broker_away", error=self.error)
        self.close()

    def _log_away(self, event: str, **fields: str) -> None:
        if not self.away:
            log.warning(event, line=self._purpose, **fields)
        self.away = True
