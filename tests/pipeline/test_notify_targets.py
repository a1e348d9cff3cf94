"""Who is told: once for each alert, whichever process tells it, and never through what is broken."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from tests.support.notified import ACCOUNTS, HOOK, IT, OPS, PAGER, Watch
from tests.support.runtime import Site, an_account, lost, planted, refused
from tests.support.scripted_transport import answered
from worker.control.pause import pause
from worker.domain.call import CallResult
from worker.domain.job_filter import JobFilter
from worker.domain.pacing.lane import LaneBlock, LaneEvent, LaneEventKind, Resume
from worker.domain.state import JobState
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import change_lanes, write_lane_events
from worker.outbox.upkeep.alerts import HOUR
from worker.reporting.problems import OutboxReading, read_outbox
from worker.service.notify import notifier
from worker.service.notify.notices import MAX_PER_HOUR, RESERVED_FOR_PAGES
from worker.transport.session import Web

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

PARKED = ("ops", "AccountParked: hr")
OVER = ("ops", "AccountParked is over: hr")
QUIET_S = 300
URL = "http://pager.test/hook/canary-path?key=canary-key"


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("PAGER_URL", "http://pager.test/hook?key=canary-key")
    with planted(database, driven_clock, accounts=ACCOUNTS) as site:
        site.relay.lead()
        yield site


def _park(site: Site, account: str = "hr") -> None:
    site.vendor.says(refused(60020, "not allow, from ip: 203.0.113.7"))
    site.ring(site.send(account=account))


def _lift(site: Site, account: str = "hr") -> None:
    site.database.run(lambda connection: change_lanes(connection, site.database.now, [Resume(account, "a person")]))


def _is_over(watch: Watch, account: str = "hr") -> None:
    _lift(watch.site, account)
    watch.later()
    watch.later(QUIET_S)


# -- once -------------------------------------------------------------------------------------------------------------


def test_an_alert_is_told_once_over_restarts(site: Site) -> None:
    """With its end, however often a process begins anew in between, and again when it comes again."""
    watch = Watch(site, OPS)
    _park(site)
    for _ in range(3):
        watch.later()
        watch.notifier = watch.process()
    _lift(site)
    for _ in range(3):
        watch.later(QUIET_S)
        watch.notifier = watch.process()
    once = watch.told()
    _park(site)
    watch.later()

    assert once == [PARKED, OVER]
    assert watch.told() == [PARKED, OVER, PARKED]
    assert len({job["dedupe_key"] for job in watch.jobs()}) == 3


def test_a_notice_is_an_ordinary_job_with_a_tag(site: Site) -> None:
    """So `worker jobs --tag notify` finds it; one for a person at night is urgent."""
    watch = Watch(site, OPS)
    _park(site)
    site.vendor.says(refused(43012))
    site.ring(site.send(account="it"))
    watch.later()

    assert [(watch.text(job).splitlines()[0], job["priority"]) for job in watch.jobs()] == [
        ("AccountParked: hr", 0),
        ("LaneParked: it", 1),
    ]
    assert {job["tags"] for job in watch.jobs()} == {'["notify"]'}
    site.ring(watch.jobs()[0]["id"])
    assert site.bodies()[-1]["touser"] == "oncall"


def test_what_comes_and_goes_is_one_alert(site: Site) -> None:
    """Its end is told when it has been away for five minutes."""
    watch = Watch(site, OPS)
    for _ in range(4):
        _park(site)
        watch.later()
        _lift(site)
        watch.later(QUIET_S - 100)
    watch.later(QUIET_S)

    assert [told for told in watch.told() if "AccountParked" in told[1]] == [PARKED, OVER]


@pytest.mark.every_database
def test_what_was_over_before_its_time_is_not_told(site: Site) -> None:
    """A breaker, a backlog, a clock: each has its time, after which people are told."""
    watch = Watch(site, OPS, ahead_s=120)
    watch.later()
    watch.ahead_s = 0
    watch.later(QUIET_S)

    assert watch.told() == []
    assert site.rows("select id from worker_alerts") == []


@contextmanager
def _beside(site: Site) -> Iterator[Site]:
    """Another process of the same installation."""
    with planted(site.database, site.clock, accounts=ACCOUNTS, ticks=site.ticks) as other:
        yield other


@pytest.mark.every_database
def test_of_two_processes_one_tells(site: Site) -> None:
    """Turn by turn; when the first is gone, the second goes on where it was."""
    with _beside(site) as other:
        first, second = Watch(site, OPS), Watch(other, OPS)
        _park(site)
        for watch in (first, second, first, second):
            watch.later(4)
        during = first.told()
        site.runtime.lease.end()
        _lift(site)
        second.later()
        second.later(QUIET_S)
        first.later(4)

        assert during == [PARKED]
        assert first.told() == [PARKED, OVER]


def test_a_process_that_was_held_up_tells_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its look was long ago, and another one has told meanwhile."""
    with _beside(site) as other:
        first, second = Watch(site, OPS, PAGER), Watch(other, OPS, PAGER)
        _park(site)

        def look(connection: Connection, now_sql: str, *, has_open: bool) -> OutboxReading:
            reading = read_outbox(connection, now_sql, has_open=has_open)
            monkeypatch.undo()
            monkeypatch.setenv("PAGER_URL", URL)
            second.later()
            return reading

        monkeypatch.setattr(notifier, "read_outbox", look)
        first.later()

        assert first.told() == [PARKED]


