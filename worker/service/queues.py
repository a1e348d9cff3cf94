"""The queues' names, in one place: Procfile, compose file and every process take them from here.

Both are durable and direct and are reached through the default exchange, which no flush of a broker can take away.
"""

from __future__ import annotations

from kombu import Exchange, Queue

URGENT = "worker.urgent"
NORMAL = "worker.normal"
NAMES = (URGENT, NORMAL)
TRANSIENT = 1
"""Delivery mode: a doorbell that is lost rings again, so the broker never writes one to disk."""


def queues(prefix: str = "") -> list[Queue]:
    """Declarations for Celery; `prefix` keeps several installations apart in one broker."""
    exchange = Exchange("", type="direct", delivery_mode=TRANSIENT)
    return [Queue(prefix + name, exchange=exchange, routing_key=prefix + name, durable=True) for name in NAMES]


def queue_of(*, urgent: bool, prefix: str = "") -> str:
    """Where a doorbell goes."""
    return prefix + (URGENT if urgent else NORMAL)
