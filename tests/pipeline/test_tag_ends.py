"""The end of a tag: told once when none of its jobs is open, by whichever process looks, and not by any commit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from tests.support.reads import rows_read, sweep
from tests.support.runtime import Site, lost, planted, refused
from worker import ConfigurationError, JobFilter, MailingStage, StageCount, TagDone, To, on_tag_done
from worker.config.settings import RetentionSettings
from worker.control.resolve import find_unknown, resolve
from worker.delivery.maintenance.housekeeping import Housekeeping
from worker.domain.mailing import matches_tag
from worker.hooks.offers import HookOffers
from worker.hooks.registry import ApplicationHooks, load_hooks
from worker.hooks.runs import HookRuns
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.upkeep import ended_tags
from worker.outbox.upkeep.ended_tags import due_tags, find_open_jobs
from worker.outbox.upkeep.indexing import index_batch
from worker.reporting.mailing import MailingReport, mailing
from worker.service import tag_ends
from worker.service.tag_ends import RECHECK_S, TagEnds

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in the first tests")

QUIET_S = ended_tags.QUIET_US / 1_000_000 + 1
DAY = timedelta(days=1)
MakeHall = Callable[..., "Hall"]


@dataclass
class Hall:
    """A process with hooks for the ends of tags, and what they heard."""

    site: Site
    heard: list[TagDone] = field(default_factory=list)

    def __post_init__(self) -> None:
        @on_tag_done
        def ended(done: TagDone, session: Session) -> None:
            self.heard.append(done)

        site, published = self.site, list[str]()
        self.looks, self._published = TagEnds(site.database, site.ticks), published
        self._offers = HookOffers(site.database, published.extend, threads=4, republish_after_s=5, monotonic=site.ticks)
        self._runs = HookRuns(
            site.database,
            ApplicationHooks([ended]),
            site.runtime.settings,
            holder=lambda: site.runtime.lease.incarnation,
            may_act=lambda: True,
            rng=random.Random(7),
        )

    def look(self, after_s: float = QUIET_S) -> list[str]:
        """Indexes what ended, and looks a while later; the tags that hooks heard of since the last look."""
        self.index()
        self.site.advance(after_s)
        self.looks.turn()
        return self.hear()

    def index(self) -> None:
        """All that ended has its terms."""
        while index_batch(self.site.database):
            pass

    def hear(self) -> list[str]:
        """Runs the hooks of what was told."""
        self.heard.clear()
        self._offers.turn()
        for id in self._published:
            self._runs.hear(id)
        self._published.clear()
        return [done.tag for done in self.heard]

    def noted(self) -> list[SimpleNamespace]:
        """The tags of which a job ended."""
        return self.site.rows("select * from worker_ended_tags order by tag")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process, whose application has a hook for the end of every tag."""
    driven_clock.micros = time.time_ns() // 1000  # pages are bounded by ids, which hold the producer's time
    with planted(database, driven_clock, hooked_tags=["*"]) as planted_site:
        yield planted_site


@pytest.fixture
def hall(site: Site) -> Hall:
    return Hall(site)


@pytest.mark.every_database
def test_the_last_job_of_a_tag_ends_it_once(site: Site, hall: Hall) -> None:
    """With what its jobs came to; other tags are of their own, and an id of a request is no mailing."""
    site.vendor.says(partial(site.vendor.takes, invaliduser="bob"), refused(81013))
    site.ring(site.send("a", To(["ann", "bob"]), tags=["lunch", "request_id:7"]))
    last = site.send("a", "carl", tags=["lunch", "menu"], due_at=timedelta(hours=1))
    too_early = hall.look()
    site.advance(3_600)
    site.ring(last)
    told = hall.look()
    [lunch] = [done for done in hall.heard if done.tag == "lunch"]

    assert (too_early, sorted(told)) == ([], ["lunch", "menu"])
    assert StageCount(1, 1, 1) == lunch.stages[MailingStage.SENT]
    assert StageCount(1, 1, 2) == lunch.stages[MailingStage.REFUSED]
    assert not lunch.is_cut_short
    assert hall.look() == []
    assert hall.look(RECHECK_S) == []


