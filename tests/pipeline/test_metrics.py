"""What Prometheus is told: what the tables hold, on every database, and nobody's name or word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from starlette.applications import Starlette

from tests.support.asgi import asked
from tests.support.runtime import Site, an_account, busy, lost, planted, refused
from worker import To
from worker.domain.account import Account, Secret
from worker.domain.callbacks.hook import EventKind, EventState
from worker.domain.pacing.lane import LaneEventKind, LaneStatus, Resume
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.jobs.events import event_row
from worker.outbox.lanes.lanes import change_lanes
from worker.outbox.upkeep import gauges, purge
from worker.service.web import collector
from worker.service.web.collector import OutboxCollector
from worker.service.web.metrics import LatestMetrics, metrics_app

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

ROOT = Path(__file__).resolve().parents[2]
Labels = tuple[tuple[str, str], ...]


class Scraper:
    """Asks as Prometheus does, and reads the answer with its own parser."""

    def __init__(self, site: Site, database: Database | None = None):
        self._answers = LatestMetrics(OutboxCollector(database or site.database, site.accounts))
        self.app: Starlette = metrics_app(self._answers)
        self.text = ""
        self._told: Mapping[tuple[str, Labels], float] = {}

    def scrape(self) -> Scraper:
        """One request, right after a reading."""
        self._answers.refresh()
        answer = asked(self.app, "GET", "/metrics")
        assert (answer.status, answer.headers["content-type"].startswith("text/plain")) == (200, True)
        self.text = answer.body.decode()
        samples = [one for family in text_string_to_metric_families(self.text) for one in family.samples]
        self._told = {(one.name, tuple(sorted(one.labels.items()))): one.value for one in samples}
        assert len(samples) == len(self._told), "Prometheus refuses an answer with the same series twice"
        return self

    def of(self, name: str, **labels: str) -> float | None:
        """One series."""
        return self._told.get((f"worker_{name}", tuple(sorted(labels.items()))))

    @property
    def samples(self) -> Mapping[tuple[str, Labels], float]:
        """Every series."""
        return self._told

    def that_are(self, name: str) -> dict[Labels, float]:
        """The series of a name that are not 0."""
        return {labels: value for (found, labels), value in self._told.items() if found == f"worker_{name}" and value}


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """With the process's life begun."""
    with planted(database, driven_clock) as site:
        yield site


def test_the_backlog_and_its_age_are_told_by_account_and_priority(site: Site) -> None:
    """What is due in all lanes; what is due later, or waits to be tried again, is only queued."""
    scraper = Scraper(site)
    site.send()
    site.advance(90)
    site.send("b", priority="bulk")
    site.card()
    site.send("later", due_at=instant(site.clock.micros + 60_000_000))
    site.vendor.says(busy())
    site.ring(site.send("again", account="it"))

    told = scraper.scrape()

    assert {(("account", "hr"), ("priority", "normal")): 2, (("account", "hr"), ("priority", "bulk")): 1} == (
        told.that_are("backlog_parts")
    )
    assert told.that_are("backlog_oldest_seconds") == {(("account", "hr"), ("priority", "normal")): 90}
    assert (
        told.of("parts", account="hr", state="queued"),
        told.of("parts", account="it", state="queued"),
    ) == (4, 1)
    assert told.of("backlog_parts", account="it", priority="urgent") == 0


def test_a_job_that_is_put_off_again_and_again_grows_old(site: Site) -> None:
    """By its own due_at: an alert sees it, although it is never due for long. What is due later, a recall that waits
    for its job, and what has ended are not told.
    """
    scraper = Scraper(site)
    stuck = site.send("stuck")
    tomorrow = site.send("later", account="it", due_at=instant(site.clock.micros + 86_400_000_000))
    site.ring(site.recall(tomorrow))
    site.ring(site.send("done", account="it"))
    for _ in range(17):
        later = site.clock.micros + 120_000_000
        site.sql("update worker_parts set not_before = :later where job_id = :job", later=later, job=stuck)
        site.advance(61)

    told = scraper.scrape()

    assert told.that_are("open_oldest_seconds") == {(("account", "hr"), ("priority", "normal")): 17 * 61}
    assert told.that_are("backlog_oldest_seconds") == {}


