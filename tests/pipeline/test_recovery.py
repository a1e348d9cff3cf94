"""Recovery: who is dead, what its parts become, when an unknown is acted on, expiry, and parks that ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.support.runtime import UPLOAD, Site, an_account, lost, planted, refused
from worker.channels.registry import channel
from worker.delivery.maintenance import recovery
from worker.delivery.maintenance.recovery import Recovery
from worker.domain.job import part_id
from worker.domain.settle import Policy
from worker.outbox.commit.commands import Change, Effects, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.agenda import Agenda
from worker.outbox.lanes.processes import renew_heartbeat

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def beat(site: Site, who: str = "other") -> None:
    with site.database.writing() as connection:
        renew_heartbeat(
            connection, site.database.now, who, lease_us=10 * SECOND, threads=4, host="h", pid=1, lanes="{}"
        )


def mark(site: Site, job: str, who: str = "other", **fields: Any) -> None:
    commit(site.database, [Mark(part_id(job, 0), 0, who, 20 * SECOND, **fields)], Policy())


def watch(site: Site, seconds: float, step: float = 1.0) -> None:
    """Turns of the recovery, one a second."""
    waited = 0.0
    while waited < seconds:
        site.advance(step)
        site.recover()
        waited += step


def dead(site: Site, who: str = "other") -> bool:
    [row] = site.rows("select ended_at from worker_processes where id = :id", id=who)
    return row.ended_at is not None


# -- who is dead ------------------------------------------------------------------------------------------------------


def test_a_process_is_dead_after_ten_seconds_without_a_heartbeat(site: Site) -> None:
    """Ten seconds of our own turns in which its lease did not move, not nine."""
    beat(site)
    site.recover()

    watch(site, 9)
    before = dead(site)
    watch(site, 1)

    assert (before, dead(site)) == (False, True)


def test_a_late_heartbeat_starts_the_watch_over(site: Site) -> None:
    """It came after nine seconds of silence: another ten are needed."""
    beat(site)
    site.recover()
    watch(site, 9)
    beat(site)

    watch(site, 10)
    before = dead(site)
    watch(site, 1)

    assert (before, dead(site)) == (False, True)


def test_a_pause_of_ours_proves_nothing_about_others(site: Site) -> None:
    """We slept for a minute: nothing was watched, so everybody gets ten seconds from now."""
    beat(site)
    site.recover()

    site.advance(60)
    site.recover()
    after_the_pause = dead(site)
    watch(site, 9)
    before = dead(site)
    watch(site, 1)

    assert (after_the_pause, before, dead(site)) == (False, False, True)


def test_a_turn_that_failed_starts_the_watch_over(site: Site) -> None:
    """The database was away for us too: its silence is no proof of anybody's death."""
    beat(site)
    site.recover()
    watch(site, 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Agenda, "refresh", _broken)
        site.advance(1)
        with pytest.raises(OperationalError):
            site.recover()

    watch(site, 9)
    before = dead(site)
    watch(site, 2)

    assert (before, dead(site)) == (False, True)


def _broken(*given: object) -> None:
    raise OperationalError("", {}, Exception(), connection_invalidated=True)


def test_a_slow_look_does_not_count_as_watching(site: Site) -> None:
    """The first look took five seconds: the lease was seen at its end, so ten seconds count from there."""
    beat(site)
    reading = site.database.reading

    def slow() -> Any:
        site.advance(5)
        site.database.reading = reading  # type: ignore[method-assign]
        return reading()

    site.database.reading = slow  # type: ignore[method-assign]
    site.recover()

    watch(site, 9)

    assert not dead(site)


def test_a_clean_end_is_not_watched(site: Site) -> None:
    """Who ended is ended; its marked parts are doubted at once."""
    beat(site)
    job = site.send()
    mark(site, job)
    site.sql("update worker_processes set ended_at = 1 where id = 'other'")

    site.recover()

    assert site.state(job) == "unknown"


# -- what it left -----------------------------------------------------------------------------------------------------


@pytest.mark.every_database
def test_a_dead_process_leaves_unknowns_with_their_attempt(site: Site, driven_clock: DrivenClock) -> None:
    """Its bytes may have left: unknown, an attempt in doubt, the policy not before the deadline and five seconds."""
    beat(site)
    job, untouched = site.send(), site.send("other")
    mark(site, job, window_id="w", window_us=SECOND)
    marked_at = driven_clock.micros
    site.recover()

    watch(site, 10)

    part, [attempt] = site.part(job), site.of("attempts", job)
    assert ("unknown", 1, marked_at + 25 * SECOND) == (part.state, part.doubts, part.not_before)
    assert ("unknown", True, True, "other", marked_at, None) == (
        attempt.outcome,
        bool(attempt.doubtful),
        bool(attempt.flagged),
        attempt.incarnation,
        attempt.started_at,
        attempt.duration_ms,
    )
    assert site.state(untouched) == "queued"


