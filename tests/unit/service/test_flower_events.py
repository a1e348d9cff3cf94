"""What becomes of a job, as Celery's events say it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery.events.event import get_exchange
from celery.events.state import State as EventsState
from kombu import Queue
from structlog.testing import capture_logs

from worker.config.console import ConsoleSettings
from worker.config.settings import Settings
from worker.domain.state import JobState
from worker.outbox.commit.commands import JobUpdate
from worker.service.celery_app import make_app
from worker.service.flower import events
from worker.service.flower.events import FlowerEvents, event_of
from worker.service.flower.waiting_jobs import JobView

JOB = "01a216d8b98d72129cb263d0f8cc8601"


class Published:
    """Stands for the line to the broker."""

    def __init__(self) -> None:
        self.messages: list[list[dict[str, Any]]] = []
        self.declared: list[str] = []
        self.away = False

    def open(self) -> bool:
        return not self.away

    def channel(self) -> Any:
        client = SimpleNamespace(transport=SimpleNamespace(driver_type="memory"))
        return SimpleNamespace(connection=SimpleNamespace(client=client))

    def declare(self, exchanges: list[Any]) -> None:
        assert not self.declared, "nothing is declared twice"
        self.declared += [exchange.name for exchange in exchanges]

    def publish(self, body: Any, **options: Any) -> bool:
        assert (options["routing_key"], options["delivery_mode"]) == ("task.multi", 1)
        self.messages.append(body)
        return True

    def close(self) -> None:
        self.away = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> tuple[FlowerEvents, Published]:
    """A publisher whose line remembers."""
    line = Published()
    monkeypatch.setattr(events, "PublisherConnection", lambda app, purpose: line)
    return FlowerEvents(make_app(Settings()), "w1@test"), line


def happened(job: str, state: JobState | None, text: str = "", **more: Any) -> JobUpdate:
    """One happening of a send."""
    return JobUpdate(JOB[: -len(job)] + job, "send", "wecom_app", "hr", state, text, **more)


def began(job: str) -> JobUpdate:
    """The first call of a job."""
    return happened(job, JobState.OPEN, is_first=True)


def test_every_state_has_its_event() -> None:
    """A job in doubt is not counted among the failed, for it may yet be accepted."""
    kind, fields = event_of(JobState.PARTIAL, "partial, 1 refused", 0.5)
    assert kind == "task-succeeded"
    assert fields["result"] == "partial, 1 refused"
    assert fields["runtime"] == 0.5
    assert event_of(JobState.ACCEPTED, "accepted")[0] == "task-succeeded"
    assert event_of(JobState.OPEN, "")[0] == "task-started"
    kind, fields = event_of(None, "60 s: 45009")
    assert kind == "task-retried"
    assert fields["exception"] == "waits 60 s: 45009"
    assert event_of(JobState.CANCELLED, "cancelled")[0] == "task-revoked"
    for state in (JobState.REJECTED, JobState.EXHAUSTED, JobState.EXPIRED):
        assert event_of(state, "why")[0] == "task-failed"
        assert event_of(state, "why")[1]["exception"] == "why"
    assert event_of(JobState.UNKNOWN, "why")[0] == "task-unknown"


def test_what_happened_leaves_in_one_list(made: tuple[FlowerEvents, Published]) -> None:
    """Received and started, then the end; a job that waited is not received again; no text, no recipient."""
    one, line = made

    one.add([began("a"), happened("a", JobState.ACCEPTED, "accepted", runtime_s=0.25)])
    one.add([began("b"), happened("b", None, "45009", retries=1)])
    one.turn()
    one.add([happened("b", JobState.OPEN, retries=1), happened("b", JobState.REJECTED, "rejected 40003")])
    one.turn()

    kinds = [[(event["uuid"][-1], event["type"]) for event in message] for message in line.messages]
    first = [("a", "task-received"), ("a", "task-started"), ("a", "task-succeeded")]
    first += [("b", "task-received"), ("b", "task-started"), ("b", "task-retried")]
    assert [first, [("b", "task-started"), ("b", "task-failed")]] == kinds
    assert {
        tuple(event[name] for name in ("name", "args", "kwargs")) for message in line.messages for event in message
    } == {("send wecom_app", "hr", "")}
    assert int(JOB[:12], 16) / 1000 == line.messages[0][0]["received"]
    shown = EventsState()
    for event in (event for message in line.messages for event in message):
        shown.event({**event, "local_received": event["timestamp"]})
    assert {job[-1]: task.retries for job, task in shown.tasks.items()} == {"a": 0, "b": 1}


def test_what_is_shown_is_not_counted(made: tuple[FlowerEvents, Published]) -> None:
    """Celery's own state makes a task of it that Flower lists, and adds nothing to the worker's counters."""
    one, line = made
    state = EventsState()
    eta = "2026-11-27T09:00:00+00:00"

    one.add([JobView(JOB, "send", "wecom_app", "hr", None, "(due_at): it is due later", eta)])
    one.turn()
    for event in line.messages[0]:
        state.event({**event, "local_received": event["timestamp"]})

    task = state.tasks[JOB]
    assert ("RECEIVED", eta, "hr") == (task.state, task.eta, task.args)
    assert task.result == "waits (due_at): it is due later"
    assert not {"task-received", "task-retried", "task-failed"} & {event["type"] for event in line.messages[0]}


def test_what_is_shown_late_changes_no_end(made: tuple[FlowerEvents, Published]) -> None:
    """What was read a moment before the end, and comes after it, moves no job back."""
    one, line = made
    state = EventsState()

    one.add([began("a"), happened("a", JobState.ACCEPTED, "accepted", runtime_s=0.25)])
    one.add([JobView(JOB[:-1] + "a", "send", "wecom_app", "hr", None, "(limit): no room")])
    one.turn()
    for event in line.messages[0]:
        state.event({**event, "local_received": event["timestamp"]})

    task = state.tasks[JOB[:-1] + "a"]
    assert (task.state, task.result, task.runtime) == ("SUCCESS", "accepted", 0.25)


def test_the_arguments_lead_to_the_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the name that browsers ask for it by, where a proxy stands before it."""
    line = Published()
    monkeypatch.setattr(events, "PublisherConnection", lambda app, purpose: line)
    console = ConsoleSettings(hosts=("console.example.com",), proxies=("10.2.0.7",))
    one = FlowerEvents(make_app(Settings()), "w1@test", console.jobs_at)

    one.add([happened("a", JobState.ACCEPTED, "accepted")])
    one.turn()

    assert f"https://console.example.com/jobs/{JOB[:-1]}a" == line.messages[0][0]["kwargs"]
    assert ConsoleSettings(hosts=("console.example.com",)).jobs_at is None


