"""One part through all steps with a scripted vendor: what each answer leaves in SQL, and what never leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy.exc import OperationalError

from tests.pipeline.webhook_site import a_webhook
from tests.support.runtime import GETTOKEN, SEND, Site, Ticks, an_account, busy, lost, planted, refused, unsent
from tests.support.scripted_transport import answered
from worker import Chats, Image
from worker.channels.wecom_app.channel import WecomApp
from worker.channels.wecom_webhook import Text
from worker.delivery.sender import prepare
from worker.delivery.sender.prepare import backoff_s
from worker.domain import settle
from worker.domain.call import NotSent, Request
from worker.domain.job import part_id
from worker.domain.outcome import Scope
from worker.domain.pacing.limit import Denied
from worker.domain.state import PartState
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def tokens_fetched(site: Site) -> int:
    return sum(request.path == GETTOKEN for request in site.transport.calls)


# -- what each answer leaves ------------------------------------------------------------------------------------------

ANSWERS = [
    pytest.param(refused(0, "ok", msgid="m"), "accepted", "accepted", 0, id="taken"),
    pytest.param(refused(0, "ok", msgid="m", invaliduser="lisi"), "partial", "partial", 0, id="partial"),
    pytest.param(refused(40003), "rejected", "rejected", 0, id="rejected"),
    pytest.param(refused(81013), "rejected", "rejected", 0, id="all refused"),
    pytest.param(refused(6000), "queued", "retry", 1, id="again"),
    pytest.param(refused(45009), "queued", "wait", 0, id="limit"),
    pytest.param(refused(42001), "queued", "stale_token", 0, id="stale token"),
    pytest.param(refused(43012), "queued", "parked", 0, id="parked"),
    pytest.param(unsent(), "queued", "retry", 1, id="never left"),
    pytest.param(lost(), "unknown", "unknown", 1, id="no answer"),
    pytest.param(answered(b"<html>", 200), "unknown", "unknown", 1, id="html"),
    pytest.param(answered(b"", 503, retry_after="7"), "unknown", "unknown", 1, id="503 that asks to wait"),
    pytest.param(answered(b"", 429, retry_after="7"), "unknown", "unknown", 1, id="429 that asks to wait"),
]


@pytest.mark.parametrize(("said", "state", "outcome", "tries"), ANSWERS)
def test_each_answer_leaves_a_true_state_and_one_attempt(
    site: Site, said: Any, state: str, outcome: str, tries: int
) -> None:
    """Answer by answer: the part's state, the attempt's outcome, and whether it counted."""
    site.vendor.says(said)
    job = site.send()

    site.ring(job)

    assert (state, tries, 1) == (site.state(job), site.part(job).tries, site.part(job).claim)
    assert [(outcome, outcome == "unknown")] == [(a.outcome, bool(a.doubtful)) for a in site.of("attempts", job)]
    assert (1 if state in ("accepted", "partial") else 0) == len(site.of("receipts", job))
    assert site.transport.open == 0


def test_45009_blocks_the_lane_for_a_minute_and_its_parts_are_not_touched(site: Site) -> None:
    """What blocks a lane is written once, on the lane; the parts behind it stay due, and it costs no attempt."""
    site.vendor.says(refused(45009))
    first, second = site.send("one"), site.send("two", "wangwu")
    due = site.part(second).not_before

    site.ring(first, second)
    calls = len(site.calls())
    site.advance(59)
    early = site.ring(second)
    behind = site.part(second)
    site.advance(1.1)
    site.ring(second)

    lane = site.lane(site.part(first).lane)
    assert lane is not None
    assert (calls, early) == (1, 0)
    assert (due, 0, None) == (behind.not_before, behind.tries, behind.marked_at)
    assert site.state(second) == "accepted"
    assert "45009" in lane.reason
    assert not lane.parked


@pytest.mark.parametrize(("errcode", "blocked"), [(43012, "lane"), (50003, "account")], ids=["lane", "account"])
def test_a_configuration_error_parks_its_scope_and_nothing_else(site: Site, errcode: int, blocked: str) -> None:
    """Parked with a remedy a person can act on; the backlog is kept; other lanes go on."""
    site.vendor.says(refused(errcode))
    text, card = site.send(), site.card()

    site.ring(text)
    site.ring(card)

    key = site.part(text).lane if blocked == "lane" else "hr"
    parked = site.lane(key)
    assert parked is not None
    assert (bool(parked.parked), bool(parked.remedy)) == (True, True)
    assert (site.state(text), site.part(text).tries) == ("queued", 0)
    assert ("accepted" if blocked == "lane" else "queued") == site.state(card)


@pytest.mark.parametrize("errcode", [43012, 50003], ids=["lane", "account"])
def test_one_job_probes_a_parked_scope_and_opens_it(site: Site, errcode: int) -> None:
    """After ten minutes one job tries; it gets through, so everything behind it may go."""
    site.vendor.says(refused(errcode))
    jobs = [site.send(str(n)) for n in range(3)]
    site.run()
    blocked = [site.state(job) for job in jobs]

    site.advance(601)
    site.run()

    assert blocked == ["queued"] * 3
    assert [site.state(job) for job in jobs] == ["accepted"] * 3
    assert site.rows("select * from worker_lanes where parked = true") == []


def test_a_probe_that_fails_keeps_the_scope_parked_for_another_interval(site: Site) -> None:
    """One call every ten minutes, not one for every job behind it."""
    site.vendor.says(refused(50003), refused(50003))
    jobs = [site.send(str(n)) for n in range(3)]
    site.run()

    site.advance(601)
    site.run()
    site.advance(300)
    site.run()

    assert len(site.calls()) == 2
    assert [site.state(job) for job in jobs] == ["queued"] * 3


# -- before the mark --------------------------------------------------------------------------------------------------


def test_a_host_that_cannot_be_reached_blocks_the_account_and_burns_no_attempt(
    database: Database, driven_clock: DrivenClock
) -> None:
    """The connection is made before the mark: no attempt, no doubt, and the account waits longer each time."""
    down = [True]

    def refuse(request: Request) -> NotSent | None:
        return NotSent("refused", 0.0) if down[0] and request.path == SEND else None

    with planted(database, driven_clock, refuse=refuse) as site:
        job = site.send()
        delays = []
        for _ in range(3):
            site.ring(job)
            lane = site.lane("hr")
            assert lane is not None
            delays.append((lane.blocked_until - driven_clock.micros) / SECOND)
            site.advance(delays[-1] + 0.01)
        before = (site.state(job), site.part(job).tries, site.part(job).claim, site.of("attempts", job))
        down[0] = False
        site.ring(job)

        assert before == ("queued", 0, 0, [])
        assert lane.reason == "no connection: refused"
        assert all(2**n / 2 <= delay <= 2**n for n, delay in enumerate(delays, start=1))
        assert site.state(job) == "accepted"


@pytest.mark.fewer_databases("a connection is no row")
def test_a_call_has_one_connection(database: Database, driven_clock: DrivenClock) -> None:
    """It is made before the limits are asked for, and given back where these have no room."""
    with planted(database, driven_clock, accounts=[an_account(limits={"member_hour": 1})]) as site:
        jobs = [site.send(), site.send("two")]

        site.ring(jobs[0])
        called = [request.path for request in site.transport.connects]
        site.ring(jobs[1])

        assert called == [GETTOKEN, SEND]
        assert [request.path for request in site.transport.connects] == [GETTOKEN, SEND, SEND]
        assert ([site.state(job) for job in jobs], site.transport.open) == (["accepted", "queued"], 0)


@pytest.mark.parametrize(
    ("why", "tries", "blocked"), [("closed_at_once", 0, True), ("deadline", 0, False), ("file", 1, False)]
)
def test_why_a_call_never_left_decides_what_waits(site: Site, why: str, tries: int, blocked: bool) -> None:
    """The account of a host that closes what it accepts; a part whose deadline passed before the first byte, uncounted;
    and any other fault is a try of the part.
    """
    site.vendor.says(unsent(why))
    job = site.send()

    site.ring(job)

    assert ("queued", tries) == (site.state(job), site.part(job).tries)
    assert blocked == (site.lane("hr") is not None)


def test_a_connection_that_fails_after_others_were_made_gives_the_room_back(
    database: Database, driven_clock: DrivenClock
) -> None:
    """The host goes away between two parts of one doorbell, reserved together: the second's room is given back, and no
    attempt is counted."""

    def refuse(request: Request) -> NotSent | None:
        gone = request.path == SEND and isinstance(request.body, bytes) and b"two" in request.body
        return NotSent("refused", 0.0) if gone else None

    with planted(database, driven_clock, refuse=refuse) as site:
        jobs = [site.send("one"), site.send("two", "wangwu")]
        site.runtime.lane_states.record_cycle(site.part(jobs[0]).lane, 0.01)
        reserved = site.reservations()

        site.ring(*jobs)

        assert reserved == [2]
        assert [site.state(job) for job in jobs] == ["accepted", "queued"]
        assert (site.part(jobs[1]).claim, site.part(jobs[1]).tries) == (0, 0)
        assert sum(site.units_used()) == 2


def test_a_full_member_delays_his_own_messages_and_nobody_else(site: Site) -> None:
    """Thirty a minute: the thirty-first waits, not as an attempt; a message to somebody else goes."""
    jobs = [site.send(str(n)) for n in range(31)]
    free = site.send("free", "zhaoliu")

    site.ring(*jobs, free)

    assert [site.state(job) for job in [*jobs, free]] == ["accepted"] * 30 + ["queued", "accepted"]
    assert site.part(jobs[30]).reason == "limit member_minute is used up"
    assert site.part(jobs[30]).tries == 0
    assert 60 * SECOND <= site.part(jobs[30]).not_before - site.clock.micros < 61 * SECOND


def test_a_used_up_limit_of_the_lane_blocks_the_lane(database: Database, driven_clock: DrivenClock) -> None:
    """An app's person-times of a day: the lane waits, its parts are not touched, recalls and uploads go on."""
    with planted(database, driven_clock, accounts=[an_account(limits={"app_day": 2})]) as site:
        jobs = [site.send(str(n)) for n in range(3)]
        due = site.part(jobs[2]).not_before

        site.ring(*jobs)

        lane = site.lane(site.part(jobs[2]).lane)
        assert lane is not None
        assert lane.reason == "limit app_day is used up"
        assert ("queued", due, None) == (site.state(jobs[2]), site.part(jobs[2]).not_before, site.part(jobs[2]).reason)


