"""A whole Celery worker in a thread, with a broker in memory: jobs end to end, and how it ends."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from celery.events.event import get_exchange
from kombu import Queue

from tests.support.control import control
from tests.support.runtime import an_account
from tests.unit.service.rooms import LIMIT_S, Site, celery_restored, started, working
from worker.config.accounts import FixedAccounts
from worker.domain.state import JobState
from worker.reporting.report import wait_until_ended
from worker.service import celery_app
from worker.service.bootsteps import EXIT_CONFIGURATION
from worker.service.celery_app import make_app
from worker.service.lifecycle import Replacements
from worker.service.queues import HOOKS, NAMES, URGENT
from worker_simulator.server import running

pytestmark = pytest.mark.filterwarnings("ignore::celery.exceptions.SecurityWarning")  # tests may run as root


@pytest.fixture(autouse=True)
def levels(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The levels at which a worker set up its logs; this process's own stay as they are."""
    found: list[object] = []
    monkeypatch.setattr(celery_app.our_logging, "set_up", lambda level, **_: found.append(level))
    return found


def test_jobs_go_end_to_end(sqlite_url: str, levels: list[object]) -> None:
    """Relay, doorbell, call and receipt in one process against the fake WeCom; a clean end gives everything back."""
    with running() as vendor:
        site = Site(sqlite_url, accounts=FixedAccounts([an_account(base_url=vendor)]))
        app = make_app(site.settings, Replacements(accounts=site.accounts))
        with working(app, loglevel="WARNING") as status:
            jobs = [site.send(f"text {number}") for number in range(5)]
            reports = [wait_until_ended(site.database, job, LIMIT_S) for job in jobs]
        inbox = control(vendor, "inbox")["people"]

    assert status == [0]
    assert {report.state for report in reports} == {JobState.ACCEPTED}
    assert sorted(f"text {n}" for n in range(5)) == sorted(one["content"]["content"] for one in inbox["anna"])
    assert site.one("select count(*) from worker_processes where ended_at is null") == 0
    assert len(levels) == 1


@pytest.mark.parametrize(
    ("names", "queues"), [((URGENT, HOOKS), "hooks,urgent"), (NAMES, "bulk,files,hooks,normal,urgent")]
)
def test_a_worker_tells_which_queues_it_takes_from(sqlite_url: str, names: tuple[str, ...], queues: str) -> None:
    """Those of `-Q`, without the installation's prefix."""
    site = Site(sqlite_url)

    with working(site.app(), queues=[site.prefix + name for name in names]) as status:
        wait_until_ended(site.database, site.send(priority="urgent"), LIMIT_S)

    assert status == [0]
    assert site.one("select queues from worker_processes") == queues


def test_events_are_published_under_the_jobs_id(sqlite_url: str) -> None:
    """With events switched on, whoever listens hears of the job and of no doorbell."""
    site = Site(sqlite_url)
    app = site.app()

    with app.connection_for_read() as connection, connection.channel() as channel:
        exchange = get_exchange(connection, name=site.prefix + "celeryev")
        heard = Queue(site.prefix + "heard", exchange, routing_key="task.#")(channel)
        heard.declare()
        with working(app, task_events=True) as status:
            job = site.send()
            wait_until_ended(site.database, job, LIMIT_S)
        events = [event for message in iter(lambda: heard.get(no_ack=True), None) for event in message.decode()]

    assert status == [0]
    assert {job} == {event["uuid"] for event in events}
    # A state in capitals only shows a job that waited for a moment.
    counted = [event["type"] for event in events if event["type"].islower()]
    assert counted == ["task-received", "task-started", "task-succeeded"]


@pytest.mark.parametrize(
    ("top", "sentence"),
    [
        ({}, "run `worker db upgrade`"),
        ({"hooks": "no_such_module"}, "worker: hooks: module no_such_module cannot be imported: there is no module"),
        ({"members_of": "os.path:nobody"}, "worker: members_of: module os.path has no function nobody"),
    ],
    ids=["tables", "hooks", "members_of"],
)
def test_a_worker_that_lacks_something_ends_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], top: dict[str, str], sentence: str
) -> None:
    """Tables, hooks, or who names members: before it takes anything, with the status of wrong settings."""
    site = Site(f"sqlite:///{tmp_path}/empty.db", top=top)

    app = site.app()
    with celery_restored(app):
        thread, status = started(app)
        thread.join(LIMIT_S)

    assert status == [EXIT_CONFIGURATION]
    assert sentence in capsys.readouterr().err


def test_the_celery_command_finds_its_app(sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`-A worker.service.celery_app` makes the app out of the settings, once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKER_DATABASE", sqlite_url)
    monkeypatch.setenv("WORKER_QUEUE_PREFIX", "found.")
    monkeypatch.delenv("WORKER_CONFIG", raising=False)
    try:
        app = celery_app.app

        assert app.conf.task_default_queue == "found.worker.normal"
        assert app is celery_app.app
    finally:
        vars(celery_app).pop("app", None)


def test_a_revoked_job_is_cancelled_before_it_is_due(sqlite_url: str) -> None:
    """Celery's remote control, which Flower uses too, reaches the outbox."""
    site = Site(sqlite_url)
    app = make_app(site.settings, Replacements(accounts=site.accounts, transport=lambda: site.transport))
    job = site.send(due_at=timedelta(days=1))

    with working(app) as status:
        wait_until_ended(site.database, site.send(), LIMIT_S)
        app.control.revoke(job)
        report = wait_until_ended(site.database, job, LIMIT_S)

    assert status == [0]
    assert report.state == JobState.CANCELLED
