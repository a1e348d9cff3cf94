"""The step and the signals: when the worker process is opened, drained, finished and left alone."""

from __future__ import annotations

import gc
import signal
import threading
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import celery.worker.state
import pytest
from celery.concurrency.prefork import TaskPool as Prefork
from celery.concurrency.solo import TaskPool as Solo
from celery.concurrency.thread import TaskPool as Threads
from celery.worker.consumer import Consumer
from kombu import Connection
from kombu.asynchronous import Hub
from kombu.asynchronous.timer import Timer
from redis.exceptions import ResponseError

from worker.domain.errors import ConfigurationError
from worker.service import bootsteps
from worker.service.bootsteps import (
    EXIT_AT_ONCE,
    EXIT_CONFIGURATION,
    TOGETHER_S,
    ClosingConsumer,
    LostConnectionStep,
    WorkerProcessStep,
    take_over_signals,
)


class Exited(BaseException):
    """Stands for the end of the process."""


class Room:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.wrong: ConfigurationError | None = None
        self.draining = False

    def open(self, **options: Any) -> bool:
        self.told.append(("open", options["threads"], options["node"], options["events"], options["is_cancelled"]()))
        if self.wrong:
            raise self.wrong
        return True

    def begin_drain(self) -> None:
        self.draining = True
        self.told.append("drain")

    def finish(self) -> None:
        self.told.append("finish")


@pytest.fixture
def room() -> Room:
    """A room that only remembers."""
    return Room()


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Statuses of ends at once; the test goes on with an exception."""
    found: list[int] = []

    def end(status: int) -> None:
        found.append(status)
        raise Exited

    monkeypatch.setattr(bootsteps.os, "_exit", end)
    return found


@pytest.fixture
def handlers() -> Iterator[list[int]]:
    """Signal handlers as a Celery worker finds them: its own, which remembers; put back at the end."""
    called: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGTERM, lambda number, frame: called.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield called
    for number, handler in before.items():
        signal.signal(number, handler)


def worker(room: Room, pool: Any = Threads) -> SimpleNamespace:
    """What the step sees of Celery's worker."""
    app = SimpleNamespace(worker_process=room)
    return SimpleNamespace(app=app, pool_cls=pool, concurrency=8, hostname="w1@test", task_events=True)


def test_the_room_lives_as_long_as_the_worker(room: Room, handlers: list[int]) -> None:
    """Opened before the consumer starts, told at the close, waited for at the stop."""
    one = worker(room)

    step = WorkerProcessStep(one)
    step.start(one)
    step.close(one)
    step.stop(one)

    assert room.told == [("open", 8, "w1@test", True, False), "drain", "finish"]


