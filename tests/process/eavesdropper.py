"""Everything a broker is told, as text: Redis by MONITOR, RabbitMQ by its firehose (on a node of the test's own)."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import kombu
import redis

_BODY = re.compile(r'body\\*": \\*"([A-Za-z0-9+/=]+)')
"""kombu puts a message's body into Redis as base64; nobody could see anything in it."""


@contextmanager
def listening(url: str, prefix: str) -> Iterator[list[str]]:
    """What concerns one installation; the list grows while the block runs."""
    heard: list[str] = []
    over = threading.Event()
    with ExitStack() as scope:
        if url.startswith("redis"):
            client = scope.enter_context(redis.Redis.from_url(url))
            monitor = scope.enter_context(client.monitor())
            thread = threading.Thread(target=_monitor, args=(monitor, prefix, heard), daemon=True)
        else:
            connection = scope.enter_context(kombu.Connection(url))
            scope.enter_context(_bound(connection, heard))
            thread = threading.Thread(target=_firehose, args=(connection, over), daemon=True)
            scope.callback(thread.join)
        scope.callback(over.set)
        thread.start()
        yield heard


def _monitor(monitor: Any, prefix: str, heard: list[str]) -> None:
    with contextlib.suppress(Exception):  # the test closes the connection under the listener
        for command in (one["command"] for one in monitor.listen() if prefix in one["command"]):
            heard.append(command)
            heard.extend(base64.b64decode(body).decode() for body in _BODY.findall(command))


@contextmanager
def _bound(connection: kombu.Connection, heard: list[str]) -> Iterator[None]:
    """A consumer of everything that is published or delivered."""
    firehose = kombu.Exchange("amq.rabbitmq.trace", type="topic", durable=True, passive=True)
    queue = kombu.Queue("", exchange=firehose, routing_key="#", exclusive=True)

    def hear(message: Any) -> None:
        heard.append(f"{message.delivery_info} {message.headers} {message.properties}")
        heard.append(message.body.decode() if isinstance(message.body, bytes) else str(message.body))

    with kombu.Consumer(connection, [queue], no_ack=True, on_message=hear, accept=None):
        yield


def _firehose(connection: kombu.Connection, over: threading.Event) -> None:
    while not over.is_set():
        with contextlib.suppress(socket.timeout):
            connection.drain_events(timeout=0.2)
