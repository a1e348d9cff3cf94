"""Celery's connection to any broker, and what only RabbitMQ needs: timeouts on sockets, a confirm for each message.

py-amqp waits for ever for an answer: its read_timeout makes a read start again instead of fail. RabbitMQ does not even
read from a connection that it has blocked for lack of memory or disk, so closing that connection regularly hangs, too.
"""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import Any

import kombu
from kombu.transport import pyamqp

from worker.service.unreadable import dropping

ANSWER_S = 2.0
"""Seconds that RabbitMQ may take for one answer, or to accept one message."""
HEARTBEAT_S = 10
"""Heartbeat of Celery's consumer in seconds. A broker that is silent for twice as long counts as away."""


RECONNECT_S = 5.0
"""Seconds until the consumer tries again to reach a broker that was away, at most."""
RETRY_PAUSES = {"interval_start": 1.0, "interval_step": 1.0, "interval_max": RECONNECT_S}


class _WithTimeout:
    """Sets the timeout on the socket itself, so that it holds for every wait."""

    def establish_connection(self) -> Any:
        """Returns a connection on which no read or write takes longer than `ANSWER_S`."""
        connection = super().establish_connection()  # type: ignore[misc]  # of the transport it is mixed into
        connection.transport.sock.settimeout(ANSWER_S)
        return connection


class PlainTransport(_WithTimeout, pyamqp.Transport):  # type: ignore[misc]  # kombu has no types
    """`amqp://`."""


class SSLTransport(_WithTimeout, pyamqp.SSLTransport):  # type: ignore[misc]  # as above
    """`amqps://`."""

    def establish_connection(self) -> Any:
        """Returns a connection to the host whose name is in the URL.

        kombu would fill the name into options that all nodes share, and 127.0.0.1 for localhost.
        """
        options = self.client.ssl
        if isinstance(options, dict) and "server_hostname" in options:
            self.client.ssl = {**options, "server_hostname": options["server_hostname"] or self.client.hostname}
        return super().establish_connection()


class BrokerConnection(kombu.Connection):  # type: ignore[misc]  # as above
    """A connection to any broker. For RabbitMQ it uses our transport instead of kombu's."""

    def ensure_connection(self, *arguments: Any, **options: Any) -> Any:
        """Connects, and tries again every few seconds. kombu's pauses would grow to half a minute."""
        return super().ensure_connection(*arguments, **{**RETRY_PAUSES, **options})

    def maybe_close_channel(self, channel: Any) -> None:
        """Closes a channel, also one of a Redis that is lost.

        kombu leaves such a channel open if an answer was still expected. Celery would fail to close it later, because
        by then it has no connection to restore its unacknowledged messages to, and the worker would end.
        """
        super().maybe_close_channel(channel)
        if not getattr(channel, "closed", True):  # RabbitMQ's channels have no such attribute
            super().maybe_close_channel(channel)

    def get_transport_cls(self) -> Any:
        """Returns the transport class for the URL."""
        transport_class = super().get_transport_cls()
        if transport_class.driver_type == "redis":
            return dropping(transport_class)
        return {pyamqp.Transport: PlainTransport, pyamqp.SSLTransport: SSLTransport}.get(
            transport_class, transport_class
        )


def refusal(error: BaseException) -> str | None:
    """Returns a sentence if RabbitMQ will never let us declare a queue, or None if another try may succeed."""
    code, text = getattr(error, "reply_code", None), getattr(error, "reply_text", "")
    match code:
        case 406:  # PRECONDITION_FAILED names queue and difference
            remedy = (
                "set queue_type to its present type, or delete the queue in RabbitMQ: what it holds is offered again"
            )
            return f"queue_type: RabbitMQ has the queue already, declared otherwise ({text}); {remedy}"
        case 403:  # ACCESS_REFUSED names the user
            return f"broker: RabbitMQ refuses the queue ({text}); give the user configure, write and read rights to it"
        case _:
            return None


class Alarm:
    """Whether the broker blocks publishing on a connection. py-amqp updates it whenever it reads."""

    def __init__(self) -> None:
        self.blocked = False

    @property
    def options(self) -> dict[str, Any]:
        """The connection options that make py-amqp update this."""
        return {"on_blocked": partial(self._set, True), "on_unblocked": partial(self._set, False)}

    def _set(self, blocked: bool, *_reason: str) -> None:
        self.blocked = blocked


class Confirms:
    """The broker's confirm for each message of a channel: accepted, or returned because its queue is missing."""

    def __init__(self, channel: Any):
        self._channel = channel
        self._last = 0
        self._open: set[int] = set()
        self.unroutable = False
        channel.confirm_select()
        channel.events["basic_ack"].add(self._confirmed)
        # A nack counts like an ack: the ids are offered again like those of any lost message.
        channel.events["basic_nack"].add(self._confirmed)
        channel.events["basic_return"].add(self._returned)

    def sent(self) -> None:
        """Counts one more published message that is not confirmed yet."""
        self._last += 1
        self._open.add(self._last)

    def wait(self, alarm: Alarm) -> None:
        """Reads until the broker has confirmed all messages or blocks. Raises TimeoutError if it stays silent."""
        until = time.monotonic() + ANSWER_S
        while self._open and not alarm.blocked:
            self._channel.connection.drain_events(timeout=max(0.01, until - time.monotonic()))

    def _confirmed(self, delivery_tag: int, multiple: bool) -> None:
        self._open -= {tag for tag in self._open if tag == delivery_tag or (multiple and tag < delivery_tag)}

    def _returned(self, *_: Any) -> None:
        self.unroutable = True


def read_notices(connection: Any) -> None:
    """Reads what the broker has sent by itself: blocked, unblocked, closed. Never waits."""
    with contextlib.suppress(TimeoutError):
        while True:
            connection.drain_events(timeout=0)