@pytest.mark.every_database
def test_counts_are_exact_or_say_that_they_are_not(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue of any length costs no more to count; its age is true all the same."""
    for n in range(6):
        site.send(str(n))
        site.card(str(n))
    site.advance(5)
    scraper = Scraper(site)
    exact = scraper.scrape()
    assert (
        exact.of("backlog_parts", account="hr", priority="normal"),
        exact.of("parts", account="hr", state="queued"),
        exact.of("count_capped"),
    ) == (12, 12, 0)
    monkeypatch.setattr(gauges, "MAX_EXACT", 11)
    monkeypatch.setattr(gauges, "MAX_COUNT", 3)

    told = scraper.scrape()

    assert told.of("count_capped") == 1
    assert told.of("backlog_parts", account="hr", priority="normal") == 3
    assert told.of("backlog_oldest_seconds", account="hr", priority="normal") == 5
    assert told.of("open_oldest_seconds", account="hr", priority="normal") == 5
    assert told.of("parts", account="hr", state="queued") == 3


def test_what_is_in_flight_and_in_doubt_is_told(site: Site) -> None:
    """A part under a call, and two whose calls brought no answer: one settles by itself, one waits for a person."""
    site.vendor.says(lost())
    site.ring(site.send("lost", duplicate_check=False))
    site.sql("update worker_parts set not_before = null where state = 6")
    site.vendor.says(lost())
    site.ring(site.send("lost, too", duplicate_check=False))
    site.send("marked")
    site.sql("update worker_parts set state = 1, incarnation = 'x' where state = 0")

    told = Scraper(site).scrape()

    states = ("queued", "sending", "settling", "held")
    assert tuple(told.of("parts", account="hr", state=state) for state in states) == (0, 1, 1, 1)


def test_jobs_of_the_last_minutes_are_told_by_kind_and_state(site: Site) -> None:
    """Those asked for before are not."""
    # Ids are made by the producer's own clock, the driven one stands still in 2023: all of them are young.
    site.vendor.says(refused(40003))
    site.ring(site.send("no"))
    site.ring(site.send("yes"))
    site.upload()

    told = Scraper(site).scrape().that_are("jobs_recent")

    assert {(dict(labels)["kind"], dict(labels)["state"]): value for labels, value in told.items()} == {
        ("send", "accepted"): 1,
        ("send", "rejected"): 1,
        ("upload", "open"): 1,
    }
    site.clock.micros = (1 << 48) * 1000
    assert Scraper(site).scrape().that_are("jobs_recent") == {}


def test_lanes_are_told_by_what_stands_on_them(site: Site) -> None:
    """A parked account is told apart from a parked lane; all other series are there, at 0."""
    site.vendor.says(refused(60020, "not allow, from ip: 203.0.113.7"), refused(43012))
    site.ring(site.send("a"))
    site.ring(site.send("b", account="it"))

    told = Scraper(site).scrape()

    assert {tuple(value for _, value in labels): count for labels, count in told.that_are("lanes").items()} == {
        ("hr", "account", "parked"): 1,
        ("it", "lane", "parked"): 1,
    }
    assert {what.value for what in LaneStatus} == {
        standing for standing in LaneStatus if told.of("lanes", account="hr", scope="lane", standing=standing) == 0
    }


@pytest.mark.every_database
def test_steps_of_lanes_are_counted_and_never_fall(site: Site) -> None:
    """Each once, however often it is asked, also when their rows are gone and the metrics are another process."""
    site.vendor.says(refused(43012))
    site.ring(site.send("before"))
    first = Scraper(site).scrape().that_are("lane_events_total")
    now = site.database.now
    [lane] = [row.lane for row in site.rows("select lane from worker_lanes where parked = true")]
    site.database.run(lambda connection: change_lanes(connection, now, [Resume(lane, "a person")]))
    site.advance(10)
    site.vendor.says(refused(43012))
    site.ring(site.send("again"))
    purge.purge_lane_events(site.database, site.database.read_now() + 1, "")

    second = Scraper(site).scrape()

    assert site.rows("select id from worker_lane_events") == []
    parked, resumed = ((("account", "hr"), ("what", what)) for what in ("parked", "resumed"))
    assert ({parked: 1}, {parked: 2, resumed: 1}) == (first, second.that_are("lane_events_total"))
    assert {what.value for what in LaneEventKind} == {
        step for step in LaneEventKind if second.of("lane_events_total", account="it", what=step) == 0
    }


def test_limits_are_told_as_worker_limits_tells_them(database: Database, driven_clock: DrivenClock) -> None:
    """Amount, use and room of those that are the account's own; a member's have no series."""
    with planted(database, driven_clock, accounts=[an_account(settings={"account_cap": 10})]) as site:
        site.ring(site.send("hello", To("anna|bert")))

        told = Scraper(site).scrape()

        labels = {"account": "hr", "limit": "app_day", "of": "the app"}
        assert [told.of(f"limit_{what}", **labels) for what in ("amount", "used", "room")] == [2_000, 2, 1_998]
        assert None is told.of("limit_amount", account="hr", limit="member_minute", of="each member")


def test_processes_and_the_relay_are_told(site: Site) -> None:
    """Fresh heartbeats with their threads, silent ones apart; and whether somebody leads."""
    before = Scraper(site).scrape()
    site.relay.lead()
    leading = Scraper(site).scrape()
    site.clock.advance(60)
    after = Scraper(site).scrape()

    assert tuple(before.of(name) for name in ("processes", "processes_silent", "relay_active")) == (1, 0, 0)
    assert list(before.that_are("threads").values()) == [32] * 5
    assert leading.of("relay_active") == 1
    assert tuple(after.of(name) for name in ("processes", "processes_silent", "relay_active")) == (0, 1, 0)
    assert after.that_are("threads") == {}
    assert (after.of("database_clock_seconds") or 0) - (before.of("database_clock_seconds") or 0) == 60


def test_events_that_no_hook_has_heard_are_told(site: Site) -> None:
    """Waiting and parked; done ones are not."""
    states = (EventState.WAITING, EventState.WAITING, EventState.PARKED, EventState.DONE)
    rows = [event_row(f"{n:032x}", EventKind.CARD_ACTION, 1, state=state) for n, state in enumerate(states)]
    site.database.run(lambda connection: insert_rows(connection, tables.events, rows))

    told = Scraper(site).scrape()

    assert tuple(told.of("hook_events", state=state) for state in ("waiting", "running", "parked")) == (2, 0, 1)


def test_a_database_that_is_away_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is readable all the same, and it comes back by itself."""
    scraper = Scraper(site)
    scraper.scrape()
    site.vendor.says(refused(43012))
    site.ring(site.send("a"))
    scraper.scrape()

    def fails(connection: Connection, now: str, **_: object) -> None:
        raise OperationalError("select canary", {}, Exception("canary"))

    with monkeypatch.context() as patched:
        patched.setattr(collector, "read_outbox", fails)
        away = scraper.scrape()
        assert away.of("database_up") == 0
        assert None is away.of("processes")
        assert None is away.of("backlog_parts", account="hr", priority="normal")
    back = scraper.scrape()
    assert (
        back.of("database_up"),
        back.of("processes"),
        back.of("lane_events_total", account="hr", what="parked"),
    ) == (1, 1, 1)


def test_no_person_text_or_secret_is_in_a_series(database: Database, driven_clock: DrivenClock) -> None:
    """Whatever the vendor refused or struck, and whoever has no room; nor is any lane's key."""
    secret = Secret(lambda: "canary-secret")
    settings = {"corpid": "canary-corp", "agentid": 7, "callback": True, "account_cap": 10}
    account = Account("hr", "wecom_app", "http://canary-host", settings, secret)
    webhook = Account("push", "wecom_webhook", "http://canary-host", {"edition": "push"}, secret)
    with planted(database, driven_clock, accounts=[account, webhook]) as site:
        site.vendor.says(refused(60020, "canary-vendor-text from ip: 203.0.113.7"), refused(45009, "canary"), busy())
        for _ in range(4):
            site.ring(site.send("canary-text", "canary-person", order_key="canary-order", tags=["canary-tag"]))
            site.advance(700)
        lanes = {row.lane for row in site.rows("select lane from worker_parts union select lane from worker_lanes")}

        told = Scraper(site).scrape()

        assert "canary" not in told.text
        assert "203.0.113.7" not in told.text
        assert [lane for lane in lanes if lane not in ("hr", "push") and lane in told.text] == []
        assert None is not told.of("limit_room", account="hr", limit="app_day", of="the app")


def test_only_metrics_are_served(site: Site) -> None:
    """And only for reading."""
    app = metrics_app(LatestMetrics(OutboxCollector(site.database, site.accounts)))

    assert [asked(app, "GET", "/").status, asked(app, "POST", "/metrics").status] == [404, 405]


@pytest.mark.parametrize(
    ("accepts", "content_type"),
    [
        ('application/openmetrics-text; version="1.0.0"', "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text; version=x", "text/plain; version=0.0.4"),
        (",;" * 30_000, "text/plain; version=0.0.4"),
    ],
)
def test_any_header_of_formats_is_answered(site: Site, accepts: str, content_type: str) -> None:
    """In a format that it names, or in Prometheus's text."""
    latest = LatestMetrics(OutboxCollector(site.database, site.accounts))

    assert latest.encoded(accepts)[1].startswith(content_type)


def test_the_table_of_metrics_is_complete(site: Site) -> None:
    """docs/monitoring.md lists every metric there is and no other, and the alerts ask for none that is not there."""
    text = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
    section = text[text.index("## Metrics") : text.index("## Logs")]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `worker_")]
    documented = {name for row in rows for name in re.findall(r"`(worker_\w+)`", row)}
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text(encoding="utf-8"))
    exprs = "\n".join(rule["expr"] for group in rules["groups"] for rule in group["rules"])
    asked_for = set(re.findall(r"\bworker_\w+", exprs))

    told = set(re.findall(r"^# TYPE (\w+)", Scraper(site).scrape().text, re.M))

    assert told == documented
    assert asked_for <= documented
