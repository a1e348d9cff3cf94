"""Emptied, restarted or swapped in the middle of some jobs with 50 ids in the broker that nobody has taken.

Nothing is lost, nothing goes twice, nothing is in doubt, no worker dies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import kombu
import pytest

from rig import brokers, databases
from rig.servers import own_mariadb, own_postgres, own_rabbitmq, own_redis
from rig.servers.own_server import Server
from rig.stack import SHORT, Process, Stack, until
from rig.stacks import MARIADB, RABBITMQ, Make, Stacks, is_there, make_tables, on_its_own
from tests.process.test_pipeline_processes import assert_each_once, enqueue_texts
from worker.service.rabbitmq import BrokerConnection

SENT, MORE, LYING = 16, 160, 50
ACCOUNTS = [f"hr{n}" for n in range(16)]
"""As many lanes as the worker has threads: one lane's doorbells would all be taken by two of them."""
FEW_IDS = {**SHORT, "lease_s": 60, "doorbell_size": 4}
"""So that sixteen threads do not have all of them in hand; and no process is given up while a server restarts."""
QUICK_S = 0.005
DOUBTS = "select outcome, reason, count(*) from worker_attempts where doubtful or outcome = 'unknown' group by 1, 2"


def in_the_middle(stack: Stack, disturb: Callable[[], object]) -> None:
    """Disturbs a worker when some are sent and 50 ids lie before it; then everything has been sent exactly once."""
    send_some(stack)
    worker = fill_the_broker(stack)

    disturb()
    stack.vendor.post("settings", {"latency_s": QUICK_S})
    stack.database.close()  # what was cut is not used again
    stack.until_settled()

    assert worker.poll() is None
    assert_all_sent(stack)


def enqueue(stack: Stack, count: int) -> None:
    """A text to each of so many people, shared out among the accounts."""
    there, each = enqueued(stack), count // len(ACCOUNTS)
    for n, account in enumerate(ACCOUNTS):
        enqueue_texts(stack, each, first=there + n * each, account=account)


def enqueued(stack: Stack) -> int:
    """How many jobs there are so far."""
    return stack.number("select count(*) from worker_jobs")


def send_some(stack: Stack) -> None:
    """Some are enqueued; a worker comes, sends them, and goes."""
    enqueue(stack, SENT)
    stack.vendor.post("settings", {"latency_s": QUICK_S})
    before = stack.vendor.sends()
    worker = stack.worker(threads=16)
    until(lambda: stack.vendor.sends() >= before + SENT, "some are sent")
    assert stack.end(worker) == 0


def fill_the_broker(stack: Stack) -> Process:
    """More are enqueued, for a worker whose threads are all busy with slow calls.

    It knows no latency yet, so its broker's queue fills.
    """
    enqueue(stack, MORE)
    before = stack.vendor.sends()
    stack.vendor.post("settings", {"latency_s": 6.0})
    worker: Process = stack.worker(threads=16)
    until(lambda: stack.vendor.sends() > before, "it is at work")
    until(lambda: len(brokers.waiting(stack.broker, stack.prefix)) >= LYING, "50 ids lie in the broker")
    assert stack.vendor.sends() < enqueued(stack), "it is in the middle"
    return worker


def assert_all_sent(stack: Stack) -> None:
    """Once each, and nothing was ever in doubt."""
    jobs = enqueued(stack)
    assert_each_once(stack, jobs)
    assert jobs == stack.vendor.sends()
    assert stack.rows(DOUBTS) == []


def redis_flushed(make: Make) -> None:
    """FLUSHALL takes the ids and everything else Redis knows."""
    redis = make.scope.enter_context(own_redis.running())
    stack, gone = make_quick(make, broker=redis.url), set[str]()

    in_the_middle(stack, lambda: gone.update(brokers.flush(redis.url, stack.prefix)))

    assert len(gone) >= LYING


def rabbitmq_without_queues(make: Make) -> None:
    """The queues are deleted under the feet of relay and consumer, who declare them again."""
    stack = make_quick(make)

    in_the_middle(stack, lambda: brokers.delete_queues(stack.broker, stack.prefix))


def rabbitmq_restarted(make: Make) -> None:
    """A restart of the broker loses every id in it, for they are transient."""
    node = make.scope.enter_context(own_rabbitmq.running())

    in_the_middle(make_quick(make, broker=node.url), node.restart)


def postgresql_restarted(make: Make) -> None:
    """The server is restarted, with every connection cut."""
    server = make.scope.enter_context(own_postgres.running())

    in_the_middle(make_quick(make, database_url=with_tables(server)), server.restart)


