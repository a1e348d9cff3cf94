"""Several real processes together: nothing twice, whatever the broker, the network or a signal does."""

from __future__ import annotations

import signal
import time

import pytest
import redis

from tests.process.conftest import MakeStack
from tests.process.stack import ACCOUNT, Stack, until
from worker import NewJob, Text, To, enqueue_many

pytestmark = [pytest.mark.process]
SEND = "/cgi-bin/message/send"


def enqueue_texts(stack: Stack, count: int, *, first: int = 0, **options: bool) -> list[str]:
    """So many texts, each to a person of its own."""
    jobs = [
        NewJob(ACCOUNT, Text(content=f"text {n}", **options), To(users=[f"u{n}"])) for n in range(first, first + count)
    ]
    with stack.database.writing() as connection:
        return [ref.id for ref in enqueue_many(connection, jobs, accounts=stack.accounts)]


def assert_each_once(stack: Stack, count: int) -> None:
    """Everybody saw their message exactly once, and the outbox says the same."""
    assert {1} == {len(messages) for messages in stack.vendor.inbox().values()}
    assert count == len(stack.vendor.inbox())
    assert count == stack.number("select count(*) from worker_jobs where state = 2")
    assert count == stack.number("select count(*) from worker_receipts")


@pytest.mark.postgres
@pytest.mark.redis
def test_two_relays_and_four_workers_send_nothing_twice(postgres_redis: MakeStack) -> None:
    """Four workers, each with a relay, race for 400 jobs: each is sent once, by more than one process."""
    stack = postgres_redis()
    enqueue_texts(stack, 400)

    workers = [stack.worker(threads=4) for _ in range(4)]
    stack.until_settled()

    assert_each_once(stack, 400)
    assert stack.number("select count(distinct incarnation) from worker_attempts") > 1
    assert [0, 0, 0, 0] == [stack.end(worker) for worker in workers]


@pytest.mark.postgres
@pytest.mark.redis
def test_a_relay_that_dies_is_followed_by_another(postgres_redis: MakeStack) -> None:
    """The process with the relay's lease is killed: another takes over and everything is sent once."""
    stack = postgres_redis({"latency_s": 0.05})
    workers = {worker.pid: worker for worker in (stack.worker(threads=4) for _ in range(2))}
    until(lambda: stack.rows("select 1 from worker_processes having count(*) = 2"), "both are alive")
    enqueue_texts(stack, 200)
    until(lambda: stack.vendor.sends() > 20, "some are sent")
    leader = stack.number(
        "select p.pid from worker_leases l join worker_processes p on p.id = l.holder where l.name = 'relay'"
    )

    workers[leader].kill()
    stack.until_settled()

    assert_each_once(stack, 200)


@pytest.mark.postgres
@pytest.mark.redis
def test_a_flushed_redis_loses_nothing(postgres_redis: MakeStack, redis_url: str) -> None:
    """With 200 ids offered and unconsumed the broker is emptied: all are sent within 30 s, nothing twice."""
    own_database = redis_url.rpartition("/")[0] + "/13"
    stack = postgres_redis({"latency_s": 0.1}, broker=own_database)
    stack.worker(threads=4)
    enqueue_texts(stack, 400)
    until(lambda: _offered_and_waiting(stack, own_database) >= 200, "200 ids are offered and unconsumed", 20)

    with redis.Redis.from_url(own_database) as client:
        client.flushdb()
    flushed = time.monotonic()
    stack.until_settled()

    assert_each_once(stack, 400)
    assert time.monotonic() - flushed < 30


def _offered_and_waiting(stack: Stack, url: str) -> int:
    with redis.Redis.from_url(url) as client:
        if not client.llen(f"{stack.prefix}worker.normal"):
            return 0
    return stack.number("select count(*) from worker_parts where state = 0 and offered_until is not null")


@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.parametrize("duplicate_check", [True, False])
def test_a_drip_past_the_deadline_is_no_duplicate(postgres_redis: MakeStack, duplicate_check: bool) -> None:
    """An answer that drips past the call's deadline leaves an unknown: repeated where that is safe, else held."""
    stack = postgres_redis()
    drip = {"drip": {"bytes": 1, "every_s": 0.3}}
    stack.vendor.faults({"match": {"path": SEND, "nth": 1}, "times": 1, "action": drip})
    [job] = enqueue_texts(stack, 1, duplicate_check=duplicate_check)
    stack.worker(threads=2)

    stack.until_settled()

    assert [1] == [len(messages) for messages in stack.vendor.inbox().values()]
    expected = (2, 2) if duplicate_check else (6, 1)
    query = "select state, (select count(*) from worker_attempts) from worker_jobs where id = :id"
    assert expected == tuple(stack.rows(query, id=job)[0])


@pytest.mark.postgres
@pytest.mark.redis
def test_a_stopped_process_reads_the_answer_that_is_there(postgres_redis: MakeStack) -> None:
    """A process stopped past its lease and deadline goes on: its late answer is in the receipt, nothing is doubled."""
    stack = postgres_redis({"latency_s": 1.0})
    [job] = enqueue_texts(stack, 1, duplicate_check=False)
    first = stack.worker(threads=2)
    until(lambda: stack.vendor.sends() == 1, "the call is out")
    first.send_signal(signal.SIGSTOP)
    stack.worker(threads=2)
    until(lambda: stack.number("select count(*) from worker_parts where state = 6"), "the other one calls it unknown")
    # Held, and the deadline is over: now it goes on.
    until(lambda: not stack.unsettled(), "its policy has acted")

    first.send_signal(signal.SIGCONT)
    until(lambda: stack.number("select count(*) from worker_receipts where msgid is not null"), "the late answer")

    assert [1] == [len(messages) for messages in stack.vendor.inbox().values()]
    assert [(2,)] == stack.rows("select state from worker_jobs where id = :id", id=job)
