"""Jobs that wait get other times and priorities, as if they had been enqueued so."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.runtime import UPDATE, UPLOAD, Site, busy, lost, planted
from worker import Text, To
from worker.control.audit import CommandResult, list_audit
from worker.control.pause import pause, resume
from worker.control.reschedule import find_waiting, reschedule
from worker.domain.call import CallResult, Request
from worker.domain.errors import CheckFailed
from worker.domain.job import part_id
from worker.domain.job_filter import JobFilter
from worker.domain.pacing.bulk import Pacing
from worker.domain.settle import FOREVER
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.jobs.codes import code_states

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in the first test")

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process."""
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def change(site: Site, *ids: str, wanted: JobFilter | None = None, **new: Any) -> CommandResult:
    found = find_waiting(wanted or JobFilter(ids=ids), database=site.database)
    return reschedule(found, **new, person="zhang", why="not before lunch", database=site.database)


def later(site: Site, delay: timedelta) -> datetime:
    return instant(site.database.read_now()) + delay


@pytest.mark.every_database
def test_what_waits_is_moved(site: Site) -> None:
    """On the job and on its parts, in both directions; what was sent, cancelled or is a recall stays as it is."""
    sent = site.send("sent", tags=["lunch"])
    site.run()
    recall = site.recall(sent, tags=["lunch"], due_at=DAY)
    early, late = site.send("early", tags=["lunch"]), site.send("late", tags=["lunch"], due_at=DAY)
    at, end = later(site, HOUR), later(site, 2 * HOUR)
    wanted = JobFilter(tag="lunch")

    found = find_waiting(wanted, database=site.database)
    done = change(site, wanted=wanted, due_at=at, expires_at=end, priority="bulk")
    site.run()
    before = len(site.calls())
    site.advance(HOUR.total_seconds())
    site.run()

    assert ({("hr", "send"): 2}, {"queued": 2}, sorted([early, late])) == (found.counts, found.breakdown, [*found.ids])
    assert ({"jobs": 2, "parts": 2}, [early, late]) == (dict(done.counts), sorted(done.jobs, key=[early, late].index))
    assert (before, sorted(body["text"]["content"] for body in site.bodies()[1:])) == (1, ["early", "late"])
    for job in (early, late):
        row, part = site.job(job), site.part(job)
        assert (at, end, end) == tuple(map(instant, (row.due_at, row.expires_at, part.expires_at)))
        assert (row.priority, part.priority, row.state) == (2, 2, "accepted")
    assert later(site, 22 * HOUR) < instant(site.job(recall).due_at)
    with site.database.reading() as connection:
        entry = list_audit(connection)[0]
    assert (entry.action, entry.person, entry.why) == ("reschedule", "zhang", "not before lunch")
    assert (at.isoformat(), "bulk") == (entry.arguments["due_at"], entry.arguments["priority"])


def test_what_waits_in_a_hand_is_not_sent(site: Site) -> None:
    """A doorbell has read the part with its old time, and may not mark it any more."""
    first, second = site.send("first"), site.send("second")

    def moved_meanwhile(request: Request) -> CallResult:
        change(site, second, due_at=HOUR)
        return site.vendor.takes(request)

    site.vendor.says(moved_meanwhile)
    site.ring(first, second)
    assert ([site.state(first), site.state(second)], len(site.calls())) == (["accepted", "queued"], 1)

    site.advance(HOUR.total_seconds())
    site.run()
    assert (site.state(second), site.part(second).doubts) == ("accepted", 0)


def test_what_was_refused_is_moved(site: Site) -> None:
    """Also behind others of its order. It is not too old for a retry at its new time."""
    refused, behind = site.send("refused", order_key="o"), site.send("behind", order_key="o")
    site.vendor.says(busy())
    site.ring(refused)

    change(site, refused, due_at=2 * DAY)
    site.recover()
    site.run()
    assert (site.state(refused), site.state(behind), len(site.calls())) == ("queued", "accepted", 2)

    site.advance(2 * DAY.total_seconds())
    site.vendor.says(busy())
    site.run()
    assert (site.state(refused), len(site.calls())) == ("queued", 3)


