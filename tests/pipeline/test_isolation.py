"""One part's trouble is its own, and no answer is thrown away: what once went wrong, by name."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import DataError, OperationalError

from tests.support.runtime import GETTOKEN, SEND, UPLOAD, Site, an_account, lost, planted, refused
from tests.unit.transport.raw_server import Peer, RawServer, Script, response
from worker.channels.registry import channel, weight_of
from worker.delivery.sender.fault_reports import FaultReports
from worker.delivery.sender.writer import Writer
from worker.domain.account import Egress
from worker.domain.call import NotSent
from worker.domain.job import part_id
from worker.domain.pacing.lane import LaneBlock
from worker.domain.settle import Policy
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import change_lanes
from worker.transport.http import SocketTransport

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


class Full(Exception):
    """A driver's error of a disk that is full, or of a statement somebody cancelled."""

    def __init__(self, sqlstate: str):
        super().__init__("could not write")
        self.sqlstate = sqlstate


class Refusing:
    """A database that refuses so many transactions, or takes them and loses the answer."""

    def __init__(self, database: Database, times: int, sqlstate: str, *, after: bool = False) -> None:
        self.has_one_writer, self.now, self._database = database.has_one_writer, database.now, database
        self._times, self._sqlstate, self._after = times, sqlstate, after

    def run(self, work: Callable[..., Any], **options: Any) -> Any:
        if self._times and not self._after:
            self._times -= 1
            raise OperationalError("update", {}, Full(self._sqlstate))
        done = self._database.run(work, **options)
        if self._times:
            self._times -= 1
            raise OperationalError("commit", {}, Full(self._sqlstate))
        return done


