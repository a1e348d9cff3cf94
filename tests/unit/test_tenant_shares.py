"""The shares of tenants in the window of a lane: by weight, no credit for idle times, urgent first within bounds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from worker.delivery.scheduler.tenants import TenantShares
from worker.domain.job import Priority
from worker.domain.pacing.tenant import Tenant, tenant_of, weight_in, within
from worker.outbox.lanes.offering import Head

LANE = "hr:1"
WEIGHTS = {"a": 1.0, "b": 1.0, "c": 2.0}


@dataclass
class Lane:
    """A lane's queues in memory; what is offered is called in the next turn."""

    queues: dict[str, dict[Priority, list[str]]] = field(default_factory=dict)
    out: set[str] = field(default_factory=set)
    called: Counter[str] = field(default_factory=Counter)
    shares: TenantShares = field(default_factory=lambda: TenantShares(lambda one: WEIGHTS.get(one, 1.0)))
    made: int = 0

    def add(self, tenant: str, count: int, priority: Priority = Priority.NORMAL) -> None:
        queue = self.queues.setdefault(tenant, {}).setdefault(priority, [])
        queue += [f"{tenant}{self.made + n}" for n in range(count)]
        self.made += count

    def read(self, tenant: str, priority: Priority, most: int) -> Head:
        rows = self.queues.get(tenant, {}).get(priority, [])[:most]
        free = [part for part in rows if part not in self.out]
        return Head(free, [part for part in rows if part in self.out], rows[0] if rows else None)

    def turn(self, room: int, gone: int | None = None, blocked: str = "") -> dict[Priority, Head]:
        """Offers a window, then `gone` of the parts in the broker are called (all, unless told otherwise)."""
        free = [one for one in self.queues if one not in blocked]
        window = self.shares.window(LANE, free, self.read, blocked)
        heads = dict(zip(Priority, (*window.front(room, room), window.bulk(room)), strict=True))
        ids = [part for head in heads.values() for part in head.ids]
        window.offered(ids)
        self.out.update(ids)
        out = [part for part in [*ids, *sorted(self.out - set(ids))] if part in self.out]
        for part in out[:gone]:
            self.call(part)
        return heads

    def call(self, part: str) -> None:
        self.out.discard(part)
        self.called[part[0]] += 1
        for queue in self.queues[part[0]].values():
            queue[:] = [one for one in queue if one != part]


def test_calls_follow_the_weights() -> None:
    lane = Lane()
    for tenant in "abc":
        lane.add(tenant, 1_000)
    for _ in range(40):
        lane.turn(7, gone=5)

    assert lane.called.total() == 200
    assert all(abs(lane.called[one] / 200 - WEIGHTS[one] / 4) < 0.02 for one in "abc")


def test_the_share_of_an_idle_tenant_goes_to_the_others() -> None:
    lane = Lane()
    lane.add("b", 500)
    lane.add("c", 500)
    for _ in range(30):
        lane.turn(10)

    assert {"b": 100, "c": 200} == lane.called


def test_an_idle_time_is_no_credit() -> None:
    lane = Lane()
    lane.add("a", 10)
    lane.add("b", 1_000)
    for _ in range(50):
        lane.turn(10)
    before = lane.called.copy()
    lane.add("a", 500)
    for _ in range(10):
        lane.turn(10)

    assert {"a": 50, "b": 50} == lane.called - before


def test_a_blocked_time_is_no_credit() -> None:
    lane = Lane()
    lane.add("a", 2_000)
    lane.add("b", 3_000)
    lane.turn(10)
    for _ in range(100):
        lane.turn(10, blocked="a")
    before = lane.called.copy()
    for _ in range(10):
        lane.turn(10)

    assert abs((lane.called - before)["a"] - 50) <= 1


def test_one_that_begins_while_the_others_are_away_begins_level() -> None:
    lane = Lane()
    lane.add("b", 3_000)
    for _ in range(100):
        lane.turn(10)
    lane.add("a", 2_000)
    for _ in range(5):
        lane.turn(10, blocked="b")
    before = lane.called.copy()
    for _ in range(20):
        lane.turn(10)

    assert abs((lane.called - before)["a"] - 100) <= 50


def test_urgent_parts_do_not_wait_for_the_normal_ones_of_their_tenant() -> None:
    lane = Lane()
    lane.add("a", 15)
    lane.add("b", 5)
    lane.turn(20, gone=0)
    lane.add("a", 100, Priority.URGENT)

    assert 11 == len(lane.turn(20, gone=0)[Priority.URGENT].ids)  # its half of the window, and one


def test_what_is_given_back_is_not_counted() -> None:
    lane = Lane()
    lane.add("a", 100)
    lane.add("b", 100)
    for _ in range(20):
        heads = lane.turn(4, gone=0)
        lane.out -= {part for part in lane.out if part[0] == "a"}  # released, nothing was called
        for part in [part for part in lane.out if part[0] == "b"]:
            lane.call(part)
    assert not lane.called["a"]
    heads = lane.turn(4)

    assert ["a", "a", "a", "a"] == [part[0] for part in heads[Priority.NORMAL].ids]


def test_urgent_parts_go_first_and_no_further_ahead_than_a_window() -> None:
    lane = Lane()
    lane.add("a", 1_000, Priority.URGENT)
    lane.add("b", 1_000)
    first = lane.turn(10)
    for _ in range(59):
        lane.turn(10)

    assert {"a"} == {part[0] for part in first[Priority.URGENT].ids}
    assert lane.called["a"] - lane.called["b"] <= 40
    assert lane.called["b"] > 250


def test_a_lone_tenant_has_all_its_urgent_parts_urgent() -> None:
    lane = Lane()
    lane.add("a", 100, Priority.URGENT)

    assert all(len(lane.turn(10)[Priority.URGENT].ids) == 10 for _ in range(10))


def test_bulk_is_shared_apart_from_all_else() -> None:
    lane = Lane()
    lane.add("a", 1_000, Priority.BULK)
    lane.add("b", 1_000)
    for _ in range(20):
        lane.turn(10)
    before = lane.called.copy()
    lane.add("b", 1_000, Priority.BULK)
    lane.queues["b"][Priority.NORMAL].clear()
    for _ in range(20):
        lane.turn(10)

    assert {"a": 100, "b": 100} == lane.called - before


def test_which_tenant_a_job_is_of() -> None:
    tenants = {"shop": Tenant(tag="orders"), "bank": Tenant(tag="loans"), "*": Tenant(3.0)}

    assert "shop" == tenant_of(tenants, None, ["x", "orders", "loans"])
    assert "post" == tenant_of(tenants, "post", ["orders"])
    assert tenant_of(tenants, None, ["x"]) is None
    assert [1.0, 3.0, 3.0] == [weight_in(tenants, within(LANE, name)) for name in ("shop", "post", None)]


def test_a_tenant_that_is_level_and_idle_is_not_remembered() -> None:
    lane = Lane()
    lane.add("b", 1_000)
    for tenant in "cdefghijklmnopqrstuvwxyz":
        lane.add(tenant, 2)
        lane.turn(10)
    for _ in range(10):
        lane.turn(10)

    assert ["b"] == [one for turns in lane.shares._lanes[LANE] for one in turns.of]
