"""The app's settings, the loop, the broker line: what can be said without a broker."""

from __future__ import annotations

import random
import re
import threading
from pathlib import Path
from typing import Any

import kombu.transport.redis
import pytest
from structlog.testing import capture_logs

from tests.support.runtime import an_account
from worker.channels.registry import weight_of
from worker.cli.setup.doctor import findings
from worker.config.accounts import FixedAccounts
from worker.config.settings import Settings
from worker.delivery.scheduler.lane_offer import Doorbell
from worker.domain.errors import ConfigurationError
from worker.outbox.lanes.processes import QueueName
from worker.service import celery_app
from worker.service.broker import PublisherConnection, broker_url, transport_options
from worker.service.celery_app import configuration, make_app
from worker.service.loop import Loop
from worker.service.publisher import DoorbellPublisher
from worker.service.queues import NAMES, queue_of, queues_of


def test_celerys_settings_hold_no_account_and_no_database() -> None:
    """Flower shows them to everybody."""
    settings = Settings(database="postgresql+psycopg://u:db-password@h/d", broker="redis://:broker-password@h/0")

    shown = str(configuration(settings))

    assert "db-password" not in shown
    assert "broker-password" not in shown
    assert tuple(
        configuration(settings)[name]
        for name in (
            "task_acks_late",
            "worker_prefetch_multiplier",
            "task_create_missing_queues",
            "worker_soft_shutdown_timeout",
        )
    ) == (True, 1, False, 0.0)


@pytest.mark.parametrize(
    ("broker", "url", "option"),
    [
        ("embedded", "memory://localhost", ("polling_interval", 0.005)),
        ("redis://h/0", "redis://h/0", ("socket_timeout", 2.0)),
        ("amqp://h", "amqp://h", ("socket_timeout", None)),
    ],
)
def test_every_broker_has_its_timeouts(broker: str, url: str, option: tuple[str, Any]) -> None:
    """No socket may stay silent for ever."""
    assert url == broker_url(broker)
    assert option[1] == transport_options(broker).get(option[0])


def test_every_queue_is_durable_or_its_connections_own() -> None:
    """RabbitMQ 4 may deny others (`transient_nonexcl_queues`): ours, Flower's, those of remote control."""
    app = make_app(Settings(broker="amqp://h"))
    mailbox = app.control.mailbox
    events = app.events.Receiver(app.connection_for_read().clone(transport="memory"))

    queues = [*app.conf.task_queues, events.queue, mailbox.get_queue("w1@test"), mailbox.get_reply_queue()]

    assert [queue.name for queue in queues if not (queue.durable or queue.exclusive)] == []


def test_doorbells_hold_ids_only_and_no_events() -> None:
    """A ring becomes one message in the queue of its priority, under a random id."""
    app = make_app(Settings(queue_prefix="doorbell-test."))
    bells = DoorbellPublisher(app, "doorbell-test.")

    bells.publish(
        [
            Doorbell("hr:1", ("a-0", "b-0"), urgent=True, offered_for_s=5),
            Doorbell("hr:1", ("c-0",), urgent=False, offered_for_s=5),
        ]
    )

    with app.connection_for_read() as connection, connection.channel() as channel:
        urgent = channel.basic_get("doorbell-test.worker.urgent", no_ack=True)
        normal = channel.basic_get("doorbell-test.worker.normal", no_ack=True)
    assert urgent.decode()[:2] == [["hr:1", ["a-0", "b-0"], False, 1], {}]
    assert normal.decode()[:2] == [["hr:1", ["c-0"], False, 1], {}]
    assert (urgent.headers["argsrepr"], urgent.headers["task"]) == ("", "worker.ring")
    assert not app.tasks["worker.ring"].send_events
    bells.close()


def test_a_broker_that_is_away_is_said_once() -> None:
    """Publishing to nobody returns False, logs once an outage, and raises nothing."""
    line = PublisherConnection(make_app(Settings(broker="redis://127.0.0.1:1/0")), "doorbells")

    with capture_logs() as logs:
        results = [line.publish({}, exchange="", routing_key="q") for _ in range(2)]

    assert results == [False, False]
    assert [entry["event"] for entry in logs] == ["broker_away"]
    line.close()


