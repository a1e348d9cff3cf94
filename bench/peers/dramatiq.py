"""The plain task in dramatiq: its own worker and middleware, on Redis or RabbitMQ. A process of `bench peers`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.worker import Worker

from bench.peers.peer import Told, told, until_sigterm
from bench.throughput.plain_call import QUEUE, body_of, caller


def run(argv: Sequence[str]) -> None:
    """Publishes or works; `how` is the number of messages each worker fetches ahead."""
    given = told(argv)
    broker = _broker(given.store)
    send = dramatiq.actor(caller(given.vendor, trust_env=False), actor_name="send", queue_name=QUEUE, broker=broker)
    if given.command == "publish":
        for n in range(given.jobs):
            send.send(body_of(n))
    else:
        _work(given, broker)
    broker.close()


def _broker(url: str) -> Any:
    if url.startswith("redis"):
        return RedisBroker(url=url)
    return RabbitmqBroker(url=url.removesuffix("//") + "/%2F")  # kombu writes the default virtual host as //


def _work(given: Told, broker: Any) -> None:
    worker = Worker(broker, worker_threads=given.threads)
    worker.queue_prefetch = int(given.how)
    worker.start()
    until_sigterm()
    worker.stop()


if __name__ == "__main__":
    run(sys.argv[1:])
