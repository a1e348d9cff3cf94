"""Emptied, restarted or swapped in the middle of 2,000 jobs with 200 ids in the broker that nobody has taken.

Nothing is lost, nothing goes twice, nothing is in doubt, no worker dies (must-show 3).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.process import brokers, own_mariadb, own_postgres, own_redis
from tests.process.own_rabbitmq import RabbitMQ
from tests.process.own_server import Server
from tests.process.stack import Stack, until
from tests.process.stacks import MARIADB, RABBITMQ, REDIS, Make, Stacks, each, on_every_stack
from tests.process.test_pipeline_processes import assert_each_once, enqueue_texts
from tests.support import databases
from worker.outbox.database import make_engine
from worker.outbox.migrate import upgrade

JOBS, SENT, LYING = 2_000, 300, 200
QUICK_S = 0.005
DOUBTS = "select outcome, reason, count(*) from worker_attempts where doubtful or outcome = 'unknown' group by 1, 2"


def in_the_middle(stack: Stack, disturb: Callable[[], object]) -> None:
    """Disturbs a worker that has sent some and has 200 ids before it; then everything has been sent exactly once."""
    worker = stack.worker(threads=16)
    enqueue_texts(stack, JOBS)
    fill_the_broker(stack, SENT)

    disturb()
    stack.vendor.post("settings", {"latency_s": QUICK_S})
    stack.database.engine.dispose()
    stack.until_settled(120)

    assert worker.poll() is None
    assert_all_sent(stack)


def fill_the_broker(stack: Stack, sent: int) -> None:
    """Waits until so many are sent, then keeps all threads busy with slow calls while the broker's queue fills."""
    until(lambda: stack.vendor.sends() > sent, "some are sent")
    stack.vendor.post("settings", {"latency_s": 3.0})
    until(lambda: len(brokers.waiting(stack.broker, stack.prefix)) >= LYING, "200 ids lie in the broker")
    assert stack.vendor.sends() < JOBS, "it is in the middle"


def assert_all_sent(stack: Stack) -> None:
    """Once each, and nothing was ever in doubt."""
    assert_each_once(stack, JOBS)
    assert JOBS == stack.vendor.sends()
    assert [] == stack.rows(DOUBTS)


def make_fast(make: Make, **options: str) -> Stack:
    """A stack with a quick vendor."""
    return make({"latency_s": QUICK_S}, **options)


@on_every_stack(REDIS, MARIADB)
def test_redis_flushed(make: Make) -> None:
    """FLUSHALL takes the ids and everything else Redis knows."""
    redis = make.scope.enter_context(own_redis.running())
    stack, gone = make_fast(make, broker=redis.url), set[str]()

    in_the_middle(stack, lambda: gone.update(brokers.flush(redis.url, stack.prefix)))

    assert len(gone) >= LYING


@pytest.mark.process
def test_rabbitmq_emptied_or_without_its_queues(stacks: Stacks, tmp_path: Path) -> None:
    """The queues are purged; or deleted under the feet of relay and consumer, who declare them again."""
    with ExitStack() as scope:
        purged, deleted = (make_fast(make) for make in stacks.makes((RABBITMQ,), tmp_path, scope, 2))
        gone = set[str]()

        each(
            ["purged", "deleted"],
            [
                partial(in_the_middle, purged, lambda: gone.update(brokers.empty(purged.broker, purged.prefix))),
                partial(in_the_middle, deleted, lambda: brokers.delete_queues(deleted.broker, deleted.prefix)),
            ],
        )

    assert len(gone) >= LYING


@on_every_stack(RABBITMQ)
def test_rabbitmq_restarted(make: Make, own_rabbitmq: RabbitMQ) -> None:
    """A restart of the broker loses every id in it, for they are transient."""
    in_the_middle(make_fast(make, broker=own_rabbitmq.url), own_rabbitmq.restart)


@on_every_stack(REDIS)
def test_postgresql_restarted(make: Make) -> None:
    """The server is restarted, fast, as a machine's reboot would."""
    server = make.scope.enter_context(own_postgres.running())

    in_the_middle(make_fast(make, database_url=with_tables(server)), server.restart)


@on_every_stack(MARIADB)
def test_mariadb_restarted(make: Make) -> None:
    """The server is restarted."""
    server = make.scope.enter_context(own_mariadb.running())

    in_the_middle(make_fast(make, database_url=with_tables(server)), server.restart)


def with_tables(server: Server) -> str:
    """The server's database, ready."""
    engine = make_engine(server.url)
    upgrade(engine)
    engine.dispose()
    return server.url


@on_every_stack(REDIS, RABBITMQ)
def test_a_broker_swapped_and_back(make: Make) -> None:
    """Workers end and start again on the other kind of broker while ids lie in the old one, and later go back to it."""
    first = make.broker
    second = databases.need(brokers.RABBITMQ if make.name == REDIS else databases.REDIS)
    stack = make_fast(make)
    enqueue_texts(stack, JOBS)

    for broker, sent in ((second, SENT), (first, 2 * SENT)):
        worker = stack.worker(threads=16)
        fill_the_broker(stack, sent)
        stack.swap_broker(broker)
        assert 0 == stack.end(worker)
        assert len(brokers.waiting(stack.left[-1], stack.prefix)) >= LYING, "they still lie in the old one"
        stack.vendor.post("settings", {"latency_s": QUICK_S})
    stack.worker(threads=16)
    stack.until_settled(120)

    assert_all_sent(stack)