def test_a_loop_goes_on_after_an_error() -> None:
    """The thread outlives what its turn raises, and tells when it is well again."""
    turns: list[int] = []
    well = threading.Event()

    def turn() -> float:
        turns.append(1)
        if len(turns) < 3:
            raise ValueError("a text that no log may hold")
        well.set()
        return 10.0

    with capture_logs() as logs:
        loop = Loop("test", turn, random.Random(1))
        loop.start()
        assert well.wait(120)
        assert loop.stop(10)

    assert [(entry["event"], entry.get("error")) for entry in logs] == [
        ("thread_failed", "ValueError"),
        ("thread_recovered", None),
    ]


@pytest.mark.parametrize(("once_more", "turns"), [(True, 2), (False, 1)])
def test_a_loop_can_take_a_last_turn(once_more: bool, turns: int) -> None:
    """When it is stopped long before the next one."""
    began = threading.Semaphore(0)

    def turn() -> float:
        began.release()
        return 100.0

    loop = Loop("test", turn, once_more=once_more)
    loop.start()
    assert began.acquire(timeout=120)
    assert loop.stop(120)

    assert turns - 1 == began._value


def test_a_wrong_setting_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The celery command shows no traceback for it."""
    monkeypatch.setenv("WORKER_BROKER", "carrier-pigeon")

    with pytest.raises(SystemExit) as ended:
        _ = celery_app.app

    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("worker: ")
    with pytest.raises(AttributeError):
        _ = celery_app.nothing


def test_a_broker_whose_client_is_missing_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the extra to install, at the start of a process and in `worker doctor`."""
    settings = Settings(broker="redis://127.0.0.1:1/0", database=f"sqlite:///{tmp_path}/none.db")
    monkeypatch.setattr(kombu.transport.redis, "redis", None)
    extra = re.escape("pip install 'PATH[redis]'")

    with pytest.raises(ConfigurationError, match=extra):
        make_app(settings)
    told = {finding.what: finding.text for finding in findings(lambda: settings)}

    assert re.match(f"the client of redis:// is not installed; run `{extra}", told["broker"])


def test_every_queue_name_is_declared() -> None:
    """What is urgent goes there whatever it is; files before bulk; the rest together."""
    found = [
        queue_of(urgent=urgent, files=files, bulk=bulk, prefix="p.").removeprefix("p.worker.")
        for urgent in (True, False)
        for files in (True, False)
        for bulk in (True, False)
    ]

    assert found == ["urgent"] * 4 + ["files", "files", "bulk", "normal"]


@pytest.mark.parametrize("name", ["worker.urgent", "shop.worker.urgent"])
def test_a_line_names_its_queues_without_their_prefix(name: str) -> None:
    """`-Q` and `-X` of the Procfile, the units, the image and the chart are right under every `queue_prefix`."""
    taking, leaving = (make_app(Settings(queue_prefix="shop.")) for _ in range(2))

    taking.amqp.queues.select([name])
    leaving.amqp.queues.deselect([name])

    assert list(taking.amqp.queues.consume_from) == ["shop.worker.urgent"]
    assert [f"shop.{other}" for other in NAMES if other != "worker.urgent"] == list(leaving.amqp.queues.consume_from)
    assert queues_of(taking, "shop.") == [QueueName.URGENT]


def test_a_queue_that_there_is_not_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """It names those that there are, with status 2, which no supervisor starts again."""
    app = make_app(Settings(queue_prefix="shop."))

    with pytest.raises(SystemExit) as ended:
        app.amqp.queues.select("worker.urgnt")

    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("worker: -Q: there is no queue worker.urgnt; name some of worker.urgent,")


def test_an_account_weighs_what_it_is_set_to() -> None:
    """One that this process does not know weighs as much as any."""
    accounts = FixedAccounts([an_account("hr", weight=3.0)])

    assert [weight_of(accounts, name) for name in ("hr", "nobody")] == [3.0, 1.0]
