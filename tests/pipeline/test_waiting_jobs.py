"""What Flower is shown of jobs to which nothing happens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.support.runtime import Site, lost, planted
from worker.control.cancel import cancel, find_open
from worker.control.pause import pause
from worker.domain.job_filter import JobFilter
from worker.domain.pacing.lane import LaneBlock
from worker.domain.settle import Policy
from worker.domain.state import JobState
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import change_lanes
from worker.service.flower.waiting_jobs import PAGE_S, REPEAT_S, ROUND_S, JobView, WaitingJobs

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process."""
    with planted(database, driven_clock) as planted_site:
        yield planted_site


class Watch:
    """The jobs that wait, as one process tells of them."""

    def __init__(self, site: Site):
        self.leads = True
        self._site = site
        self._told: list[JobView] = []
        self._jobs = WaitingJobs(
            site.database,
            self._told.extend,
            leads=lambda: self.leads,
            monotonic=site.ticks,
        )

    def turn(self) -> dict[str, JobView]:
        """What a turn tells, by job."""
        self._told.clear()
        self.delay = self._jobs.turn()
        return {job.job_id: job for job in self._told}


@pytest.fixture
def watch(site: Site) -> Watch:
    """The leader's."""
    return Watch(site)


def test_each_job_that_waits_is_shown_with_what_it_waits_for(site: Site, watch: Watch) -> None:
    """Due later with its instant, paused without what the person typed, parked with the vendor's code, in doubt."""
    later, urgent = site.send(due_at=timedelta(days=1)), site.send(account="it")
    pause(JobFilter(tag="news"), person="zhang", why="a word about lisi", database=site.database)
    paused = site.send(tags=["news"])
    site.vendor.says(lost())
    doubtful = site.send(duplicate_check=False)
    site.ring(doubtful)
    lane = site.part_row(f"{urgent}-0").lane
    parked = LaneBlock(lane, "send text", 0.0, "60020 not from here", parked=True)
    site.database.run(lambda connection: change_lanes(connection, site.database.now, [parked], Policy().lanes))

    shown = watch.turn()

    assert {later, urgent, paused, doubtful} == shown.keys()
    assert shown[later].eta is not None
    assert None is shown[paused].eta
    assert shown[later].text.partition(":")[0] == "(due_at)"
    assert shown[paused].text == "(pause)"
    assert "60020 not from here" in shown[urgent].text
    assert (shown[doubtful].state, shown[doubtful].text.split()[0]) == (JobState.UNKNOWN, "unknown")
    assert {job.account for job in shown.values()} == {"hr", "it"}
    assert "lisi" not in str(shown)


def test_unchanged_jobs_are_told_once_a_minute(site: Site, watch: Watch) -> None:
    """Flower may have been started anew; and another process tells nothing."""
    job = site.send(due_at=timedelta(days=1))

    assert {job} == watch.turn().keys()
    assert watch.delay == ROUND_S
    assert watch.turn() == {}
    site.ticks.advance(REPEAT_S)
    assert {job} == watch.turn().keys()
    watch.leads = False
    assert watch.turn() == {}


def test_pages_go_on_where_the_last_one_ended(site: Site, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are told, however many there are, and none twice."""
    monkeypatch.setattr("worker.service.flower.waiting_jobs.PAGE_SIZE", 2)
    jobs = {site.send(str(n), due_at=timedelta(days=1)) for n in range(5)}

    pages = [watch.turn() for _ in range(3)]

    assert [len(page) for page in pages] == [2, 2, 1]
    assert jobs == {job for page in pages for job in page}
    assert ROUND_S == watch.delay > PAGE_S


@pytest.mark.every_database
def test_what_a_person_ended_is_shown_ended(site: Site, watch: Watch) -> None:
    """A command that cancels publishes no events."""
    job, sent = site.send(due_at=timedelta(days=1)), site.send()
    watch.turn()
    site.ring(sent)
    cancel(find_open(JobFilter(ids=[job]), database=site.database), person="zhang", database=site.database)

    shown = watch.turn()

    assert {job: JobState.CANCELLED} == {id: told.state for id, told in shown.items()}


def test_a_job_is_received_once_whatever_becomes_of_it(site: Site) -> None:
    """With the first call of its first part, or at its end without one; not again when it is tried again."""
    site.vendor.says(lost())
    repeated, expired = site.send(), site.send("never", due_at=timedelta(seconds=1), expires_at=timedelta(seconds=2))
    site.ring(repeated)
    site.advance(60)
    site.recover()
    site.run()

    told = [(one.job_id, one.state, one.is_first) for one in site.told]

    assert [(repeated, JobState.OPEN, True)] == [one for one in told if one[0] == repeated and one[2]]
    assert [(expired, JobState.EXPIRED, True)] == [one for one in told if one[0] == expired]
    states = [state for id, state, _ in told if id == repeated]
    assert states == [JobState.OPEN, JobState.UNKNOWN, None, JobState.OPEN, JobState.ACCEPTED]
    ends = [one for one in site.told if one.job_id == repeated and one.state is JobState.ACCEPTED]
    assert [one.runtime_s for one in ends] == [0.0]
