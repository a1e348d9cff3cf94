"""The counts of a mailing: every job, part and recipient in one stage, whatever became of it, from an index."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from tests.support.reads import rows_read, sweep
from tests.support.runtime import Site, an_account, busy, lost, planted, refused
from worker import JobFilter, MailingReport, MailingStage, RecallCount, To, mailing, pause, resume
from worker.control.cancel import cancel, find_open
from worker.control.correct import correct_jobs, find_correctable
from worker.control.recall import find_sent, recall_jobs
from worker.domain.errors import CheckFailed
from worker.outbox.control import candidates, listing, mailings
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.upkeep.indexing import index_batch
from worker.reporting import mailing as reporting

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

LUNCH = JobFilter(tag="lunch")
SINCE = JobFilter(tag="lunch", created_from=datetime(2020, 1, 1, tzinfo=UTC))
DAY = timedelta(days=1)
Stages = dict[str, tuple[int, int, int]]


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process."""
    driven_clock.micros = time.time_ns() // 1000  # pages are bounded by ids, which hold the producer's time
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def counted(site: Site, wanted: JobFilter = LUNCH) -> MailingReport:
    with site.database.reading() as connection:
        return mailing(connection, wanted)


def stages(report: MailingReport) -> Stages:
    """Stages that have anything: jobs, parts, recipients; what they are in all is their sum."""
    some = {str(stage): (one.jobs, one.parts, one.recipients) for stage, one in report.stages.items()}
    total = (report.total.jobs, report.total.parts, report.total.recipients)
    assert total == tuple(map(sum, zip(*some.values(), strict=True)))
    return {stage: one for stage, one in some.items() if any(one)}


@pytest.mark.every_database
def test_each_job_part_and_recipient_is_in_one_stage(site: Site) -> None:
    """Before the index knows the ended ones, and after; other tags are left out, and a refused recipient counts so."""
    site.vendor.says(partial(site.vendor.takes, invaliduser="bob"), refused(81013), lost())
    for to in (To(["ann", "bob"]), "nobody", "carl"):
        site.ring(site.send("a", to, tags=["lunch"], duplicate_check=False))
    site.ring(site.send("a", "dora", tags=["lunch", "other"]))
    site.send("a", To(["eva", "finn"]), tags=["lunch"], due_at=DAY)
    gone = site.send("a", "gil", tags=["lunch"], due_at=DAY)
    cancel(find_open(JobFilter(ids=[gone]), database=site.database), person="li", database=site.database)
    site.send("a", "hal", tags=["lunchtime"])
    site.advance(60)
    site.recover()

    before = stages(counted(site))
    while index_batch(site.database):
        pass
    after = stages(counted(site))

    expected = {
        "waiting": (1, 1, 2),
        "sent": (2, 2, 2),
        "refused": (1, 1, 2),
        "unknown": (1, 1, 1),
        "never_sent": (1, 1, 1),
    }
    assert expected == before
    assert expected == after


@pytest.mark.every_database
def test_the_parts_of_one_job_may_be_in_several_stages(site: Site) -> None:
    """Each recipient is where its part is."""
    site.vendor.says(site.vendor.takes, busy())
    job = site.send("a", To([f"u{n}" for n in range(1_500)]), tags=["lunch"])
    site.ring(job)

    assert stages(counted(site)) == {"sent": (0, 1, 1_000), "waiting": (1, 1, 500)}


@pytest.mark.every_database
def test_a_recipient_of_all_pieces_of_a_text_counts_once(site: Site) -> None:
    """However many of its calls refused him; he is sent to when every piece is."""
    bob = partial(site.vendor.takes, invaliduser="bob")
    site.vendor.says(bob, bob, site.vendor.takes, refused(81013), bob, busy())
    for people in (To(["ann", "bob", "carl"]), To(["dora", "eva"]), To(["ann", "bob"])):
        site.ring(site.send("x" * 3_000, people, tags=["lunch"], overflow="split", duplicate_check=False))

    assert stages(counted(site)) == {"sent": (2, 4, 2), "refused": (0, 1, 3), "waiting": (1, 1, 2)}


@pytest.mark.every_database
def test_a_department_counts_once_whoever_of_it_is_refused(database: Database, driven_clock: DrivenClock) -> None:
    """Sent to by its members' names, two of whom the vendor refuses. A refused one who was named counts himself."""
    driven_clock.micros = time.time_ns() // 1000
    accounts, crowd = [an_account()], ["ann", "bob", "carl", "dora"]
    with planted(database, driven_clock, accounts=accounts, resolver=lambda *_: crowd) as site:
        site.ring(*[site.send(f"fill {n}", "ann") for n in range(30)])
        site.vendor.says(partial(site.vendor.takes, invaliduser="bob|carl|eva"))
        job = site.send("a", To("eva|finn", parties=[12]), tags=["lunch"])
        site.ring(job)
        first = stages(counted(site))
        site.advance(61)
        site.ring(job)

        assert first == {"sent": (0, 1, 1), "refused": (0, 0, 1), "waiting": (1, 1, 1)}
        assert stages(counted(site)) == {"sent": (1, 2, 2), "refused": (0, 0, 1)}