def mariadb_restarted(make: Make) -> None:
    """The server is restarted, with every connection cut."""
    server = make.scope.enter_context(own_mariadb.running())

    in_the_middle(make_quick(make, database_url=with_tables(server)), server.restart)


def broker_swapped_and_back(make: Make) -> None:
    """Workers end and start again on Redis while ids lie in RabbitMQ, and later go back to it."""
    first, second = make.broker, databases.need(databases.REDIS)
    stack = make_quick(make)

    for broker in (second, first):
        send_some(stack)
        worker = fill_the_broker(stack)
        stack.swap_broker(broker)
        assert stack.end(worker) == 0
        assert len(brokers.waiting(stack.left[-1], stack.prefix)) >= LYING, "they still lie in the old one"
    stack.vendor.post("settings", {"latency_s": QUICK_S})
    stack.worker(threads=16)
    stack.until_settled()

    assert_all_sent(stack)


SCENES: Sequence[tuple[Callable[[Make], None], str]] = (
    (redis_flushed, MARIADB),
    (rabbitmq_without_queues, RABBITMQ),
    (rabbitmq_restarted, RABBITMQ),
    (postgresql_restarted, RABBITMQ),
    (mariadb_restarted, MARIADB),
    (broker_swapped_and_back, RABBITMQ),
)
"""Each part on a stack that has it; embedded has none that can be restarted alone."""
AT_ONCE = 6


@pytest.fixture(scope="module")
def scenes(
    stacks: Stacks, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[None]]]:
    """Those of the scenes that were asked for, a few at once: most of each is waiting."""
    asked = {item.name for item in request.session.items}
    with ExitStack() as scope, ThreadPoolExecutor(AT_ONCE) as pool:
        started: dict[str, Future[None]] = {}
        numbers: Counter[str] = Counter()
        for scene, name in SCENES:
            if f"test_nothing_is_lost_or_doubled[{_title(scene, name)}]" in asked and is_there(name):
                folder = tmp_path_factory.mktemp("scene")
                make = stacks.make(name, numbers[name], folder, scope)
                started[_title(scene, name)] = pool.submit(scene, make)
                numbers[name] += 1
        yield started


def _title(scene: Callable[[Make], None], name: str) -> str:
    return f"{scene.__name__}-{name}"


@on_its_own(why="each scene is about one part, on a stack that has it; they run at once")
@pytest.mark.parametrize("title", [_title(*scene) for scene in SCENES])
def test_nothing_is_lost_or_doubled(title: str, scenes: dict[str, Future[None]]) -> None:
    """What each scene is, its function above says."""
    if title not in scenes:
        pytest.skip("a service of its stack is missing")

    scenes[title].result()


@on_its_own(why="kombu and a Redis, without a worker")
def test_a_lost_redis_is_left_with_a_doorbell_in_work() -> None:
    """Closed twice, as Celery does. It was waiting for the next doorbell, and for commands, when Redis ended."""
    with own_redis.running() as redis:
        connection = BrokerConnection(redis.url)
        channel, other, messages = connection.default_channel, connection.channel(), list[kombu.Message]()
        kombu.Consumer(channel, [kombu.Queue("doorbells")], on_message=messages.append).consume()
        control = kombu.Queue("control", kombu.Exchange("control", "fanout"), auto_delete=True)
        kombu.Consumer(other, [control], on_message=messages.append).consume()
        kombu.Producer(channel).publish("ids", routing_key="doorbells")
        while not messages:
            connection.drain_events(timeout=60)
        with suppress(TimeoutError):  # until nothing more comes, such as the answer to a subscription
            while True:
                connection.drain_events(timeout=0.01)
        redis.process.end()

        connection.collect()
        connection.close()

        assert not connection.connected


def make_quick(make: Make, **options: Any) -> Stack:
    """A stack with a quick vendor, at first, and sixteen accounts."""
    lines = (
        f'[accounts.{name}]\nchannel = "wecom_app"\ncorpid = "ww-canary-corp"\nagentid = 7\ndeadline_s = 20\n'
        'secret = { file = "FOLDER/secret" }\nbase_url = "http://127.0.0.1:PORT"\n'
        for name in ACCOUNTS
    )
    return make({"latency_s": QUICK_S}, account="".join(lines), **{"delivery": FEW_IDS, **options})


def with_tables(server: Server) -> str:
    """The server's database, ready."""
    make_tables(server.url)
    return server.url