def test_what_was_refused_and_is_paused_is_moved(site: Site) -> None:
    """As what was refused, once the pause has ended."""
    with_tag = JobFilter(tag="lunch")
    job = site.send(tags=["lunch"])
    site.vendor.says(busy())
    site.ring(job)
    pause(with_tag, person="zhang", database=site.database)
    site.advance(HOUR.total_seconds())
    site.run()
    change(site, job, due_at=2 * DAY)
    resume(with_tag, person="zhang", database=site.database)
    site.recover()
    site.run()
    assert (site.state(job), len(site.calls())) == ("queued", 1)

    site.advance(2 * DAY.total_seconds())
    site.vendor.says(busy())
    site.run()
    assert (site.state(job), len(site.calls())) == ("queued", 2)


def test_what_is_paused_in_a_hand_is_not_sent(site: Site) -> None:
    """A sender has read the part; it is paused, moved and let go before the sender begins."""
    first, second = site.send("first"), site.send("second", tags=["lunch"])
    with_tag = JobFilter(tag="lunch")

    def moved_meanwhile(request: Request) -> CallResult:
        pause(with_tag, person="zhang", database=site.database)
        site.relay.turn()
        assert FOREVER < (site.part(second).not_before or 0)
        change(site, second, due_at=HOUR)
        resume(with_tag, person="zhang", database=site.database)
        site.recover()
        return site.vendor.takes(request)

    site.vendor.says(moved_meanwhile)
    site.ring(first, second)

    assert (site.state(second), len(site.calls())) == ("queued", 1)


def test_a_part_in_flight_is_tried_again_at_the_new_time(site: Site) -> None:
    """Another part of its job waits, so the job is moved."""
    job = site.ask(Text("x"), To(users=[f"u{n}" for n in range(1500)]))

    def moved_meanwhile(request: Request) -> CallResult:
        change(site, job, due_at=HOUR)
        return busy()

    site.vendor.says(moved_meanwhile)
    site.run()
    site.advance(300)
    site.run()
    assert len(site.calls()) == 1

    site.advance(HOUR.total_seconds())
    site.run()
    assert len(site.calls()) == 3


def test_what_is_in_doubt_keeps_the_time_of_its_repeat(site: Site) -> None:
    """Later it may not be safe. Its expiry and its priority are changed."""
    job = site.send()
    site.vendor.says(lost())
    site.ring(job)
    site.advance(HOUR.total_seconds())
    site.recover()
    before = site.part(job)
    assert (site.state(job), before.doubts) == ("queued", 1)

    change(site, job, due_at=DAY, expires_at=2 * DAY, priority="urgent")

    part = site.part(job)
    assert (before.not_before, 0, site.job(job).expires_at) == (part.not_before, part.priority, part.expires_at)


def test_what_is_repeated_later_has_the_priority_of_the_parts_behind_it(site: Site) -> None:
    """With a lower one it would wait for pieces of its text that wait for it, in a lane of few calls."""
    job = site.send(to=To([f"u{n}" for n in range(1_001)]))
    site.vendor.says(lost())
    site.bell.answer(site.part(job).lane, [part_id(job, 0)])
    assert [site.part(job, n).state for n in (0, 1)] == ["unknown", "queued"]

    change(site, job, priority="urgent")

    assert [site.part(job, n).priority for n in (0, 1)] == [0, 0]


def test_an_order_follows_the_new_times(site: Site) -> None:
    """The second goes first when the first is put off behind it."""
    first, second = (site.send(name, order_key="o", due_at=n * HOUR) for n, name in enumerate(("first", "second")))
    change(site, first, due_at=2 * HOUR)
    for _ in range(2):
        site.advance(HOUR.total_seconds())
        site.run()
        site.run()

    assert [body["text"]["content"] for body in site.bodies()] == ["second", "first"]
    assert [site.state(job) for job in (first, second)] == ["accepted"] * 2


def test_what_sleeps_behind_another_is_not_sent_before_its_new_time(site: Site) -> None:
    """Its turn comes before that; it is not its time yet."""
    first, second = site.send("first", order_key="o"), site.send("second", order_key="o")
    site.vendor.says(busy())
    site.ring(first, second)
    asleep = site.part(second).not_before

    change(site, second, due_at=HOUR)
    for _ in range(2):
        site.advance(HOUR.total_seconds() / 3)
        site.run()

    assert asleep == FOREVER
    assert ([site.state(job) for job in (first, second)], len(site.calls())) == (["accepted", "queued"], 2)
    site.advance(HOUR.total_seconds() / 3)
    site.run()
    assert site.state(second) == "accepted"