class Forgetting(Refusing):
    """A database that takes each transaction and loses its answer the first time."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, 1, "08006", after=True)
        self._loses = True

    def run(self, work: Callable[..., Any], **options: Any) -> Any:
        try:
            return super().run(work, **options)
        finally:
            self._loses = not self._loses
            self._times = int(self._loses)


def with_writer(site: Site, database: Any) -> list[Any]:
    """Gives the runtime a writer on another database; what it tells."""
    told: list[Any] = []
    site.runtime.writer = Writer(
        database, Policy(), report_updates=told.extend, on_death=lambda error: None, pause=lambda seconds: None
    )
    site.runtime.writer.start()
    return told


@pytest.mark.parametrize("sqlstate", ["53100", "25006", "57014", "55P03", "53200"])
def test_an_answer_waits_for_a_database_that_refuses_for_now(site: Site, sqlstate: str) -> None:
    """Disk full, read-only after a failover, a cancelled statement: nothing is wrong with the row, so it is kept."""
    job = site.send()
    with_writer(site, Refusing(site.database, 5, sqlstate))

    site.ring(job)

    assert site.state(job) == "accepted"
    assert [receipt.msgid for receipt in site.of("receipts", job)] == ["m1"]
    assert site.runtime.writer.stop(10)


@pytest.mark.every_database
def test_what_happened_is_told_although_the_commits_answer_was_lost(site: Site) -> None:
    """The repeated commit finds its rows written; whoever watches hears of the job all the same, and once."""
    job = site.send()
    told = with_writer(site, Refusing(site.database, 2, "08006", after=True))

    site.ring(job)

    assert [(job, "accepted")] == [(one.job_id, one.text) for one in told]
    assert site.runtime.writer.stop(10)


@pytest.mark.every_database
def test_a_call_without_an_answer_is_one_failure_although_the_commits_answer_was_lost(site: Site) -> None:
    """The repeated commit finds the doubt written: the breaker of the account counts one call, not two."""
    job = site.send()
    site.vendor.says(lost())
    with_writer(site, Forgetting(site.database))

    site.ring(job)

    lane = site.lane("hr")
    assert lane is not None
    assert (site.state(job), site.part(job).doubts, lane.failures) == ("unknown", 1, 1)
    assert [(attempt.outcome, bool(attempt.doubtful)) for attempt in site.of("attempts", job)] == [("unknown", True)]
    assert site.runtime.writer.stop(10)


class Later(float):
    """An instant that another thread uses to report something, just when it is compared."""

    beside: Callable[[], Any]

    def __sub__(self, other: float) -> float:
        self.beside()
        return float(self) - other


@pytest.mark.fewer_databases("what threads of one process do in memory")
def test_two_threads_may_report_at_once(site: Site) -> None:
    """Each thing once, and neither fails because of the other."""
    instant, told = Later(1.0), list[threading.Thread]()
    times = iter((0.0, instant, 2.0, 3.0, 4.0))
    fault_reports = FaultReports(site.database, lambda: next(times))

    def beside() -> None:
        if not told:
            told.append(threading.Thread(target=fault_reports.report, args=("b", "error in this program: KeyError")))
            told[0].start()
            told[0].join(0.2)  # until it is done, or waits for this one

    instant.beside = beside
    fault_reports.report("a", "error in this program: KeyError")
    fault_reports.report("c", "error in this program: KeyError")
    told[0].join()
    for label in ("b", "c"):
        fault_reports.report(label, "error in this program: KeyError")

    assert sorted(row.label for row in site.rows("select label from worker_lane_events")) == ["a", "b", "c"]


@pytest.mark.parametrize("document", ["{", "[]", '{"files": [1]}', '{"files": {"image": {}}}'])
@pytest.mark.parametrize("place", [0, 2])
def test_a_part_whose_documents_cannot_be_read_waits_alone(site: Site, document: str, place: int) -> None:
    """One odd row among five: the others are sent at once, and the odd one says what is wrong with it."""
    jobs = [site.send(str(n), f"u{n}") for n in range(5)]
    site.sql("update worker_jobs set message = :document where id = :job", document=document, job=jobs[place])

    site.ring(*jobs)

    assert [site.state(job) for job in jobs if job != jobs[place]] == ["accepted"] * 4
    assert site.state(jobs[place]) == "queued"
    assert "error in this program: the stored content cannot be read" in site.part(jobs[place]).reason


def test_a_part_that_cannot_be_rendered_waits_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of a channel hits one message only: its neighbours go, it waits a minute and says why."""
    jobs = [site.send(str(n), f"u{n}") for n in range(5)]
    wecom = channel("wecom_app")
    real = wecom.request

    def odd(part: Any, *rest: Any, **more: Any) -> Any:
        if part.job_id == jobs[0]:
            raise KeyError("agentid")
        return real(part, *rest, **more)

    monkeypatch.setattr(type(wecom), "request", lambda self, *a, **k: odd(*a, **k))

    site.ring(*jobs)

    assert [site.state(job) for job in jobs[1:]] == ["accepted"] * 4
    assert (site.state(jobs[0]), site.part(jobs[0]).reason.rpartition(" ")[2]) == ("queued", "KeyError")
    assert site.clock.micros + 60_000_000 == site.part(jobs[0]).not_before


