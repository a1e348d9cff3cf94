"""What becomes of a job, as Celery's events say it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery.events.event import get_exchange
from kombu import Queue
from structlog.testing import capture_logs

from worker.config.console import ConsoleSettings
from worker.config.settings import Settings
from worker.domain.state import JobState
from worker.outbox.commit.commands import Happened
from worker.service import flower
from worker.service.celery_app import make_app
from worker.service.flower import Flower, event_of


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
        assert ("task.multi", 1) == (options["routing_key"], options["delivery_mode"])
        self.messages.append(body)
        return True

    def close(self) -> None:
        self.away = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> tuple[Flower, Published]:
    """A publisher whose line remembers."""
    line = Published()
    monkeypatch.setattr(flower, "BrokerLine", lambda app, purpose: line)
    return Flower(make_app(Settings()), "w1@test"), line


def happened(job: str, state: JobState | None, text: str = "") -> Happened:
    """One happening of a send."""
    return Happened(job, "send", "wecom_app", state, text)


def test_a_job_is_received_once_and_ends() -> None:
    """Every state has its event."""
    assert ("task-succeeded", {"result": "partial 3+1", "runtime": None}) == event_of(JobState.PARTIAL, "partial 3+1")
    assert "task-succeeded" == event_of(JobState.ACCEPTED, "accepted")[0]
    kind, fields = event_of(None, "60 s: 45009")
    assert ("task-retried", "waits 60 s: 45009") == (kind, fields["exception"])
    assert "task-revoked" == event_of(JobState.CANCELLED, "cancelled")[0]
    for state in (JobState.REJECTED, JobState.EXHAUSTED, JobState.EXPIRED, JobState.UNKNOWN):
        assert ("task-failed", "why") == (event_of(state, "why")[0], event_of(state, "why")[1]["exception"])


def test_what_happened_leaves_in_one_list(made: tuple[Flower, Published]) -> None:
    """Received, then the end; a job that waited is not received again; arguments are empty."""
    one, line = made

    one.tell([happened("a", JobState.ACCEPTED, "accepted"), happened("b", None, "45009")])
    one.turn()
    one.tell([happened("b", JobState.REJECTED, "rejected 40003")])
    one.turn()

    kinds = [[(event["uuid"], event["type"]) for event in message] for message in line.messages]
    assert [
        [("a", "task-received"), ("a", "task-succeeded"), ("b", "task-received"), ("b", "task-retried")],
        [("b", "task-failed")],
    ] == kinds
    assert ("send wecom_app", "", "") == tuple(line.messages[0][0][name] for name in ("name", "args", "kwargs"))


def test_the_arguments_lead_to_the_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the name that browsers ask for it by, where a proxy stands before it."""
    line = Published()
    monkeypatch.setattr(flower, "BrokerLine", lambda app, purpose: line)
    console = ConsoleSettings(hosts=("console.example.com",), proxies=("10.2.0.7",))
    one = Flower(make_app(Settings()), "w1@test", console.jobs_at)

    one.tell([happened("a", JobState.ACCEPTED, "accepted")])
    one.turn()

    assert "https://console.example.com/jobs/a" == line.messages[0][0]["args"]
    assert ConsoleSettings(hosts=("console.example.com",)).jobs_at is None


def test_a_full_queue_drops_and_counts(made: tuple[Flower, Published], monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer never waits for Flower."""
    one, line = made
    monkeypatch.setattr(flower, "LIMIT", 1)

    one.tell([happened("a", JobState.ACCEPTED)])
    one.tell([happened("b", JobState.ACCEPTED)])
    line.away = True
    one.turn()

    assert (2, []) == (one.dropped, line.messages)


def test_old_waiting_jobs_are_forgotten(made: tuple[Flower, Published], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of waiting jobs stays bounded; who is forgotten is shown as received once more."""
    one, line = made
    monkeypatch.setattr(flower, "WAITING_KEPT", 1)
    one.tell([happened(job, None, "waits") for job in "abc"])
    one.turn()

    one.tell([happened(job, JobState.ACCEPTED) for job in "abc"])
    one.turn()

    last = line.messages[-1]
    assert ["a", "b"] == [event["uuid"] for event in last if event["type"] == "task-received"]
    assert ["a", "b", "c"] == [event["uuid"] for event in last if event["type"] == "task-succeeded"]


def test_events_reach_whoever_listens() -> None:
    """Over a real exchange, declared once; what is left is published at the close."""
    settings = Settings(queue_prefix="flower-test.")
    app = make_app(settings)
    one = Flower(app, "w1@test")

    with app.connection_for_read() as connection, connection.channel() as channel:
        heard = Queue("flower-test.heard", get_exchange(connection, name="flower-test.celeryev"), routing_key="#")
        heard(channel).declare()
        one.tell([happened("a", JobState.ACCEPTED, "accepted")])
        assert 0.0 == one.turn()
        one.tell([happened("b", JobState.REJECTED, "40003")])
        one.close()
        batches = [heard(channel).get(no_ack=True).decode() for _ in range(2)]

    assert [["a", "a"], ["b", "b"]] == [[event["uuid"] for event in batch] for batch in batches]
    assert 0 == one.dropped
    assert ("w1@test", "task-failed", "40003") == tuple(
        batches[1][1][name] for name in ("hostname", "type", "exception")
    )


def test_a_broker_that_is_away_costs_events_only(made: tuple[Flower, Published]) -> None:
    """They are counted, the next look waits a little, and the close asks nobody."""
    one, line = made
    line.away = True

    one.tell([happened("a", JobState.ACCEPTED)])
    delay = one.turn()
    one.tell([happened("b", JobState.ACCEPTED)])
    one.close()

    assert (1.0, 1, []) == (delay, one.dropped, line.messages)


def test_the_first_drop_of_many_is_told(made: tuple[Flower, Published], monkeypatch: pytest.MonkeyPatch) -> None:
    """One line in the log, not one a happening."""
    one, _ = made
    monkeypatch.setattr(flower, "LIMIT", 0)

    with capture_logs() as logs:
        for job in "abc":
            one.tell([happened(job, JobState.ACCEPTED)])

    assert (3, ["flower_events_dropped"]) == (one.dropped, [entry["event"] for entry in logs])
