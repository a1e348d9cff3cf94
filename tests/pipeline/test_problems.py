"""Each cause is in the list of problems until it is over: the list that doctor, console, metrics and notices read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any

import pytest

from tests.channels.callback_samples import AES_KEY, TOKEN
from tests.support.notified import ACCOUNTS, Watch, receive
from tests.support.runtime import Site, an_account, busy, lost, planted, refused
from worker.control.audit import list_audit
from worker.control.lift import acknowledge
from worker.control.pause import pause, resume
from worker.domain.account import Secret
from worker.domain.callbacks.hook import EventKind, EventState
from worker.domain.errors import WorkerError
from worker.domain.job_filter import JobFilter
from worker.domain.pacing.lane import LaneEvent, LaneEventKind, Resume
from worker.language import translate
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs.events import event_row
from worker.outbox.lanes.lanes import change_lanes, write_lane_events
from worker.outbox.lanes.processes import BROKER, LOG, Health, deferred_account, recently_died
from worker.outbox.upkeep.alerts import AlertRow
from worker.reporting.problem_kinds import KINDS
from worker.reporting.problems import MAX_UNKNOWN_PARTS, OpenProblem, find_problems, read_outbox
from worker.service.notify.notices import AlertNotice
from worker.service.notify.text import text_of
from worker.service.web.receiver import Heartbeat

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000
HOUR_S = 3_600
DAY_S = 86_400
ELSEWHERE = {
    "DatabaseAway": "test_notify",
    "DatabaseTakesNoWrites": "test_notify",
    "CallbacksStopped": "test_notify",
    "HookHangs": "test_hooked_ends",
    "HooksDiffer": "test_hooked_ends",
    "WorkerHindered": "test_standstill",
}
"""Kinds of problems with their own tests."""

Found = set[tuple[str, str]]
Cause = Callable[[Watch], Iterator[Found]]
"""Begins, gives the problems that there are then (names and subjects), and ends."""


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock, accounts=ACCOUNTS, breaks=True) as site:
        site.relay.lead()
        yield site


def listed(watch: Watch) -> list[OpenProblem]:
    """What is wrong, as the notifier reads it."""
    database = watch.site.database
    with database.reading() as connection:
        reading = read_outbox(connection, database.now)
    return find_problems(reading, watch.site.accounts, wall_s=watch.site.clock.micros / SECOND + watch.ahead_s)


def problems(watch: Watch) -> Found:
    """The names and subjects of what is wrong."""
    return {(one.name, one.subject) for one in listed(watch)}


def in_chinese(problem: OpenProblem) -> list[str]:
    """What doctor and the first page say, and what a notice says, without the names of commands."""
    row = AlertRow("a" * 32, problem.name, problem.subject, seen_at=SECOND)
    notice = AlertNotice(problem.kind, [row], False, SECOND, texts={problem.subject: problem.text})
    told = [problem.sentence(UTC, "zh"), problem.what("zh"), translate(text_of(notice), "zh")]
    return [re.sub(r"`[^`]*`|\w+Error in \S+", "", text) for text in told]


def later(watch: Watch, seconds: float = 60.0, **beat: Any) -> None:
    """The process lives on, and leads."""
    watch.site.clock.advance(seconds)
    watch.live()
    if beat:
        watch.site.runtime.lease.beat(**beat)


def lose(site: Site, count: int) -> None:
    """Calls that wait for a person; each is followed by one that is answered, so that no breaker opens."""
    for n in range(count):
        site.vendor.says(lost())
        site.ring(site.send(f"lost {n}", duplicate_check=False))
        site.ring(site.send(f"answered {n}", duplicate_check=False))
    site.sql("update worker_parts set not_before = null where state = 6")


def an_account_is_parked(watch: Watch) -> Iterator[Found]:
    """The vendor refuses our address; a person lifts it."""
    site = watch.site
    site.vendor.says(refused(60020, "not allow, from ip: 203.0.113.7"))
    site.ring(site.send())
    yield {("AccountParked", "hr")}
    site.database.run(lambda connection: change_lanes(connection, site.database.now, [Resume("hr", "a person")]))


def a_lane_is_parked(watch: Watch) -> Iterator[Found]:
    """A right is missing for one kind of message; then the probe goes through."""
    watch.site.vendor.says(refused(43012))
    watch.site.ring(watch.site.send())
    yield {("LaneParked", "hr")}
    watch.site.sql("delete from worker_lanes")


def a_breaker_is_open(watch: Watch) -> Iterator[Found]:
    """Calls fail in a row; then some are answered."""
    site = watch.site
    jobs = [site.send(str(n)) for n in range(8)]
    site.vendor.says(*(busy() for _ in range(5)))
    for job in jobs[:5]:
        site.ring(job)
        site.advance(1)
    yield {("BreakerStaysOpen", "hr")}
    for job in jobs[5:]:
        later(watch)
        site.ring(job)


def a_limit_is_exceeded(watch: Watch) -> Iterator[Found]:
    """45009, and then the penalty is over."""
    site = watch.site
    site.vendor.says(refused(45009, "api freq out of limit"))
    job = site.send()
    site.ring(job)
    assert "again at" in listed(watch)[0].sentence(UTC)
    yield {("LimitExceeded", "hr")}
    later(watch, 120)
    site.ring(job)


def no_process_leads(watch: Watch) -> Iterator[Found]:
    """Heartbeats go on, and nobody renews the lease of the relay."""
    watch.site.clock.advance(60)
    watch.site.runtime.lease.beat()
    yield {("NothingIsDelivered", "")}
    later(watch)


def no_process_can_publish(watch: Watch) -> Iterator[Found]:
    """The broker is away for all processes, and what is due stands still; then it is back."""
    watch.site.send()
    watch.site.relay.stop()
    later(watch, health=Health((), {BROKER: "Redis (mq:6379) takes no messages (ConnectionError)"}))
    yield {("BrokerAway", "")}
    watch.site.run()
    later(watch, health=Health())


def clocks_differ(watch: Watch) -> Iterator[Found]:
    """This machine's is two minutes ahead of the database's; then one."""
    watch.ahead_s = 120
    yield {("ClocksApart", "")}
    watch.ahead_s = 60


def parts_are_in_doubt(watch: Watch) -> Iterator[Found]:
    """One more than may be; then each is settled."""
    lose(watch.site, MAX_UNKNOWN_PARTS + 1)
    yield {("PartsUnknown", "hr")}
    watch.site.sql("update worker_parts set state = 2, not_before = null where state = 6")


def a_job_stays_open(watch: Watch) -> Iterator[Found]:
    """Due for a quarter of an hour; then it is sent. A bulk job may wait."""
    job = watch.site.send()
    watch.site.send("bulk", account="it", priority="bulk")
    later(watch, 1_000)
    yield {("JobsStayOpen", "hr")}
    watch.site.ring(job)


def parts_stand_still(watch: Watch) -> Iterator[Found]:
    """Due for a minute on an open lane, and not offered; then its lane moves."""
    watch.moves = False
    job = watch.site.send()
    later(watch, 61)
    yield {("StandingStill", "hr")}
    watch.site.ring(job)


def something_was_set_aside(watch: Watch) -> Iterator[Found]:
    """An error of ours, as recovery notes it; a day later it is history."""
    site = watch.site
    event = LaneEvent("lane", "hr", "label", LaneEventKind.FAULT, "KeyError in x.py:1", None, None, None)
    site.database.run(lambda connection: write_lane_events(connection, site.database.now, [event]))
    yield {("SetAside", "hr")}
    later(watch, DAY_S + 1)


def a_process_is_unhealthy(watch: Watch) -> Iterator[Found]:
    """By its own word; then it is well."""
    later(watch, health=Health(("the background loop relay has been in one turn for 41 s",)))
    [row] = watch.site.rows("select host, pid from worker_processes")
    yield {("WorkerUnhealthy", f"{row.host} {row.pid}")}
    later(watch)


def a_process_writes_no_log(watch: Watch) -> Iterator[Found]:
    """It says why with its heartbeat; then a line is written."""
    later(watch, health=Health((), {LOG: "no space is left on its disk"}))
    [row] = watch.site.rows("select host, pid from worker_processes")
    yield {("LogLost", f"{row.host} {row.pid}")}
    later(watch)


def a_vendor_cannot_be_reached(watch: Watch) -> Iterator[Found]:
    """A process says so with its heartbeat, and is hindered in nothing else."""
    later(watch, health=Health((), {deferred_account("hr"): "gettoken: dns"}))
    yield {("VendorUnreachable", "hr")}
    later(watch)


def no_receiver_runs(watch: Watch) -> Iterator[Found]:
    """The only one is killed; then another is started, and stopped. A lease that still holds is no problem."""
    site = watch.site
    secrets = {"token": Secret(lambda: TOKEN), "aes_key": Secret(lambda: AES_KEY)}
    site.accounts.replace(*ACCOUNTS[1:], an_account("hr", settings={"callback": secrets}))
    first, second = Heartbeat(site.database), Heartbeat(site.database)
    first.turn()
    later(watch, 10)
    assert ("ReceiverDown", "") not in problems(watch)
    later(watch, 15)
    assert ("ReceiverDown", "") not in problems(watch), "another may take its lease yet"
    later(watch, 10)
    yield {("ReceiverDown", "")}
    second.turn()
    second.end()


def a_process_is_silent(watch: Watch) -> Iterator[Found]:
    """It neither beats nor ended, and others have watched it for a while; then it is buried."""
    row = "insert into worker_processes (id, alive_until, started_at, threads, host, pid, lanes)"
    watch.site.sql(f"{row} values ('gone', 0, 0, 1, 'far', 7, '{{}}')")
    assert problems(watch) == set(), "they have just started"
    later(watch)
    yield {("ProcessesSilent", "far 7")}
    watch.site.sql("update worker_processes set ended_at = 1 where id = 'gone'")


def a_process_was_lost(watch: Watch) -> Iterator[Found]:
    """It was called dead, and did not come back; then another is started."""
    site, row = (
        watch.site,
        "insert into worker_processes (id, alive_until, started_at, ended_at, threads, host, pid, lanes)",
    )
    later(watch, 120)
    dead = site.clock.micros - 60 * SECOND
    site.sql(f"{row} values ('gone', :at, :began, :at, 1, 'far', 7, '{{}}')", at=dead, began=dead - 900 * SECOND)
    yield {("WorkersLost", "far 7")}
    alive = site.clock.micros + 60 * SECOND
    site.sql(f"{row} values ('new', :alive, :began, null, 1, 'far', 9, '{{}}')", alive=alive, began=dead + 30 * SECOND)


def a_queue_has_no_worker(watch: Watch) -> Iterator[Found]:
    """The only process takes from another one; then from all."""
    watch.site.sql("update worker_processes set queues = 'normal'")
    yield {("QueueWithoutWorkers", "urgent")}
    watch.site.sql("update worker_processes set queues = 'urgent,normal'")


def an_account_cannot_be_used(watch: Watch) -> Iterator[Found]:
    """A process says so with its heartbeat; then no longer."""
    later(watch, unusable={"hr": "accounts.hr.secret names file x, which is not UTF-8 text; save it as UTF-8"})
    yield {("AccountUnusable", "hr")}
    later(watch)


def a_hook_failed(watch: Watch) -> Iterator[Found]:
    """An event is parked; then it is retried."""
    row = event_row(f"{1:032x}", EventKind.CARD_ACTION, 1, state=EventState.PARKED)
    watch.site.database.run(lambda connection: insert_rows(connection, tables.events, [row]))
    yield {("HooksFailed", "")}
    watch.site.sql("update worker_events set state = 2")


CAUSES: dict[str, Cause] = {
    "AccountParked": an_account_is_parked,
    "LaneParked": a_lane_is_parked,
    "BreakerStaysOpen": a_breaker_is_open,
    "LimitExceeded": a_limit_is_exceeded,
    "NothingIsDelivered": no_process_leads,
    "BrokerAway": no_process_can_publish,
    "ClocksApart": clocks_differ,
    "PartsUnknown": parts_are_in_doubt,
    "JobsStayOpen": a_job_stays_open,
    "StandingStill": parts_stand_still,
    "SetAside": something_was_set_aside,
    "WorkerUnhealthy": a_process_is_unhealthy,
    "LogLost": a_process_writes_no_log,
    "VendorUnreachable": a_vendor_cannot_be_reached,
    "ReceiverDown": no_receiver_runs,
    "ProcessesSilent": a_process_is_silent,
    "WorkersLost": a_process_was_lost,
    "QueueWithoutWorkers": a_queue_has_no_worker,
    "AccountUnusable": an_account_cannot_be_used,
    "HooksFailed": a_hook_failed,
}


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_each_cause_is_in_the_list_until_it_is_over(site: Site, cause: Cause) -> None:
    """With what it is about, and beside nothing else."""
    watch = Watch(site)
    before = problems(watch)
    begun = cause(watch)
    expected = next(begun)
    during, told = problems(watch), [text for problem in listed(watch) for text in in_chinese(problem)]
    next(begun, None)

    assert before == set()
    assert expected == during
    assert problems(watch) == set()
    assert [text for text in told if re.search("[a-z]{2,} [a-z]{2,}", text)] == []


def test_a_lease_that_changes_hands_is_no_problem(site: Site) -> None:
    """Its holder is gone, and another has some seconds to take it; after these nobody offers parts."""
    watch = Watch(site)
    later(watch)
    lapsed = "update worker_leases set held_until = :until where name = 'relay'"
    found = []
    for seconds in (8, 11):
        site.sql(lapsed, until=site.clock.micros - seconds * SECOND)
        found.append(problems(watch))

    assert found == [set(), {("NothingIsDelivered", "")}]


def test_one_that_took_the_place_of_another_and_died_is_replaced_by_one_more(site: Site) -> None:
    """Two died, one in the place of the other, and one lives since: nothing is missing."""
    watch, row = (
        Watch(site),
        "insert into worker_processes (id, alive_until, started_at, ended_at, threads, pid, host, lanes)",
    )
    later(watch, 300)
    now = site.clock.micros
    for number, (began, ended) in enumerate(((-290, -200), (-190, -100)), 1):
        times = {"began": now + began * SECOND, "ended": now + ended * SECOND}
        site.sql(f"{row} values ('gone{number}', :ended, :began, :ended, 1, {number}, 'far', '{{}}')", **times)
    assert problems(watch) == {("WorkersLost", "far 2")}

    times = {"alive": now + 60 * SECOND, "began": now - 90 * SECOND}
    site.sql(f"{row} values ('new', :alive, :began, null, 1, 3, 'far', '{{}}')", **times)
    assert problems(watch) == set()


def test_every_kind_of_problem_has_its_cause() -> None:
    """Here, or in the test that is named."""
    assert KINDS.keys() == {*CAUSES, *ELSEWHERE}


@pytest.mark.every_database
def test_a_lost_worker_is_acknowledged_until_another_is_lost(site: Site) -> None:
    """It is gone from every list at once, the audit says by whom, and it can be acknowledged once."""
    watch = Watch(site)
    [(_, subject)] = next(a_process_was_lost(watch))
    acknowledge(subject, person="zhang", why="the host is gone", database=site.database)
    after = problems(watch)
    with site.database.reading() as connection:
        died = recently_died(connection, site.database.now)
        [entry] = list_audit(connection)
    with pytest.raises(WorkerError, match="no lost worker"):
        acknowledge(subject, person="zhang", database=site.database)
    later(watch, 1)
    [again] = lose_once_more(watch)

    assert (after, died) == (set(), [])
    assert (entry.action, entry.person, entry.arguments, entry.counts) == (
        "acknowledge",
        "zhang",
        {"name": subject},
        {"acknowledged": 1},
    )
    assert problems(watch) == {again}


def lose_once_more(watch: Watch) -> Found:
    """Another process with the same number dies."""
    later(watch, 120)
    at = watch.site.clock.micros - 60 * SECOND
    row = "insert into worker_processes (id, alive_until, started_at, ended_at, threads, host, pid, lanes)"
    watch.site.sql(f"{row} values ('later', :at, :at, :at, 1, 'far', 7, '{{}}')", at=at)
    return {("WorkersLost", "far 7")}


@pytest.mark.parametrize(
    "cause",
    [a_process_is_silent, an_account_is_parked, something_was_set_aside, a_process_writes_no_log, no_process_leads],
)
def test_what_is_still_wrong_cannot_be_acknowledged(site: Site, cause: Cause) -> None:
    """Nothing is written but the refused command."""
    watch = Watch(site)
    found = next(cause(watch))
    for _, subject in found:
        with pytest.raises(WorkerError, match="no lost worker"):
            acknowledge(subject, person="zhang", database=site.database)

    assert problems(watch) == found


@pytest.mark.every_database
def test_a_receiver_that_is_down_explains_that_callbacks_stopped(site: Site) -> None:
    """Two sentences would be one trouble; and where no account has callbacks any more, it is none."""
    watch = Watch(site)
    receive(site, 20, site.clock.micros - (DAY_S + 600) * SECOND)
    stopped = problems(watch)
    begun = no_receiver_runs(watch)
    down = next(begun)
    both = problems(watch)
    site.accounts.replace(*ACCOUNTS)

    assert (stopped, both) == ({("CallbacksStopped", "hr")}, down)
    assert problems(watch) == stopped


def test_a_receiver_waits_while_another_runs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the lease when that one is lost, so losing one of two is no trouble."""
    watch = Watch(site)
    first, second = (receiver_on(host, site, monkeypatch) for host in ("one", "two"))
    for _ in range(12):
        second.turn()
        later(watch, 5)
    first.turn()
    [held] = site.rows("select holder from worker_leases where name = 'receiver'")
    assert held.holder.startswith("two ")
    later(watch, 30)
    first.turn()

    [held] = site.rows("select holder from worker_leases where name = 'receiver'")
    assert held.holder.startswith("one ")
    second.end()
    assert len(site.rows("select holder from worker_leases where name = 'receiver' and held_until > 0")) == 1


