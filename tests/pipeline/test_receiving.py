"""Quiet hours wait in SQL and end in time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.runtime import Site, an_account, lost, planted
from worker import CheckFailed, why
from worker.channels.registry import channel
from worker.domain.account import Account
from worker.domain.content.left_out import outcome_for_all
from worker.domain.content.staging import STAGING
from worker.domain.job import JobKind
from worker.domain.outcome import Progress, Refusal
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

NIGHT = "22:00-07:00 Europe/Berlin"
URGENT_PASSES = f"{NIGHT}, urgent passes"


def clock_at(clock: DrivenClock, at: str) -> None:
    clock.micros = int(datetime.fromisoformat(at).timestamp()) * 1_000_000


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process; `hr` has quiet hours, `it` has none. It is noon."""
    clock_at(driven_clock, "2026-03-28T12:00:00+01:00")
    accounts: list[Account] = [an_account(quiet_hours=NIGHT), an_account("it", settings={"agentid": 8})]
    with planted(database, driven_clock, accounts=accounts) as planted_site:
        yield planted_site


def at(site: Site, when: str) -> None:
    clock_at(site.clock, when)
    site.advance(0)


def states(site: Site, *jobs: str) -> list[str]:
    return [site.state(job) for job in jobs]


# -- quiet hours -------------------------------------------------------------------------------------------------------


def test_what_is_due_in_the_night_goes_in_the_morning(site: Site) -> None:
    """The night in which summer time begins is an hour shorter, and not a call is made in it."""
    at(site, "2026-03-28T23:00:00+01:00")
    job, other = site.send("quiet"), site.send("loud", account="it")
    site.run()
    assert (states(site, job, other), len(site.calls())) == (["queued", "accepted"], 1)
    assert instant(site.part(job).not_before).isoformat() == "2026-03-29T05:00:00+00:00"

    at(site, "2026-03-29T06:59:59+02:00")
    site.run()
    assert states(site, job) == ["queued"]
    at(site, "2026-03-29T07:00:00+02:00")
    site.run()

    assert states(site, job) == ["accepted"]
    assert site.part(job).tries == 0, "to wait is no attempt"


def test_a_night_is_an_hour_longer_when_summer_time_ends(site: Site) -> None:
    """Seven in the morning, not eight hours after eleven."""
    at(site, "2026-10-24T23:00:00+02:00")
    job = site.send()
    site.run()
    assert datetime(2026, 10, 25, 6, tzinfo=UTC) == instant(site.part(job).not_before)


def test_a_job_has_its_own_quiet_hours_or_none(site: Site) -> None:
    """They go before its account's; a replay keeps them."""
    at(site, "2026-03-28T23:00:00+01:00")
    none, own = site.send("a", quiet_hours="none"), site.send("b", account="it", quiet_hours=NIGHT)
    site.run()
    assert states(site, none, own) == ["accepted", "queued"]
    replay = site.replay(none)
    site.run()
    assert states(site, replay) == ["accepted"]


def test_urgent_passes_only_where_it_is_said(site: Site) -> None:
    """And recalls, uploads and updates always do: they put nothing new before people."""
    card = site.card()
    site.run()
    at(site, "2026-03-28T23:00:00+01:00")
    waits = site.send("a", priority="urgent")
    passes = site.send("b", priority="urgent", quiet_hours=URGENT_PASSES)
    normal = site.send("c", quiet_hours=URGENT_PASSES)
    update, upload = site.update(card), site.upload()
    site.run()
    recall = site.recall(card)
    site.run()
    assert states(site, waits, passes, normal) == ["queued", "accepted", "queued"]
    assert states(site, update, upload, recall) == ["accepted"] * 3


def test_the_instant_of_the_mark_decides(site: Site) -> None:
    """A part that was prepared a moment before ten is not called a moment after."""
    at(site, "2026-03-28T21:59:59+01:00")
    job = site.send()
    reserve = site.runtime.governor.reserve

    def later(*given: Any, **more: Any) -> Any:
        at(site, "2026-03-28T22:00:00+01:00")
        return reserve(*given, **more)

    site.runtime.governor.reserve = later  # type: ignore[method-assign]
    site.ring(job)
    assert (states(site, job), site.calls()) == (["queued"], [])
    assert site.part(job).reason == "quiet hours"


def test_why_says_that_it_is_quiet(site: Site) -> None:
    """Until when, too."""
    at(site, "2026-03-28T23:00:00+01:00")
    job = site.send()
    site.run()
    with site.database.reading() as connection:
        [wait] = why(connection, job).waits
    assert (wait.what, wait.until and wait.until.isoformat()) == ("quiet_hours", "2026-03-29T05:00:00+00:00")


def test_a_repeat_goes_and_a_night_loses_nothing(site: Site) -> None:
    """What was begun before ten is settled: in the morning no repeat would be safe. What expires meanwhile expires."""
    site.vendor.says(lost())
    job = site.send(duplicate_check=False, on_unknown="resend")
    ends = site.send("late", expires_at=datetime(2026, 3, 29, 1, tzinfo=UTC))
    site.ring(job)
    at(site, "2026-03-28T23:00:00+01:00")
    site.recover()
    site.run()
    assert states(site, job, ends) == ["accepted", "queued"]
    at(site, "2026-03-29T07:00:00+02:00")
    site.recover()
    site.run()
    assert states(site, job, ends) == ["accepted", "expired"]


@pytest.mark.parametrize("wrong", ["22-7", "22:00-22:00 UTC", "22:00-07:00 Nowhere/City", "x" * 90])
def test_wrong_quiet_hours_are_refused_at_enqueue(site: Site, wrong: str) -> None:
    """With how to write them."""
    with pytest.raises(CheckFailed, match=r'quiet_hours: .* write "22:00-07:00 Asia/Shanghai"'):
        site.send(quiet_hours=wrong)


@pytest.mark.fewer_databases("no database is asked")
def test_the_share_of_a_part_keeps_who_is_left_out() -> None:
    """When it goes on with another page; and whom the vendor refused by then stays refused."""
    gone, refused = (Refusal("wrC", "chat", STAGING),), (Refusal("wrB", "chat", "errmsg"),)
    outcome = outcome_for_all(Progress({"chats": ["wrA", "wrB"]}, "a page", refusals=refused), gone)
    assert isinstance(outcome, Progress)
    assert ({"chats": ["wrA", "wrB", "wrC"]}, refused) == (outcome.spec, outcome.refusals)


@pytest.mark.fewer_databases("no database is asked")
@pytest.mark.parametrize("name", ["wecom_app", "wecom_webhook", "wecom_external", "youdu"])
def test_what_is_put_before_people_is_what_a_channel_sends(name: str) -> None:
    """Pop-ups and badges of Youdu, too."""
    assert JobKind.SEND in channel(name).sends
    if name == "youdu":
        assert {"pop_window", "badge"} <= channel(name).sends
