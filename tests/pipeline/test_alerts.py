"""Each cause raises its alert, and the alert ends with it: from what happens in the outbox to the rule's expression."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pipeline.test_metrics import Scraper
from tests.pipeline.test_problems import CAUSES, lose
from tests.support.alerts import raised, rules
from tests.support.notified import ACCOUNTS, Watch
from tests.support.runtime import Site, planted, refused
from worker.control.pause import pause, resume
from worker.domain.call import CallResult
from worker.domain.job_filter import JobFilter
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.counting import count
from worker.outbox.engine.database import Database
from worker.reporting.problem_kinds import KINDS

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock, accounts=ACCOUNTS, breaks=True) as site:
        site.relay.lead()
        yield site


class Prometheus:
    """It scrapes, and judges the rules between the last two scrapes."""

    def __init__(self, site: Site):
        self._site, self._scraper = site, Scraper(site)
        self._before = self._scraper.scrape().samples

    def raised(self, ahead_s: float = 0.0) -> dict[str, set[str]]:
        """The alerts now, by a clock so far ahead of the database's."""
        after = self._scraper.scrape().samples
        found = raised(self._before, after, scraped_at=self._site.clock.micros / SECOND + ahead_s)
        self._before = after
        return found


def test_a_healthy_outbox_raises_nothing(site: Site) -> None:
    """Also while it works."""
    prometheus = Prometheus(site)
    site.ring(site.send())

    assert prometheus.raised() == {}


@pytest.mark.parametrize("name", [name for name in CAUSES if name in rules()])
def test_each_cause_raises_its_alert_until_it_is_over(site: Site, name: str) -> None:
    """With its account, where it is about one."""
    prometheus, watch = Prometheus(site), Watch(site)
    begun = CAUSES[name](watch)
    [(_, subject)] = next(begun)
    during = prometheus.raised(watch.ahead_s)
    next(begun, None)

    assert during[name] == {subject if KINDS[name].about == "account" else ""}
    assert name not in prometheus.raised(watch.ahead_s)


def test_a_refused_secret(site: Site) -> None:
    """Of the account whose token is fetched."""
    prometheus = Prometheus(site)
    site.vendor.says_for_tokens(refused(40001))
    site.ring(site.send())

    assert prometheus.raised() == {"AccountParked": {"hr"}, "TokensRefused": {"hr"}}
    assert "TokensRefused" not in prometheus.raised()


def test_calls_that_go_unanswered(site: Site) -> None:
    """Six of a dozen; then none."""
    lose(site, 1)
    prometheus = Prometheus(site)
    lose(site, 6)

    assert prometheus.raised()["CallsGoUnanswered"] == {"hr"}
    assert "CallsGoUnanswered" not in prometheus.raised()


@pytest.mark.parametrize(("answer", "alert"), [(refused(987_654), "UnheardOfCode"), (refused(0, "ok"), "AnswersDrift")])
def test_an_answer_that_no_page_has(site: Site, answer: CallResult, alert: str) -> None:
    """A code that is in no table, or a success without the msgid that its page promises: once is enough."""
    prometheus = Prometheus(site)
    site.vendor.says(answer)
    site.ring(site.send())

    assert prometheus.raised() == {alert: {""}}
    assert prometheus.raised() == {}


def test_a_receiver_that_stopped(site: Site) -> None:
    """An hour without a callback, where there were many a day before; then one comes."""
    prometheus = Prometheus(site)
    site.database.run(lambda connection: count(connection, "callbacks", "hr", "stored", times=100))
    flowing = prometheus.raised()
    stopped = prometheus.raised()
    site.database.run(lambda connection: count(connection, "callbacks", "hr", "stored"))

    assert ("CallbacksStopped" in flowing, "CallbacksStopped" in prometheus.raised()) == (False, False)
    assert flowing == {}
    assert stopped == {}, "of yesterday nothing is known here: promtool judges that half"


@pytest.mark.parametrize(
    ("paused", "is_raised"),
    [
        (None, True),
        (JobFilter(account="hr"), False),
        (JobFilter(channel="wecom_app"), False),
        (JobFilter(kind="send"), False),
        (JobFilter(account="hr", tag="x"), True),
    ],
    ids=["none", "account", "channel", "kind", "tag"],
)
def test_a_backlog_grows_old_unless_it_is_paused(site: Site, paused: JobFilter | None, is_raised: bool) -> None:
    """A pause of its account, channel or kind explains it; one of a tag that it has not does not. Then it ends."""
    prometheus = Prometheus(site)
    if paused:
        pause(paused, person="zhang", database=site.database)
    site.send()
    site.clock.advance(1_000)
    Watch(site).live()
    during = prometheus.raised()
    if paused:
        resume(paused, person="zhang", database=site.database)
    afterwards = prometheus.raised()
    site.ring(*[row.id for row in site.rows("select id from worker_jobs")])

    assert is_raised == ("BacklogGrowsOld" in during)
    assert {"BacklogGrowsOld", "JobsStayOpen"} <= afterwards.keys()
    assert "BacklogGrowsOld" not in prometheus.raised()


def test_every_rule_can_be_judged(site: Site) -> None:
    """So that none is left out of these tests because it is written in another way."""
    assert set(raised({}, {}, scraped_at=0.0)) == {"MetricsAway"}
    assert len(rules()) > 20
