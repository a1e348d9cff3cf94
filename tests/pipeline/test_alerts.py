"""Each cause raises its alert, and the alert ends with it: from what happens in the outbox to the rule's expression."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from tests.pipeline.test_metrics import Scraper
from tests.support.alerts import raised, rules
from tests.support.runtime import Site, busy, lost, planted, refused
from worker.control.pause import pause, resume
from worker.domain.call import CallResult
from worker.domain.callbacks.hook import EventKind, EventState
from worker.domain.job_filter import JobFilter
from worker.domain.pacing.lane import Resume
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.counting import count
from worker.outbox.engine.database import Database
from worker.outbox.jobs.events import event_row
from worker.outbox.lanes.lanes import change_lanes

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as site:
        site.relay.lead()
        yield site


class Watch:
    """Prometheus: it scrapes, and judges the rules between the last two scrapes."""

    def __init__(self, site: Site):
        self._site, self._scraper = site, Scraper(site)
        self._before = self._scraper.scrape().samples

    def raised(self) -> dict[str, set[str]]:
        """The alerts now; without those that only the clock of a test raises."""
        after = self._scraper.scrape().samples
        found = raised(self._before, after, scraped_at=self._site.clock.micros / SECOND)
        self._before = after
        return found


def _live(site: Site) -> None:
    """Some turns of heartbeat, relay and recovery, which buries what was this process before."""
    for _ in range(4):
        site.clock.advance(4)
        site.ticks.advance(4)
        site.runtime.lease.beat()
        site.relay.lead()
        site.recover()


def test_a_healthy_outbox_raises_nothing(site: Site) -> None:
    """Also while it works."""
    watch = Watch(site)
    site.ring(site.send())

    assert watch.raised() == {}


def test_a_broken_relay(site: Site) -> None:
    """No process renews the lease; then one does."""
    watch = Watch(site)
    for _ in range(5):
        site.advance(3)
    during = watch.raised()
    _live(site)

    assert during == {"NothingIsDelivered": {""}}
    assert watch.raised() == {}


def test_a_full_disk(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is read and cannot be written, so no heartbeat is; then it can."""
    watch = Watch(site)
    with _full(site, monkeypatch):
        site.clock.advance(60)
        for turn in (site.runtime.lease.beat, site.relay.lead):
            with suppress(OperationalError):
                turn()
        during = watch.raised()
    _live(site)

    assert during.keys() == {"NothingIsDelivered", "QueueWithoutWorkers", "ProcessesSilent"}
    assert "DatabaseAway" not in during
    assert watch.raised() == {}


