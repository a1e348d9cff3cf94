"""The relay's questions and its one write: bounded, in order, by compare-and-set."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta

import pytest

from tests.support.runtime import Site, lost, planted
from worker.domain.job import Priority, part_id
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs import loading
from worker.outbox.lanes import offering
from worker.outbox.lanes.full_scan import START, ScanPosition, lanes_with_due

SECOND = 1_000_000


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def parts(*jobs: str) -> list[str]:
    return [part_id(job, 0) for job in jobs]


def offer(site: Site, *ids: str) -> list[str]:
    now = site.database.now
    return site.database.run(lambda c: offering.offer(c, now, list(ids), 5 * SECOND))


def head(site: Site, lane: str, priority: Priority, window: int) -> offering.DueBatch:
    with site.database.reading() as connection:
        return offering.read_due_batch(connection, site.database.now, lane, priority, window)


def test_an_id_is_offered_once_until_its_time_is_over(site: Site) -> None:
    """Compare-and-set: the second who offers gets nothing; unknown ids are nobody's."""
    [part] = parts(site.send())

    assert [part] == offer(site, part, "f" * 32 + "-0")
    assert offer(site, part) == []
    site.advance(5)
    assert [part] == offer(site, part)


def test_two_relays_that_overlap_offer_an_id_once(site: Site) -> None:
    """The second is at it before the first has committed: it waits, and then leaves the first one's ids alone."""
    ids = parts(*[site.send(str(n)) for n in range(3)])
    with ThreadPoolExecutor(1) as pool:
        with site.database.writing() as connection:
            first = offering.offer(connection, site.database.now, ids[:2], 5 * SECOND)
            second = pool.submit(offer, site, *ids)
            wait([second], timeout=0.3)

        assert (ids[:2], ids[2:]) == (first, second.result(120))


def test_what_is_not_queued_is_not_offered(site: Site) -> None:
    """Sent, sending, unknown, ended: no id of theirs goes into the broker."""
    job = site.send()
    site.ring(job)

    assert offer(site, *parts(job)) == []


def test_ids_come_back_in_the_order_given(site: Site) -> None:
    """A doorbell keeps the order of its lane."""
    ids = parts(*[site.send(str(n)) for n in range(5)])[::-1]

    assert ids == offer(site, *ids)


def test_the_head_of_a_lane_is_the_window_less_what_is_offered(site: Site) -> None:
    """The first three due ones are looked at; an offered one keeps its place in the window, and is counted."""
    jobs = [site.send(str(n), due_at=timedelta(seconds=n)) for n in range(5)]
    site.advance(10)
    offer(site, *parts(jobs[1]))

    first, lane = parts(jobs[0])[0], site.part(jobs[0]).lane

    free, out = parts(jobs[0], jobs[2]), parts(jobs[1])
    assert offering.DueBatch(free, out, first, first_is_free=True) == head(site, lane, Priority.NORMAL, 3)
    site.advance(5)
    assert offering.DueBatch(parts(*jobs[:3]), [], first, first_is_free=True, was_offered=True) == head(
        site, lane, Priority.NORMAL, 3
    )


def test_the_head_of_a_lane_is_of_one_priority_and_due(site: Site) -> None:
    """Each priority has its own; another lane's, what is due later and what is not queued is in none of them."""
    jobs = {priority: site.send(priority.name, priority=priority.name.lower()) for priority in Priority}
    sent = site.send("sent")
    site.card()
    site.send("later", due_at=timedelta(seconds=60))
    site.ring(sent)
    lane = site.part(sent).lane

    assert {priority: (parts(job), 1) for priority, job in jobs.items()} == {
        priority: (found.ids, found.due) for priority in Priority if (found := head(site, lane, priority, 10))
    }
    assert offering.NOTHING_DUE == head(site, "hr:nobody", Priority.NORMAL, 10)


def test_newly_due_lanes_come_with_their_newest_instant(site: Site) -> None:
    """Strictly after the instant asked about, due by now, not offered; with the most urgent priority among them."""
    now = site.clock.micros
    text, card, later = site.send(), site.card(priority="urgent"), site.send("later", due_at=timedelta(seconds=5))

    with site.database.reading() as connection:
        due = offering.lanes_newly_due(connection, site.database.now, now - 1, 100)
        none = offering.lanes_newly_due(connection, site.database.now, now, 100)
    offer(site, *parts(text))
    site.advance(5)
    with site.database.reading() as connection:
        after = offering.lanes_newly_due(connection, site.database.now, now - 1, 100)

    lanes = [site.part(job).lane for job in (text, card, later)]
    urgent = offering.NewlyDue(now, Priority.URGENT, 1)
    assert {lanes[0]: offering.NewlyDue(now, Priority.NORMAL, 1), lanes[1]: urgent} == due
    assert none == {}
    assert {lanes[1]: urgent, lanes[2]: offering.NewlyDue(now + 5 * SECOND, Priority.NORMAL, 1)} == after


def walked(site: Site, after: ScanPosition, count: int) -> tuple[set[str], ScanPosition | None]:
    with site.database.reading() as connection:
        return lanes_with_due(connection, site.database.now, after, count)


def test_all_lanes_are_walked_and_those_with_something_due_are_named(site: Site) -> None:
    """Slice by slice, each lane and priority once; what is due later or not queued any more is passed over."""
    site.send("later", due_at=timedelta(seconds=60))
    due = [site.send("bulk", priority="bulk"), site.card(), site.send("second", account="it")]
    site.card(account="it", due_at=timedelta(seconds=60))
    sent = site.image()
    site.sql("update worker_parts set state = 2, not_before = null where job_id = :job", job=sent)
    due_lanes = {site.part(job).lane for job in due}

    slices, place = [], START
    while place is not None:
        found, place = walked(site, place, 2)
        slices.append(found)

    assert (due_lanes, None) == walked(site, START, 100)
    assert due_lanes == set().union(*slices)
    assert len(slices) == 3


def test_a_walk_over_nothing_ends_at_once(site: Site) -> None:
    """No queued part, no lane."""
    assert walked(site, START, 10) == (set(), None)


def test_the_expired_are_found_at_their_instant(site: Site) -> None:
    """Queued and past expires_at, not a moment earlier; what never expires is not looked at."""
    site.send("never")
    job = site.send(expires_at=timedelta(seconds=60))

    def expired() -> list[str]:
        with site.database.reading() as connection:
            return list(offering.expired_parts(connection, site.database.now, 10))

    before = expired()
    site.advance(60)

    assert ([], parts(job)) == (before, expired())


def test_the_doubtful_are_found_when_their_margin_is_over(site: Site) -> None:
    """With all that the policy needs; held ones are not found."""
    site.vendor.says(lost(), lost())
    job, held = site.send(on_unknown="hold"), site.card()
    site.ring(job)
    site.ring(held)
    site.sql("update worker_parts set not_before = null where job_id = :job", job=held)

    def doubtful() -> list[tuple[str, str, str]]:
        with site.database.reading() as connection:
            found = loading.parts_in_doubt(connection, site.database.now, 10)
        return [(one.id, one.kind, one.on_unknown) for one in found]

    before = doubtful()
    site.advance(25)

    assert ([], [(parts(job)[0], "send", "hold")]) == (before, doubtful())