def test_a_process_that_reaches_no_target_lets_another_one_tell(site: Site) -> None:
    """Its firewall keeps it from the URL: within two minutes another process has told, and it tells of itself."""
    with _beside(site) as other:
        first, second = Watch(site, PAGER), Watch(other, PAGER)
        _park(site)
        site.vendor.says(*[lost("connect_timeout")] * 20)
        for _ in range(12):
            site.clock.advance(10)
            for watch in (first, second):
                watch.live()
                watch.notifier.turn()

        assert second.posted() == [("firing", "AccountParked: hr")]
        assert "none of the targets accepted its notice" in first.notifier.leadership.problem()


@pytest.mark.every_database
@pytest.mark.fewer_databases("two transactions that write at a time, which SQLite has not")
def test_processes_that_tell_at_once_tell_once(server_database: Database, driven_clock: DrivenClock) -> None:
    """Four threads, each with a notifier of its own, begin together."""
    with planted(server_database, driven_clock, accounts=ACCOUNTS) as site:
        site.relay.lead()
        _park(site)
        with _beside(site) as second, _beside(site) as third, _beside(site) as fourth:
            watches = [Watch(one, OPS) for one in (site, second, third, fourth)]
            begins = threading.Barrier(len(watches))

            def turns(watch: Watch) -> None:
                begins.wait(60)
                for _ in range(5):
                    watch.notifier.turn()

            with ThreadPoolExecutor(len(watches)) as pool:
                list(pool.map(turns, watches))

            assert watches[0].told() == [PARKED]


# -- by whom ----------------------------------------------------------------------------------------------------------


def test_no_notice_goes_by_the_account_that_it_is_about(site: Site) -> None:
    """The next target is taken; with no other it waits, and is told when there is one."""
    watch = Watch(site, OPS, IT)
    alone = Watch(site, OPS)
    _park(site, "ops")
    alone.later()
    waits = alone.told()
    watch.later()
    during = watch.told()
    _is_over(watch, "ops")

    assert waits == []
    assert during == [("it", "AccountParked: ops")]
    assert [*during, ("it", "AccountParked is over: ops")] == watch.told()


def test_what_blocks_no_account_is_told_by_another_one_too(site: Site) -> None:
    """What is in doubt, or set aside, leaves the account as it is."""
    watch = Watch(site, OPS, IT)
    _set_aside(site, "ops")
    watch.later()

    assert watch.told() == [("it", "SetAside: ops")]


def test_what_is_about_the_target_keeps_no_other_from_being_told(site: Site) -> None:
    """The account that tells has the same alert as another one: of the other it tells."""
    watch = Watch(site, OPS)
    _set_aside(site, "hr", "it", "ops")
    watch.later()

    assert watch.told() == [("ops", "SetAside: hr, it")]


def _set_aside(site: Site, *accounts: str) -> None:
    events = [
        LaneEvent("lane", one, "label", LaneEventKind.FAULT, "KeyError in x.py:1", None, None, None) for one in accounts
    ]
    site.database.run(lambda connection: write_lane_events(connection, site.database.now, events))


