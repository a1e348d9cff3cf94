"""Why messages did not reach people: by errcode, by the vendor's list, by our reason; people are counted, not tries."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest

from tests.pipeline.console.person import Person
from tests.support.runtime import Site, planted, refused
from worker import JobFilter, To, replay
from worker.control.cancel import cancel, find_open
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.reporting.failure_reasons import failures_by_reason

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

LUNCH = JobFilter(tag="lunch")
Found = dict[tuple[int | None, str], tuple[int, int]]


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process."""
    driven_clock.micros = time.time_ns() // 1000  # pages are bounded by ids, which hold the producer's time
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def reasons(site: Site, wanted: JobFilter = LUNCH) -> Found:
    """Errcode and reason -> jobs and recipients."""
    with site.database.reading() as connection:
        report = failures_by_reason(connection, wanted)
    return {(one.reason.errcode, one.reason.reason): (one.jobs, one.recipients) for one in report.counts}


def fail(site: Site) -> str:
    """Sends to people of whom some are named in a list, to some who all are refused, and to one too late.

    Returns the job of which all are refused.
    """
    site.vendor.says(partial(site.vendor.takes, invaliduser="bob"), refused(81013, invaliduser="ann|bob"))
    site.ring(site.send("a", To(["ann", "bob"]), tags=["lunch"]))
    nobody = site.send("b", To(["ann", "bob"]), tags=["lunch"])
    site.ring(nobody)
    late = site.send("d", "carl", tags=["lunch"], due_at=timedelta(hours=1), expires_at=timedelta(hours=2))
    site.advance(3 * 3_600)
    site.ring(late)
    return nobody


@pytest.mark.every_database
def test_each_reason_has_its_jobs_and_people(site: Site) -> None:
    """Whoever got the message counts nowhere; the most frequent comes first."""
    fail(site)

    found = reasons(site)

    assert list(found.values()) == [(1, 2), (1, 1), (1, 1)]
    assert found[81013, ""] == (1, 2)
    assert found[None, "named by the vendor in invaliduser"] == (1, 1)
    assert [code for code, _ in found] == [81013, None, None]


@pytest.mark.every_database
def test_of_a_replayed_job_only_the_newest_replay_counts(site: Site) -> None:
    """Two tries at one person are one person; one who got the replay is none."""
    nobody = fail(site)
    site.vendor.says(refused(81013, invaliduser="bob"))
    with site.database.engine.begin() as connection:
        again = replay(connection, nobody, accounts=site.accounts)
    site.ring(again.id)

    assert reasons(site)[81013, ""] == (1, 2)

    with site.database.engine.begin() as connection:
        last = replay(connection, nobody, accounts=site.accounts)
    site.ring(last.id)

    assert site.state(last.id) == "accepted"
    assert (81013, "") not in reasons(site)


def test_somebody_who_misses_every_piece_of_a_long_text_is_one_person(site: Site) -> None:
    """Each piece has a part of its own, which the vendor refuses."""
    site.vendor.says(*[refused(81013, invaliduser="ann|bob")] * 3)
    site.ring(site.send("long " * 1_000, To(["ann", "bob"]), tags=["lunch"], overflow="split"))

    assert len(site.bodies()) == 3
    assert reasons(site)[81013, ""] == (1, 2)


def test_a_replay_that_was_cancelled_takes_nobody_from_the_count(site: Site) -> None:
    """Nobody got it."""
    nobody = fail(site)
    with site.database.engine.begin() as connection:
        again = replay(connection, nobody, due_at=timedelta(days=1), accounts=site.accounts)
    cancel(find_open(JobFilter(ids=[again.id]), database=site.database), person="li", database=site.database)

    assert reasons(site)[81013, ""] == (1, 2)


def test_what_expired_is_not_counted_under_the_errcode_that_it_waited_for(site: Site) -> None:
    """A limit was exceeded, and then its time was over."""
    site.vendor.says(refused(45009))
    late = site.send("a", "carl", tags=["lunch"], expires_at=timedelta(seconds=30))
    site.ring(late)
    site.advance(3_600)
    site.ring(late)

    assert site.state(late) == "expired"
    assert [code for code, _ in reasons(site)] == [None]


def test_the_page_says_what_an_errcode_means_and_offers_the_replay_of_its_jobs(site: Site) -> None:
    """To those who may act; a reader sees numbers and errcodes, and no text of ours about a job."""
    fail(site)
    day = "/failures?created_from=-24h"
    page, reader = Person(site).get(day).text, Person(site, "reader").get(day).text

    assert "81013" in page
    assert '<td class="number">2</td>' in page
    assert "/commands/replay?" in page
    assert "errcode=81013" in page
    assert "invaliduser" in page
    assert "81013" in reader
    assert "invaliduser" not in reader
    assert "/commands/" not in reader
    assert Person(site).get("/failures").location == "/failures?created_from=-24h"
    assert 'href="/failures?tag=lunch"' in Person(site).get("/mailings/tag?tag=lunch").text