def test_a_full_queue_drops_and_counts(made: tuple[FlowerEvents, Published], monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer never waits for Flower."""
    one, line = made
    monkeypatch.setattr(events, "MAX_QUEUED", 1)

    one.add([happened("a", JobState.ACCEPTED)])
    one.add([happened("b", JobState.ACCEPTED)])
    line.away = True
    one.turn()

    assert one.dropped == 2
    assert line.messages == []


def test_events_reach_whoever_listens() -> None:
    """Over a real exchange, declared once; what is left is published at the close."""
    settings = Settings(queue_prefix="flower-test.")
    app = make_app(settings)
    one = FlowerEvents(app, "w1@test")

    with app.connection_for_read() as connection, connection.channel() as channel:
        heard = Queue("flower-test.heard", get_exchange(connection, name="flower-test.celeryev"), routing_key="#")
        heard(channel).declare()
        one.add([began("a"), happened("a", JobState.ACCEPTED, "accepted")])
        assert one.turn() == 0.0
        one.add([happened("b", JobState.REJECTED, "40003", is_first=True)])
        one.close()
        batches = [heard(channel).get(no_ack=True).decode() for _ in range(2)]

    assert ["".join(event["uuid"][-1] for event in batch) for batch in batches] == ["aaa", "bb"]
    assert one.dropped == 0
    assert tuple(batches[1][1][name] for name in ("hostname", "type", "exception")) == (
        "w1@test",
        "task-failed",
        "40003",
    )


def test_a_broker_that_is_away_costs_events_only(made: tuple[FlowerEvents, Published]) -> None:
    """They are counted, the next look waits a little, and the close asks nobody."""
    one, line = made
    line.away = True

    one.add([happened("a", JobState.ACCEPTED)])
    delay = one.turn()
    one.add([happened("b", JobState.ACCEPTED)])
    one.close()

    assert delay == 1.0
    assert one.dropped == 1
    assert line.messages == []


def test_the_first_drop_of_many_is_told(made: tuple[FlowerEvents, Published], monkeypatch: pytest.MonkeyPatch) -> None:
    """One line in the log, not one a happening."""
    one, _ = made
    monkeypatch.setattr(events, "MAX_QUEUED", 0)

    with capture_logs() as logs:
        for job in "abc":
            one.add([happened(job, JobState.ACCEPTED)])

    assert one.dropped == 3
    assert [entry["event"] for entry in logs] == ["flower_events_dropped"]