def test_a_notice_that_stays_in_doubt_goes_by_the_next_target(site: Site) -> None:
    """A vendor that hangs would else silence its own alert; while it is sent again nothing more is told."""
    watch = Watch(site, OPS, IT)
    _park(site)
    watch.later()
    [notice] = watch.jobs()
    site.sql(f"update worker_jobs set state = {int(JobState.UNKNOWN)} where id = '{notice['id']}'")
    watch.later()
    during = watch.told()
    watch.later(600)

    assert during == [PARKED]
    assert watch.told() == [PARKED, ("it", "AccountParked: hr")]


@pytest.mark.every_database
def test_tickets_leave_room_for_pages(site: Site) -> None:
    """An hour full of what can wait until the morning does not hold up what cannot."""
    watch = Watch(site, OPS)
    rows = [
        {"id": f"{n:032x}", "alert": "LaneParked", "subject": f"old{n}", "seen_at": 0, "gone_at": 0, "job_id": None}
        | {"raised_at": site.clock.micros - 2 * HOUR, "ended_at": site.clock.micros + n}
        for n in range(MAX_PER_HOUR - RESERVED_FOR_PAGES)
    ]
    site.database.run(lambda connection: insert_rows(connection, tables.alerts, rows))
    _set_aside(site, "it")
    _park(site)
    watch.later()

    assert watch.told() == [PARKED]


def test_a_process_that_is_to_end_tells_no_more(site: Site) -> None:
    """Each post may take ten seconds, and a drain has less for all of them."""
    watch = Watch(site, PAGER)
    _park(site)
    site.runtime.draining.set()
    watch.later()

    assert watch.posted() == []


def test_no_notice_goes_by_an_account_that_is_broken(site: Site) -> None:
    """Another one's alert neither: what is parked is passed over, and taken again when it is well."""
    watch = Watch(site, OPS, IT)
    _park(site, "ops")
    _park(site)
    watch.later()
    during = watch.told()
    _is_over(watch, "ops")
    _is_over(watch)

    assert sorted(during) == [("it", "AccountParked: hr"), ("it", "AccountParked: ops")]
    assert watch.told()[-1] == ("ops", "AccountParked is over: hr")


@pytest.mark.parametrize("what", ["paused", "blocked", "unknown"])
def test_an_account_that_carries_nothing_now_is_passed_over(site: Site, what: str) -> None:
    """It is paused, blocked for long, or no account of this process."""
    watch = Watch(site, OPS, IT)
    if what == "paused":
        pause(JobFilter(account="ops"), person="a person", why="", database=site.database)
    elif what == "blocked":
        block = LaneBlock("ops", "ops", 3_600, "45009")
        site.database.run(lambda connection: change_lanes(connection, site.database.now, [block]))
    else:
        site.accounts.replace(*(one for one in ACCOUNTS if one.name != "ops"))
    _park(site)
    watch.later()

    assert watch.told() == [("it", "AccountParked: hr")]


def test_a_url_that_does_not_take_it_is_passed_over(site: Site) -> None:
    """For the next target; each alert is told by one."""
    watch = Watch(site, PAGER, OPS)
    _park(site)
    site.vendor.says(answered(b"", 503))
    watch.later()

    assert len(watch.posts()) == 1
    assert watch.told() == [PARKED]


@pytest.mark.parametrize("says", [answered(b"", 302, location="http://other"), lost(), answered(b"no", 404)])
def test_a_url_is_told_until_it_takes_it(site: Site, says: CallResult) -> None:
    """After a minute, under one id; once it has, no more."""
    watch = Watch(site, PAGER)
    _park(site)
    site.vendor.says(says)
    for _ in range(3):
        watch.later()
        site.ticks.advance(60)

    assert watch.posted() == [("firing", "AccountParked: hr")] * 2
    assert len({body["alerts"][0]["fingerprint"] for body in watch.posts()}) == 1


def test_a_notice_that_the_vendor_does_not_take_goes_by_the_next_target(site: Site) -> None:
    """It raises no alert of its own, and is not told for ever."""
    watch = Watch(site, OPS, IT)
    _park(site)
    watch.later()
    for _ in range(2):
        site.vendor.says(refused(81013, "user & party & tag all invalid"))
        site.ring(watch.jobs()[-1]["id"])
        watch.later()
    watch.later()
    watch.later()

    assert watch.told() == [PARKED, ("it", "AccountParked: hr")]
    assert [row.alert for row in site.rows("select alert from worker_alerts")] == ["AccountParked"]


