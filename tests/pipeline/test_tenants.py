"""Tenants share an account's limits: by weight, with a cap of a day each, and a noisy one delays itself alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta

import pytest

from tests.support.runtime import Site, an_account, busy, planted, refused
from worker import CheckFailed, Text, To, get_job
from worker.channels.registry import channel, tenant_weight_of
from worker.delivery.scheduler import lane_head
from worker.delivery.scheduler.relay import RelayTimes
from worker.domain.pacing.lane import LaneBlock, account_of, lane_of
from worker.domain.pacing.tenant import Tenant, tenant_mark
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import block_lanes
from worker.reporting.limit_usage import usage
from worker.reporting.wait import WaitFor
from worker.reporting.why import why

TENANTS = {"shop": Tenant(tag="orders"), "bank": Tenant(), "post": Tenant(2.0, day=3)}


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock, accounts=[an_account(tenants=TENANTS)], threads=4) as planted_site:
        yield planted_site


def stored(site: Site, job: str) -> str:
    [row] = site.rows("select lane from worker_parts where job_id = :job", job=job)
    return str(row.lane)


def states(site: Site, *jobs: str) -> list[str]:
    return [site.job(job).state for job in jobs]


def change(site: Site, tenants: Mapping[str, Tenant]) -> None:
    site.accounts.replace(an_account(tenants=tenants))


def test_the_tenant_is_given_or_found_by_a_tag(site: Site) -> None:
    jobs = [site.send(tenant="bank"), site.send(tags=["orders"]), site.send(tags=["x"])]

    assert ["bank", "shop", None] == [site.job(job).tenant for job in jobs]
    assert [tenant_mark("bank"), tenant_mark("shop"), ""] == [stored(site, job).partition(".")[2] for job in jobs]
    assert 1 == len({lane_of(stored(site, job)) for job in jobs})
    assert {"hr"} == {account_of(stored(site, job)) for job in jobs}
    with site.database.reading() as connection:
        assert "bank" == get_job(connection, jobs[0]).tenant


@pytest.mark.parametrize("tenant", ["", "*", "x" * 61, 7, "a\x00b"])
def test_what_is_no_tenant_is_refused(site: Site, tenant: object) -> None:
    with pytest.raises(CheckFailed, match="tenant"):
        site.send(tenant=tenant)


def test_calls_follow_the_weights_and_each_is_made_once(site: Site) -> None:
    change(site, {"post": Tenant(2.0)})
    for tenant in ("shop", "bank", "post"):
        for n in range(60):
            site.send(tenant, to=f"{tenant}{n}", tenant=tenant)
    site.share(2, 4, tenant_weight=lambda one: tenant_weight_of(site.accounts, one))
    site.run(6)
    half = Counter(body["text"]["content"] for body in site.bodies())
    site.run(200)

    assert 40 <= half.total() <= 140
    assert all(abs(half[one] / half.total() - part) < 0.06 for one, part in (("shop", 0.25), ("post", 0.5)))
    assert {"shop": 60, "bank": 60, "post": 60} == Counter(body["text"]["content"] for body in site.bodies())


def test_a_tenant_whose_day_is_full_waits_and_no_other(site: Site) -> None:
    full = [site.send(tenant="post", to=f"u{n}") for n in range(5)]
    others = [site.send(tenant="bank", to=f"v{n}") for n in range(4)] + [site.send()]
    site.run()

    assert ["accepted"] * 5 == states(site, *others)
    assert ["accepted", "accepted", "accepted", "open", "open"] == sorted(states(site, *full))
    waiting = next(job for job in full if site.job(job).state == "open")
    [lane] = site.rows(
        "select label, limit_name, account from worker_lanes where lane = :lane", lane=stored(site, waiting)
    )
    assert ("send text of tenant post", "tenant_day", "hr") == (lane.label, lane.limit_name, lane.account)
    with site.database.reading() as connection:
        [wait] = why(connection, waiting, accounts=["hr"], clock=site.clock).waits
        used = {
            one.counted.of: one.used
            for one in usage(connection, site.database.now, channel("wecom_app"), site.accounts.get("hr"))
        }
    assert WaitFor.LIMIT is wait.what
    assert "tenant post" in wait.text
    assert 3 == used["tenant post"]
    site.advance(timedelta(days=1).total_seconds() + 60)
    site.run()
    assert ["accepted"] * 5 == states(site, *full)


def test_a_message_that_is_refused_takes_nothing_of_the_day(site: Site) -> None:
    site.vendor.says(refused(44004), refused(44004))
    jobs = [site.send(tenant="post", to=f"u{n}") for n in range(5)]
    site.run()

    assert Counter({"accepted": 3, "rejected": 2}) == Counter(states(site, *jobs))


def test_a_message_counts_once_however_many_calls_it_takes(site: Site) -> None:
    """Pieces of a text, and more recipients than one call takes; what is over the cap does not begin."""
    pieces = site.send("x" * 5_000, tenant="post", to="a", overflow="split")
    many = site.ask(Text(content="many"), To([f"u{n}" for n in range(2_500)]), tenant="post")
    site.run()
    third, fourth = (site.send(f"{n}" * 5_000, tenant="post", to="b", overflow="split") for n in range(2))
    site.run()

    assert ["accepted"] * 3 + ["open"] == states(site, pieces, many, third, fourth)
    assert [3, 3, 3, 0] == [
        sum(row.state == 2 for row in site.rows("select state from worker_parts where job_id = :job", job=job))
        for job in (pieces, many, third, fourth)
    ]


def test_a_cap_that_is_raised_acts_within_a_minute(site: Site) -> None:
    jobs = [site.send(tenant="post", to=f"u{n}") for n in range(4)]
    site.run()
    change(site, {"post": Tenant(day=9)})
    site.advance(61)
    site.run()

    assert ["accepted"] * 4 == states(site, *jobs)


def test_a_block_of_the_lane_holds_for_all_of_its_tenants(site: Site) -> None:
    jobs = [site.send(tenant="bank"), site.send(to="wang")]
    lane = lane_of(stored(site, jobs[0]))
    site.database.run(lambda c: block_lanes(c, site.database.now, [LaneBlock(lane, "hr", "send", 60, "rest")]))
    site.run()
    assert ["open", "open"] == states(site, *jobs)
    site.advance(61)
    site.run()

    assert ["accepted", "accepted"] == states(site, *jobs)


def test_a_parked_account_is_probed_with_a_tenants_part(site: Site) -> None:
    job = site.send(tenant="bank")
    block = LaneBlock("hr", "hr", "hr", 1, "no", parked=True)
    site.database.run(lambda c: block_lanes(c, site.database.now, [block]))
    site.advance(2)
    site.run()

    assert "accepted" == site.job(job).state


def test_what_an_earlier_release_parked_for_one_tenant_is_opened(site: Site) -> None:
    job = site.send(tenant="bank")
    block = LaneBlock(stored(site, job), "hr", "send text", 1, "no", parked=True)
    site.database.run(lambda c: block_lanes(c, site.database.now, [block]))
    site.advance(2)
    site.run()

    assert "accepted" == site.job(job).state
    assert (row := site.lane(block.lane)) is None or not row.parked


def test_the_probe_of_a_parked_lane_is_looked_for_among_all_tenants(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_head, "TENANTS", 2)
    jobs = {stored(site, job): job for job in (site.send(tenant=f"t{n}") for n in range(5))}
    block = LaneBlock("hr", "hr", "hr", 60, "no", parked=True)
    site.database.run(lambda c: block_lanes(c, site.database.now, [block]))
    site.run()
    last = max(jobs)
    site.sql("update worker_parts set not_before = not_before + 90000000 where lane <> :last", last=last)
    for _ in range(8):
        site.advance(10)
        site.run()

    assert "accepted" == site.job(jobs[last]).state


def test_the_bound_on_calls_holds_over_more_tenants_than_are_looked_at_in_a_turn(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_head, "TENANTS", 3)
    jobs = [site.send(tenant=f"t{n}", to=f"u{n}") for n in range(8)]
    relay = site.new_relay(lambda: site.runtime.lease.incarnation, RelayTimes(silence_s=60.0))
    for _ in range(6):
        site.ticks.advance(1.1)
        site.clock.advance(0.001)
        relay.lead()
        relay.full_scan()
        relay.turn()

    assert 1 == sum(len(ring.ids) for ring in site.rings)
    assert ["open"] * 8 == states(site, *jobs)


def test_a_retry_stays_with_its_tenant(site: Site) -> None:
    site.vendor.says(busy())
    job = site.send(tenant="bank")
    before = stored(site, job)
    site.run()
    assert before == stored(site, job)
    site.advance(400)
    site.run()

    assert "accepted" == site.job(job).state


def test_what_follows_a_job_is_of_its_tenant(site: Site) -> None:
    job = site.send(tenant="bank")
    site.run()
    recall, again = site.recall(job), site.replay(job)

    assert ["bank", "bank"] == [site.job(one).tenant for one in (recall, again)]
    site.run()
    assert "accepted" == site.job(recall).state