# -- between mark and call --------------------------------------------------------------------------------------------


def test_a_lease_lost_between_mark_and_call_lets_nothing_leave(database: Database, driven_clock: DrivenClock) -> None:
    """The commit of the mark took too long: others may call us dead, so the part is queued again, uncounted."""
    ticks, lease = Ticks(), Ticks()
    with planted(database, driven_clock, ticks=ticks, life_clock=lease) as site:
        job = site.send()
        site.runtime.checkpoint = lambda label: lease.advance(9) if label == "after_mark" else None

        site.ring(job)

        assert (
            site.state(job),
            site.calls(),
            site.part(job).claim,
            site.part(job).tries,
            site.part(job).doubts,
        ) == ("queued", [], 1, 0, 0)
        assert site.part(job).reason == "the process lost its lease"
        assert site.transport.open == 0


def test_a_lease_lost_while_a_permit_is_renewed_lets_nothing_leave(
    database: Database, driven_clock: DrivenClock
) -> None:
    """The renewal waits for the database: others may call us dead meanwhile, and a person may decide "not sent"."""
    ticks, lease = Ticks(), Ticks()
    with planted(database, driven_clock, ticks=ticks, life_clock=lease) as site:
        job, renew = site.send(), site.runtime.governor.renew
        site.runtime.checkpoint = lambda label: ticks.advance(0.3) if label == "after_mark" else None

        def slow(*args: Any) -> Any:
            lease.advance(9)
            return renew(*args)

        site.runtime.governor.renew = slow  # type: ignore[method-assign]

        site.ring(job)

        assert (site.state(job), site.calls(), site.part(job).doubts) == ("queued", [], 0)
        assert site.part(job).reason == "the process lost its lease"


