"""Parts that are taken apart, against the real limits of a member and a plain list of all arrivals.

Others send to the same members meanwhile; a part asks for all of its members, goes on with those who have room, and
leaves the others to a part that comes back exactly when it was told.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

import hypothesis.strategies as st
from hypothesis import given, settings

from tests.unit.test_limits_model import DAY, MEMBER_HOUR, MEMBER_MINUTE, SECOND, PureGovernor, Reference
from worker.channels.wecom_app.targets import narrow
from worker.delivery.sender.admission import Cost, Reservation
from worker.delivery.sender.admit import first_group_in_s
from worker.domain.pacing.limit import Charge, Denied, Permit
from worker.outbox.engine.clock import micros

BEGIN = 1_700_000_000 * SECOND
LIMITS = (MEMBER_MINUTE, MEMBER_HOUR)


def charges_of(members: list[str]) -> list[Charge]:
    return [Charge(limit, member, recipient=member) for member in members for limit in LIMITS]


@dataclass
class Town:
    """Members, their budgets, and everything that ever reached them."""

    governor: PureGovernor = field(default_factory=PureGovernor)
    reference: Reference = field(default_factory=Reference)

    def ask(self, members: list[str], now: int) -> Permit | Denied:
        rows = self.governor.rows
        reservation = Reservation(rows, now=now, before=now / SECOND, grant=lambda until, uses: Permit(until, uses))
        costs = {
            f"{charge.limit.name}-{charge.subject}": Cost(charge.limit, 1, charge.recipient)
            for charge in charges_of(members)
        }
        answer = reservation.decide(costs, 0)
        rows.update(reservation.changed())
        if isinstance(answer, Permit):
            for key in costs:
                self.reference.arrivals[key].append((now, 1))
        return answer

    def overstepped(self) -> list[str]:
        limits = {limit.name: limit for limit in LIMITS}
        return [
            key
            for key in self.reference.arrivals
            if self.reference.worst(key, limits[key.partition("-")[0]].window_s) > limits[key.partition("-")[0]].amount
        ]


def work_off(town: Town, members: list[str]) -> tuple[list[tuple[int, list[str]]], int]:
    """One part to all of them, to its end: the calls (instant, members), and how often somebody had to wait."""
    due, calls, waits = [(BEGIN, members)], [], 0
    while due:
        now, asked = heappop(due)
        answer, going = town.ask(asked, now), asked
        if isinstance(answer, Denied):
            waits += 1
            later_at = now + micros(first_group_in_s(answer.members, charges_of(asked)))
            specs = narrow({"users": asked}, answer.members.keys())
            going = specs[0]["users"] if specs else []
            heappush(due, (later_at, specs[1]["users"] if specs else asked))
            assert not going or isinstance(town.ask(going, now), Permit), "those who were not short have room"
        if going:
            calls.append((now, going))
    return calls, waits


@settings(max_examples=60)
@given(
    history=st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 3_700), st.integers(1, 40)), min_size=0, max_size=60, unique=True
    )
)
def test_whoever_was_sent_to_before_everybody_is_reached_once_and_soon(history: list[tuple[int, int, int]]) -> None:
    """Of 31 members with any past: nobody twice, nobody never, nobody above a window, each at most one window of a
    minute after his own room, and calls for whole groups of them.
    """
    town = Town()
    for member, ago_s, sends in sorted(history, key=lambda sent: -sent[1]):
        for _ in range(sends):
            town.ask([f"m{member}"], BEGIN - ago_s * SECOND)
    members = [f"m{n}" for n in range(31)]
    alone = {member: _alone(town, member) for member in members}

    calls, waits = work_off(town, members)

    assert Counter(members) == Counter(member for _, going in calls for member in going)
    assert not town.overstepped()
    late = [at - alone[member] for at, going in calls for member in going]
    assert 0 <= min(late)
    assert max(late) <= 60 * SECOND
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(calls)]
    assert len(calls) <= 2 + 3_601 // 60
    assert all(gap > 0 for gap in gaps)
    assert waits <= len(calls) + 1


def _alone(town: Town, member: str) -> int:
    """When this member alone could be sent to."""
    rows = dict(town.governor.rows)
    answer = town.ask([member], BEGIN)
    town.governor.rows.clear()
    town.governor.rows.update(rows)
    if isinstance(answer, Denied):
        return BEGIN + micros(answer.call_delay)
    for limit in LIMITS:
        town.reference.arrivals[f"{limit.name}-{member}"].pop()
    return BEGIN


def test_a_campaign_over_a_day_to_members_who_are_always_full() -> None:
    """Twenty messages to a hundred people in the middle of everybody else's thousand an hour: all arrive, in calls
    to groups, and no window of any member is overstepped.
    """
    town, members = Town(), [f"m{n}" for n in range(100)]
    jobs = [(BEGIN + n * 60 * SECOND, n, members) for n in range(20)]
    noise = [(BEGIN + n * 3 * SECOND + m * 17_000, 1_000 + m, [f"m{m}"]) for n in range(500) for m in range(0, 100, 9)]
    due, got, calls = [*jobs, *noise], Counter[str](), 0
    heapify(due)
    while due:
        now, job, asked = heappop(due)
        answer = town.ask(asked, now)
        assert now < BEGIN + DAY * SECOND
        if isinstance(answer, Denied):
            later_at = now + micros(first_group_in_s(answer.members, charges_of(asked)))
            specs = narrow({"users": asked}, answer.members.keys())
            heappush(due, (later_at, job, specs[1]["users"] if specs else asked))
            if specs:
                heappush(due, (now, job, specs[0]["users"]))
        elif job < 1_000:
            got.update(asked)
            calls += 1

    assert dict.fromkeys(members, 20) == got
    assert not town.overstepped()
    assert calls <= 20 * 8
