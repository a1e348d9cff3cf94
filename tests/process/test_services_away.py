"""Database and broker away and back (must-show 3): no worker dies, nothing is in doubt, nothing goes twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import make_url

from tests.process.conftest import MakeStack, Restart
from tests.process.stack import SHORT, until
from tests.process.tcp_door import Door
from tests.process.test_pipeline_processes import assert_each_once, enqueue_texts

pytestmark = [pytest.mark.process, pytest.mark.postgres, pytest.mark.redis]
AWAY_S = float(os.environ.get("TEST_AWAY_S", "4"))
"""Longer than the shortened lease; 15 in the long run."""

DOUBTS = "select outcome, reason, count(*) from worker_attempts where outcome = 'unknown' group by 1, 2"


@pytest.fixture
def door(postgres_url: str) -> Iterator[Door]:
    """A door in front of PostgreSQL."""
    url = make_url(postgres_url)
    with closing(Door(url.host or "127.0.0.1", url.port or 5432)) as door:
        yield door


def _through(door: Door, url: str) -> str:
    return make_url(url).set(host="127.0.0.1", port=door.at).render_as_string(hide_password=False)


def test_a_database_that_is_away_leaves_nothing_in_doubt(
    postgres_redis: MakeStack, postgres_url: str, door: Door
) -> None:
    """PostgreSQL away in the middle of the work: two workers live on, 0 unknown, 0 twice."""
    stack = postgres_redis({"latency_s": 0.05}, worker_database=_through(door, postgres_url))
    workers = [stack.worker(threads=4) for _ in range(2)]
    enqueue_texts(stack, 600)
    until(lambda: stack.vendor.sends() > 60, "calls are out")

    door.shut()
    away_until = time.monotonic() + AWAY_S
    until(lambda: time.monotonic() > away_until, "it has been away")
    door.open()
    stack.until_settled()

    assert [None, None] == [worker.poll() for worker in workers]
    assert_each_once(stack, 600)
    assert [] == stack.rows(DOUBTS)


def test_a_drain_without_a_database_ends_with_status_1(
    postgres_redis: MakeStack, postgres_url: str, door: Door
) -> None:
    """SIGTERM while PostgreSQL is away: the process ends by the deadline and 5 s, and says so by its status."""
    stack = postgres_redis({"latency_s": 0.2}, worker_database=_through(door, postgres_url))
    enqueue_texts(stack, 100)
    worker = stack.worker(threads=4)
    until(lambda: stack.vendor.sends() > 4, "calls are out")
    door.shut()

    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    status = worker.wait(30)

    assert 1 == status
    assert time.monotonic() - began < SHORT["call_deadline_s"] + 5


@pytest.fixture
def redis_door(redis_url: str) -> Iterator[Door]:
    """A door in front of Redis."""
    url = make_url(redis_url)
    with closing(Door(url.host or "127.0.0.1", url.port or 6379)) as door:
        yield door


def test_a_broker_that_is_away_is_waited_for(redis_door: Door, postgres_redis: MakeStack) -> None:
    """Redis away for a while: relay and consumer come back by themselves, everything is sent once."""
    stack = postgres_redis({"latency_s": 0.05}, broker=f"redis://127.0.0.1:{redis_door.at}/0")
    worker = stack.worker(threads=4)
    enqueue_texts(stack, 300)
    until(lambda: stack.vendor.sends() > 30, "calls are out")

    redis_door.shut()
    away_until = time.monotonic() + 3
    until(lambda: time.monotonic() > away_until, "it has been away")
    redis_door.open()
    stack.until_settled()

    assert worker.poll() is None
    assert_each_once(stack, 300)


def test_a_restart_of_postgresql_in_the_middle_of_2000_jobs(restartable: tuple[MakeStack, Restart]) -> None:
    """The server is restarted while two workers send 2,000 jobs: 0 unknown, 0 twice, no worker dies."""
    make, restart = restartable
    stack = make({"latency_s": 0.02})
    workers = [stack.worker(threads=8) for _ in range(2)]
    enqueue_texts(stack, 2_000)
    until(lambda: stack.vendor.sends() > 500, "calls are out")

    restart()
    stack.database.engine.dispose()
    sent_at_restart = stack.vendor.sends()
    stack.until_settled(120)

    assert sent_at_restart < 2_000, "it was in the middle"
    assert [None, None] == [worker.poll() for worker in workers]
    assert_each_once(stack, 2_000)
    assert [] == stack.rows(DOUBTS)
