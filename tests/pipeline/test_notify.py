"""Each cause is told to people, and so is its end: from what happens in the outbox to the text that they read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from tests.support.notified import ACCOUNTS, OPS, PAGER, Watch, receive
from tests.support.runtime import Site, planted, refused
from worker.domain.pacing.lane import Resume
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import change_lanes

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000
HOUR_S = 3_600
QUIET_S = 300


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("PAGER_URL", "http://pager.test/hook?key=canary-key")
    with planted(database, driven_clock, accounts=ACCOUNTS, breaks=True) as site:
        site.relay.lead()
        yield site


def _ends(watch: Watch, waits_s: float = 60) -> None:
    """The time in which a cause that is over has its end told."""
    watch.later(waits_s)
    watch.later(QUIET_S)


def _resume(site: Site) -> None:
    site.database.run(lambda connection: change_lanes(connection, site.database.now, [Resume("hr", "a person")]))


def test_a_healthy_outbox_tells_nothing(site: Site) -> None:
    """Also while it works, whoever would be told."""
    watch = Watch(site, OPS, PAGER)
    site.ring(site.send())
    watch.later()
    watch.later(QUIET_S)

    assert watch.told() == []
    assert watch.posts() == []
    assert site.rows("select id from worker_alerts") == []


def test_a_parked_account(site: Site) -> None:
    """The vendor refuses our address; a person lifts it. The text names account, state, remedy and page."""
    watch = Watch(site, OPS)
    site.vendor.says(refused(60020, "not allow, from ip: 203.0.113.7"))
    site.ring(site.send())
    watch.later()
    _resume(site)
    _ends(watch)

    assert watch.told() == [("ops", "AccountParked: hr"), ("ops", "AccountParked is over: hr")]
    begin, end = map(watch.text, watch.jobs())
    assert (
        "AccountParked: hr\n"
        "The account waits for a person, and so do all of its parts; `worker lanes` says why and what to do\n"
        "Since 2023-11-14 22:14:20 UTC.\n"
        "Runbook: docs/runbooks.md#account-parked"
    ) == begin
    assert (
        "AccountParked is over: hr\n"
        "From 2023-11-14 22:14:20 UTC to 2023-11-14 22:15:20 UTC.\n"
        "Runbook: docs/runbooks.md#account-parked"
    ) == end


def test_a_broken_relay(site: Site) -> None:
    """No process renews the lease, so a URL is told, for no job would go out; then one does."""
    watch = Watch(site, OPS, PAGER)
    for _ in range(2):
        site.clock.advance(60)
        site.runtime.lease.beat()
        watch.notifier.turn()
    during = watch.posted()
    watch.later()
    _ends(watch)

    assert during == [("firing", "NothingIsDelivered")]
    assert [*during, ("resolved", "NothingIsDelivered is over")] == watch.posted()
    assert watch.told() == []


@contextmanager
def _full(site: Site) -> Iterator[None]:
    @contextmanager
    def writing() -> Iterator[Connection]:
        raise OperationalError("insert", {}, Exception("could not extend file: No space left on device"))
        yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site.database, "writing", writing)
        yield


def _turns(watch: Watch, seconds: float) -> None:
    """Turns of a notifier whose database fails, every five seconds."""
    for _ in range(int(seconds / 5)):
        watch.site.ticks.advance(5)
        with suppress(OperationalError):
            watch.notifier.turn()


def test_a_full_disk(site: Site) -> None:
    """The database is read and cannot be written: after a minute, once, and its end when it can."""
    watch = Watch(site, OPS, PAGER)
    watch.later()
    with _full(site):
        _turns(watch, 55)
        early = watch.posted()
        _turns(watch, 300)
    watch.later()

    [begin, end] = watch.posts()
    assert early == []
    assert (begin["status"], end["status"]) == ("firing", "resolved")
    assert (
        "DatabaseTakesNoWrites" == begin["alerts"][0]["labels"]["alertname"] == end["alerts"][0]["labels"]["alertname"]
    )
    assert "Runbook: docs/runbooks.md#the-disk-is-full" in begin["text"]
    assert "can be read but not written" in begin["text"]


def test_a_database_that_is_away(site: Site) -> None:
    """The process itself tells it, under one id with its end, and within an hour no second time."""
    watch = Watch(site, PAGER)
    watch.later()
    for _ in range(2):
        with site.database_away():
            _turns(watch, 120)
        watch.later()
    site.ticks.advance(HOUR_S)
    with site.database_away():
        _turns(watch, 120)

    alerts = [(body["status"], body["alerts"][0]) for body in watch.posts()]
    assert [status for status, _ in alerts] == ["firing", "resolved", "firing"]
    assert {one["labels"]["alertname"] for _, one in alerts} == {"DatabaseAway"}
    assert alerts[0][1]["fingerprint"] == alerts[1][1]["fingerprint"] != alerts[2][1]["fingerprint"]
    assert {one["annotations"]["runbook"] for _, one in alerts} == {"docs/runbooks.md#database-away"}


@pytest.mark.every_database
def test_a_receiver_that_stopped(site: Site) -> None:
    """An hour without a callback, where there were many a day before; then one comes."""
    watch = Watch(site, OPS)
    receive(site, 11, site.clock.micros - (24 * HOUR_S + 600) * SECOND)
    receive(site, 1, site.clock.micros - (HOUR_S - 100) * SECOND)
    watch.later()
    assert site.rows("select id from worker_alerts") == [], "one came an hour ago"
    watch.later()
    watch.later(600)
    receive(site, 1, site.clock.micros)
    _ends(watch)

    assert watch.told() == [("ops", "CallbacksStopped: hr"), ("ops", "CallbacksStopped is over: hr")]


def test_few_callbacks_stop_without_a_word(site: Site) -> None:
    """Ten in an hour of yesterday say nothing of today."""
    watch = Watch(site, OPS)
    receive(site, 10, site.clock.micros - (24 * HOUR_S + 600) * SECOND)
    watch.later()

    assert site.rows("select id from worker_alerts") == []


def test_a_queue_without_workers(database: Database, driven_clock: DrivenClock) -> None:
    """The only process takes from another one; then from all."""
    queues = {"normal"}
    with planted(database, driven_clock, accounts=ACCOUNTS, queues=lambda: sorted(queues)) as site:
        site.relay.lead()
        watch = Watch(site, OPS)
        watch.later()
        watch.later()
        during = watch.told()
        queues.add("urgent")
        _ends(watch)

        assert during == [("ops", "QueueWithoutWorkers: urgent")]
        assert [job["priority"] for job in watch.jobs()][:1] == [1], "a queue without workers would keep it"
        assert [*during, ("ops", "QueueWithoutWorkers is over: urgent")] == watch.told()
