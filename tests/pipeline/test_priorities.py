"""Priorities where a limit is the bottleneck: urgent before normal before bulk, over all lanes that share the limit."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from tests.support.runtime import Site, an_account, planted
from worker import Markdown
from worker.delivery.scheduler.lane_offer import Doorbell
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("who goes first is decided in Python; limits are reserved on each elsewhere")
AMOUNT, DAY = 20, 86_400 + 600
LIMITS = {"app_day": AMOUNT, "member_minute": 0, "member_hour": 0}


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock, accounts=[an_account(limits=LIMITS)]) as planted_site:
        yield planted_site


def rings(site: Site) -> Sequence[Doorbell]:
    """A turn's doorbells, in the order in which they go to the broker."""
    site.ticks.advance(1.1)
    site.clock.advance(0.001)
    site.runtime.lease.beat(site.runtime.lane_states.summary())
    site.relay.lead()
    site.relay.full_scan()
    site.relay.turn()
    rung, site.rings[:] = list(site.rings), []
    return rung


def window(site: Site, order: random.Random) -> Counter[str]:
    """What was called in one window of the limit, by the first letter; threads take doorbells in any order."""
    before = len(site.bodies())
    for _ in range(4):
        rung = list(rings(site))
        order.shuffle(rung)
        for ring in sorted(rung, key=lambda ring: not ring.urgent):
            site.bell.answer(ring.lane, ring.ids)
        site.settle()
    called = [(body.get("text") or body["markdown"])["content"][0] for body in site.bodies()[before:]]
    site.advance(DAY)
    return Counter(called)


def fill(site: Site, normal: int, bulk: int, *, two_lanes: bool) -> None:
    for n in range(normal):
        site.send(f"n{n}", f"a{n}")
    for n in range(bulk):
        if two_lanes:
            site.ask(Markdown(content=f"b{n}"), f"b{n}", priority="bulk")
        else:
            site.send(f"b{n}", f"b{n}", priority="bulk")


@pytest.mark.parametrize(("two_lanes", "seed"), [(False, 1), (True, 2)])
def test_bulk_has_its_part_of_each_window_and_no_more(site: Site, two_lanes: bool, seed: int) -> None:
    """However few normal parts wait, and however much bulk: it gets a tenth, and all of it when they are gone."""
    fill(site, 70, 110, two_lanes=two_lanes)
    order = random.Random(seed)
    normal = 70 - window(site, order)["n"]  # nobody knows yet that the limit is the bottleneck

    while normal >= AMOUNT:
        called = window(site, order)
        normal -= called["n"]
        assert called.total() == AMOUNT
        assert 2 <= called["b"] <= 3

    while normal:
        normal -= window(site, order)["n"]
    assert window(site, order) == {"b": AMOUNT}


def test_urgent_leaves_bulk_its_part(site: Site) -> None:
    """Of what the limit lets through, also when urgent parts alone would take all of it."""
    fill(site, 0, 60, two_lanes=False)
    for n in range(150):
        site.send(f"u{n}", f"u{n}", priority="urgent")
    order = random.Random(1)
    window(site, order)

    windows = [window(site, order) for _ in range(6)]

    assert all(2 <= called["b"] <= 3 and called.total() == AMOUNT for called in windows)


def test_urgent_in_another_lane_has_the_first_of_the_room(site: Site) -> None:
    """The lanes of an account open together, and what is urgent in any of them is rung first."""
    fill(site, 130, 0, two_lanes=False)
    order = random.Random(7)
    window(site, order)

    for _ in range(5):
        job = site.ask(Markdown(content="u"), "boss", priority="urgent")
        called = window(site, order)
        assert (called["u"], called.total(), site.state(job)) == (1, AMOUNT, "accepted")


def test_a_lane_of_bulk_leaves_the_threads_to_the_others(database: Database, driven_clock: DrivenClock) -> None:
    """Without any limit: of an account's threads a lane with nothing but bulk has a tenth while another has work."""
    with planted(database, driven_clock, accounts=[an_account(limits={"member_minute": 0})]) as site:
        site.share(5)
        fill(site, 400, 400, two_lanes=True)

        offered = Counter[bool]()
        for ring in rings(site):
            offered[ring.bulk] += len(ring.ids)

    assert offered == {False: 27 * 5 * 2, True: 3 * 5 * 2}