def receiver_on(host: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> Heartbeat:
    """The heartbeat of a receiver on a machine."""
    monkeypatch.setattr("socket.gethostname", lambda: host)
    return Heartbeat(site.database)


def test_as_many_in_doubt_as_may_be_are_no_problem(site: Site) -> None:
    """Ten that wait for a person, and one more that settles by itself."""
    watch = Watch(site)
    lose(site, MAX_UNKNOWN_PARTS)
    site.vendor.says(lost())
    site.ring(site.send("lost", duplicate_check=False))

    assert problems(watch) == set()


@pytest.mark.parametrize("scope", [None, {"account": "hr"}, {"channel": "wecom_app"}, {"kind": "send"}, {"tag": "t"}])
def test_jobs_that_a_person_paused_do_not_stay_open(site: Site, scope: dict[str, str] | None) -> None:
    """Whatever the pause names. Once it has ended, they have been due for as long as they have."""
    watch, paused = Watch(site), scope and JobFilter(**scope)
    pause(paused, person="zhang", why="the vendor moves", database=site.database)
    site.send(tags=["t"])
    site.run()
    later(watch, 1_000)
    during = problems(watch)
    resume(paused, person="zhang", database=site.database)
    site.recovery.turn()

    assert (during, problems(watch)) == (set(), {("JobsStayOpen", "hr")})


def test_jobs_that_wait_for_the_morning_do_not_stay_open(site: Site) -> None:
    """They are put off until their quiet hours end, and have been due for long when they do not go then."""
    watch = Watch(site)
    site.send(quiet_hours="06:00-07:00 Asia/Shanghai")  # it is 06:13
    site.run()
    later(watch, 1_300)
    during = problems(watch)
    later(watch, 1_800)

    assert (during, problems(watch)) == (set(), {("JobsStayOpen", "hr")})
