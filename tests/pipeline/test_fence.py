"""What may have gone out since a backup that was restored is held, each part with the attempt that it may have had."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.support.runtime import Site, busy, lost, planted
from worker.control.fence import fence, find_restored
from worker.control.resolve import find_unknown, resolve
from worker.domain.errors import CheckFailed, WorkerError
from worker.domain.job_filter import JobFilter
from worker.domain.settle import FENCED
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.reporting.report import get_job
from worker.reporting.timeline import timeline

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process."""
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def at(site: Site, seconds: float = 0) -> datetime:
    return instant(site.clock.micros) + timedelta(seconds=seconds)


def held_by_a_fence(site: Site) -> int:
    """As on a restored database: no process of before is alive."""
    site.sql("update worker_processes set ended_at = 1")
    return fence(
        find_restored(at(site, 1), database=site.database), person="zhang", why="restored", database=site.database
    ).counts["parts"]


def test_what_is_due_and_open_is_held_and_the_rest_is_left(site: Site) -> None:
    """Queued, tried before, under a call, in doubt: held. Due later, ended, held, or harmless when repeated: left."""
    site.vendor.says(busy(), lost(), lost())
    tried, doubtful = site.send("tried"), site.send("doubtful")
    on_hold = site.send("held", on_unknown="hold")
    for job in (tried, doubtful, on_hold):
        site.ring(job)
    site.advance(60)
    site.sql("update worker_parts set not_before = null where job_id = :job", job=on_hold)
    done = site.send("done")
    site.ring(done)
    fresh, later = site.send("fresh"), site.send("later", due_at=at(site, 600))
    sending = site.send("sending")
    site.sql("update worker_parts set state = 1, claim = 1 where job_id = :job", job=sending)
    recall, upload = site.recall(done), site.upload()

    assert held_by_a_fence(site) == 4

    states = {job: site.state(job) for job in (tried, doubtful, on_hold, fresh, sending)}
    assert set(states.values()) == {"unknown"}
    assert [site.part(job).reason for job in (tried, doubtful, fresh, sending)] == [FENCED] * 4
    assert ([site.state(done)], [site.state(job) for job in (later, recall, upload)]) == (["accepted"], ["queued"] * 3)
    assert {site.part(job).not_before for job in states} == {None}
    assert [(row.claim, row.outcome, int(row.doubtful)) for row in site.of("attempts", tried)] == [
        (1, "retry", 0),
        (2, "unknown", 1),
    ], "the answer of before is kept"
    assert [(row.claim, row.reason) for row in site.of("attempts", doubtful)] == [(1, "read_timeout")]
    assert held_by_a_fence(site) == 0, "given again it finds nothing"
    counted = Counter[str]()
    for row in site.rows("select counts from worker_counts"):
        counted.update(json.loads(row.counts))
    unanswered = sum(count for name, count in counted.items() if name.startswith("attempts") and "unknown" in name)
    assert unanswered == 2, "the two in doubt: what is held was not called"


def test_the_parts_of_jobs_that_are_not_due_are_not_counted(site: Site) -> None:
    """The command asks with this figure beside the number of jobs, and leaves scheduled jobs as they are."""
    site.sql("update worker_processes set ended_at = 1")
    due = site.send("due")
    site.send("later", due_at=at(site, 600))

    found = find_restored(at(site, 1), database=site.database)

    assert ((due,), {"queued": 1}) == (found.ids, found.breakdown)


def test_a_person_ends_what_was_held(site: Site) -> None:
    """Never called as far as the rows say, and yet said to be sent, with its msgid."""
    job, other = site.send("one"), site.send("two")
    assert held_by_a_fence(site) == 2

    for id, said in ((job, {"sent": True, "msgid": "m9"}), (other, {"sent": False})):
        resolve(
            find_unknown(JobFilter(ids=[id]), database=site.database),
            why="seen",
            person="zhang",
            database=site.database,
            **said,
        )

    assert [site.state(job), site.state(other)] == ["accepted", "rejected"]
    assert [row.msgid for row in site.of("receipts", job)] == ["m9"]


def test_a_fence_tells_of_no_call(site: Site) -> None:
    """Only of the doubt: neither the timeline nor the report has a call that no row of the backup knows of."""
    job = site.send("fresh")
    held_by_a_fence(site)

    with site.database.reading() as connection:
        events = timeline(connection, job)
        (part,) = get_job(connection, job).parts

    assert "marked" not in [event.what for event in events]
    assert [event.detail for event in events if event.what == "unknown"] == [FENCED]
    assert part.attempts == ()


def test_what_was_enqueued_since_is_none_of_it(site: Site) -> None:
    """The backup cannot have had it."""
    site.sql("update worker_processes set ended_at = 1")
    old = site.send("old")
    since = at(site, 1)
    site.clock.advance(3)
    new = site.send("new")

    assert (old,) == find_restored(since, database=site.database).ids
    fence(find_restored(since, database=site.database), person="zhang", why="", database=site.database)
    assert [site.state(old), site.state(new)] == ["unknown", "queued"]


@pytest.mark.every_database
def test_a_backup_of_the_hour_that_comes_twice(site: Site) -> None:
    """The second time, when the clocks were put back: what was enqueued in that hour is held, too."""
    since = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    site.advance((since - at(site, 60)).total_seconds())
    job = site.send()
    site.sql("update worker_processes set ended_at = 1")

    assert (job,) == find_restored(since, database=site.database).ids


def test_it_is_refused_beside_a_worker_and_without_a_zone(site: Site) -> None:
    """A worker that is alive is sending what is to be held."""
    site.send()
    site.sql("update worker_processes set ended_at = 1")
    found = find_restored(at(site, 1), database=site.database)
    site.sql("update worker_processes set ended_at = null")
    with pytest.raises(WorkerError, match="1 worker processes are alive"):
        fence(found, person="zhang", why="", database=site.database)
    with pytest.raises(WorkerError, match="1 worker processes are alive and may be sending: end them"):
        find_restored(at(site), database=site.database)
    with pytest.raises(CheckFailed, match="created_before"):
        find_restored(datetime(2026, 1, 1), database=site.database)


def test_those_behind_in_an_order_wait(site: Site) -> None:
    """Each may have gone out: all are held, and nothing overtakes."""
    jobs = [site.send(str(n), order_key="o") for n in range(3)]
    assert held_by_a_fence(site) == 3
    new = site.send("new", order_key="o")
    site.run()
    assert [site.state(job) for job in (*jobs, new)] == ["unknown"] * 3 + ["queued"]