def test_the_end_of_what_no_target_took_is_told(site: Site) -> None:
    """And with it the alert is over, so that it is raised again when it comes again."""
    watch = Watch(site, OPS)
    _park(site)
    watch.later()
    site.vendor.says(refused(81013, "user & party & tag all invalid"))
    site.ring(watch.jobs()[0]["id"])
    _is_over(watch)
    _park(site)
    watch.later()

    assert watch.told() == [PARKED, OVER, PARKED]


def test_a_notice_that_is_not_sent_in_time_goes_by_the_next_target(site: Site) -> None:
    """After ten minutes; the last one has a day."""
    watch = Watch(site, OPS, IT)
    _park(site)
    watch.later()
    site.clock.advance(600)
    site.recover()
    watch.later()
    spans = site.rows("select expires_at - due_at as span from worker_jobs where dedupe_key is not null order by id")

    assert watch.told() == [PARKED, ("it", "AccountParked: hr")]
    assert [round(row.span / 1_000_000) for row in spans] == [600, 86_400]


def test_a_notice_in_doubt_is_sent_again(site: Site) -> None:
    """Twice beats never, and no part of a notice stays in doubt, so it raises none."""
    watch = Watch(site, OPS)
    _park(site)
    watch.later()
    site.vendor.says(lost())
    [job] = watch.jobs()
    site.ring(job["id"])

    assert site.job(job["id"]).on_unknown == "resend"
    assert watch.told() == [PARKED]


# -- few --------------------------------------------------------------------------------------------------------------


def test_a_vendor_that_is_ill_is_one_notice(database: Database, driven_clock: DrivenClock) -> None:
    """However many accounts it is told of; ten are named."""
    many = [an_account(f"corp{n:02}", settings={"agentid": n}) for n in range(12)]
    with planted(database, driven_clock, accounts=[*many, ACCOUNTS[2]]) as site:
        site.relay.lead()
        watch = Watch(site, OPS)
        for one in many:
            _park(site, one.name)
        watch.later()

        named = ", ".join(f"corp{n:02}" for n in range(10))
        assert [("ops", f"AccountParked: {named} and 2 more")] == watch.told()


def test_no_more_than_a_few_are_told_within_an_hour(site: Site) -> None:
    """The last one says so; what comes then waits, and is told together when the hour is over."""
    watch = Watch(site, OPS)
    rows = [
        {"id": f"{n:032x}", "alert": "AccountParked", "subject": f"old{n}", "seen_at": 0, "gone_at": 0, "job_id": None}
        | {"raised_at": site.clock.micros - 2 * HOUR, "ended_at": site.clock.micros + n}
        for n in range(MAX_PER_HOUR - 1)
    ]
    site.database.run(lambda connection: insert_rows(connection, tables.alerts, rows))
    _park(site)
    watch.later()
    _park(site, "it")
    watch.later()
    full = watch.told()
    watch.later(3_600)

    assert full == [PARKED]
    assert "This is notice number 30 within an hour" in watch.text(watch.jobs()[0])
    assert watch.told() == [PARKED, ("ops", "AccountParked: it")]


def test_an_alert_does_not_wait_for_a_clock_that_was_set_back(site: Site) -> None:
    """It began and ended a day from now, by the database's clock: its end is told after the usual five minutes."""
    watch = Watch(site, OPS)
    _park(site)
    watch.later()
    _lift(site)
    watch.later()

    site.clock.advance(-86_400)
    watch.later()
    watch.later(QUIET_S)

    assert watch.told() == [PARKED, OVER]


def test_the_last_ticket_before_pages_says_its_own_number(site: Site) -> None:
    """Tickets leave ten of the thirty to pages, so theirs is notice number 20."""
    watch = Watch(site, OPS)
    rows = [
        {"id": f"{n:032x}", "alert": "LaneParked", "subject": f"old{n}", "seen_at": 0, "gone_at": 0, "job_id": None}
        | {"raised_at": site.clock.micros - 2 * HOUR, "ended_at": site.clock.micros + n}
        for n in range(MAX_PER_HOUR - RESERVED_FOR_PAGES - 1)
    ]
    site.database.run(lambda connection: insert_rows(connection, tables.alerts, rows))
    site.vendor.says(refused(43012))
    site.ring(site.send(account="it"))
    _set_aside(site, "it")
    watch.later()

    [job] = watch.jobs()
    assert "This is notice number 20 within an hour" in watch.text(job)


