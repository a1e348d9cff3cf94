"""What only RabbitMQ needs: timeouts on sockets, and confirms for each message.

py-amqp waits for ever for an answer: its read_timeout makes a read start again, not fail. A connection that the broker
has blocked for want of memory or disk is not even read by the broker, so that closing it in the regular way hangs, too.
"""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import Any

import kombu
from kombu.transport import pyamqp

ANSWER_S = 2.0
"""Seconds that RabbitMQ may take for one answer, and for taking one message."""
HEARTBEAT_S = 10
"""Heartbeat of Celery's consumer in seconds; a broker silent for twice as long counts as gone."""


RECONNECT_S = 5.0
"""Seconds until the consumer's next try to reach a broker that was away, at most."""
PAUSES = {"interval_start": 1.0, "interval_step": 1.0, "interval_max": RECONNECT_S}


class _Patient:
    """Sets the timeout on the socket itself, so that it holds for every wait."""

    def establish_connection(self) -> Any:
        """A connection on which no read and no write lasts longer than an answer may take."""
        connection = super().establish_connection()  # type: ignore[misc]  # of the transport it is mixed into
        connection.transport.sock.settimeout(ANSWER_S)
        return connection


class PlainTransport(_Patient, pyamqp.Transport):  # type: ignore[misc]  # kombu has no types
    """`amqp://`."""


class SSLTransport(_Patient, pyamqp.SSLTransport):  # type: ignore[misc]  # as above
    """`amqps://`."""


class BrokerConnection(kombu.Connection):  # type: ignore[misc]  # as above
    """A connection to any broker; to RabbitMQ with our transport in the place of kombu's."""

    def ensure_connection(self, *arguments: Any, **options: Any) -> Any:
        """Connects, and tries again every few seconds; kombu's pauses grow to half a minute."""
        return super().ensure_connection(*arguments, **{**PAUSES, **options})

    def get_transport_cls(self) -> Any:
        """The transport of the URL."""
        found = super().get_transport_cls()
        return {pyamqp.Transport: PlainTransport, pyamqp.SSLTransport: SSLTransport}.get(found, found)


def refusal(error: BaseException) -> str | None:
    """The sentence for a queue that RabbitMQ will never let us declare; None: another try may succeed."""
    code, text = getattr(error, "reply_code", None), getattr(error, "reply_text", "")
    match code:
        case 406:  # PRECONDITION_FAILED names queue and difference
            remedy = "set queue_type to what it is, or delete it there: what lies in it is offered again"
            return f"queue_type: RabbitMQ has the queue already, declared otherwise ({text}); {remedy}"
        case 403:  # ACCESS_REFUSED names the user
            return f"broker: RabbitMQ refuses the queue ({text}); give the user configure, write and read rights to it"
        case _:
            return None


class Alarm:
    """Whether the broker blocks a connection's publishers; py-amqp sets it whenever it reads."""

    def __init__(self) -> None:
        self.blocked = False

    @property
    def options(self) -> dict[str, Any]:
        """The options of a connection that make it set this."""
        return {"on_blocked": partial(self._set, True), "on_unblocked": partial(self._set, False)}

    def _set(self, blocked: bool, *_reason: str) -> None:
        self.blocked = blocked


class Confirms:
    """The broker's confirm for each message of a channel: taken, or returned because its queue is missing."""

    def __init__(self, channel: Any):
        self._channel = channel
        self._last = 0
        self._open: set[int] = set()
        self.unroutable = False
        channel.confirm_select()
        channel.events["basic_ack"].add(self._said)
        # Refused counts like taken: the ids are offered again like those of any lost message.
        channel.events["basic_nack"].add(self._said)
        channel.events["basic_return"].add(self._returned)

    def sent(self) -> None:
        """Counts one more published message, whose confirm is still to come."""
        self._last += 1
        self._open.add(self._last)

    def wait(self, alarm: Alarm) -> None:
        """Reads until the broker has confirmed all of them, or blocks; raises TimeoutError when it stays silent."""
        until = time.monotonic() + ANSWER_S
        while self._open and not alarm.blocked:
            self._channel.connection.drain_events(timeout=max(0.01, until - time.monotonic()))

    def _said(self, delivery_tag: int, multiple: bool) -> None:
        self._open -= {tag for tag in self._open if tag == delivery_tag or (multiple and tag < delivery_tag)}

    def _returned(self, *_: Any) -> None:
        self.unroutable = True


def heed(connection: Any) -> None:
    """Reads what the broker has sent unasked: blocked, unblocked, closed. Never waits."""
    with contextlib.suppress(TimeoutError):
        while True:
            connection.drain_events(timeout=0)
