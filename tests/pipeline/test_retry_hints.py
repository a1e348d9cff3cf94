"""A part that had no room for its member goes, when there is some, ahead of whatever else its lane has to send."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import Connection

from tests.support.runtime import Site, an_account, planted
from worker.domain.job import part_id
from worker.domain.pacing.lane import SlowStart
from worker.domain.settle import Policy
from worker.outbox.commit.commands import Mark, MarkedCall
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import JobPart, load_parts
from worker.outbox.lanes.lanes import change_lanes

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One message a minute to a member."""
    with planted(database, driven_clock, accounts=[an_account(limits={"member_minute": 1})]) as planted_site:
        yield planted_site


@pytest.fixture
def busy(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """Ten messages a minute to a member; two, a fifth, at once are a hurry."""
    with planted(database, driven_clock, accounts=[an_account(limits={"member_minute": 10})]) as planted_site:
        yield planted_site


def without_room(site: Site, count: int = 1, **options: str) -> list[str]:
    """So many jobs that wait for a member each, and were refused once."""
    for n in range(count):
        site.ring(site.send("first", f"m{n}"))
    waiting = [site.send(f"again {n}", f"m{n}", **options) for n in range(count)]
    assert site.ring(*waiting) == 0
    return waiting


def sent(site: Site) -> list[str]:
    return [body["text"]["content"] for body in site.bodies()]


def test_it_goes_ahead_of_the_backlog(site: Site) -> None:
    """Nobody rang it: it is due later than all of the lane's backlog, and would be offered behind that."""
    [waiting] = without_room(site)
    others = [site.send(f"backlog {n}", f"u{n}") for n in range(3)]
    site.advance(61)

    calls = site.ring(*others)

    assert (calls, site.state(waiting)) == (4, "accepted")
    assert sent(site) == ["first", "again 0", "backlog 0", "backlog 1", "backlog 2"]


def test_the_room_of_a_call_that_is_not_made_goes_to_a_part_that_waits(site: Site) -> None:
    """An id came twice: this process has reserved when another marks the part. Meanwhile the next was told to wait."""
    first, second, others = site.send("first", "m"), site.send("second", "m"), site.send("others", "o")
    assert site.ring(others) == 1
    behind = site.send("behind", "o")
    mark, now = site.runtime.writer.mark, site.clock.micros

    def later(marks: Sequence[Mark]) -> list[MarkedCall | None]:
        site.runtime.writer.mark = mark  # type: ignore[method-assign]
        commit(site.database, [Mark(part_id(first, 0), 0, "other", 20_000_000)], Policy())
        assert site.ring(behind, second) == 0
        assert now < site.part(second).not_before
        return mark(marks)

    site.runtime.writer.mark = later  # type: ignore[method-assign]
    calls = site.ring(first)

    assert (0, now) == (calls, site.part(second).not_before)
    assert now < site.part(behind).not_before
    assert site.ring(second) == 1
    assert sent(site) == ["others", "second"]


def test_it_does_not_go_before_there_is_room(site: Site) -> None:
    """And is not asked about either."""
    [waiting] = without_room(site)
    site.advance(59)

    assert site.ring(site.send("other", "u")) == 1

    assert site.state(waiting) == "queued"
    assert sent(site) == ["first", "other"]


def test_no_more_come_back_at_once_than_others_go(site: Site) -> None:
    """Those who have room for the first time wait no longer than twice as long."""
    waiting = without_room(site, 5)
    lane = site.part(waiting[0]).lane
    # Calls so slow that two are reserved for together.
    site.runtime.lane_states.cycle_s = lambda lane: 0.1  # type: ignore[method-assign]
    others = [site.send(f"backlog {n}", f"u{n}") for n in range(4)]
    site.advance(61)

    assert site.ring(*others) == 8

    assert sent(site)[5:9] == ["again 0", "again 1", "backlog 0", "backlog 1"]
    assert set(sent(site)[9:11]) == {"again 2", "again 3"}
    assert [site.state(job) for job in waiting if site.state(job) != "accepted"] == ["queued"]
    assert [part_id(waiting[4], 0)] == site.runtime.retry_hints.take_due(lane, 1, 9)


def test_bulk_does_not_come_along_with_what_is_more_urgent(site: Site) -> None:
    """It has its share of the lane, and comes along with that."""
    [waiting] = without_room(site, priority="bulk")
    site.advance(61)

    site.ring(site.send("normal", "u"))
    before = site.state(waiting)
    site.ring(site.send("bulk", "v", priority="bulk"))

    assert (before, site.state(waiting)) == ("queued", "accepted")
    assert sent(site) == ["first", "normal", "again 0", "bulk"]


def test_what_is_in_the_broker_is_left_to_whoever_gets_it(site: Site) -> None:
    """Offered meanwhile, or in another process's hand: nothing is taken twice."""
    [waiting] = without_room(site)
    site.advance(61)
    site.sql("update worker_parts set offered_until = 2000000000000000 where job_id = :job", job=waiting)

    site.ring(site.send("other", "u"))

    assert (site.state(waiting), site.part(waiting).offered_until) == ("queued", 2_000_000_000_000_000)
    assert site.ring(waiting) == 1


def test_what_the_relay_has_just_offered_is_not_sent_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It rings while another thread of this process is about to take it; nobody would have had it for five seconds."""
    [waiting] = without_room(site)
    lane, part, rang = site.part(waiting).lane, part_id(waiting, 0), []
    site.advance(61)

    def meanwhile(connection: Connection, now: str, ids: list[str]) -> list[JobPart]:
        loaded = load_parts(connection, now, ids)
        if ids == [part] and not rang:
            rang.append(ids)
            ringing = threading.Thread(target=site.bell.answer, args=(lane, [part]))
            ringing.start()
            ringing.join(120)
        return loaded

    monkeypatch.setattr("worker.delivery.sender.doorbell_sender.load_parts", meanwhile)
    site.ring(site.send("other", "u"))

    assert ([[part]], "accepted") == (rang, site.state(waiting))
    assert sent(site) == ["first", "again 0", "other"]


def test_in_the_hand_of_one_it_is_offered_to_nobody_else(site: Site) -> None:
    """In SQL it stands as offered before it is marked."""
    [waiting] = without_room(site)
    site.advance(61)
    offered: list[int | None] = []

    def look(label: str) -> None:
        if label == "before_mark" and not offered:
            offered.append(site.part(waiting).offered_until)

    site.runtime.checkpoint = look
    site.ring(site.send("other", "u"))

    assert [site.clock.micros + 5_000_000] == offered


def test_a_lane_that_starts_or_was_narrowed_makes_no_more_calls_than_are_offered(site: Site) -> None:
    """The relay keeps the number of calls in flight by what it offers."""
    [waiting] = without_room(site)
    lane = site.part(waiting).lane
    with site.database.writing() as connection:
        change_lanes(connection, site.database.now, [SlowStart(lane)])
    site.advance(61)

    site.ring(site.send("other", "u"))

    assert site.state(waiting) == "queued"


def test_what_is_not_got_to_may_be_offered_at_once(site: Site) -> None:
    """A drain that begins after the first of two stops the second, like what rang."""
    first, second = without_room(site, 2)
    site.advance(61)
    site.runtime.checkpoint = lambda label: site.runtime.draining.set() if label == "before_mark" else None

    other = site.send("other", "u")
    assert site.ring(other) == 1

    assert (site.state(first), site.state(second), site.part(second).offered_until) == ("accepted", "queued", None)
    site.runtime.checkpoint = lambda label: None
    site.runtime.draining.clear()
    assert site.ring(second, other) == 2


def test_what_finds_its_room_taken_again_is_not_kept_from_its_next_doorbell(site: Site) -> None:
    """An urgent message to the same member came before it: no thread of this process has it in hand any more."""
    [waiting] = without_room(site)
    site.advance(61)
    site.ring(site.send("urgent", "m0", priority="urgent"))
    site.ring(site.send("other", "u"))
    assert sent(site) == ["first", "urgent", "other"]

    site.advance(61)

    assert site.ring(waiting) == 1


def test_the_others_of_a_member_in_a_hurry_are_sought_and_fill_his_window(busy: Site) -> None:
    """They stand far behind in the lane; sent at once they give room again at once, a window later."""
    first = [busy.send(f"his {n}", "m0") for n in range(2)]
    between = [busy.send(f"other {n}", f"u{n}") for n in range(20)]
    behind = [busy.send(f"his {n}", "m0") for n in range(2, 12)]
    for job in first:
        busy.sql("update worker_parts set offered_until = 2000000000000000 where job_id = :job", job=job)

    busy.ring(*first)
    busy.ring(*between)

    assert [busy.state(job) for job in behind] == ["accepted"] * 8 + ["queued"] * 2
    assert sum("limit" in (busy.part(job).reason or "") for job in behind) == 0
    assert [f"his {n}" for n in range(4)] == sent(busy)[:4]


def test_an_even_pace_is_no_hurry(busy: Site) -> None:
    """Where the limit gives room in time nobody is held up, and nothing is looked for."""
    behind = [busy.send(f"late {n}", "m0") for n in range(3)]
    for n in range(4):
        busy.ring(busy.send(f"his {n}", "m0"))
        busy.advance(9)

    busy.ring(busy.send("other", "u"))

    assert [busy.state(job) for job in behind] == ["queued"] * 3


@pytest.mark.parametrize("why", ["urgent", "ordered", "bulk"])
def test_what_is_not_like_it_is_not_sought(busy: Site, why: str) -> None:
    """Urgent parts have a window of their own, ordered ones their place, and bulk its share."""
    options = {"order_key": "one"} if why == "ordered" else {"priority": why}
    behind = busy.send("not alike", "m0", **options)
    busy.ring(*[busy.send(f"his {n}", "m0") for n in range(2)])

    busy.ring(busy.send("other", "u"))

    assert busy.state(behind) == "queued"


def test_a_search_is_followed_by_a_rest_as_long_as_twenty(busy: Site) -> None:
    """However many members are in a hurry, no more than a twentieth of a thread's time goes into looking."""
    known = busy.runtime.retry_hints

    first, meanwhile = known.try_begin_search(), known.try_begin_search()
    busy.ticks.advance(0.01)
    known.end_search(busy.ticks() - 0.01)
    busy.ticks.advance(0.19)
    still = known.try_begin_search()
    busy.ticks.advance(0.02)

    assert [first, meanwhile, still, known.try_begin_search()] == [True, False, False, True]