def test_a_lease_lost_before_the_mark_marks_nothing(database: Database, driven_clock: DrivenClock) -> None:
    """Without a lease neither a doorbell is answered nor a part marked."""
    lease = Ticks()
    with planted(database, driven_clock, life_clock=lease) as site:
        job = site.send()
        lease.advance(9)
        unanswered = site.ring(job)
        lease.advance(-9)
        flight_lane = site.part(job).lane
        original = site.runtime.governor.reserve

        def slow(*args: Any, **options: Any) -> Any:
            lease.advance(9)
            return original(*args, **options)

        site.runtime.governor.reserve = slow  # type: ignore[method-assign]
        site.bell.answer(flight_lane, [part_id(job, 0)])

        assert (unanswered, site.calls(), site.state(job), site.part(job).claim) == (0, [], "queued", 0)


def test_a_permit_that_lapsed_is_asked_for_again(site: Site) -> None:
    """The mark took longer than the permit lives: another one is reserved before the call."""
    job = site.send()
    site.runtime.checkpoint = lambda label: site.ticks.advance(0.3) if label == "after_mark" else None

    site.ring(job)

    assert site.state(job) == "accepted"


def test_a_permit_that_lapsed_and_finds_no_room_sends_nothing(site: Site) -> None:
    """Somebody else took the room meanwhile: queued again, uncounted, nothing left."""
    job = site.send()
    site.runtime.checkpoint = lambda label: site.ticks.advance(0.3) if label == "after_mark" else None
    full = Denied(Scope.PART, 1.0, "member_minute", 1.0)
    site.runtime.governor.renew = lambda permit, charges: full  # type: ignore[method-assign]

    site.ring(job)

    assert (site.state(job), site.calls(), site.part(job).tries) == ("queued", [], 0)
    assert site.part(job).reason == "another call used up its limit meanwhile"


