"""Two releases side by side: which process runs which, and what a newer one wrote is left to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.runtime import Site, Ticks, lost, planted
from worker import CheckFailed, NotReplayable, PartWait, To, WaitReason, why
from worker.control.resolve import UnchangedReason, find_unknown, resolve
from worker.delivery.sender.lease import Lease
from worker.domain import settle
from worker.domain.job import NEWEST_PAYLOAD
from worker.domain.job_filter import JobFilter
from worker.outbox.engine import migrate
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.engine.migrate import Release, head, this_release
from worker.outbox.lanes.processes import end_processes
from worker.outbox.tables import metadata
from worker.reporting.releases import Compatibility, ReleaseCheck, read_releases

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000
DAY = 86_400
ODD, SHARE = '["whatever a newer release writes"]', '{"later": ["lisi"]}'
NEWER = NEWEST_PAYLOAD + 1


# -- which process runs which -----------------------------------------------------------------------------------------


def a_process(database: Database, name: str, release: Release | None) -> None:
    """A living process of a release, or of one that does not say which."""
    Lease(database, threads=4, clock=Ticks(), new_id=lambda: name, queues=lambda: ["urgent", "normal"]).beat()
    told = (None, None) if release is None else (release.version, release.revision)
    update = text("update worker_processes set version = :version, revision = :revision where id = :id")
    with database.writing() as connection:
        connection.execute(update, {"version": told[0], "revision": told[1], "id": name})


def check(database: Database) -> ReleaseCheck:
    with database.reading() as connection:
        return read_releases(connection, database.now)


@pytest.mark.every_database
def test_a_process_tells_its_release_and_its_newest_revision(database: Database) -> None:
    """With the heartbeat that makes its row."""
    Lease(database, threads=4, clock=Ticks()).beat()

    found = check(database)
    [process] = found.processes

    assert this_release() == process.release
    assert head() == this_release().revision
    assert (found.compatibility(process), found.is_done) == (Compatibility.SAME, True)


@pytest.mark.every_database
def test_an_upgrade_is_done_when_no_process_runs_another_release(database: Database) -> None:
    """One that does not say which runs an earlier one, and one that ended counts no more."""
    own = this_release()
    a_process(database, "p1", own)
    for n, other in enumerate((None, Release("0.0.9", own.revision), Release(own.version, "9999"))):
        a_process(database, f"q{n}", other)
        found = check(database)
        [process] = [one for one in found.processes if one.release != own]
        assert (found.compatibility(process), found.is_done) == (Compatibility.OTHER, False)
        assert f"1 of {len(found.processes)} workers run another release" == list(found.lines())[-1]
        with database.writing() as connection:
            end_processes(connection, database.now, [f"q{n}"])

    assert check(database).is_done
    assert list(check(database).lines())[-1] == "no worker runs another release"


def test_a_process_that_the_next_tables_would_refuse_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the tables are upgraded by a release whose tables suit none before it."""
    a_process(database, "p1", None)
    a_process(database, "p2", Release("0.0.9", "0001"))
    a_process(database, "p3", this_release())
    with database.reading() as connection:
        assert migrate.usable_from(connection) == "0001"
    monkeypatch.setattr("worker.outbox.engine.migrate.head_compatible_from", lambda: "0002")

    found = check(database)

    refused, same = Compatibility.REFUSED, Compatibility.SAME
    assert [refused, refused, same] == [found.compatibility(process) for process in found.processes]
    assert ["could not start again" in line for line in list(found.lines())[2:5]] == [True, True, False]


def test_without_tables_there_is_nothing_to_tell(tmp_path: Path) -> None:
    """But what to run."""
    found = ReleaseCheck(None, None, ())

    assert not found.is_done
    assert next(found.lines()) == "there are no tables yet; run `worker db upgrade`"


# -- what a newer release wrote ---------------------------------------------------------------------------------------


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def by_a_newer_release(site: Site, job: str) -> str:
    """The job as a newer release might have written it."""
    site.sql("update worker_jobs set payload = :version, message = :odd where id = :id", version=NEWER, odd=ODD, id=job)
    site.sql("update worker_parts set spec = :share where job_id = :id", share=SHARE, id=job)
    return job


def nearest(site: Site, job: str) -> PartWait:
    with site.database.reading() as connection:
        return why(connection, job, accounts=["hr"]).waits[0]


def test_every_job_says_the_version_of_its_documents(site: Site) -> None:
    """The first, which every release reads and those before this one write without a word."""
    site.image()
    site.run()

    assert sorted(row.kind for row in site.rows("select kind from worker_jobs where payload = 0")) == ["send", "upload"]
    assert str(metadata.tables["worker_jobs"].c.payload.server_default.arg) == "0"  # type: ignore[union-attr]


