"""A line to the broker when the broker misbehaves: told once, never raised, well again by itself."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from amqp.exceptions import AccessRefused, PreconditionFailed
from kombu.transport.memory import Channel
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from worker.config.settings import Settings
from worker.delivery.scheduler.lane_offer import Doorbell
from worker.domain.errors import NotPublished
from worker.service.broker import RETRY_S, TIMEOUT_S, PublisherConnection
from worker.service.celery_app import make_app
from worker.service.publisher import DoorbellPublisher
from worker.service.rabbitmq import refusal


class Brokers:
    """An app whose connections lead to these brokers, one after the other; the last one stays."""

    def __init__(self, *brokers: str):
        self._apps = [make_app(Settings(broker=broker)) for broker in brokers]
        self.conf = self._apps[-1].conf
        self.amqp = self._apps[-1].amqp
        self.made: list[Any] = []

    def connection_for_write(self, **options: Any) -> Any:
        app = self._apps.pop(0) if len(self._apps) > 1 else self._apps[0]
        self.made.append(app.connection_for_write(**options))
        return self.made[-1]


AWAY = "amqp://127.0.0.1:1//"


def test_a_broker_that_comes_back_is_told() -> None:
    """Once away, once back; then messages pass."""
    line = PublisherConnection(Brokers(AWAY, "embedded"), "doorbells")

    with capture_logs() as logs:
        results = [line.publish({}, exchange="", routing_key="line-test") for _ in range(3)]
    line.close()

    assert results == [False, True, True]
    assert [entry["event"] for entry in logs] == ["broker_away", "broker_back"]


def test_rabbitmq_may_not_stay_silent() -> None:
    """A broker that takes the connection and never says a word costs an answer's time, once."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        line = PublisherConnection(Brokers(f"amqp://127.0.0.1:{mute.getsockname()[1]}//"), "doorbells")
        began = time.monotonic()

        with capture_logs() as logs:
            opened = line.open()
        took = time.monotonic() - began

    assert not opened
    assert took < 2 * TIMEOUT_S + 1
    assert [entry["event"] for entry in logs] == ["broker_away"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PreconditionFailed("PRECONDITION_FAILED - 'x-queue-type'"), "queue_type: RabbitMQ has the queue already, "),
        (AccessRefused("ACCESS_REFUSED - for user 'u'"), "broker: RabbitMQ refuses the queue (ACCESS_REFUSED"),
        (OSError("reset"), None),
    ],
)
def test_a_refused_queue_is_one_sentence(error: Exception, sentence: str | None) -> None:
    """What only a person can change is told; what passes by itself is not."""
    told = refusal(error)

    assert sentence == (told and told[: len(sentence or "")])


def test_a_publish_that_fails_throws_the_line_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next publish makes a new one."""
    brokers = Brokers("embedded")
    line = PublisherConnection(brokers, "doorbells")
    assert line.open()

    def fails(*_: Any, **__: Any) -> None:
        raise OSError("reset")

    monkeypatch.setattr(line.channel(), "basic_publish", fails)
    with capture_logs() as logs:
        results = [line.publish({}, exchange="", routing_key="line-test") for _ in range(2)]
    line.close()

    assert results == [False, True]
    assert len(brokers.made) == 2
    assert [(entry["event"], entry.get("error")) for entry in logs] == [
        ("broker_away", "OSError"),
        ("broker_back", None),
    ]


def test_a_broker_that_refuses_messages_is_tried_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a Redis that cannot write to its disk. Once it takes messages, they pass at once again."""
    brokers, now = Brokers("embedded"), 0.0
    line = PublisherConnection(brokers, "doorbells", monotonic=lambda: now)

    def refuses(*_: Any, **__: Any) -> None:
        raise ResponseError("MISCONF")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(Channel, "basic_publish", refuses)
        for _ in range(300):
            assert not line.publish({}, exchange="", routing_key="line-test")
            now += 0.1
        assert line.away
    now += RETRY_S
    results = [line.publish({}, exchange="", routing_key="line-test") for _ in range(2)]
    line.close()

    assert len(logs) < 2 * len(brokers.made) < 30
    assert results == [True, True]


def test_a_line_that_cannot_be_closed_is_gone_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing raises nothing, and closing twice does nothing."""
    brokers = Brokers("embedded")
    line = PublisherConnection(brokers, "doorbells")
    assert line.open()

    def fails() -> None:
        raise OSError("reset")

    monkeypatch.setattr(brokers.made[0], "close", fails)
    with capture_logs() as logs:
        line.close()
        line.close()

    assert [entry["event"] for entry in logs] == ["line_close_failed"]
    assert line.open()
    line.close()


def test_the_queues_are_declared_again_after_an_outage() -> None:
    """A broker that lost everything takes doorbells again; the first failure ends a round."""
    brokers = Brokers(AWAY, "embedded")
    bells = DoorbellPublisher(brokers, "")
    ring = Doorbell("hr:1", ("line-a-0",), urgent=True, offered_for_s=5)

    told = r"^(RabbitMQ|Redis) \(127\.0\.0\.1:\d+\) takes no messages \(ConnectionRefusedError\)$"
    with pytest.raises(NotPublished, match=told) as raised:
        bells.publish([ring, ring])
    away = len(brokers.made)
    ready = bells.ready()
    bells.publish([ring])

    assert [ring, ring] == raised.value.left
    assert away == 1
    assert ready
    assert len(brokers.made) == 2
    with brokers.made[-1].channel() as channel:
        message = channel.basic_get("worker.urgent", no_ack=True)
        assert message.decode()[0] == ["hr:1", ["line-a-0"], False, 1]
        assert channel.basic_get("worker.urgent", no_ack=True) is None
    bells.close()