@pytest.fixture
def away(site: Site) -> Iterator[list[str]]:
    """Giving room back fails as long as the test runs; the part's state in SQL each time it was tried."""
    tried: list[str] = []

    def give_back(permits: Any) -> None:
        assert list(permits)
        site.settle()
        tried.extend(row.state for row in site.rows("select state from worker_parts order by id"))
        raise OperationalError("update", {}, Exception("the connection is closed"))

    site.runtime.governor.give_back = give_back  # type: ignore[method-assign]
    return tried


def test_room_that_cannot_be_given_back_keeps_no_part_in_flight(site: Site, away: list[str]) -> None:
    """The lease was lost after the mark and the database fails: the end was on its way first, so the part is queued
    again, uncounted, whatever becomes of its room."""
    job = site.send()
    alive = site.runtime.lease.may_act
    site.runtime.lease.may_act = lambda *args: "after_mark" not in site.probes and alive(*args)  # type: ignore[method-assign]

    with pytest.raises(OperationalError):
        site.ring(job)
    site.settle()

    assert [int(PartState.QUEUED)] == away
    assert (
        site.state(job),
        site.part(job).claim,
        site.part(job).tries,
        site.part(job).doubts,
        site.calls(),
    ) == ("queued", 1, 0, 0, [])


def test_what_never_left_is_no_doubt_when_its_room_cannot_be_given_back(site: Site, away: list[str]) -> None:
    """The call certainly never left and the database fails right after: the first end stands, not one in doubt."""
    site.vendor.says(unsent())
    job = site.send()

    with pytest.raises(OperationalError):
        site.ring(job)
    site.settle()

    assert [int(PartState.QUEUED)] == away
    assert (site.state(job), site.part(job).tries, site.part(job).doubts) == ("queued", 1, 0)
    assert [(one.outcome, bool(one.doubtful)) for one in site.of("attempts", job)] == [("retry", False)]