def test_what_is_enqueued_between_the_search_and_the_count_postpones_the_end(
    site: Site, hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event has open jobs in its counts; the tag ends with the new job."""
    site.ring(site.send("a", tags=["lunch"]))
    late: list[str] = []

    def count(connection: Connection, filter: JobFilter) -> MailingReport:
        late.append(site.send("late", tags=["lunch"]))
        return mailing(connection, filter)

    with monkeypatch.context() as patch:
        patch.setattr(tag_ends, "mailing", count)
        told = hall.look()
    site.ring(*late)
    told_later = hall.look(RECHECK_S + QUIET_S)

    assert told == []
    assert told_later == ["lunch"]
    assert hall.heard[0].stages[MailingStage.SENT].jobs == 2


@pytest.mark.every_database
def test_however_many_look_one_tells(site: Site, hall: Hall) -> None:
    """Two processes see that all have ended, and one event is written."""
    site.ring(site.send("a", tags=["lunch"]))
    hall.index()
    site.advance(QUIET_S)
    with site.database.reading() as connection:
        [ended] = due_tags(connection, site.database.read_now())
    other = TagEnds(site.database, site.ticks)
    hall.looks.turn()
    other.turn()
    other._write_event(ended, site.database.read_now())

    assert hall.hear() == ["lunch"]
    assert len(site.rows("select id from worker_events")) == 1


@pytest.mark.every_database
def test_a_tag_with_new_jobs_ends_again(site: Site, hall: Hall) -> None:
    """An event for each time that all have ended, and none while one is open."""
    site.ring(site.send("a", tags=["lunch"]))
    first = hall.look()
    site.ring(site.send("b", tags=["lunch"]))
    waiting = site.send("c", tags=["lunch"], due_at=timedelta(hours=1))
    second = hall.look()
    site.advance(3_600)
    site.ring(waiting)

    assert (first, second, hall.look()) == (["lunch"], [], ["lunch"])
    assert hall.heard[0].stages[MailingStage.SENT].jobs == 3


def test_a_tag_ends_again_though_the_clock_was_set_back(site: Site, hall: Hall) -> None:
    """Its end was told an hour from now, by the database's clock."""
    site.ring(site.send("a", tags=["lunch"]))
    first = hall.look()
    site.clock.advance(-3_600)
    site.ring(site.send("b", tags=["lunch"]))

    again = hall.look()

    assert (first, again) == (["lunch"], ["lunch"])
    assert hall.look() == []


@pytest.mark.every_database
def test_a_late_word_about_an_ended_job_tells_nothing_anew(site: Site, hall: Hall) -> None:
    """Only a job that ends anew does: a doubt that is decided changes the job's end, another indexing does not."""
    site.vendor.says(lost())
    job = site.send("a", tags=["lunch"], on_unknown="hold")
    site.ring(job)
    in_doubt = hall.look()
    counted = hall.heard[0].stages[MailingStage.UNKNOWN].jobs
    with site.database.writing() as connection:
        connection.exec_driver_sql(f"insert into worker_unindexed (job_id, note) values ('{job}', 'again')")
    again = hall.look()
    site.advance(1)
    found = find_unknown(JobFilter(ids=[job]), force=True, database=site.database)
    resolve(found, sent=True, person="li", why="asked her", database=site.database)

    assert (in_doubt, counted, again, hall.look()) == (["lunch"], 1, [], ["lunch"])
    assert hall.heard[0].stages[MailingStage.SENT].jobs == 1


def test_what_is_not_indexed_yet_is_no_end(site: Site, hall: Hall) -> None:
    """For its own note of the tag is still to come, and would tell of the same end once more."""
    site.ring(site.send("a", tags=["lunch"]))
    hall.index()
    site.ring(site.send("b", tags=["lunch"]))
    site.advance(QUIET_S)
    hall.looks.turn()

    assert hall.hear() == []
    assert hall.look() == ["lunch"]
    assert hall.look(RECHECK_S + 1) == []


def test_one_that_is_being_sent_is_not_looked_at(site: Site, hall: Hall) -> None:
    """Each end puts the look off, and so does a job that is found open, which is asked by its id from then on."""
    later = site.send("a", tags=["lunch"], due_at=DAY)
    site.ring(site.send("b", tags=["lunch"]))
    hall.index()
    first = hall.noted()[0].check_at
    site.advance(5)
    site.ring(site.send("c", tags=["lunch"]))
    hall.index()
    second = hall.noted()[0].check_at
    hall.look()

    assert 5_000_000 <= second - first
    assert later == hall.noted()[0].witness
    assert second < hall.noted()[0].check_at


@pytest.mark.parametrize("tags", [[], ["dinner-*"]])
def test_without_a_hook_for_it_nothing_is_noted(database: Database, driven_clock: DrivenClock, tags: list[str]) -> None:
    """An installation without such hooks writes no row, and an index of a job costs it one small look."""
    with planted(database, driven_clock, hooked_tags=tags) as site:
        site.ring(site.send("a", tags=["lunch", "request_id:7"]))
        hall = Hall(site)
        hall.index()

        assert hall.noted() == []


def test_a_blank_tag_that_was_accepted_once_keeps_no_other(site: Site, hall: Hall) -> None:
    """No filter counts its jobs, so it ends without an event."""
    odd, job = site.send("a"), site.send("b", tags=["lunch"])
    site.sql("update worker_jobs set tags = :tags where id = :job", tags='[" "]', job=odd)
    site.ring(odd)
    hall.index()
    site.ring(job)

    assert hall.look() == ["lunch"]


@pytest.mark.every_database
def test_a_look_costs_what_is_open(site: Site, hall: Hall) -> None:
    """However many jobs have ended, of this tag or of others."""

    def reads() -> int:
        def look(connection: object) -> None:
            tags = due_tags(connection, site.clock.micros)  # type: ignore[arg-type]
            find_open_jobs(connection, tags)  # type: ignore[arg-type]

        sweep(site.database, "worker_parts", "worker_unindexed")
        return rows_read(site.database, look)

    site.send("a", tags=["lunch"], due_at=DAY)
    site.ring(site.send("b", tags=["lunch"]))
    hall.index()
    site.advance(QUIET_S)
    few = reads()
    site.ring(*(site.send("c", f"u{n}", tags=["lunch"]) for n in range(40)))
    hall.index()
    site.advance(QUIET_S)

    assert reads() <= few + 5


def test_a_parked_event_of_a_tag_is_kept_and_an_old_one_goes(site: Site, hall: Hall) -> None:
    """With the row that says that it was told; as callbacks do."""
    site.ring(site.send("a", tags=["lunch"]))
    hall.look()
    house = Housekeeping(site.database, RetentionSettings(), site.ticks)
    house.turn()
    kept = len(site.rows("select id from worker_events")), len(hall.noted())
    site.advance(400 * DAY.total_seconds())
    house.turn()

    assert kept == (1, 1)
    assert (len(site.rows("select id from worker_events")), len(hall.noted())) == (0, 0)


@pytest.mark.parametrize(
    ("patterns", "tag", "expected"),
    [
        (["*"], "lunch", True),
        (["*"], "request_id:7", False),
        (["request_id:*"], "request_id:7", True),
        (["lunch"], "lunch", True),
        (["lunch"], "lunch-2", False),
        (["lunch-*"], "lunch-2", True),
        (["lunch-*"], "lunch", False),
        (["", "x"], "lunch", False),
        ([], "lunch", False),
    ],
)
def test_a_hook_names_tags_or_their_beginnings(patterns: list[str], tag: str, expected: bool) -> None:
    """And by itself asks for all but those that name a request."""
    assert expected is matches_tag(patterns, tag)


def test_a_hook_for_no_tag_is_an_error() -> None:
    """Said where it is written."""
    with pytest.raises(ConfigurationError, match="holds no tag"):
        on_tag_done(tags=[])


def test_a_hook_hears_its_tags_alone(site: Site) -> None:
    """Which is what the process writes into its heartbeat."""
    heard = on_tag_done(tags=["lunch", "menu-*"])(lambda event, session: None)
    hooks = ApplicationHooks([heard])
    done = partial(TagDone, "e", stages={}, is_cut_short=False, happened_at=None)  # type: ignore[arg-type]

    assert hooks.subscriptions.tags == {"lunch", "menu-*"}
    assert [len(hooks.functions_for(done(tag))) for tag in ("lunch", "menu-7", "dinner")] == [1, 1, 0]
    assert not load_hooks("").subscriptions.tags