# -- what is said -----------------------------------------------------------------------------------------------------


def test_a_post_is_what_alertmanager_posts(site: Site) -> None:
    """Labels, annotations, begin and end under one fingerprint; and a text."""
    watch = Watch(site, PAGER)
    _park(site)
    watch.later()
    _is_over(watch)

    begin, end = watch.posts()
    [alert], [over] = begin["alerts"], end["alerts"]
    assert (begin["version"], begin["status"], end["status"]) == ("4", "firing", "resolved")
    assert {"alertname": "AccountParked", "severity": "page", "account": "hr"} == alert["labels"] == over["labels"]
    assert alert["annotations"]["runbook"] == "docs/runbooks.md#account-parked"
    assert (alert["startsAt"], alert["endsAt"]) == ("2023-11-14T22:14:20+00:00", "0001-01-01T00:00:00Z")
    assert (over["startsAt"], over["endsAt"]) == ("2023-11-14T22:14:20+00:00", "2023-11-14T22:15:20+00:00")
    assert alert["fingerprint"] == over["fingerprint"]
    [request, _] = site.calls(HOOK)
    assert (request.method, request.base_url, request.query) == ("POST", "http://pager.test", {"key": "canary-key"})


def test_no_secret_person_or_word_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a notice nor in a log line, and no URL; whatever the vendor said."""
    monkeypatch.setenv("PAGER_URL", URL)
    watch = Watch(site, {"account": "ops", "recipients": ["canary-oncall"]}, PAGER, IT)
    site.vendor.says(refused(60020, "canary-vendor-text"), refused(987_654, "canary-vendor-text"))
    site.ring(site.send("canary-text", "canary-person", tags=["canary-tag"], dedupe_key="canary-key"))
    site.ring(site.send("canary-text", "canary-person", account="it"))
    _park(site, "ops")
    site.vendor.says(*(answered(b"canary-answer", 500) for _ in range(9)))
    with capture_logs() as lines:
        watch.later()
        watch.later()

    said = json.dumps([*watch.posts(), *(watch.text(job) for job in watch.jobs()), lines], default=str)
    assert {"alert_refused"} <= {line["event"] for line in lines}
    assert "canary" not in said
    assert "s1" not in [*said.split('"')]


def test_a_url_without_a_value_is_told_to_nobody(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence in the log says which setting it is, and no value; the next target is taken."""
    monkeypatch.setenv("PAGER_URL", "canary: no address")
    watch = Watch(site, PAGER, OPS)
    _park(site)
    with capture_logs() as lines:
        watch.later()

    [refusal] = [line for line in lines if line["event"] == "alert_refused"]
    assert refusal["text"].startswith("notify.to.0.url names PAGER_URL, whose value is not a web address")
    assert "canary" not in str(lines)
    assert watch.told() == [PARKED]


class _Pager(HTTPServer):
    """A receiver of alerts, somewhere else."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.heard: list[tuple[str, str | None, Any]] = []


class _Post(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Takes everything."""
        assert isinstance(self.server, _Pager)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard.append((self.path, self.headers["Content-Type"], body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.mark.fewer_databases("it is about HTTP")
def test_a_post_over_real_http(database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the program's one session, with the path and the query of the URL as they are written."""
    server = _Pager()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("PAGER_URL", f"http://127.0.0.1:{server.server_address[1]}/a%20b/hook?key=a%2Bb&key=c")
    with planted(database, driven_clock, accounts=ACCOUNTS, web=Web()) as site:
        watch = Watch(site, PAGER)
        site.clock.advance(60)
        watch.notifier.turn()
        site.clock.advance(60)
        watch.notifier.turn()
    server.shutdown()
    server.server_close()
    thread.join()

    [(path, kind, body)] = server.heard
    assert (path, kind) == ("/a%20b/hook?key=a%2Bb&key=c", "application/json")
    assert "NothingIsDelivered" in body["text"]