def test_a_permit_that_cannot_be_renewed_sends_nothing(site: Site) -> None:
    """It grew old while the mark was written, and the database fails when asked again: queued again, nothing left."""
    job = site.send()
    site.runtime.checkpoint = lambda label: site.ticks.advance(0.3) if label == "after_mark" else None
    reserve, asked = site.runtime.governor.reserve, []

    def fails_the_second_time(*args: Any, **options: Any) -> Any:
        asked.append(args)
        if len(asked) == 2:
            raise OperationalError("select", {}, Exception("the connection is closed"))
        return reserve(*args, **options)

    site.runtime.governor.reserve = fails_the_second_time  # type: ignore[method-assign]

    site.ring(job)

    assert len(asked) == 2
    assert (site.state(job), site.calls(), site.part(job).tries, site.part(job).doubts) == ("queued", [], 0, 0)
    assert [row for row in site.rows("select buckets from worker_budgets") if row.buckets != "[]"] == []


def test_the_steps_happen_in_their_order(site: Site) -> None:
    """The labels a crash test strikes at, in the order of one part's way."""
    site.ring(site.send())

    assert site.probes == ["before_mark", "after_mark", "before_record", "after_record", "before_ack"]


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_a_stale_token_is_replaced_once_and_the_part_is_not_counted(site: Site) -> None:
    """42001: queued at once, uncounted; the next call carries the next token."""
    site.vendor.says(refused(42001))
    job = site.send()

    site.ring(job)
    site.ring(job)

    assert (site.state(job), site.part(job).tries, tokens_fetched(site)) == ("accepted", 0, 2)
    assert [call.query["access_token"] for call in site.calls()] == ["t1", "t2"]


def test_a_new_token_that_is_refused_too_stops_the_account(site: Site) -> None:
    """Refused again with a newer token: a person must look, nobody knocks meanwhile, and a new secret is seen soon."""
    site.vendor.says(refused(42001), refused(40014))
    job = site.send()
    for _ in range(4):
        site.ring(job)
        site.advance(20)

    lane = site.lane("hr")
    assert lane is not None
    assert (len(site.calls()), tokens_fetched(site)) == (2, 2)
    # Found 20 s after the refusal, and until ten minutes after it.
    assert (bool(lane.parked), lane.blocked_until - lane.blocked_at) == (True, 580 * SECOND)
    assert "agentid and secret belong together" in lane.remedy
    assert (site.state(job), site.part(job).tries) == ("queued", 0)


def test_no_token_now_blocks_the_account_and_costs_no_attempt(database: Database, driven_clock: DrivenClock) -> None:
    """gettoken cannot be reached: the account's lanes wait, nothing is marked."""

    def refuse(request: Request) -> NotSent | None:
        return NotSent("refused", 0.0) if request.path == GETTOKEN else None

    with planted(database, driven_clock, refuse=refuse) as site:
        job = site.send()

        site.ring(job)

        lane = site.lane("hr")
        assert lane is not None
        assert not lane.parked
        assert (site.state(job), site.part(job).claim, site.calls()) == ("queued", 0, [])


# -- retries, repeats, unknowns ---------------------------------------------------------------------------------------


def until_done(site: Site, job: str, *, step_s: float = 400.0, most: int = 40) -> None:
    for _ in range(most):
        if site.state(job) not in ("queued", "unknown"):
            return
        if site.state(job) == "unknown" and site.part(job).not_before is None:
            return
        site.recover()
        site.ring(job)
        site.advance(step_s)


