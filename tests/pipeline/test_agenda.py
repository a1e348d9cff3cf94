"""What one statement says of all that there is to do, and which loops then ask nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest

from tests.support.runtime import Site, lost, planted
from worker.outbox.engine.clock import SECOND, DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.lanes.agenda import MAX_AGE_S, Agenda, Work
from worker.outbox.upkeep.indexing import IDLE_S, Indexing


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def seen(site: Site, since: int | None = 0) -> frozenset[Work]:
    return Agenda(site.database, site.ticks).refresh(since)


def test_nothing_is_to_do_in_an_empty_outbox(site: Site) -> None:
    """However often a process looks."""
    assert seen(site) == frozenset()


def test_a_part_is_seen_from_its_commit_to_its_end(site: Site) -> None:
    """First what the relay offers, then what is indexed and counted."""
    job = site.send()
    due, later = seen(site), seen(site, site.clock.micros)
    site.ring(job)

    assert due == {Work.NEWLY_DUE, Work.DUE, Work.OPEN}
    assert later == {Work.DUE, Work.OPEN}
    assert Work.UNINDEXED in seen(site)
    assert not seen(site) & due


def test_a_part_that_is_due_later_is_only_open(site: Site) -> None:
    """It wakes no loop but that which shows what waits."""
    site.send(due_at=instant(site.clock.micros + 3_600 * SECOND))

    assert seen(site) == {Work.OPEN}


def test_a_part_past_its_time_has_expired(site: Site) -> None:
    """Recovery ends it."""
    site.send(expires_at=timedelta(seconds=1))
    site.advance(2)

    assert Work.EXPIRED in seen(site)


def test_a_part_in_doubt_is_seen_when_its_policy_is_due(site: Site) -> None:
    """No earlier than five seconds after its call's deadline."""
    site.vendor.says(lost())
    site.ring(site.send())
    early = seen(site)
    for _ in range(10):
        site.advance(3)

    assert Work.OPEN in early
    assert Work.DOUBTFUL not in early
    assert Work.DOUBTFUL in seen(site)


@pytest.mark.fewer_databases("no SQL differs")
def test_a_look_counts_for_half_a_second(site: Site) -> None:
    """Afterwards, or where nobody looked, each loop asks for itself."""
    agenda = Agenda(site.database, site.ticks)
    never = agenda.lacks(Work.DUE)
    agenda.refresh()
    at_once = agenda.lacks(Work.DUE)
    site.advance(MAX_AGE_S + 0.1)

    assert (never, at_once, agenda.lacks(Work.DUE)) == (False, True, False)


@pytest.mark.fewer_databases("no SQL differs")
def test_a_loop_without_work_asks_nothing(site: Site) -> None:
    """Indexing works at once where something was seen."""
    agenda = Agenda(site.database, site.ticks)
    turn = partial(agenda.run_unless_idle, Work.UNINDEXED, Indexing(site.database, site.ticks).turn, IDLE_S)
    agenda.refresh()
    with site.database_away():
        rests = turn()
    site.ring(site.send())
    agenda.refresh()

    assert rests == IDLE_S
    assert turn() == 0.0