@contextmanager
def _full(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    @contextmanager
    def writing() -> Iterator[Connection]:
        raise OperationalError("insert", {}, Exception("could not extend file: No space left on device"))
        yield

    with monkeypatch.context() as patch:
        patch.setattr(site.database, "writing", writing)
        yield


def test_a_parked_account(site: Site) -> None:
    """The vendor refuses our address; a person lifts it."""
    watch = Watch(site)
    site.vendor.says(refused(60020, "not allow, from ip: 203.0.113.7"))
    site.ring(site.send())
    during = watch.raised()
    site.database.run(lambda connection: change_lanes(connection, site.database.now, [Resume("hr", "a person")]))

    assert during == {"AccountParked": {"hr"}}
    assert watch.raised() == {}


def test_a_refused_secret(site: Site) -> None:
    """Of the account whose token is fetched."""
    watch = Watch(site)
    site.vendor.says_for_tokens(refused(40001))
    site.ring(site.send())
    during = watch.raised()
    site.database.run(lambda connection: change_lanes(connection, site.database.now, [Resume("hr", "a person")]))

    assert during == {"AccountParked": {"hr"}, "TokensRefused": {"hr"}}
    assert watch.raised() == {}


def test_a_breaker(database: Database, driven_clock: DrivenClock) -> None:
    """Calls of a lane fail in a row; then one is answered."""
    with planted(database, driven_clock, breaks=True) as site:
        site.relay.lead()
        _break(site)


def _break(site: Site) -> None:
    watch = Watch(site)
    jobs = [site.send(str(n)) for n in range(8)]
    site.vendor.says(*(busy() for _ in range(5)))
    for job in jobs[:5]:
        site.ring(job)
        site.advance(1)
    _live(site)
    during = watch.raised()
    for job in jobs[5:]:
        site.advance(60)
        _live(site)
        site.ring(job)

    assert during["BreakerStaysOpen"] == {"hr"}
    assert "BreakerStaysOpen" not in watch.raised()


def test_a_clock_that_is_off(site: Site) -> None:
    """The database's is a quarter of an hour ahead of that of Prometheus; then both agree."""
    scraper = Scraper(site)
    here = site.clock.micros / SECOND
    site.advance(900)
    _live(site)
    there = site.clock.micros / SECOND
    ahead = raised({}, scraper.scrape().samples, scraped_at=here)
    right = raised({}, scraper.scrape().samples, scraped_at=there)

    assert ("ClocksApart" in ahead, "ClocksApart" in right) == (True, False)


def test_parts_in_doubt(site: Site) -> None:
    """A dozen calls go unanswered; then each is settled."""
    site.vendor.says(*(lost() for _ in range(13)))
    site.ring(site.send("before", duplicate_check=False))
    watch = Watch(site)
    for n in range(12):
        site.ring(site.send(str(n), duplicate_check=False))
    site.sql("update worker_parts set not_before = null where state = 6")
    during = watch.raised()
    site.sql("update worker_parts set state = 2, not_before = null where state = 6")
    _live(site)

    assert {"hr"} == during["PartsUnknown"] == during["CallsGoUnanswered"]
    assert {"PartsUnknown", "CallsGoUnanswered"}.isdisjoint(watch.raised())


@pytest.mark.parametrize(("answer", "alert"), [(refused(987_654), "UnheardOfCode"), (refused(0, "ok"), "AnswersDrift")])
def test_an_answer_that_no_page_has(site: Site, answer: CallResult, alert: str) -> None:
    """A code that is in no table, or a success without the msgid that its page promises: once is enough."""
    watch = Watch(site)
    site.vendor.says(answer)
    site.ring(site.send())

    during = watch.raised()
    _live(site)

    assert during == {alert: {""}}
    assert watch.raised() == {}


def test_a_receiver_that_stopped(site: Site) -> None:
    """An hour without a callback, where there were many a day before; then one comes."""
    watch = Watch(site)
    site.database.run(lambda connection: count(connection, "callbacks", "hr", "stored", times=100))
    flowing = watch.raised()
    stopped = watch.raised()
    site.database.run(lambda connection: count(connection, "callbacks", "hr", "stored"))

    assert ("CallbacksStopped" in flowing, "CallbacksStopped" in watch.raised()) == (False, False)
    assert flowing == {}
    assert stopped == {}, "of yesterday nothing is known here: promtool judges that half"


def test_a_backlog_that_grows_old(site: Site) -> None:
    """Due parts wait; then they are sent."""
    watch = Watch(site)
    job = site.send()
    site.advance(1_000)
    _live(site)
    during = watch.raised()
    site.ring(job)

    assert {"hr"} == during["BacklogGrowsOld"] == during["JobsStayOpen"]
    assert {"BacklogGrowsOld", "JobsStayOpen"}.isdisjoint(watch.raised())


def test_a_backlog_that_a_person_paused(site: Site) -> None:
    """It waits as it was meant to; when the pause ends, it has grown old."""
    watch, paused = Watch(site), JobFilter(account="hr")
    pause(paused, person="zhang", database=site.database)
    site.send()
    site.advance(1_000)
    _live(site)
    during = watch.raised()
    resume(paused, person="zhang", database=site.database)

    assert {"BacklogGrowsOld", "JobsStayOpen"}.isdisjoint(during)
    assert {"BacklogGrowsOld", "JobsStayOpen"} <= watch.raised().keys()


@pytest.mark.parametrize(
    ("paused", "is_raised"),
    [
        (JobFilter(channel="wecom_app"), False),
        (JobFilter(kind="send"), False),
        (JobFilter(account="hr", tag="x"), True),
    ],
    ids=["channel", "kind", "tag"],
)
def test_a_backlog_beside_other_pauses(site: Site, paused: JobFilter, is_raised: bool) -> None:
    """A pause of its channel or kind explains it; one of a tag that it has not does not."""
    watch = Watch(site)
    pause(paused, person="zhang", database=site.database)
    site.send()
    site.advance(1_000)
    _live(site)

    assert is_raised == ("BacklogGrowsOld" in watch.raised())


def _parked_event(site: Site) -> Callable[[Connection], None]:
    row = event_row(f"{1:032x}", EventKind.CARD_ACTION, 1, state=EventState.PARKED)
    return lambda connection: insert_rows(connection, tables.events, [row])


def test_hooks_that_failed(site: Site) -> None:
    """An event is parked; then it is retried."""
    watch = Watch(site)
    site.database.run(_parked_event(site))
    during = watch.raised()
    site.sql("update worker_events set state = 2")

    assert during == {"HooksFailed": {""}}
    assert watch.raised() == {}


def test_every_rule_can_be_judged(site: Site) -> None:
    """So that none is left out of these tests because it is written in another way."""
    assert set(raised({}, {}, scraped_at=0.0)) == {"MetricsAway"}
    assert len(rules()) > 20