@pytest.mark.parametrize(("errcode", "calls"), [(6000, 8), (-1, 4)])
def test_what_is_tried_again_is_exhausted_in_the_end(site: Site, errcode: int, calls: int) -> None:
    """Readable "again" eight times, and -1 as often as the vendor allows; with the last reason, and every attempt."""
    site.vendor.says(*[refused(errcode)] * 20)
    job = site.send()

    until_done(site, job)

    assert (site.state(job), len(site.calls()), len(site.of("attempts", job))) == ("exhausted", calls, calls)
    assert str(errcode) in site.part(job).reason


def test_the_backoff_is_drawn_from_the_whole_range(site: Site) -> None:
    """Full jitter: anything between nothing and 1 s x 2^n, never above, and not always the same."""
    site.vendor.says(*[refused(6000)] * 60)
    jobs = [site.send(str(n), f"u{n}") for n in range(20)]

    site.ring(*jobs)
    delays = [(site.part(job).not_before - site.clock.micros) / SECOND for job in jobs]

    assert len(set(delays)) == 20
    assert all(0 <= delay <= 1.0 for delay in delays)
    assert max(delays) > 0.7
    assert min(delays) < 0.3
    backoffs = [backoff_s(site.runtime, tries) for tries in range(8) for _ in range(200)]
    assert max(backoffs[:200]) <= 1.0 < max(backoffs[200:400]) <= 2.0
    assert 100 < max(backoffs[1_400:]) <= 128.0


def test_an_unknown_is_repeated_five_times_at_most(site: Site) -> None:
    """The duplicate check makes it safe, the settings say how often; then a person decides."""
    site.vendor.says(*[lost()] * 20)
    job = site.send()

    until_done(site, job, step_s=26)

    assert (site.state(job), len(site.calls()), site.part(job).repeats) == ("unknown", 6, 5)
    assert "repeated as often as the settings allow" in site.part(job).reason
    assert len({call.body for call in site.calls()}) == 1


@pytest.mark.parametrize(
    ("wish", "account_wish", "calls"),
    [
        ("hold", "default", 1),
        ("default", "hold", 1),
        ("resend", "default", 2),
        ("default", "resend", 2),
        ("hold", "resend", 1),
    ],
)
def test_what_the_caller_wants_of_unknowns_is_done(
    database: Database, driven_clock: DrivenClock, wish: str, account_wish: str, calls: int
) -> None:
    """hold: never repeated, though it were safe; resend: repeated, safe or not; the job's word wins."""
    with planted(database, driven_clock, accounts=[an_account(on_unknown=account_wish)]) as site:
        site.vendor.says(lost())
        job = site.send(duplicate_check=wish == "hold" or account_wish == "hold", on_unknown=wish)

        until_done(site, job, step_s=26)

        assert calls == len(site.calls())
        assert ("accepted" if calls == 2 else "unknown") == site.state(job)


def test_a_cards_repeat_that_is_known_proves_the_first_call(site: Site) -> None:
    """42014 after a doubtful call: taken before; the receipt says that only a repeat proves it."""
    site.vendor.says(lost(), refused(42014))
    job = site.card()

    until_done(site, job, step_s=26)

    [receipt] = site.of("receipts", job)
    assert (site.state(job), bool(receipt.from_repeat), receipt.msgid) == ("accepted", True, None)
    bodies = site.bodies()
    assert bodies[0] == bodies[1]
    assert f"w{part_id(job, 0)}" == bodies[0]["template_card"]["task_id"]


@pytest.mark.parametrize("ask", [Site.send, Site.card])
@pytest.mark.parametrize(("errcode", "state"), [(81013, "rejected"), (45004, "rejected"), (40201, "unknown")])
def test_a_repeat_refused_for_what_the_first_call_met_too_is_rejected(
    site: Site, ask: Callable[..., str], errcode: int, state: str
) -> None:
    """The same words to the same people: what is wrong with them was wrong before. What changes leaves the doubt."""
    site.vendor.says(lost(), refused(errcode))
    job = ask(site, to="lisi|wozhang")
    site.ring(job)
    site.advance(26)
    site.recover()

    site.ring(job)

    assert (state, None) == (site.state(job), site.part(job).not_before)
    assert (2 if errcode == 81013 else 0) == len(site.of("failures", job))


