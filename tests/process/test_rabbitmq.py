"""What only RabbitMQ does: alarms that block publishers, silence, queue types, limits of consumers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import kombu
import pytest
from structlog.testing import capture_logs

from rig import brokers
from rig.servers.own_rabbitmq import RabbitMQ
from rig.stack import Stack, until
from rig.stacks import RABBITMQ, Make, on_its_own, on_stacks
from tests.process.test_pipeline_processes import assert_each_once
from tests.process.test_restarts import FEW_IDS, enqueue, make_quick
from worker.config.settings import Settings
from worker.delivery.scheduler.lane_offer import Doorbell
from worker.domain.errors import NotPublished
from worker.service.celery_app import make_app
from worker.service.publisher import DoorbellPublisher
from worker.service.queues import NAMES, NORMAL, queues

DOORBELL = Doorbell("hr:1", ("a-0", "b-0"), urgent=False, offered_for_s=5)


@pytest.fixture
def bells(own_rabbitmq: RabbitMQ) -> Iterator[DoorbellPublisher]:
    """A relay's way to a node of the run's own."""
    made = DoorbellPublisher(make_app(Settings(broker=own_rabbitmq.url, queue_prefix="bells.")), "bells.")
    yield made
    made.close()
    brokers.forget(own_rabbitmq.url, "bells.")


@on_its_own(why="a relay's line to RabbitMQ, without a database")
def test_a_silent_rabbitmq_is_not_waited_for(own_rabbitmq: RabbitMQ, bells: DoorbellPublisher) -> None:
    """A node that hangs while its machine still takes bytes is noticed and told once; then messages pass.

    What was not taken is handed back.
    """
    bells.publish([DOORBELL])
    with capture_logs() as logs:
        with own_rabbitmq.silent():
            with pytest.raises(NotPublished) as raised:  # it comes back, though the node never answers
                bells.publish([DOORBELL])
            again = bells.ready()
        until(bells.ready, "it is back")

    assert not again
    assert raised.value.left == [DOORBELL]
    assert [entry["event"] for entry in logs] == ["broker_away", "broker_back"]


@on_its_own(why="a relay's line to RabbitMQ, without a database")
def test_a_queue_that_is_gone_is_noticed_by_the_relay_alone(own_rabbitmq: RabbitMQ, bells: DoorbellPublisher) -> None:
    """Nobody consumes: the broker sends the doorbell back, to be offered again, and the queues are declared again."""
    bells.publish([DOORBELL])
    brokers.delete_queues(own_rabbitmq.url, "bells.")

    with capture_logs() as logs:
        with pytest.raises(NotPublished) as raised:
            bells.publish([DOORBELL])
        bells.publish([DOORBELL])

    assert raised.value.left == [DOORBELL]
    assert [entry["event"] for entry in logs] == ["queue_missing"]
    assert brokers.waiting(own_rabbitmq.url, "bells.") == {"a-0", "b-0"}


@on_stacks(RABBITMQ, why="only RabbitMQ has alarms")
def test_an_alarm_stops_publishing_and_nothing_else(make: Make, own_rabbitmq: RabbitMQ) -> None:
    """Out of memory: what lies in the broker is sent, the rest waits in SQL, told once; then all is sent once.

    A worker that is told to end meanwhile ends.
    """
    stack = make_quick(make, broker=own_rabbitmq.url, delivery=FEW_IDS)
    stack.vendor.post("settings", {"latency_s": 3.0})
    first, second = stack.worker(threads=8), stack.worker(threads=8)
    enqueue(stack, 400)
    until(lambda: len(brokers.waiting(stack.broker, stack.prefix)) >= 50, "50 ids lie in the broker")
    _signal(signal.SIGSTOP, first, second)  # else nothing may lie there any more when the alarm is there

    with own_rabbitmq.alarm():
        before = stack.vendor.sends()
        stack.vendor.post("settings", {"latency_s": 0.005})
        _signal(signal.SIGCONT, first, second)
        # Not each of them is sent: a lane whose calls took too long while the workers stood hands its ids back.
        until(lambda: not brokers.waiting(stack.broker, stack.prefix), "what lay there is taken")
        until(lambda: stack.vendor.sends() > before, "and sent")
        until(lambda: "broker_blocked" in _told(stack), "publishing has stopped")
        status = stack.end(first)
        left = stack.open_jobs()
    stack.until_settled()

    assert 0 < left
    assert status == 0
    assert second.poll() is None
    assert_each_once(stack, 400)
    until(lambda: _told(stack)[-1] == "broker_back", "it is told")
    assert _told(stack).count("broker_blocked") <= 2, "once by a relay, or by the two that led"


def _signal(number: signal.Signals, *workers: Any) -> None:
    for one in workers:
        one.send_signal(number)


def _told(stack: Stack) -> list[str]:
    """What the relays said of their lines."""
    return [line["event"] for line in stack.lines() if line.get("line") == "doorbells"]


@on_stacks(RABBITMQ, why="it counts what RabbitMQ says of its queues of both types", queue_type=["classic", "quorum"])
def test_a_worker_takes_no_more_doorbells_than_it_has_threads(
    make: Make, own_rabbitmq: RabbitMQ, queue_type: str
) -> None:
    """From classic and from quorum queues: the rest stays in the broker for others; in the end all is sent once."""
    stack = make_quick(make, broker=own_rabbitmq.url, queue_type=queue_type, delivery=_SMALL)
    stack.vendor.post("settings", {"latency_s": 0.9})
    enqueue(stack, 160)
    worker, normal = stack.worker(threads=4), stack.prefix + NORMAL
    found = until(lambda: _busy(own_rabbitmq, normal), "doorbells lie there while four are in work")

    stack.vendor.post("settings", {"latency_s": 0.005})
    stack.until_settled()

    assert found[1] == 4
    assert_each_once(stack, 160)
    assert stack.end(worker) == 0
    assert {queue_type} == set(own_rabbitmq.types(stack.prefix).values())
    assert [name for name in own_rabbitmq.exchanges() if "delayed" in name] == []


_SMALL = {"cold_after_s": 0, "doorbell_size": 2, "republish_after_s": 60}
"""Many doorbells of few ids, none of them offered twice."""


def _busy(node: RabbitMQ, queue: str) -> tuple[int, int] | None:
    untaken, taken = node.untaken_and_taken(queue)
    return (untaken, taken) if untaken and taken >= 4 else None


@on_stacks(RABBITMQ, why="only RabbitMQ has types of queues", there=["quorum", "classic"])
def test_a_queue_declared_otherwise_is_told_in_one_sentence(make: Make, there: str) -> None:
    """The worker ends with status 2, names the queue and the difference, and says what to do."""
    stack = make(queue_type="quorum" if there == "classic" else "classic")
    with kombu.Connection(stack.broker) as connection:
        for queue in queues(stack.prefix, there):
            queue.bind(connection.default_channel).declare()

    status = stack.worker().wait(120)

    assert status == 2
    [sentence] = [line for line in stack.logs().splitlines() if line.startswith("worker: ")]
    assert "queue_type: RabbitMQ has the queue already, declared otherwise (PRECONDITION_FAILED" in sentence
    assert stack.prefix + NAMES[0] in sentence
    assert "delete the queue in RabbitMQ" in sentence


@on_stacks(RABBITMQ, why="only RabbitMQ has rights to queues")
def test_rights_that_are_missing_are_told_in_one_sentence(make: Make, own_rabbitmq: RabbitMQ) -> None:
    """The worker ends with status 2 and says which rights its user needs."""
    stack = make(broker=own_rabbitmq.url, worker_broker=own_rabbitmq.user_without_queues())

    status = stack.worker().wait(120)

    assert status == 2
    [sentence] = [line for line in stack.logs().splitlines() if line.startswith("worker: ")]
    assert "broker: RabbitMQ refuses the queue (ACCESS_REFUSED" in sentence
    assert "configure, write and read" in sentence
