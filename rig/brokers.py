"""What tests do to a broker behind the worker's back: look into its queues, flush it, take away what a test left.

Redis and RabbitMQ alike, by the broker's URL. The shared servers are never flushed: only a server of a test's own is.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import kombu
import redis
from amqp.exceptions import NotFound

from rig.databases import Service
from worker.service.queues import NAMES

RABBITMQ = Service(
    "RabbitMQ", "TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//", "docker run -d -p 5672:5672 rabbitmq:4"
)


def waiting(url: str, prefix: str) -> set[str]:
    """The part ids inside the messages that lie in the broker's own queues, taken by nobody."""
    if url.startswith("redis"):
        with _redis(url) as client:
            return _ids([_redis_body(raw) for name in NAMES for raw in client.lrange(prefix + name, 0, -1)])
    try:
        with _channel(url) as channel:  # what it got goes back when it closes
            return _ids(list(_got(channel, prefix)))
    except NotFound:  # nobody has declared the queues yet
        return set()


def flush(url: str, prefix: str) -> set[str]:
    """FLUSHALL, on a Redis of the test's own; the part ids that lay in the queues at that very moment."""
    with _redis(url) as client, client.pipeline(transaction=True) as both:
        for name in NAMES:
            both.lrange(prefix + name, 0, -1)
        both.flushall()
        return _ids([_redis_body(raw) for raws in both.execute()[: len(NAMES)] for raw in raws])


def delete_queues(url: str, prefix: str) -> None:
    """Deletes RabbitMQ's queues under everybody's feet, all at once."""
    with _channel(url) as channel:
        for name in NAMES:
            # Without waiting: a consumer declares all of them again as soon as the first is gone.
            channel.queue_delete(prefix + name, nowait=True)


def forget(url: str, prefix: str) -> None:
    """Takes away the queues and exchanges of one installation."""
    if url.startswith("redis"):
        with _redis(url) as client:
            keys = [*client.scan_iter(f"{prefix}*", 1000), *client.scan_iter(f"_kombu.binding.{prefix}*", 1000)]
            if keys:
                client.delete(*keys)
    elif url.startswith("amqp"):
        delete_queues(url, prefix)
        with _channel(url) as channel:
            for exchange in ("celeryev", "celery.pidbox", "reply.celery.pidbox"):
                channel.exchange_delete(prefix + exchange)


@contextmanager
def _redis(url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(url)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _channel(url: str) -> Iterator[Any]:
    with kombu.Connection(url, connect_timeout=10) as connection, connection.channel() as channel:
        yield channel


def _got(channel: Any, prefix: str) -> Iterator[Any]:
    for name in NAMES:
        while message := channel.basic_get(prefix + name):
            yield json.loads(message.body)


def _redis_body(raw: bytes | str) -> Any:
    return json.loads(base64.b64decode(json.loads(raw)["body"]))


def _ids(bodies: Sequence[Any]) -> set[str]:
    return {part for (_lane, ids, *_), *_ in bodies for part in ids}
