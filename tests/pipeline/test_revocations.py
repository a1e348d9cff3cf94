"""What a person revoked, in Flower or by `celery control revoke`, is cancelled where it cannot be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.support.runtime import Site, busy, lost, planted
from worker.channels.registry import channel
from worker.delivery.maintenance.revocations import Revocations
from worker.domain.call import CallResult, Request
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

DAY = timedelta(days=1)


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process."""
    with planted(database, driven_clock) as planted_site:
        yield planted_site


@pytest.fixture
def revocations(site: Site) -> Revocations:
    """A process's look at what was revoked."""
    return Revocations(site.runtime, channel)


def test_a_job_of_tomorrow_stays_cancelled_when_everybody_has_forgotten(site: Site, revocations: Revocations) -> None:
    """Cancelled when it is revoked, not when it is due: the processes that heard of it may be gone by then."""
    job = site.send(due_at=DAY)
    site.revoked.add(job)

    revocations.turn()
    site.revoked.clear()
    site.advance(DAY.total_seconds())
    site.run()

    assert ("cancelled", "revoked before it was sent", []) == (site.state(job), site.part(job).reason, site.calls())
    assert [job] == [one.job_id for one in site.told]


def test_what_is_in_the_air_is_not_sent_again(site: Site, revocations: Revocations) -> None:
    """Revoked during a call that the vendor then refuses for now: cancelled once its answer is written."""
    job = site.send()

    def revoked_meanwhile(request: Request) -> CallResult:
        site.revoked.add(job)
        revocations.turn()
        return busy()

    site.vendor.says(revoked_meanwhile)
    site.ring(job)
    revocations.turn()

    assert ("cancelled", 1) == (site.state(job), len(site.calls()))


def test_what_is_in_doubt_is_not_repeated(site: Site, revocations: Revocations) -> None:
    """It may have been sent, so it is held as unknown for a person."""
    job = site.send()
    site.vendor.says(lost())
    site.ring(job)
    site.revoked.add(job)

    revocations.turn()
    site.revoked.clear()
    site.advance(60)
    site.recover()
    site.run()

    assert ("unknown", None, 1) == (site.state(job), site.part(job).not_before, len(site.calls()))


def test_what_has_ended_stays_as_it_is(site: Site, revocations: Revocations) -> None:
    """Nothing that was sent is taken back: that is a recall."""
    job = site.send()
    site.ring(job)
    site.revoked.add(job)

    revocations.turn()

    assert ("accepted", 1) == (site.state(job), len(site.calls()))


def test_what_is_no_job_is_passed(site: Site, revocations: Revocations) -> None:
    """Celery revokes whatever id it is given; one that no database takes keeps no job from being cancelled."""
    job = site.send(due_at=DAY)
    site.revoked |= {"no\0id", "018f0000000070008000000000000000", job}

    revocations.turn()

    assert "cancelled" == site.state(job)
