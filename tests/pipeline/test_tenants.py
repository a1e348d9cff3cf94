"""Tenants share an account's limits: each has lanes of its own, and a noisy one delays itself alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.runtime import Site, busy, planted, refused
from worker import CheckFailed, Raw, get_job
from worker.domain.pacing.lane import LaneBlock, account_of
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import change_lanes

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock, threads=4) as planted_site:
        yield planted_site


def lane(site: Site, job: str) -> str:
    [row] = site.rows("select lane from worker_parts where job_id = :job", job=job)
    return str(row.lane)


def states(site: Site, *jobs: str) -> list[str]:
    return [site.job(job).state for job in jobs]


def test_a_tenant_has_lanes_of_its_own(site: Site) -> None:
    jobs = [site.send(tenant="bank"), site.send(tenant="bank"), site.send(tenant="shop"), site.send()]
    lanes = [lane(site, job) for job in jobs]

    assert lanes[0] == lanes[1]
    assert len(set(lanes)) == 3
    assert {account_of(one) for one in lanes} == {"hr"}
    with site.database.reading() as connection:
        assert [get_job(connection, job).tenant for job in jobs] == ["bank", "bank", "shop", None]


@pytest.mark.parametrize("tenant", ["", "x" * 61, 7, "a\x00b"])
def test_what_is_no_tenant_is_refused(site: Site, tenant: object) -> None:
    with pytest.raises(CheckFailed, match="tenant"):
        site.send(tenant=tenant)


@pytest.mark.every_database
def test_a_lane_with_the_longest_names_can_be_blocked(site: Site) -> None:
    """Its name for people fits into the lane's row. Else the vendor's answer could not be stored with it."""
    site.vendor.says(refused(45009))
    raw = "x" * 64
    job = site.ask(Raw(msgtype=raw, body={raw: {"content": "hello"}}), tenant="t" * 60)
    site.ring(job)

    blocked = site.lane(lane(site, job))
    assert site.state(job) == "queued"
    assert blocked is not None
    assert blocked.label.startswith("send xxx")


def test_a_noisy_tenant_delays_itself_alone(site: Site) -> None:
    """Behind 300 of one tenant, those of the other go by turns with them."""
    for n in range(300):
        site.send("noise", to=f"u{n}", tenant="noisy")
    quiet = [site.send("quiet", to=f"v{n}", tenant="quiet") for n in range(20)]
    site.share(2, 4)
    site.run(6)
    sent = Counter(body["text"]["content"] for body in site.bodies())

    assert states(site, *quiet) == ["accepted"] * 20
    assert sent["noise"] <= 60
    site.run(400)
    assert Counter(body["text"]["content"] for body in site.bodies()) == {"noise": 300, "quiet": 20}


def test_what_blocks_a_lane_blocks_that_of_one_tenant(site: Site) -> None:
    """What the vendor refuses another for, that one learns from its own call."""
    blocked, other = site.send(tenant="bank"), site.send(tenant="shop")
    block = LaneBlock(lane(site, blocked), "send text of tenant bank", 60, "rest")
    site.database.run(lambda connection: change_lanes(connection, site.database.now, [block]))
    site.run()
    assert states(site, blocked, other) == ["open", "accepted"]
    site.advance(61)
    site.run()

    assert states(site, blocked) == ["accepted"]


def test_a_lane_is_told_with_its_tenant(site: Site) -> None:
    site.vendor.says(busy())
    site.send(tenant="bank")
    site.run()

    assert {row.label for row in site.rows("select label from worker_lanes where lane like 'hr:%'")} == {
        "send text of tenant bank"
    }


def test_a_retry_stays_with_its_tenant(site: Site) -> None:
    site.vendor.says(busy())
    job = site.send(tenant="bank")
    before = lane(site, job)
    site.run()
    assert lane(site, job) == before
    site.advance(400)
    site.run()

    assert states(site, job) == ["accepted"]


def test_what_follows_a_job_is_of_its_tenant(site: Site) -> None:
    job = site.send(tenant="bank")
    site.run()
    recall, again = site.recall(job), site.replay(job)

    assert [site.job(one).tenant for one in (recall, again)] == ["bank", "bank"]
    site.run()
    assert states(site, recall) == ["accepted"]
