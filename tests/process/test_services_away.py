"""Database and broker away and back: no worker dies, nothing is in doubt, nothing goes twice.

MariaDB is away in test_health_processes.py.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

from redis import Redis
from sqlalchemy import make_url

from rig.servers import own_redis
from rig.stack import SHORT, until
from rig.stacks import EMBEDDED, MARIADB, RABBITMQ, WITH_A_BROKER, Make, on_stacks
from rig.tcp_door import Door
from tests.process.test_pipeline_processes import assert_each_once, enqueue_texts
from worker.outbox.engine.database import Database, make_engine

AWAY_S = float(os.environ.get("TEST_AWAY_S", "4"))
"""Longer than the shortened lease; 15 in the long run."""

DOUBTS = "select outcome, reason, count(*) from worker_attempts where outcome = 'unknown' group by 1, 2"


class Locked:
    """An SQLite file's door: shut, a producer's transaction stays open and keeps the file from everybody else."""

    def __init__(self, url: str):
        self._database, self._transaction = Database(make_engine(url)), ExitStack()

    def shut(self) -> None:
        """Begins it."""
        self._transaction.enter_context(self._database.writing())

    def open(self) -> None:
        """Commits it."""
        self._transaction.close()

    def close(self) -> None:
        """At the end."""
        self.open()
        self._database.close()


def database_door(make: Make) -> Locked | Door:
    """A door in front of a stack's database."""
    return Locked(make.database_url) if make.name == EMBEDDED else door_to(make.database_url)


def door_to(url: str) -> Door:
    """A door in front of a database or a broker."""
    parts = urlsplit(url)
    usual = {"redis": 6379, "amqp": 5672, "mysql+pymysql": 3306}.get(parts.scheme, 5432)
    return Door(parts.hostname or "127.0.0.1", parts.port or usual)


def through(door: Locked | Door, url: str) -> str:
    """The same URL, by way of the door."""
    if isinstance(door, Locked):
        return url
    if url.startswith(("redis", "amqp")):
        parts = urlsplit(url)
        who, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{who}{at}127.0.0.1:{door.at}").geturl()
    return make_url(url).set(host="127.0.0.1", port=door.at).render_as_string(hide_password=False)


@on_stacks(RABBITMQ, EMBEDDED, why="MariaDB is away in the test of health")
def test_a_database_that_is_away_leaves_nothing_in_doubt(make: Make) -> None:
    """The database away in the middle of the work, SQLite's file locked: the workers live on, 0 unknown, 0 twice."""
    with closing(database_door(make)) as door:
        stack = make({"latency_s": 0.05}, worker_database=through(door, make.database_url))
        workers = [stack.worker(threads=4) for _ in range(make.workers(2))]
        enqueue_texts(stack, 300)
        until(lambda: stack.vendor.sends() > 60, "calls are out")

        door.shut()
        away_until = time.monotonic() + AWAY_S
        until(lambda: time.monotonic() > away_until, "it has been away")
        door.open()
        stack.until_settled()

        assert {worker.poll() for worker in workers} == {None}
        assert_each_once(stack, 300)
        assert stack.rows(DOUBTS) == []


@on_stacks(
    RABBITMQ, EMBEDDED, why="Celery ends the one and the worker itself the other; MariaDB is cut off as PostgreSQL is"
)
def test_a_drain_without_a_database_ends_with_status_1(make: Make) -> None:
    """SIGTERM while the database is away: the process ends by the deadline and 5 s, and says so by its status."""
    with closing(database_door(make)) as door:
        stack = make({"latency_s": 0.2}, worker_database=through(door, make.database_url))
        enqueue_texts(stack, 100)
        worker = stack.worker(threads=4)
        until(lambda: stack.vendor.sends() > 4, "calls are out")
        door.shut()

        began = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(120)

        assert status == 1
        assert time.monotonic() - began < SHORT["call_deadline_s"] + 5


@on_stacks(*WITH_A_BROKER, why="embedded's broker is in the process itself")
def test_a_broker_that_is_away_is_waited_for(make: Make) -> None:
    """The broker away for a while: relay and consumer come back by themselves, everything is sent once."""
    with closing(door_to(make.broker)) as door:
        stack = make({"latency_s": 0.05}, worker_broker=through(door, make.broker))
        worker = stack.worker(threads=4)
        enqueue_texts(stack, 300)
        until(lambda: stack.vendor.sends() > 30, "calls are out")

        door.shut()
        away_until = time.monotonic() + 3
        until(lambda: time.monotonic() > away_until, "it has been away")
        door.open()
        stack.until_settled()

        assert worker.poll() is None
        assert_each_once(stack, 300)
        said = [line["event"] for line in stack.lines() if line.get("line") == "doorbells"]
        outages = len(said) // 2  # on a busy machine a broker may be silent for two seconds once more
        assert ["broker_away", "broker_back"] * max(1, outages) == said


@on_stacks(MARIADB, why="only Redis becomes a replica")
def test_a_redis_that_takes_no_writes_is_waited_for(make: Make) -> None:
    """A failover turns the Redis that a worker is connected to into a replica: the worker waits until one writes."""
    redis = make.scope.enter_context(own_redis.running())
    stack = make({"latency_s": 0.05}, broker=redis.url)
    worker = stack.worker(threads=4)
    enqueue_texts(stack, 300)
    until(lambda: stack.vendor.sends() > 30, "calls are out")

    with Redis.from_url(redis.url) as client:
        client.replicaof("127.0.0.1", 1)
        away_until = time.monotonic() + 3
        until(lambda: time.monotonic() > away_until, "it takes no writes")
        client.replicaof("no", "one")
    until(lambda: worker.poll() is not None or not stack.unsettled(), "it goes on, or has ended")

    assert worker.poll() is None
    assert_each_once(stack, 300)