@pytest.mark.every_database
def test_what_was_recalled_is_recalled(site: Site) -> None:
    """Once the vendor took the recall; what it refused is still sent, and both are told of."""
    first, second = (site.send("a", to, tags=["lunch"]) for to in ("ann", "bea"))
    site.finish()
    site.vendor.says(site.vendor.takes, refused(50009))
    sent = find_sent(JobFilter(ids=[first, second]), database=site.database)
    recall_jobs(sent, person="li", accounts=site.accounts, database=site.database)
    under_way = counted(site)
    site.finish()
    report = counted(site)

    assert ({"sent": (2, 2, 2)}, RecallCount(under_way=2)) == (stages(under_way), under_way.recalls)
    assert stages(report) == {"recalled": (1, 1, 1), "sent": (1, 1, 1)}
    assert RecallCount(accepted=1, refused=1) == report.recalls


@pytest.mark.every_database
def test_what_was_corrected_is_corrected(site: Site) -> None:
    """The old ones, sent or stopped; those whom the vendor refused stay refused, and the new ones are counted too."""
    site.vendor.says(site.vendor.takes, refused(81013))
    for to in ("ann", "nobody"):
        site.ring(site.send("wrong", to, tags=["lunch"]))
    site.send("wrong", "carl", tags=["lunch"], due_at=DAY)
    found = find_correctable(SINCE, "right", accounts=site.accounts, database=site.database)
    correct_jobs(found, person="zhang", accounts=site.accounts, database=site.database, rate=1_000)

    at_once = stages(counted(site))
    site.advance(DAY.total_seconds())
    site.finish()

    assert at_once == {"corrected": (2, 2, 2), "refused": (1, 1, 1), "waiting": (2, 2, 2)}
    assert stages(counted(site)) == {"corrected": (2, 2, 2), "refused": (1, 1, 1), "sent": (2, 2, 2)}


def test_a_call_in_flight_is_told_apart(site: Site) -> None:
    """Only while it is made."""
    job = site.send("a", tags=["lunch"])
    during: list[Stages] = []
    site.vendor.says(lambda request: (during.append(stages(counted(site))), site.vendor.takes(request))[1])
    site.ring(job)

    assert during == [{"in_flight": (1, 1, 1)}]
    assert stages(counted(site)) == {"sent": (1, 1, 1)}


def test_its_pause_is_told(site: Site) -> None:
    """With the counts, because it says why nothing moves."""
    site.send("a", tags=["lunch"])
    pause(LUNCH, person="li", why="wrong date", database=site.database)
    paused = counted(site).pauses
    resume(LUNCH, person="li", database=site.database)

    assert [(one.tag, one.why) for one in paused] == [("lunch", "wrong date")]
    assert counted(site).pauses == ()


def test_only_so_many_are_counted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest; and the report says that there are more."""
    for n in range(5):
        site.send("a", f"u{n}", tags=["lunch"])
    monkeypatch.setattr(mailings, "TOGETHER", 2)
    monkeypatch.setattr(reporting, "MAX_JOBS", 3)
    some = counted(site)
    monkeypatch.setattr(reporting, "MAX_JOBS", 5)
    every = counted(site)
    monkeypatch.setattr(candidates, "MAX_OPEN", 2)
    fresh_left_out = counted(site)

    assert (some.total.jobs, some.is_cut_short) == (3, True)
    assert (every.total.jobs, every.is_cut_short, every.leaves_fresh_out) == (5, False, False)
    assert (fresh_left_out.total.jobs, fresh_left_out.leaves_fresh_out) == (2, True)


def test_jobs_of_another_kind_between_them_hide_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that has looked at as many jobs as it may is not the last."""
    sends = [site.send("a", f"u{n}") for n in range(10)]
    site.run()
    site.recall(sends[0])
    monkeypatch.setattr(mailings, "TOGETHER", 4)
    monkeypatch.setattr(listing, "MAX_WALKED", 2)

    report = counted(site, JobFilter(kind="send", created_from=SINCE.created_from))

    assert (report.total.jobs, report.is_cut_short) == (10, False)


@pytest.mark.parametrize(
    "wanted", [JobFilter(tag="lunch", called_from=instant(1)), JobFilter(ids=["0198f2f0" + "0" * 24 + "-0"])]
)
def test_a_filter_of_parts_is_refused(site: Site, wanted: JobFilter) -> None:
    """For whole jobs are counted."""
    with pytest.raises(CheckFailed):
        counted(site, wanted)


@pytest.mark.every_database
def test_it_costs_what_the_mailing_costs(site: Site) -> None:
    """However many ended jobs of other tags there are."""
    site.ring(site.send("a", tags=["lunch"]))
    while index_batch(site.database):
        pass

    def reads() -> int:
        sweep(site.database, "worker_parts", "worker_unindexed")
        return rows_read(site.database, lambda connection: mailing(connection, LUNCH))

    few = reads()
    jobs = [site.send("b", f"u{n}", tags=["dinner"]) for n in range(40)]
    site.ring(*jobs)
    while index_batch(site.database):
        pass

    assert stages(counted(site)) == {"sent": (1, 1, 1)}
    assert reads() <= few + 10


def test_every_stage_has_its_place() -> None:
    """A job with parts in several stages counts in the first of them, and none is forgotten."""
    assert {*MailingStage} == {*reporting.JOB_STAGE_ORDER}