def test_a_room_that_still_waits_is_told_to_give_up(
    room: Room, handlers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery's wish to stop reaches a room that waits for its database."""
    monkeypatch.setattr(celery.worker.state, "should_stop", 0)

    WorkerProcessStep(worker(room)).start(worker(room))

    assert room.told == [("open", 8, "w1@test", True, True)]


@pytest.mark.parametrize("pool", [Prefork, Solo])
def test_any_other_pool_is_refused(room: Room, capsys: pytest.CaptureFixture[str], pool: Any) -> None:
    """One sentence says which pool to take."""
    with pytest.raises(SystemExit) as ended:
        WorkerProcessStep(worker(room, pool))

    assert ended.value.code == EXIT_CONFIGURATION
    assert "start it with -P threads" in capsys.readouterr().err


def test_a_wrong_setting_found_while_opening_ends_the_worker(
    room: Room, handlers: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    """With its sentence and the status of wrong settings."""
    room.wrong = ConfigurationError("accounts.hr.secret: is not there")

    with pytest.raises(SystemExit) as ended:
        WorkerProcessStep(worker(room)).start(worker(room))

    assert ended.value.code == EXIT_CONFIGURATION
    assert capsys.readouterr().err == "worker: accounts.hr.secret: is not there\n"


def test_a_cold_shutdown_ends_at_once(room: Room, exits: list[int]) -> None:
    """Nothing is waited for."""
    with pytest.raises(Exited):
        WorkerProcessStep(worker(room)).terminate(worker(room))

    assert exits == [EXIT_AT_ONCE]
    assert room.told == []


def test_the_first_sigterm_drains_and_the_second_ends(room: Room, handlers: list[int], exits: list[int]) -> None:
    """Draining begins in the handler, and Celery's own handler runs after it."""
    now = 0.0
    take_over_signals(room, lambda: now)  # type: ignore[arg-type]

    signal.raise_signal(signal.SIGTERM)
    drained = (room.told[:], exits[:], handlers[:])
    now += TOGETHER_S
    with pytest.raises(Exited):
        signal.raise_signal(signal.SIGTERM)

    assert (["drain"], [], [signal.SIGTERM]) == drained
    assert exits == [EXIT_AT_ONCE]


def test_a_signal_that_comes_twice_is_one(room: Room, handlers: list[int], exits: list[int]) -> None:
    """`uv run` passes on what its child got already as a process of the same group, 0.2 s later for a Ctrl-C."""
    now = 0.0
    take_over_signals(room, lambda: now)  # type: ignore[arg-type]

    for _ in range(2):
        signal.raise_signal(signal.SIGINT)
        now += 0.2

    assert room.told == ["drain"]
    assert exits == []
    assert handlers == [signal.SIGINT]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_ctrl_c_and_a_closed_terminal_drain(number: int, room: Room, handlers: list[int], exits: list[int]) -> None:
    """Celery's handler of SIGTERM runs, not the one of the signal; a SIGTERM after it is the second signal."""
    now = 0.0
    take_over_signals(room, lambda: now)  # type: ignore[arg-type]

    signal.raise_signal(number)
    now += TOGETHER_S
    with pytest.raises(Exited):
        signal.raise_signal(signal.SIGTERM)

    assert room.told == ["drain"]
    assert exits == [EXIT_AT_ONCE]
    assert handlers == [number]


def test_a_worker_started_by_nohup_outlives_its_terminal(room: Room, handlers: list[int]) -> None:
    """What ignores SIGHUP goes on to ignore it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    take_over_signals(room)  # type: ignore[arg-type]

    signal.raise_signal(signal.SIGHUP)

    assert not room.told


def test_a_signal_that_celery_does_not_handle_drains_too(room: Room, handlers: list[int], exits: list[int]) -> None:
    """There is nothing to go on to."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    take_over_signals(room)  # type: ignore[arg-type]

    signal.raise_signal(signal.SIGTERM)

    assert room.told == ["drain"]
    assert exits == []
    assert handlers == []


def test_sigquit_ends_at_once(room: Room, handlers: list[int], exits: list[int]) -> None:
    """Without a drain."""
    take_over_signals(room)  # type: ignore[arg-type]

    with pytest.raises(Exited):
        signal.raise_signal(signal.SIGQUIT)

    assert exits == [EXIT_AT_ONCE]
    assert room.told == []


def test_a_worker_in_a_thread_leaves_the_signals_alone(room: Room, handlers: list[int]) -> None:
    """Only the main thread may take them over."""
    before = signal.getsignal(signal.SIGTERM)

    thread = threading.Thread(target=take_over_signals, args=(room,))
    thread.start()
    thread.join(120)

    assert before is signal.getsignal(signal.SIGTERM)


def test_a_connection_that_cannot_be_used_is_closed() -> None:
    """Each try of a Redis that takes no writes would leave its sockets open, until the process has no file left."""
    closed: list[bool] = []

    def refuses(*_: object) -> None:
        raise ResponseError("READONLY")

    connection = SimpleNamespace(
        transport=SimpleNamespace(register_with_event_loop=refuses), connection=None, close=lambda: closed.append(True)
    )
    consumer = ClosingConsumer.__new__(ClosingConsumer)
    consumer.hub, consumer.amqheartbeat = object(), 10
    consumer.connection_for_read = lambda heartbeat: connection

    with pytest.raises(ResponseError):
        consumer.connect()

    assert closed == [True]


def test_the_consumer_has_all_steps_of_celery_but_gossip() -> None:
    """Which would leave a socket open each time that the broker is lost; remote control is our own step."""
    steps = {step.rpartition(":")[2] for step in Consumer.Blueprint.default_steps}

    own = {step.rpartition(":")[2] for step in ClosingConsumer.Blueprint.default_steps}

    assert own == steps - {"Gossip", "Control"} | {"OwnControl"}
    assert {"Gossip", "Control"} <= steps, "Celery has another name for it"


def test_nothing_is_kept_of_a_lost_connection_to_redis() -> None:
    """What others have registered stays; with a broker that has no event loop there is nothing to do."""
    hub = Hub(timer=Timer())
    connection = Connection("redis://127.0.0.1:1/0")  # nothing connects to it
    hub.on_tick.add(own := lambda: None)
    hub.call_repeatedly(1.0, own)
    connection.transport.register_with_event_loop(SimpleNamespace(client=connection), hub)
    before = len(hub.on_tick), len(hub.timer.queue)

    step = LostConnectionStep(SimpleNamespace())
    step.stop(SimpleNamespace(hub=hub))
    step.stop(SimpleNamespace(hub=None))

    assert before > (1, 1)
    assert {own} == hub.on_tick
    assert [own] == [one.entry.fun.__wrapped__ for one in hub.timer.queue if not one.entry.canceled]


def test_what_a_lost_connection_left_is_closed_when_there_is_another_one() -> None:
    """A channel that refers to itself keeps its socket until it is collected; nothing else asks the collector to."""
    channel = Room()
    channel.told.append(channel)
    lost = weakref.ref(channel)
    gc.disable()
    try:
        del channel
        assert lost() is not None
        LostConnectionStep(SimpleNamespace()).start(SimpleNamespace(hub=None))
        assert lost() is None
    finally:
        gc.enable()
