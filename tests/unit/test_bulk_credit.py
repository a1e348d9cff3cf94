"""Bulk's part of a full lane: a tenth of the calls, whatever is offered and however little of it finds room."""

from __future__ import annotations

from collections import deque
from dataclasses import fields
from itertools import count
from typing import Any

import pytest
from hypothesis import given, strategies as st

from worker.delivery.sender.doorbell_sender import BulkCredit
from worker.domain.job import Priority
from worker.domain.pacing.bulk import COST, mix
from worker.outbox.jobs.loading import JobPart

LANE = "hr:1"
NUMBERS = count()


def a_part(priority: Priority) -> JobPart:
    nothing: dict[str, Any] = {field.name: None for field in fields(JobPart)}
    return JobPart(**nothing | {"id": str(next(NUMBERS)), "priority": priority})


def a_doorbell(others: int, bulk: int, priority: Priority = Priority.NORMAL) -> deque[JobPart]:
    return deque([*(a_part(priority) for _ in range(others)), *(a_part(Priority.BULK) for _ in range(bulk))])


def letters(picked: list[tuple[JobPart, int]]) -> str:
    return "".join("unb"[part.priority] for part, _ in picked)


def refund(bulk_credit: BulkCredit, picked: list[tuple[JobPart, int]], called: int) -> None:
    """All but the first few of what was picked found no room."""
    bulk_credit.refund(LANE, sum(paid for _, paid in picked[called:]))


def test_every_tenth_is_bulk_and_each_keeps_its_own_order() -> None:
    """The rest of whichever is more comes behind; the count goes on from where it stood."""
    others = [f"n{n}" for n in range(11)]

    line = list(mix(others, ["b0", "b1", "b2"], 7))

    assert [*others[:2], "b0", *others[2:], "b1", "b2"] == [part for part, _ in line]
    assert [credit for _, credit in line] == [8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(-COST, 4 * COST))
def test_nothing_is_lost_between_the_two(others: int, bulk: int, credit: int) -> None:
    """Every part once."""
    parts = [("n", n) for n in range(others)], [("b", n) for n in range(bulk)]

    line = [part for part, _ in mix(*parts, credit)]

    for mine in parts:
        assert mine == [part for part in line if part in set(mine)]
    assert len(line) == others + bulk


def test_what_was_picked_and_not_called_is_as_if_it_never_was() -> None:
    """Here nine others find room, and bulk none, twice over: the next pick begins with it all the same."""
    bulk_credit = BulkCredit()
    first = bulk_credit.pick(LANE, a_doorbell(20, 3), 16)
    refund(bulk_credit, first, 9)

    again = bulk_credit.pick(LANE, a_doorbell(20, 3), 4)
    refund(bulk_credit, again, 0)

    assert letters(first) == "nnnnnnnnnbnnnnnn"
    assert letters(again) == "bnnn"
    assert letters(bulk_credit.pick(LANE, a_doorbell(20, 3), 4)) == "bnnn"


def test_a_pick_leaves_the_others_as_they_stood() -> None:
    """In the order in which they came."""
    due_parts = a_doorbell(11, 2)
    ids = [part.id for part in due_parts]

    picked = BulkCredit().pick(LANE, due_parts, 10)

    assert [*ids[:9], ids[11]] == [part.id for part, _ in picked]
    assert [ids[9], ids[10], ids[12]] == [part.id for part in due_parts]


def test_a_doorbell_of_bulk_alone_costs_bulk_nothing() -> None:
    """Nobody else wanted its room."""
    bulk_credit = BulkCredit()
    bulk_credit.pick(LANE, a_doorbell(7, 0), 7)
    bulk_credit.pick(LANE, a_doorbell(0, 10), 10)

    assert letters(bulk_credit.pick(LANE, a_doorbell(9, 2), 3)) == "nnb"


def test_urgent_calls_count_too() -> None:
    """A tenth is a tenth of all calls of the lane."""
    bulk_credit = BulkCredit()
    bulk_credit.pick(LANE, a_doorbell(COST, 0, Priority.URGENT), COST)

    assert letters(bulk_credit.pick(LANE, a_doorbell(9, 2), 3)) == "bnn"


@given(
    rounds=st.lists(st.tuples(st.integers(1, 30), st.lists(st.integers(0, 16), min_size=1, max_size=6)), max_size=40),
    processes=st.integers(1, 4),
)
def test_any_run_of_calls_has_its_part_of_bulk(rounds: list[tuple[int, list[int]]], processes: int) -> None:
    """Doorbells of any size of which only the first few find room, in turns over several processes: of any n calls in a
    row a tenth is bulk, less one for each process.
    """
    quotas, calls = [BulkCredit() for _ in range(processes)], ""
    for turn, (others, rooms) in enumerate(rounds):
        bulk_credit = quotas[turn % processes]
        for room in rooms:
            picked = bulk_credit.pick(LANE, a_doorbell(others, 3), 16)
            refund(bulk_credit, picked, room)
            calls += letters(picked)[:room]

    for length in range(1, len(calls) + 1):
        fewest = min(calls[at : at + length].count("b") for at in range(len(calls) - length + 1))
        assert fewest >= length / (COST + 1) - processes


@pytest.mark.parametrize("rooms", [[3, 0, 1, 5, 2, 0, 0], [1] * 7, [16] + [0] * 6])
def test_threads_that_pick_at_once_share_one_count(rooms: list[int]) -> None:
    """Seven threads hold their picks while the limit lets a few of each through: in the long run it is a tenth."""
    bulk_credit, called = BulkCredit(), ""
    for turn in range(100):
        picks = [bulk_credit.pick(LANE, a_doorbell(20, 3), 16) for _ in rooms]
        for n, picked in enumerate(picks):
            room = rooms[(n + turn) % len(rooms)]
            refund(bulk_credit, picked, room)
            called += letters(picked)[:room]

    assert 1 / (COST + 2) <= called.count("b") / len(called) <= 1 / (COST - 1)