def overtaken(site: Site, monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    """One turn of the recovery; between its look at some parts and their lock the statement is carried out."""
    change = site.runtime.writer.change
    moved: list[str] = []

    def late(changes: Sequence[Change]) -> None:
        if changes:
            site.sql(statement)
            moved.extend(one.part_id for one in changes)
        change(changes)

    with monkeypatch.context() as patch:
        patch.setattr(site.runtime.writer, "change", late)
        site.recover()
    assert len(moved) == 1


@pytest.mark.every_database
def test_a_part_its_process_ended_meanwhile_is_left_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer was written between our look and our lock."""
    beat(site)
    job = site.send()
    mark(site, job)
    site.sql("update worker_processes set ended_at = 1 where id = 'other'")

    overtaken(site, monkeypatch, "update worker_parts set claim = 2")

    assert site.state(job) == "sending"


@pytest.mark.every_database
def test_a_dead_processs_code_is_burned(site: Site) -> None:
    """The card's update was in flight: its code may be used."""
    card = site.card()
    site.ring(card)
    update = site.update(card)
    beat(site)
    mark(site, update, effects=Effects(site.of("response_codes", card)[0].id))
    site.recover()

    watch(site, 10)

    assert (site.of("response_codes", card)[0].state, site.state(update)) == ("burned", "unknown")


# -- unknowns ---------------------------------------------------------------------------------------------------------


def test_an_unknown_is_acted_on_no_earlier_than_deadline_and_margin(site: Site) -> None:
    """25 s after the mark: until then its answer may still come."""
    site.vendor.says(lost())
    job = site.send()
    site.ring(job)

    watch(site, 24)
    before = site.state(job)
    watch(site, 1)

    assert (before, site.state(job)) == ("unknown", "queued")


HELD = [
    pytest.param({"duplicate_check": False}, "nothing makes a repeat safe", id="no check"),
    pytest.param({"on_unknown": "hold"}, "the job asks to hold unknown outcomes (on_unknown)", id="caller"),
]


@pytest.mark.parametrize(("options", "why"), HELD)
def test_what_cannot_be_repeated_is_held_with_the_reason(site: Site, options: dict[str, Any], why: str) -> None:
    """Unknown, for a person, saying what happened and why nothing is done; it stays so."""
    site.vendor.says(lost("cut"))
    job = site.send(**options)
    site.ring(job)

    watch(site, 30, 2.5)

    assert ("unknown", None, f"cut; held: {why}") == (site.state(job), site.part(job).not_before, site.part(job).reason)


def test_an_account_that_holds_doubts_holds_none_that_a_repeat_ends_without_harm(
    database: Database, driven_clock: DrivenClock
) -> None:
    """Its message waits for an upload, which the worker repeats. A message in doubt is held."""
    with planted(database, driven_clock, accounts=[an_account(on_unknown="hold")]) as site:
        site.vendor.says(lost(), lost())
        held = site.send()
        site.ring(held)
        job = site.image()
        site.run()

        watch(site, 30, 2.5)
        site.run()

        assert (site.state(job), site.state(held)) == ("accepted", "unknown")
        assert len(site.calls(UPLOAD)) == 2


def test_an_unflagged_call_is_held(site: Site) -> None:
    """It went without the duplicate check, because an equal message was before it."""
    first, second = site.send(), site.send()
    site.ring(first)
    site.vendor.says(lost())
    site.ring(second)

    watch(site, 30, 2.5)

    assert "it was sent without the vendor's duplicate check" in site.part(second).reason


def in_doubt(site: Site, count: int, *, account: str = "hr", **options: Any) -> list[str]:
    """Sends whose call was lost, of an account."""
    site.vendor.says(*[lost()] * count)
    jobs = [site.send(f"{account} {n}", account=account, **options) for n in range(count)]
    site.ring(*jobs)
    return jobs


def test_an_account_that_is_not_configured_here_is_left_to_who_knows_it(site: Site) -> None:
    """In a deployment some processes learn of an account later than others; those decide nothing about it."""
    [job] = in_doubt(site, 1)
    before = site.part(job)
    site.accounts.replace(an_account("it"))

    watch(site, 60, 2.5)
    left = site.part(job)
    site.accounts.replace(an_account(), an_account("it"))
    site.recover()

    assert before == left
    assert site.state(job) == "queued"


def test_an_account_that_no_process_knows_for_a_day_is_held(site: Site) -> None:
    """It was taken out of the settings: a person must decide."""
    [job] = in_doubt(site, 1)
    site.accounts.replace(an_account("it"))
    site.advance(25 + 86_390)
    site.recover()
    before = site.part(job).not_before

    site.advance(10)
    site.recover()

    assert before is not None
    assert (
        site.part(job).not_before,
        site.part(job).reason,
    ) == (None, "read_timeout; held: its account is not configured on this worker")


def test_what_is_left_as_it_is_hides_nothing_behind_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many parts of an account that is not known here are in doubt, and however late."""
    monkeypatch.setattr(recovery, "BATCH_SIZE", 2)
    others = in_doubt(site, 5, account="it")
    known = in_doubt(site, 2)
    site.accounts.replace(an_account())

    watch(site, 32)

    assert (
        [site.state(job) for job in known],
        [site.state(job) for job in others],
    ) == (["queued"] * 2, ["unknown"] * 5)


@pytest.mark.parametrize("account", ["it", "ext"])
def test_late_parts_that_stay_hide_no_other(
    database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch, account: str
) -> None:
    """Those of an account that is not known here, and those whose next call is a search, which is never too late."""
    monkeypatch.setattr(recovery, "BATCH_SIZE", 2)
    with planted(database, driven_clock) as site:
        stays = in_doubt(site, 5, expires_at=timedelta(seconds=40))
        site.sql(f"update worker_parts set state = 0, not_before = {site.clock.micros}, lane = :l", l=f"{account}:1")
        site.sql("update worker_jobs set account = :account, n_open = 1, n_unknown = 0, state = 0", account=account)
        ends = [site.send(f"late {n}", expires_at=timedelta(seconds=41)) for n in range(3)]
        external = an_account("ext")
        site.accounts.replace(an_account(), replace(external, channel="wecom_external"))

        watch(site, 50)

        assert (
            [site.state(job) for job in ends],
            [site.state(job) for job in stays],
        ) == (["expired"] * 3, ["queued"] * 5)


@pytest.mark.parametrize("kind", ["recall", "upload"])
def test_what_does_no_harm_twice_is_repeated(site: Site, kind: str) -> None:
    """Recalls and uploads: again, whatever became of the first."""
    target = site.send()
    site.ring(target)
    site.vendor.says(lost())
    job = site.recall(target) if kind == "recall" else site.upload()
    site.ring(job)

    watch(site, 26)
    site.ring(job)

    assert (site.state(job), site.part(job).claim) == ("accepted", 2)


@pytest.mark.every_database
def test_an_unknown_that_moved_meanwhile_is_left_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its late answer came between our look and our lock."""
    site.vendor.says(lost())
    job = site.send()
    site.ring(job)
    site.advance(26)

    overtaken(site, monkeypatch, "update worker_parts set claim = 7")
    before = site.state(job)
    site.recover()

    assert (before, site.state(job)) == ("unknown", "queued")


# -- what it cannot judge ---------------------------------------------------------------------------------------------


def told(site: Site) -> list[tuple[str, str, str]]:
    """The events of what was set aside."""
    rows = site.rows("select account, label, reason from worker_lane_events where what = 'set aside' order by id")
    return [(row.account, row.label, row.reason) for row in rows]


def test_a_part_that_cannot_be_judged_is_held_and_told_and_stops_no_other(site: Site) -> None:
    """Its documents cannot be read, or make no sense to its channel: an error of ours, about this part alone."""
    site.vendor.says(lost(), lost(), lost())
    odd, broken, fine = (site.send(text) for text in ("odd", "broken", "fine"))
    for job in (odd, broken, fine):
        site.ring(job)
    late = site.send("late", expires_at=timedelta(seconds=20))
    site.sql("update worker_jobs set message = '[]' where id = :job", job=odd)
    site.sql("update worker_parts set spec = '{' where job_id = :job", job=broken)

    watch(site, 26)

    assert [site.state(job) for job in (odd, broken, fine, late)] == ["unknown", "unknown", "queued", "expired"]
    assert site.part(broken).reason == "read_timeout; held: error in this program: JSONDecodeError"
    assert (site.part(odd).not_before, site.part(broken).not_before) == (None, None)
    assert {
        ("hr", "send in doubt", f"error in this program: {name}; seen at part {job}-0 of job {job} first")
        for name, job in (("TypeError", odd), ("JSONDecodeError", broken))
    } == set(told(site))


def test_what_cannot_be_judged_is_told_once_a_day_not_once_a_part(site: Site) -> None:
    """An account that was given another channel may have thousands of them."""
    site.vendor.says(*[lost()] * 3)
    jobs = [site.send(f"text {n}") for n in range(3)]
    site.ring(*jobs)
    site.sql("update worker_parts set spec = '{'")

    watch(site, 26)

    assert [site.part(job).not_before for job in jobs] == [None] * 3
    assert len(told(site)) == 1


def test_a_late_part_that_cannot_be_judged_stops_no_other(site: Site) -> None:
    """It is in doubt and waits for its repeat when its time is over: unknown, for a person."""
    site.vendor.says(lost())
    odd = site.send("odd", expires_at=timedelta(seconds=40))
    site.ring(odd)
    watch(site, 26)
    site.sql("update worker_parts set spec = '{' where job_id = :job", job=odd)
    late = site.send("late", expires_at=timedelta(seconds=10))

    watch(site, 20)

    assert (site.state(odd), site.state(late)) == ("unknown", "expired")


def test_a_step_that_fails_stops_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is: a process that died is found in ten seconds, what expired ends, and the third time it is told."""

    def fails(*given: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(recovery, "parts_in_doubt", fails)
    in_doubt(site, 1)
    site.advance(26)
    beat(site)
    job = site.send(expires_at=timedelta(seconds=1))
    site.recover()

    watch(site, 10)

    assert (dead(site), site.state(job)) == (True, "expired")
    assert told(site) == [("", "recovery of unknowns", "error in this program: RuntimeError")]


def test_a_step_that_fails_once_is_not_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that another statement held, or a deadlock, is over with the next turn."""
    look = recovery.parts_in_doubt

    def fails(*given: object) -> None:
        monkeypatch.setattr(recovery, "parts_in_doubt", look)
        raise RuntimeError

    monkeypatch.setattr(recovery, "parts_in_doubt", fails)
    in_doubt(site, 1)

    watch(site, 30)

    assert recovery.parts_in_doubt is look
    assert told(site) == []


def test_what_was_just_seen_is_not_asked_again(site: Site) -> None:
    """While the relay of the same process looks anyway, a turn that has nothing to do sends no statement."""
    agenda = Agenda(site.database, site.ticks)
    looks = Recovery(
        site.database,
        change=site.runtime.writer.change,
        accounts=site.accounts,
        channel=channel,
        policy=Policy(),
        lease_s=10.0,
        monotonic=site.ticks,
        agenda=agenda,
    )
    agenda.refresh()
    looks.turn()  # The first turn looks for repeats behind which the clock was set back.

    with site.database_away():
        looks.turn()
        site.ticks.advance(1.0)
        with pytest.raises(OperationalError):
            looks.turn()


# -- expiry and parks -------------------------------------------------------------------------------------------------


@pytest.mark.every_database
def test_what_expired_in_the_queue_ends(site: Site) -> None:
    """Nobody has to ring it for it to end."""
    job, later = site.send(expires_at=timedelta(seconds=60)), site.send("x", expires_at=timedelta(seconds=600))

    watch(site, 59, 2.95)
    before = site.state(job)
    watch(site, 1)

    assert (before, site.state(job), site.state(later)) == ("queued", "expired", "queued")


def test_what_expired_in_doubt_stays_unknown(site: Site) -> None:
    """A repeat that never came in time: it may have been sent all the same."""
    site.vendor.says(lost(), refused(6000))
    job = site.send(expires_at=timedelta(seconds=30))
    site.ring(job)
    watch(site, 26)
    queued = site.state(job)

    watch(site, 5)

    assert (queued, site.state(job), site.part(job).not_before) == ("queued", "unknown", None)
    assert "in doubt; later expired" in site.part(job).reason


def test_a_park_ends_at_its_instant(site: Site) -> None:
    """Whoever waits for another job looks again at the latest then: no wait is for ever by accident."""
    job = site.send()
    site.sql(
        "update worker_parts set waits_on = 'x', not_before = :until, offered_until = 5",
        until=site.clock.micros + 10 * SECOND,
    )

    watch(site, 9)
    before = site.part(job).waits_on
    watch(site, 1)

    assert (before, site.part(job).waits_on, site.part(job).offered_until) == ("x", None, None)
