"""What a worker process says of its own health, on a clock that the test moves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from kombu.exceptions import OperationalError
from sqlalchemy.exc import SQLAlchemyError

from tests.support.runtime import Ticks
from worker.domain.errors import RetryTransaction
from worker.service.health import LONG_STUCK_S, STALLED_S, STUCK_S, HealthSignals, WorkerHealth
from worker.service.loop import Loop
from worker.service.rabbitmq import RECONNECT_S

EVERY_S = 3.0
NAMES = ("heartbeat", "relay", "full_scan", "recovery", "hooks", "housekeeping")


class Turn:
    """A turn that the test holds up, or lets fail."""

    def __init__(self) -> None:
        self.begun, self.ends = threading.Event(), threading.Event()
        self.error: BaseException | None = None

    def __call__(self) -> float:
        self.begun.set()
        self.ends.wait(30)
        self.begun.clear()
        self.ends.clear()
        if self.error:
            raise self.error
        return 30.0


class HeldLoop(Loop):
    """A loop of which the test says for how long its turn has run, and how often it failed."""

    seconds = 0.0
    failing = 0.0

    def busy_s(self, now: float) -> float:
        """As the test says."""
        return self.seconds

    def failing_s(self, now: float) -> float:
        """As the test says."""
        return self.failing


@dataclass
class Worker:
    """A process as its signs show it."""

    ticks: Ticks = field(default_factory=Ticks)
    writer_busy_s: float = 0.0
    writer_away_at: float = 0.0
    marked_at: float = 0.0
    has_untaken_parts: bool = False
    at_work: int = 0
    broker_away: bool = False

    def __post_init__(self) -> None:
        self.loops = {name: HeldLoop(name, lambda: 1.0) for name in NAMES}
        signs = HealthSignals(
            writer_busy_s=lambda now: self.writer_busy_s,
            writer_away_at=lambda: self.writer_away_at,
            marked_at=lambda: self.marked_at,
            has_untaken_parts=lambda: self.has_untaken_parts,
            busy=lambda: self.at_work,
            broker_away=lambda: self.broker_away,
        )
        self.health = WorkerHealth(self.loops, signs, self.ticks, EVERY_S)

    def beats(self, seconds: float) -> tuple[str, ...]:
        """Heartbeats for so many seconds, or a little longer; what the last one says."""
        until, wrong = self.ticks.now + seconds, self.health.check().problems
        while self.ticks.now <= until:
            self.ticks.advance(EVERY_S)
            wrong = self.health.check().problems
        return wrong


@pytest.fixture
def worker() -> Worker:
    """A healthy one that was told so before."""
    worker = Worker()
    assert worker.beats(60) == ()
    return worker


@pytest.mark.parametrize("name", ["relay", "full_scan", "recovery", "hooks"])
def test_a_loop_that_does_not_turn_is_named(worker: Worker, name: str) -> None:
    """After twenty seconds in one turn, and not before."""
    worker.loops[name].seconds = STUCK_S
    before = worker.beats(0)
    worker.loops[name].seconds = STUCK_S + 1
    after = worker.beats(0)

    assert before == ()
    assert after == (f"the background loop {name} has been in one turn for 21 s",)


def test_a_loop_with_long_turns_has_ten_minutes(worker: Worker) -> None:
    """Housekeeping may have much to delete."""
    worker.loops["housekeeping"].seconds = LONG_STUCK_S
    before = worker.beats(0)
    worker.loops["housekeeping"].seconds = LONG_STUCK_S + 1

    assert before == ()
    assert len(worker.beats(0)) == 1


def test_a_writer_that_does_not_commit_is_named(worker: Worker) -> None:
    """Nothing is sent without it."""
    worker.writer_busy_s = STUCK_S + 2

    assert worker.beats(0) == ("the writer thread has been in one commit for 22 s",)


def test_a_loop_has_its_time_after_an_outage_of_the_database(worker: Worker) -> None:
    """Recovery waits for the writer, which waits for the database: neither is stuck, until it stays so afterwards."""
    worker.writer_away_at = worker.ticks.now
    worker.loops["recovery"].seconds = 300.0
    soon = worker.beats(STUCK_S - EVERY_S)
    late = worker.beats(EVERY_S)

    assert soon == ()
    assert late[0].startswith("the background loop recovery")


def test_failing_heartbeats_begin_the_time_anew(worker: Worker) -> None:
    """The database was away for them too, and it is back when the next one is written."""
    worker.loops["heartbeat"].error = ConnectionError()
    worker.loops["relay"].seconds = 90.0
    away = worker.beats(0)
    worker.loops["heartbeat"].error = None

    assert away == ()
    assert worker.beats(STUCK_S - EVERY_S) == ()
    assert len(worker.beats(EVERY_S)) == 1


def test_a_process_that_stood_still_begins_the_time_anew(worker: Worker) -> None:
    """A machine that slept, or a signal that stopped it, held up all threads alike."""
    worker.ticks.advance(3_600)
    worker.loops["relay"].seconds = 3_600.0

    assert worker.beats(0) == ()


def test_a_worker_that_sends_nothing_says_so(worker: Worker) -> None:
    """Parts are due, lanes are open, no process takes them: half a minute later it is told."""
    worker.has_untaken_parts = True
    before = worker.beats(STALLED_S - EVERY_S)
    after = worker.beats(EVERY_S)

    assert before == ()
    assert list(after) == ["parts are due and their lanes are open, but none was sent for 36 s"]


def test_a_mark_shows_that_it_sends(worker: Worker) -> None:
    """However many more parts are due."""
    worker.has_untaken_parts = True
    worker.beats(STALLED_S + EVERY_S)
    worker.marked_at = worker.ticks.now

    assert worker.beats(STALLED_S - EVERY_S) == ()


def test_parts_that_were_taken_meanwhile_begin_the_time_anew(worker: Worker) -> None:
    """A worker that had nothing to do all night has not sent nothing all night."""
    worker.has_untaken_parts = True
    worker.beats(STALLED_S - EVERY_S)
    worker.has_untaken_parts = False
    worker.beats(0)
    worker.has_untaken_parts = True

    assert worker.beats(STALLED_S - EVERY_S) == ()


def test_threads_at_work_have_ten_minutes(worker: Worker) -> None:
    """One may fetch a large file, which marks nothing; one that never ends is told."""
    worker.has_untaken_parts, worker.at_work = True, 1

    assert worker.beats(LONG_STUCK_S - EVERY_S) == ()
    assert len(worker.beats(2 * EVERY_S)) == 1


def test_a_broker_that_was_away_has_the_time_of_a_reconnect(worker: Worker) -> None:
    """No doorbell comes without it, and Celery looks for it every thirty seconds at last."""
    worker.has_untaken_parts = worker.broker_away = True
    away = worker.beats(600)
    worker.broker_away = False

    assert away == ()
    assert worker.beats(RECONNECT_S + STALLED_S - EVERY_S) == ()
    assert len(worker.beats(EVERY_S)) == 1


@contextmanager
def running(turn: Callable[[], float], ticks: Ticks) -> Iterator[Loop]:
    """A loop that turns; told to end at the end."""
    loop = Loop("test", turn, monotonic=ticks)
    loop.start()
    try:
        yield loop
    finally:
        loop.request_stop()


def test_a_loop_knows_how_long_its_turn_has_run() -> None:
    """Between two turns, and before the first, it is not busy."""
    ticks, turn = Ticks(), Turn()
    idle = Loop("test", turn, monotonic=ticks).busy_s(ticks.now)
    with running(turn, ticks) as loop:
        turn.begun.wait(30)
        ticks.advance(7)
        busy = loop.busy_s(ticks.now)
        turn.ends.set()
        loop.stop(30)

    assert idle == 0.0
    assert busy == 7.0
    assert loop.busy_s(ticks.now) == 0.0


def test_a_turn_that_raises_is_a_turn() -> None:
    """A service that is away is tried again and again."""
    ticks, turn = Ticks(), Turn()
    turn.error = OSError("away")
    with running(turn, ticks) as loop:
        turn.begun.wait(30)
        turn.ends.set()
        loop.stop(30)
        ticks.advance(60)

    assert loop.busy_s(ticks.now) == 0.0
    assert loop.failures == 1
    assert loop.failing_s(ticks.now) == 60.0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_loop_whose_thread_ended_is_busy_for_ever() -> None:
    """What is no Exception ends a thread; its last turn then never ends."""
    ticks, turn = Ticks(), Turn()
    turn.error = KeyboardInterrupt()
    with running(turn, ticks) as loop:
        turn.begun.wait(30)
        turn.ends.set()
        loop.stop(30)
        ticks.advance(60)

    assert loop.busy_s(ticks.now) == 60.0


@pytest.mark.parametrize("name", ["heartbeat", "relay", "full_scan", "recovery", "hooks"])
def test_a_loop_whose_turns_all_fail_is_told(worker: Worker, name: str) -> None:
    """With an error of ours, for as long as a turn may last; its text, which may hold anything, is not told."""
    worker.loops[name].error, worker.loops[name].failing = KeyError("canary"), STUCK_S
    before = worker.beats(0)
    worker.loops[name].failing = STUCK_S + 1

    assert before == ()
    assert (f"each turn of the background loop {name} has failed for 21 s (KeyError)",) == worker.beats(0)


@pytest.mark.parametrize("error", [ConnectionError(), RetryTransaction(""), SQLAlchemyError(), OperationalError()])
def test_an_outage_is_no_failure_of_a_loop(worker: Worker, error: Exception) -> None:
    """However long it lasts."""
    worker.loops["relay"].error, worker.loops["relay"].failing = error, 3_600.0

    assert worker.beats(0) == ()