@pytest.mark.every_database
def test_a_part_of_a_newer_release_is_left_to_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither sent nor failed; those beside it go, and a process of the newer release sends it."""
    job = site.send("newer", to="anna")
    message, spec = site.job(job).message, site.part(job).spec
    by_a_newer_release(site, job)

    other = site.send("ours")
    site.ring(job, other)

    part = site.part(job)
    assert (site.state(job), site.state(other), len(site.calls())) == ("queued", "accepted", 1)
    assert (0, 0, settle.NEWER_RELEASE) == (part.tries, part.claim, part.reason)
    site.sql("update worker_jobs set message = :message where id = :id", message=message, id=job)
    site.sql("update worker_parts set spec = :spec where job_id = :id", spec=spec, id=job)
    site.advance(1)
    monkeypatch.setattr("worker.domain.job.NEWEST_PAYLOAD", NEWER)
    site.ring(job)
    assert site.state(job) == "accepted"


def test_a_part_of_a_newer_release_comes_back_ever_more_rarely(site: Site) -> None:
    """After a second at first, and after a minute at last: where no newer process is it costs next to nothing."""
    job = by_a_newer_release(site, site.send())
    waited = []
    for _ in range(10):
        site.ring(job)
        waited.append((site.part(job).not_before - site.clock.micros) / SECOND)
        site.advance(waited[-1])

    assert waited == [1, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_part_of_a_newer_release_tells_what_it_waits_for(site: Site) -> None:
    """And the event is written once, however many there are."""
    jobs = [by_a_newer_release(site, site.send(str(n))) for n in range(3)]
    site.ring(*jobs)

    wait = nearest(site, jobs[0])

    assert (wait.what, wait.commands) == (WaitReason.RELEASE, ("worker db check",))
    events = site.rows("select label, account, reason from worker_lane_events where what = 'too new'")
    told = f"is stored in format version {NEWER}, and this release reads up to {NEWEST_PAYLOAD}"
    assert [("release", "hr", told)] == [(row.label, row.account, row.reason) for row in events]


def test_a_large_message_of_a_newer_release_is_not_read(site: Site) -> None:
    """Nor is it taken for one that cannot be read."""
    job = by_a_newer_release(site, site.send())
    site.sql("update worker_jobs set message = :large where id = :id", large=f'["{"x" * 100_000}"]', id=job)

    site.ring(job)

    assert (site.state(job), site.part(job).tries) == ("queued", 0)


def test_a_part_of_a_newer_release_expires(site: Site) -> None:
    """It was certainly never sent."""
    job = by_a_newer_release(site, site.send(expires_at=60))
    site.ring(job)
    site.advance(61)
    site.recover()

    assert site.state(job) == "expired"


def test_doubt_of_a_newer_release_is_left_to_it_for_a_day(site: Site) -> None:
    """Then it is held: no such process is expected any more."""
    job = site.send(on_unknown="resend")
    site.vendor.says(lost())
    site.ring(job)
    by_a_newer_release(site, job)
    site.advance(60)
    site.recover()
    before = site.part(job)
    site.advance(DAY)
    site.recover()

    held = site.part(job)
    assert (before.not_before is not None, held.not_before) == (True, None)
    assert site.state(job) == "unknown"
    assert held.reason.endswith("only a newer release can read its content")


def test_doubt_of_a_newer_release_is_decided_with_its_command(site: Site) -> None:
    """This one's would read documents that it does not know."""
    job = site.send(on_unknown="hold")
    site.vendor.says(lost())
    site.ring(job)
    by_a_newer_release(site, job)

    found = find_unknown(JobFilter(ids=[job]), force=True, database=site.database)
    decided = resolve(found, sent=True, why="seen", person="zhang", database=site.database)

    assert decided.counts == {UnchangedReason.NEWER_RELEASE: 1}


def test_a_job_of_a_newer_release_is_replayed_and_updated_by_that_one(site: Site) -> None:
    """Its recall may be asked for at once, and is left to that one, too."""
    sent, card = site.send(to=To(["lisi"])), site.card()
    site.ring(sent, card)
    for job in (sent, card):
        by_a_newer_release(site, job)

    with pytest.raises(NotReplayable, match="enqueued by a newer release than this one"):
        site.replay(sent, accepted=True)
    with pytest.raises(CheckFailed, match="newer release"):
        site.update(card)
    recall = site.recall(sent)
    site.ring(recall)

    assert site.job(recall).payload == NEWER
    assert settle.NEWER_RELEASE == site.part(recall).reason