def test_what_waits_for_its_file_is_not_sent_before_its_new_time(site: Site) -> None:
    """The file is uploaded meanwhile, which wakes what waits for it."""
    job = site.image()
    site.ring(job)
    waiting = site.part(job).waits_on

    change(site, job, due_at=HOUR)
    for _ in range(2):
        site.advance(HOUR.total_seconds() / 3)
        site.run()

    assert waiting is not None
    assert (site.state(job), [call.path for call in site.calls()]) == ("queued", [UPLOAD])
    site.advance(HOUR.total_seconds() / 3)
    site.run()
    assert site.state(job) == "accepted"


def test_what_would_expire_unsent_is_left(site: Site) -> None:
    """And is counted; with another expiry it is moved."""
    job, ended = site.send(expires_at=HOUR), site.send("ended")
    found = find_waiting(JobFilter(ids=[job, ended]), database=site.database)
    site.ring(ended)
    done = reschedule(found, due_at=DAY, person="zhang", database=site.database)
    assert (dict(done.counts), done.jobs) == ({"unchanged": 2, "expiring": 1}, ())

    assert dict(change(site, job, due_at=DAY, expires_at=2 * DAY).counts) == {"jobs": 1, "parts": 1}


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ({}, "due_at: is missing"),
        ({"due_at": datetime(2026, 7, 1)}, "has no time zone"),
        ({"due_at": DAY, "expires_at": HOUR}, "is not after due_at"),
        ({"priority": "high"}, "use one of urgent, normal, bulk"),
    ],
)
def test_wrong_words_are_refused(site: Site, new: dict[str, Any], words: str) -> None:
    """Before anything is changed, or noted."""
    job = site.send()
    with pytest.raises(CheckFailed, match=words):
        change(site, job, **new)
    with site.database.reading() as connection:
        assert list_audit(connection) == []


def when_the_relay_puts_off(site: Site, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Somebody commits between the relay's reading of due parts and its writing."""
    reader = site.relay._lane_reader
    postpone = reader.postpone

    def after_work(*args: Any) -> None:
        monkeypatch.setattr(reader, "postpone", postpone)
        work()
        postpone(*args)

    monkeypatch.setattr(reader, "postpone", after_work)


def test_the_relay_puts_nothing_to_sleep_that_was_moved_meanwhile(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The turn of a sleeper comes before its new time."""
    first, second = site.send("first", order_key="o"), site.send("second", order_key="o")
    when_the_relay_puts_off(site, monkeypatch, lambda: change(site, second, due_at=HOUR))
    site.vendor.says(busy())
    site.run()
    for _ in range(2):
        site.advance(60)
        site.run()

    assert [site.state(job) for job in (first, second)] == ["accepted", "queued"]


def test_bulk_that_was_moved_meanwhile_keeps_its_new_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay puts bulk off by minutes around the full hour."""
    site.advance(1800 - site.database.read_now() // 1_000_000 % 1800)
    site.relay = site.new_relay(lambda: "p1", pacing=Pacing(random.Random(1)))
    job = site.send(priority="bulk")
    when_the_relay_puts_off(site, monkeypatch, lambda: change(site, job, due_at=HOUR))
    for _ in range(2):
        site.run()
        site.advance(300)

    assert site.state(job) == "queued"


def test_an_update_whose_code_is_in_use_keeps_its_new_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was moved while a sender read the codes."""
    card = site.card()
    site.run()
    one, two, name = site.update(card), site.update(card), "worker.delivery.resolver.recall_and_update.code_states"

    def moved_meanwhile(*args: Any) -> Any:
        monkeypatch.setattr(name, code_states)
        change(site, two, due_at=HOUR)
        return code_states(*args)

    def in_flight(request: Request) -> CallResult:
        monkeypatch.setattr(name, moved_meanwhile)
        site.bell.answer(site.part(two).lane, [site.part(two).id])
        return site.vendor.takes(request)

    site.vendor.says(in_flight)
    site.ring(one)
    site.advance(2)
    site.run()

    assert ([site.state(job) for job in (one, two)], len(site.calls(UPDATE))) == (["accepted", "queued"], 1)