def test_a_part_whose_row_the_database_refuses_keeps_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its call needs cannot be written, ever: it counts a try, and its neighbours go."""
    odd, *fine = [site.send(str(n), f"u{n}") for n in range(5)]
    wecom = channel("wecom_app")
    real = wecom.request

    def refused(part: Any, *rest: Any, **more: Any) -> Any:
        if part.job_id == odd:
            raise DataError(None, None, ValueError("out of range"))
        return real(part, *rest, **more)

    monkeypatch.setattr(type(wecom), "request", lambda self, *a, **k: refused(*a, **k))

    site.ring(odd, *fine)

    assert [site.state(job) for job in fine] == ["accepted"] * 4
    assert (
        site.state(odd),
        site.part(odd).tries,
        site.part(odd).reason,
    ) == ("queued", 1, "error in this program: DataError")


@pytest.mark.parametrize("step", ["request", "limits"])
def test_a_part_whose_every_try_fails_by_an_error_of_ours_ends(
    database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Within `max_age_s`, with that sentence, and told once; its neighbour goes, however the channel failed."""
    real = getattr(channel("wecom_app"), step)
    jobs: list[str] = []

    def odd(part: Any, *rest: Any, **more: Any) -> Any:
        if part.job_id == jobs[0]:
            raise KeyError("agentid")
        return real(part, *rest, **more)

    monkeypatch.setattr(type(channel("wecom_app")), step, lambda self, *a, **k: odd(*a, **k))
    with planted(database, driven_clock, max_age_s=3_600, attempts=6) as site:
        jobs += [site.send("odd"), site.send("fine")]
        site.ring(*jobs)
        waits = []
        while site.state(jobs[0]) == "queued" and len(waits) < 20:
            waits.append((site.part(jobs[0]).not_before - site.clock.micros) // 1_000_000)
            site.advance(waits[-1])
            site.ring(jobs[0])

        assert (site.state(jobs[0]), site.part(jobs[0]).reason) == ("exhausted", "error in this program: KeyError")
        assert (waits, site.state(jobs[1])) == ([60, 120, 240, 480, 600], "accepted")
        part = part_id(jobs[0], 0)
        assert [(row.account, row.reason) for row in set_aside(site)] == [
            ("hr", f"error in this program: KeyError; seen at part {part} of job {jobs[0]} first")
        ]


def set_aside(site: Site) -> list[SimpleNamespace]:
    return site.rows("select * from worker_lane_events where what = 'set aside'")


def test_an_error_between_mark_and_call_counts_like_a_call_that_failed(site: Site) -> None:
    """A part that it meets at every try is not marked and taken back for ever."""
    job = site.send()

    def broken(permit: object) -> bool:
        raise RuntimeError("a defect")

    site.runtime.governor.is_fresh = broken  # type: ignore[method-assign]
    for _ in range(8):
        with pytest.raises(RuntimeError):
            site.ring(job)
        site.settle()
        site.advance(400)

    assert (site.state(job), site.part(job).reason) == ("exhausted", "error in this program: RuntimeError")
    assert site.calls() == []


def test_an_error_between_mark_and_call_sends_nothing_and_leaves_nothing_in_flight(site: Site) -> None:
    """Whatever our own code raises after the mark: no byte left, so the part is queued again, without a doubt."""
    job = site.send()

    def broken(permit: object) -> bool:
        raise RuntimeError("a defect")

    site.runtime.governor.is_fresh = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        site.ring(job)
    site.settle()

    assert (site.state(job), site.part(job).doubts, site.part(job).unheard) == ("queued", 0, 1)
    assert site.calls() == []


def test_an_error_before_the_mark_gives_the_room_back(site: Site) -> None:
    """Nothing was marked, so nothing left: other calls may have the room at once, and no attempt is counted."""
    job = site.send()

    def broken(label: str) -> None:
        if label == "before_mark":
            raise RuntimeError("a defect")

    site.runtime.checkpoint = broken
    with pytest.raises(RuntimeError):
        site.ring(job)

    assert sum(site.units_used()) == 0
    assert (site.state(job), site.part(job).claim, site.part(job).tries) == ("queued", 0, 0)


def test_a_process_that_slept_past_the_deadline_sends_nothing_when_it_wakes(site: Site) -> None:
    """Stopped between mark and first byte for longer than a call may last: the part goes again, uncounted."""
    job = site.send()
    site.runtime.checkpoint = lambda label: site.ticks.advance(0)
    real = site.runtime.governor.is_fresh

    def asleep(permit: Any) -> bool:
        fresh = real(permit)
        site.ticks.advance(21)
        return fresh

    site.runtime.governor.is_fresh = asleep  # type: ignore[method-assign]

    site.ring(job)

    assert site.calls() == []
    assert (site.state(job), site.part(job).tries, site.part(job).doubts) == ("queued", 0, 0)


@pytest.mark.parametrize("said", [lost(), refused(42001), NotSent("reset", 0.1)], ids=["no answer", "token", "unsent"])
def test_a_probe_the_vendor_did_not_hear_out_opens_nothing(site: Site, said: Any) -> None:
    """A parking is lifted by an answer that speaks of the message, not by silence, a stale token or a cut."""
    first, second = site.send("one", "u1"), site.send("two", "u2")
    site.vendor.says(refused(60020))
    site.ring(first)
    site.advance(601)
    site.vendor.says(said)

    site.bell.answer(site.part(second).lane, [part_id(second, 0)], probe=True)
    site.settle()

    row = site.lane("hr")
    assert row is not None
    assert row.parked


def test_a_part_that_a_living_process_lost_hold_of_is_found(site: Site) -> None:
    """The net below everything else: minutes after its deadline a marked part is in doubt, whoever holds it."""
    job = site.send()
    site.ring(job)
    site.sql("update worker_parts set state = 1, marked_at = 0, deadline_at = 1 where job_id = :job", job=job)
    site.sql("update worker_jobs set n_open = 1, n_accepted = 0, state = 0 where id = :job", job=job)
    site.sql("delete from worker_attempts")

    site.recover()

    assert site.part(job).doubts == 1
    assert [attempt.doubtful for attempt in site.of("attempts", job)] == [True]


def vendor_behind(seen: list[str]) -> Script:
    """One kept connection to a vendor that takes tokens, messages and uploads, and remembers each request line."""

    def script(peer: Peer) -> None:
        while head := peer.read_request():
            line = head.partition(b"\r\n")[0].decode()
            seen.append(re.sub(r"\?\S*", "", line).removesuffix(" HTTP/1.1"))
            given = {"access_token": "t", "expires_in": 7200, "msgid": "m", "media_id": "i", "type": "image"}
            peer.send(response(json.dumps({"errcode": 0, "errmsg": "ok", **given}).encode()))

    return script


def test_an_accounts_calls_leave_by_its_own_proxy_alone(database: Database, driven_clock: DrivenClock) -> None:
    """Three accounts of one base_url, two proxies: token, upload and message of each go its own way, and no other."""
    ways: list[list[str]] = [[], [], []]
    with ExitStack() as stack:
        one, other, direct = (stack.enter_context(RawServer(vendor_behind(way))) for way in ways)
        transport = stack.enter_context(closing(SocketTransport()))
        proxies = {"a": one.url, "b": None, "c": other.url}
        accounts = [
            an_account(name, direct.url, egress=Egress(proxy), settings={"corpid": f"ww{name}"})
            for name, proxy in proxies.items()
        ]
        site = stack.enter_context(planted(database, driven_clock, accounts=accounts, transport=transport))
        for name in proxies:
            site.image(account=name)

        site.run()

    calls = [f"GET {GETTOKEN}", f"POST {UPLOAD}", f"POST {SEND}"]
    through = [f"{method} {direct.url}{path}" for method, path in (call.split() for call in calls)]
    assert [through, calls, through] == [ways[0], ways[2], ways[1]]


WRONG = {
    "a key that is missing": {"settings": {"agentid": 7}},
    "a list where an id belongs": {"settings": {"corpid": ["ww1"], "agentid": 7}},
    "a text where a number belongs": {"settings": {"corpid": "ww1", "agentid": "many"}},
    "a channel that does not exist": {"channel": "wecom_ap"},
    "an unreadable weight": {"settings": {}, "weight": "heavy"},
    "no weight at all": {"settings": {}, "weight": 0.0},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.fewer_databases("what a wrong account keeps from going; the SQL is that of every turn")
def test_an_account_that_became_wrong_stops_no_other(site: Site, wrong: dict[str, Any]) -> None:
    """Also for a relay that has never seen it right, while a limit of ours blocks it; then its parts wait."""
    job, other = site.send(tenant="sales"), site.send(account="it")
    full = LaneBlock("hr", "hr", 600.0, "used up", limit_name="app_day")
    site.database.run(lambda connection: change_lanes(connection, site.database.now, [full]))
    site.accounts.replace(replace(an_account(), **wrong), site.accounts.get("it"))
    site.relay = site.new_relay(weight=lambda account: weight_of(site.accounts, account))
    site.run()
    during = site.state(other)
    site.advance(601)
    later = site.send(account="it")
    site.run()

    assert (during, site.state(later), site.state(job)) == ("accepted", "accepted", "queued")
    assert list(site.runtime.lane_states.unusable()) == ["hr"]