TASK_ID_KNOWN = refused(42014, "taskid exist")
OTHERS = [
    pytest.param(refused(0, "ok", msgid="m"), "hr", "unknown", id="taken"),
    pytest.param(lost(), "hr", "unknown", id="in doubt"),
    pytest.param(refused(0, "ok", msgid="m"), "alerts", "unknown", id="taken from another account of the app"),
    pytest.param(TASK_ID_KNOWN, "hr", "accepted", id="refused, so it has no card"),
    pytest.param(refused(0, "ok", msgid="m"), "it", "accepted", id="of another app"),
]


@pytest.mark.parametrize(("said", "account", "state"), OTHERS)
def test_a_task_id_another_part_may_have_used_proves_nothing(
    database: Database, driven_clock: DrivenClock, said: Any, account: str, state: str
) -> None:
    """The caller chose one task_id twice: that the vendor knows it tells of one of the two cards, but not of which."""
    accounts = [an_account("hr"), an_account("alerts"), an_account("it", settings={"agentid": 8})]
    with planted(database, driven_clock, accounts=accounts) as site:
        other, job = site.card(task_id="leave-7", account=account), site.card(task_id="leave-7")
        site.vendor.says(said, lost(), TASK_ID_KNOWN)
        site.ring(other)
        site.ring(job)
        site.advance(26)
        site.recover()

        site.ring(job)

        assert (state, None) == (site.state(job), site.part(job).not_before)
        assert (state == "unknown") == ("another part may have used it" in (site.part(job).reason or ""))


@pytest.mark.parametrize(("late_s", "state", "calls"), [(-1, "accepted", 2), (0, "unknown", 1)])
def test_a_cards_repeat_has_an_end(site: Site, late_s: int, state: str, calls: int) -> None:
    """How long the vendor knows a task_id is not published: a repeat ends within 4 h of the first call, or is held."""
    site.vendor.says(lost())
    job = site.card()
    site.ring(job)
    site.advance(4 * 3_600 - 20 - 60 + late_s)
    site.recover()

    site.ring(job)

    assert (state, calls) == (site.state(job), len(site.calls(SEND)))
    assert None is site.part(job).not_before


def test_a_used_task_id_on_a_first_call_is_refused(site: Site) -> None:
    """42014 on the first attempt means the caller's task_id was used before."""
    site.vendor.says(refused(42014))
    job = site.card(task_id="mine")

    site.ring(job)

    assert site.state(job) == "rejected"


def test_a_call_in_doubt_is_never_healed_with_other_bytes(site: Site) -> None:
    """A repeat refused as 40007 stays in doubt: a new media_id would make it another message."""
    job = site.image()
    site.vendor.says(lambda request: site.vendor.takes(request), lost(), refused(40007))

    site.run()
    site.advance(26)
    site.recover()
    site.run()

    assert (site.state(job), site.part(job).not_before) == ("unknown", None)
    assert len(site.rows("select 1 as one from worker_jobs where kind = 'upload'")) == 1


# -- two equal, one line ----------------------------------------------------------------------------------------------


def test_an_attempt_is_one_log_line_without_content(site: Site) -> None:
    """Always the same fields; no text, no recipient, no token."""
    with structlog.testing.capture_logs() as lines:
        site.ring(site.send("very secret", "zhangsan"))

    [line] = [line for line in lines if line["event"] == "attempt"]
    expected = {"event", "log_level", "job", "part", "channel", "account", "kind", "attempt", "outcome", "errcode"}
    assert expected | {"delay", "duration", "reason"} == set(line)
    assert not any(word in str(lines) for word in ("very secret", "zhangsan", "t1"))


