"""Penalties, breaker and parking in SQL: all processes and a restart agree, no attempt is burnt, each step is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import structlog

from tests.support.runtime import Site, busy, lost, planted, refused, unsent
from tests.support.scripted_transport import answered
from worker.control.lift import lift
from worker.delivery.sender.doorbell_sender import DoorbellSender
from worker.domain.call import CallResult, NotSent, Request
from worker.domain.pacing.lane import LaneState, next_midnight
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

HINT = "freq out of limit, hint: [1767225600123456789012347], from ip: 203.0.113.7, more info at https://x"


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock, breaks=True) as planted_site:
        yield planted_site


def steps(site: Site) -> list[str]:
    return [row.what for row in site.rows("select what from worker_lane_events order by id")]


def row_of(site: Site, lane: str) -> SimpleNamespace:
    found = site.lane(lane)
    assert found is not None
    return found


def waits_s(site: Site, lane: str) -> float:
    return float(row_of(site, lane).blocked_until - site.clock.micros) / 1_000_000


def test_struck_again_right_after_waits_an_hour_then_until_midnight(site: Site) -> None:
    """The steps stand on the lane, and so does every event, with the vendor's hint; no attempt is burnt."""
    job, waits = site.send(), []
    lane = site.part(job).lane

    for _ in range(3):
        site.vendor.says(refused(45009, HINT))
        site.ring(job)
        waits.append(waits_s(site, lane))
        site.advance(waits[-1] + 0.1)
    site.ring(job)

    assert waits[:2] == [60.0, 3_600.0]
    assert (site.clock.micros // 1_000_000 + 8 * 3_600) % 86_400 == 0, "the last block ended at midnight in Shanghai"
    assert (site.state(job), site.part(job).tries) == ("accepted", 0)
    assert steps(site) == ["struck", "struck", "struck", "penalty over"]
    hints = site.rows("select hint from worker_lane_events where what = 'struck'")
    assert {row.hint for row in hints} == {"1767225600123456789012347"}


def test_a_message_every_three_minutes_is_struck_again(site: Site) -> None:
    """Nothing was taken in between: the second refusal waits for the hour, the third for midnight."""
    lane, ends = "", []
    for n in range(3):
        site.vendor.says(refused(45009, HINT))
        job = site.send(str(n), f"u{n}")
        struck_at, lane = site.clock.micros, site.part(job).lane
        site.ring(job)
        ends.append((row_of(site, lane).blocked_until - struck_at) // 1_000_000)
        site.advance(ends[-1] + 180)

    assert ends[:2] == [60, 3_600]
    assert next_midnight(struck_at) == row_of(site, lane).blocked_until
    assert steps(site) == ["struck"] * 3


def struck(site: Site, job: str, times: int) -> None:
    """The lane of a job is blocked by so many 45009 in a row."""
    for n in range(times):
        site.advance((0, 60.1, 3_600.1)[n])
        site.vendor.says(refused(45009, HINT))
        site.ring(job)


@pytest.mark.parametrize("calls", [0, 3], ids=["at once", "after calls that were accepted"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_person_ends_a_penalty(site: Site, times: int, calls: int) -> None:
    """Whatever is refused after `worker resume` waits for 60 s, as at first, and is told of."""
    jobs = [site.send(str(n), f"u{n}") for n in range(5)]
    lane = site.part(jobs[0]).lane
    struck(site, jobs[0], times)
    site.advance(20)
    lift("hr", person="zhang", why="asked the vendor", database=site.database)
    for job in jobs[1 : 1 + calls]:
        site.ring(job)
        site.advance(1)
    site.vendor.says(refused(45009, HINT))
    site.ring(jobs[4])

    assert (waits_s(site, lane), row_of(site, lane).step) == (60.0, 1)
    assert ["struck"] * times + ["resumed", "struck"] == steps(site)
    assert ["accepted"] * calls == [site.state(job) for job in jobs[1 : 1 + calls]]


def test_a_call_that_was_in_flight_when_a_person_resumed_is_no_evidence(site: Site) -> None:
    """It met the penalty that has just been ended."""
    first, second = site.send("one"), site.send("two", "u2")
    lane = site.part(first).lane

    def resumed_meanwhile(request: Request) -> CallResult:
        struck(site, first, 1)
        site.advance(5)
        lift("hr", person="zhang", why="", database=site.database)
        return refused(45009, HINT)

    site.vendor.says(resumed_meanwhile)
    site.ring(second)

    assert (row_of(site, lane).step, steps(site)) == (0, ["struck", "resumed"])
    assert row_of(site, lane).blocked_until <= site.clock.micros


def test_a_restart_does_not_forget_the_step(database: Database, driven_clock: DrivenClock) -> None:
    """Another process is struck next, and waits for the hour."""
    with planted(database, driven_clock) as first:
        job = first.send()
        first.vendor.says(refused(45009))
        first.ring(job)
    driven_clock.advance(61)

    with planted(database, driven_clock) as second:
        second.vendor.says(refused(45009))
        second.ring(job)

        assert waits_s(second, second.part(job).lane) == 3_600.0


def test_a_success_resets_the_steps(site: Site) -> None:
    """Whoever is struck later waits a minute again."""
    first, second = site.send("one"), site.send("two", "u2")
    lane = site.part(first).lane
    site.vendor.says(refused(45009))
    site.ring(first)
    site.advance(61)
    site.ring(first)

    site.vendor.says(refused(45009))
    site.ring(second)

    assert waits_s(site, lane) == 60.0


def test_another_accounts_lane_does_not_notice(site: Site) -> None:
    """Neither its block nor its steps."""
    site.vendor.says(refused(45009))
    site.ring(site.send())

    other = site.send(account="it")
    site.ring(other)

    assert site.state(other) == "accepted"
    assert site.lane(site.part(other).lane) is None


def test_too_many_in_parallel_narrows_the_lane(site: Site) -> None:
    """45033: half of what is in flight, with an event; a success much later widens it, and the part lost nothing."""
    job, more = site.send("one"), site.send("two", "u2")
    lane = site.part(job).lane
    # Five others of the lane are in flight elsewhere.
    others = [site.send(str(n), f"u{n}") for n in range(5)]
    for other in others:
        site.sql("update worker_parts set state = 1 where job_id = :job", job=other)

    site.vendor.says(refused(45033))
    site.ring(job)
    narrowed = row_of(site, lane).calls
    site.advance(15)
    site.ring(more)

    assert (narrowed, row_of(site, lane).calls) == (2, 4)
    assert (site.state(job), site.part(job).tries) == ("queued", 0)
    assert steps(site) == ["narrowed"]


def test_a_conflict_serialises_the_lane(site: Site) -> None:
    """45035: one call at a time; no attempt is burnt."""
    job = site.send()
    site.vendor.says(refused(45035))

    site.ring(job)

    assert row_of(site, site.part(job).lane).calls == 1
    assert (site.state(job), site.part(job).tries) == ("queued", 0)


def test_an_alarm_tells_an_operator_and_goes_on_by_itself(site: Site) -> None:
    """45036: a remedy stands beside it, and after a minute the next call goes."""
    job = site.send()
    site.vendor.says(refused(45036))
    with structlog.testing.capture_logs() as lines:
        site.ring(job)
    row = row_of(site, site.part(job).lane)

    site.advance(61)
    site.ring(job)

    assert ("find out what made so many calls" in row.remedy, bool(row.parked)) == (True, False)
    assert site.state(job) == "accepted"
    assert steps(site) == ["alarm"]
    [line] = [line for line in lines if line["event"] == "lane"]
    assert ("alarm", row.lane, row.remedy) == (line["what"], line["lane"], line["remedy"])


def test_a_process_makes_no_more_calls_than_its_lane_may_have(site: Site) -> None:
    """While as many are out as all may have together, what rings here is left to be offered again."""
    job = site.send()
    lane = site.part(job).lane
    site.runtime.lane_states.update([lane], {lane: LaneState(lane, "hr", calls=1)})

    site.runtime.lane_states.begin_call(lane, 20.0)
    site.sql(
        "insert into worker_lanes (lane, account, label, blocked_until, reason, parked, blocked_at, calls)"
        " values (:lane, 'hr', 'send text', 0, '', false, 0, 1)",
        lane=lane,
    )
    during = site.ring(job)
    site.runtime.lane_states.end_call(lane)
    after = site.ring(job)

    assert (during, after) == (0, 1)


# -- parking ----------------------------------------------------------------------------------------------------------


def test_a_parked_account_names_the_ip_and_starts_again_with_one_call(site: Site) -> None:
    """60020: the remedy holds the address out of the vendor's text; the probe that gets through lets one call go."""
    first, second = site.send("one"), site.send("two", "u2")
    site.vendor.says(refused(60020, "not allow, hint: [12], from ip: 203.0.113.7, more info"))
    site.ring(first)
    row = row_of(site, "hr")
    site.advance(601)

    site.ring(second, probe=True)

    assert ("203.0.113.7" in row.remedy, "12", True) == (True, row.hint, bool(row.parked))
    after = row_of(site, "hr")
    assert (bool(after.parked), after.blocked_until, after.calls) == (False, 0, 1)
    assert steps(site) == ["parked", "resumed"]


def test_many_calls_in_flight_park_once(site: Site) -> None:
    """One event, however many hear the same refusal."""
    jobs = [site.send(str(n), f"u{n}") for n in range(3)]
    site.vendor.says(*[refused(60020)] * 3)

    for job in jobs:
        site.runtime.lane_states.unblock("hr")
        site.sql("update worker_lanes set blocked_until = 0")
        site.ring(job)

    assert steps(site) == ["parked"]


@pytest.mark.every_database
def test_an_account_whose_probe_is_refused_for_its_lane_is_open_again(site: Site) -> None:
    """60020, then the address is trusted, and the probe is a card that needs a callback: texts do not wait for it."""
    card, texts = site.card("x"), [site.send(f"t{n}", f"u{n}") for n in range(3)]
    site.vendor.says(refused(60020, "not allow, from ip: 203.0.113.7"))
    site.ring(card)
    site.advance(601)
    site.vendor.says(refused(43012))

    site.ring(card, probe=True)
    site.run()

    assert [site.state(text) for text in texts] == ["accepted"] * 3
    assert (site.state(card), site.part(card).tries) == ("queued", 0)
    parked = row_of(site, site.part(card).lane)
    assert (bool(parked.parked), parked.reason[:5]) == (True, "43012")
    assert sorted(["parked", "parked", "resumed"]) == sorted(steps(site))


def test_a_lane_whose_probe_must_wait_stays_parked_and_its_account_does_not(site: Site) -> None:
    """45009 is no word about what parked the account; what parked the lane is not proved to be over."""
    first = site.send()
    lane = site.part(first).lane
    site.vendor.says(refused(48002))
    site.ring(first)
    site.sql(
        "insert into worker_lanes (lane, account, label, blocked_until, reason, parked, blocked_at)"
        " values ('hr', 'hr', 'hr', 0, '60020', true, 0)"
    )
    site.advance(601)
    site.vendor.says(refused(45009))

    site.ring(first, probe=True)

    assert (bool(row_of(site, lane).parked), bool(row_of(site, "hr").parked)) == (True, False)


@pytest.mark.parametrize(
    "answer",
    [refused(60020), refused(42001), answered(b"later", 429, retry_after="30"), lost(), unsent("reset")],
)
def test_an_account_stays_parked_when_its_probe_proves_nothing(site: Site, answer: CallResult) -> None:
    """The same refusal, a token that is over, a proxy's word, no answer at all, no call at all."""
    first, second = site.send("one"), site.send("two", "u2")
    site.vendor.says(refused(60020))
    site.ring(first)
    site.advance(601)
    site.vendor.says(answer)

    site.ring(second, probe=True)

    assert row_of(site, "hr").parked
    assert steps(site) == ["parked"]


# -- breaker ----------------------------------------------------------------------------------------------------------


def test_calls_in_a_row_without_an_answer_open_the_accounts_breaker(site: Site) -> None:
    """The fifth; the backlog stays, its parts lose nothing, and another account goes on."""
    jobs = [site.send(str(n), f"u{n}", duplicate_check=False) for n in range(7)]
    site.vendor.says(*[lost()] * 5)

    for job in jobs:
        site.ring(job)
    other = site.send(account="it")
    site.ring(other)

    assert [site.state(job) for job in jobs] == ["unknown"] * 5 + ["queued"] * 2
    assert [site.part(job).tries for job in jobs[5:]] == [0, 0]
    assert (site.state(other), waits_s(site, "hr")) == ("accepted", 2.0)
    assert steps(site) == ["breaker opened"]


def test_one_call_tries_and_closes_it(site: Site) -> None:
    """Half-open: one call in flight at most for the whole account; a readable refusal closes it too."""
    jobs = [site.send(str(n), f"u{n}", duplicate_check=False) for n in range(6)]
    site.vendor.says(*[lost()] * 5, refused(40003))
    for job in jobs[:5]:
        site.ring(job)
    half_open = row_of(site, "hr").calls
    site.advance(2.1)

    site.ring(jobs[5])

    assert (half_open, site.state(jobs[5])) == (1, "rejected")
    assert steps(site) == ["breaker opened", "breaker closed"]
    assert row_of(site, "hr").failures == 0


def test_an_answer_in_between_keeps_it_closed(site: Site) -> None:
    """Every other call fails: no five in a row, and the lane's row is gone when nothing stands on it."""
    for n in range(12):
        site.vendor.says(lost() if n % 2 else refused(40003))
        site.ring(site.send(str(n), f"u{n}", duplicate_check=False))
    site.vendor.says(refused(40003))
    site.ring(site.send("last", "u99"))

    assert steps(site) == []
    assert site.lane("hr") is None


@pytest.mark.parametrize(("between", "opens"), [(busy(), True), (refused(6000), False)])
def test_a_proxys_word_and_a_busy_vendor_count_together(site: Site, between: CallResult, opens: bool) -> None:
    """502 without the vendor's JSON, its own -1, 503 with Retry-After: five in a row. Any other answer is between."""
    gateway, later = answered(b"bad gateway", 502), answered(b"", 503, retry_after="1")
    for said in [gateway, gateway, between, gateway, later]:
        site.vendor.says(said)
        site.ring(site.send("hello", f"u{len(site.calls())}", duplicate_check=False))

    assert opens == ("breaker opened" in steps(site))


def test_connections_that_fail_open_it_too(database: Database, driven_clock: DrivenClock) -> None:
    """Nothing was marked, no attempt is burnt, no job dies; after the host is back everything goes."""
    away = [True]

    def refuse(request: Request) -> NotSent | None:
        return unsent("dns") if away[0] and request.path != "/cgi-bin/gettoken" else None  # type: ignore[return-value]

    with planted(database, driven_clock, refuse=refuse, breaks=True) as site:
        job = site.send()
        for _ in range(5):
            site.ring(job)
            site.advance(61)
        opened, part = steps(site), site.part(job)
        away[0] = False
        site.ring(job)

        assert (opened, part.state, part.tries, part.claim) == (["breaker opened"], "queued", 0, 0)
        assert site.state(job) == "accepted"
        assert steps(site) == ["breaker opened", "breaker closed"]


@pytest.mark.fewer_databases("four threads meet before anything is asked of it")
def test_a_blip_that_many_threads_meet_costs_two_seconds(sqlite_database: Database, driven_clock: DrivenClock) -> None:
    """Six threads find the host away in one instant, the breaker opens at five: it stays shut, for that was one."""
    meet = threading.Barrier(6)

    def refuse(request: Request) -> NotSent | None:
        if request.path == "/cgi-bin/gettoken":
            return None
        meet.wait(120)
        return unsent("refused")  # type: ignore[return-value]

    with planted(sqlite_database, driven_clock, refuse=refuse, breaks=True) as site:
        parts = [site.part(site.send(str(n), f"u{n}")) for n in range(6)]
        with ThreadPoolExecutor(6) as pool:
            calls = list(pool.map(lambda part: site.bell.answer(part.lane, [part.id]), parts))
        waits = waits_s(site, "hr")

        assert calls == [0] * 6
        assert (steps(site), row_of(site, "hr").failures) == ([], 1)
        assert 1.0 <= waits <= 2.0


def test_a_second_process_counts_in_the_same_row(site: Site) -> None:
    """Two processes that each lose calls open it together."""
    jobs = [site.send(str(n), f"u{n}", duplicate_check=False) for n in range(5)]
    other = DoorbellSender(site.runtime)
    site.vendor.says(*[lost()] * 5)

    for bell, job in zip((site.bell, other, site.bell, other, site.bell), jobs, strict=True):
        bell.answer(site.part(job).lane, [site.part(job).id])
    site.settle()

    assert steps(site) == ["breaker opened"]