def test_an_attempt_says_why_it_was_not_accepted(site: Site) -> None:
    """A refusal that is tried again, a connection that failed, an answer that was lost, a wrong secret."""
    site.vendor.says(busy(), unsent("refused"), lost("read_timeout"), refused(50003, "disabled"))
    with structlog.testing.capture_logs() as lines:
        for _ in range(4):
            site.ring(site.send(duplicate_check=False))
            site.advance(70)

    told = [(line["outcome"], line["reason"]) for line in lines if line["event"] == "attempt"]
    assert [outcome for outcome, reason in told if not reason] == []
    assert {"retry", "unknown", "parked"} <= {outcome for outcome, _ in told}


def test_a_part_somebody_else_marked_is_left_alone(site: Site) -> None:
    """The id was rung twice: the second finds it marked, gives its room back and calls nobody."""
    job = site.send()
    seen: list[int] = []

    def twice(label: str) -> None:
        if label == "before_mark" and not seen:
            seen.append(1)
            site.bell.answer(site.part(job).lane, [part_id(job, 0)])

    site.runtime.checkpoint = twice
    site.ring(job)

    assert (site.state(job), len(site.calls()), site.part(job).claim) == ("accepted", 1, 1)
    assert site.units_used() == [1, 1]


def test_changes_of_a_stranger_are_not_undone(site: Site) -> None:
    """A refusal decided on an old reading of the part is dropped when the part has moved since."""
    job = site.send()
    site.ring(job)
    work = site.rows("select * from worker_parts where id = :id", id=part_id(job, 0))[0]

    prepare.change(site.runtime, work, lambda part, now: settle.refuse(part, "late"))  # type: ignore[arg-type]

    assert site.state(job) == "accepted"


def test_an_error_of_ours_after_the_mark_leaves_an_unknown(site: Site) -> None:
    """A defect in reading an answer must not leave a living process's part in flight: in doubt, and recorded."""

    def broken(request: Request) -> Any:
        raise ZeroDivisionError

    site.vendor.says(broken)
    job = site.send()
    with pytest.raises(ZeroDivisionError):
        site.ring(job)
    site.settle()

    assert site.state(job) == "unknown"


def test_an_answer_that_cannot_be_judged_keeps_its_http_status(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer was read whole before our own code failed over it; a call that failed before has none."""

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(WecomApp, "outcome", broken)
    site.vendor.says(answered(b"{}", 201))
    job = site.send()
    with pytest.raises(ZeroDivisionError):
        site.ring(job)
    site.settle()

    assert [(row.outcome, row.http_status) for row in site.of("attempts", job)] == [("unknown", 201)]


def test_a_shorter_window_is_a_setting_of_the_account(database: Database, driven_clock: DrivenClock) -> None:
    """`windows_s.duplicate`: a repeat after it is held, though the vendor's own window is longer."""
    accounts = [an_account(settings={"windows_s": {"duplicate": 600}})]
    with planted(database, driven_clock, accounts=accounts) as site:
        site.vendor.says(lost())
        job = site.send()
        site.ring(job)
        site.advance(600)
        site.recover()

        site.ring(job)

        assert (site.state(job), len(site.calls())) == ("unknown", 1)


def test_a_media_id_of_the_callers_own_is_not_healed(site: Site) -> None:
    """There is no file to upload again: refused for good, with the vendor's reason."""
    site.vendor.says(refused(40007))
    job = site.ask(Image(media_id="gone"))

    site.ring(job)

    assert (site.state(job), len(site.calls())) == ("rejected", 1)


def test_a_channel_without_tokens_fetches_none(database: Database, driven_clock: DrivenClock) -> None:
    """A webhook's key is in its address: the call goes without asking anybody for a token."""
    with planted(database, driven_clock, accounts=[a_webhook("http://vendor")]) as site:
        job = site.ask(Text(content="hi"), Chats("wr-1"), account="alerts")

        site.ring(job)

        assert (site.state(job), tokens_fetched(site)) == ("accepted", 0)
