"""A backlog for one member comes back by appointment: about one question a message, and no window is left unused."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import pytest

from tests.unit.test_limits_model import DAY, MEMBER_HOUR, MEMBER_MINUTE, SECOND, Reference
from worker.delivery.sender.admission import Cost, Reservation
from worker.delivery.sender.retry_hints import MAX_KEYS, RetryTimes
from worker.domain.pacing.limit import Denied, Limit, Permit
from worker.domain.pacing.window import LONGEST_RETRY_US, Window
from worker.outbox.engine.clock import micros

BEGIN = 1_700_000_000 * SECOND


def work_off(
    limits: tuple[Limit, ...], messages: int, processes: int, *, by_appointment: bool = True
) -> tuple[int, float, Reference]:
    """So many messages to one member, all due now, dealt out to processes: how often somebody asked, seconds until the
    last was sent, and all arrivals.
    """
    rows, reference = {limit.name: "[]" for limit in limits}, Reference()
    retry_times = [RetryTimes() for _ in range(processes)]
    due = [(BEGIN, n) for n in range(messages)]
    heapify(due)
    asked = last = 0
    while due:
        now, n = heappop(due)
        mine = retry_times[n % processes]
        told = mine.after if by_appointment else (lambda key, now: [])
        reservation = Reservation(
            rows, now=now, before=now / SECOND, grant=lambda until, uses: Permit(until, uses), retries=told
        )
        answer = reservation.decide({limit.name: Cost(limit, 1, "lisi") for limit in limits}, 0)
        asked += 1
        mine.add(reservation.retries)
        rows |= reservation.changed()
        if isinstance(answer, Denied):
            heappush(due, (now + micros(answer.retry_in_s or 0.0), n))
            continue
        for limit in limits:
            reference.arrivals[limit.name].append((now, 1))
        last = now
    return asked, (last - BEGIN) / SECOND, reference


@pytest.mark.parametrize("processes", [1, 4])
def test_six_hundred_messages_to_one_member_ask_a_few_times_each(processes: int) -> None:
    """Thirty a minute: twenty windows; without appointments the last would have asked twenty times."""
    asked, took_s, reference = work_off((MEMBER_MINUTE,), 600, processes)
    without, _, _ = work_off((MEMBER_MINUTE,), 600, processes, by_appointment=False)

    assert 600 * 10 < without
    assert asked < without / 2
    assert 19 * 60 < took_s < 19 * 60.31
    assert reference.worst("member_minute", 60) == 30


def test_a_thousand_an_hour_are_kept_and_used_as_well() -> None:
    """1,500 messages to one member, both limits: the second thousand begins with the second hour."""
    asked, took_s, reference = work_off((MEMBER_MINUTE, MEMBER_HOUR), 1_500, 2)

    assert reference.worst("member_minute", 60) <= 30
    assert reference.worst("member_hour", 3_600) <= 1_000
    assert 3_600 + 16 * 60 < took_s < (3_600 + 16 * 60) * 1.02
    assert took_s < DAY
    assert asked < 1_500 * 30


def test_an_appointment_is_the_first_instant_that_has_room_behind_everybody_told() -> None:
    """Ten lapse at 60 s, twenty at 90 s; those told for them come first, and then the windows repeat."""
    window = Window(60, [[1, 10, 60 * SECOND], [2, 20, 90 * SECOND]], 0)
    guard = SECOND

    def appointment(*told: int) -> float:
        return window.retry_us(1, 30, [at * SECOND for at in told], 0, guard) / SECOND

    assert appointment() == 60
    assert appointment(*[60] * 9) == 60
    assert appointment(*[60] * 10) == 90
    assert appointment(*[60] * 10, *[90] * 19) == 90
    assert appointment(*[60] * 10, *[90] * 20) == 60 + 61
    assert appointment(*[70] * 9) == 60, "who was told a later instant is not before this one"
    assert appointment(*[60] * 200) == LONGEST_RETRY_US / SECOND


@pytest.mark.parametrize(
    ("used", "lasted_s", "filling"),
    [(5, 0, False), (6, 0, True), (6, 13, True), (6, 14, False), (15, 37, True), (15, 38, False), (16, 0, False)],
)
def test_a_window_is_filling_while_a_fifth_to_a_half_is_used_too_fast(used: int, lasted_s: int, filling: bool) -> None:
    """Of thirty a minute: the first now, the others up to so many seconds later."""
    window = Window(60, [], 0)
    window.take(1, 0, 0)
    window.take(used - 1, lasted_s * SECOND, 0)

    assert filling is window.is_filling(30, lasted_s * SECOND)


@pytest.mark.parametrize("recipient", ["lisi", None])
def test_only_a_permit_of_one_recipient_says_how_much_room_he_has(recipient: str | None) -> None:
    """The least of his limits; a call to several members, or one that costs the app something too, says nothing."""
    window = Window(60, [], 0)
    window.take(6, BEGIN, SECOND)
    reservation = Reservation(
        {"minute": window.dump(), "hour": "[]"},
        now=BEGIN + SECOND,
        before=0.0,
        grant=lambda until, uses: Permit(until, uses),
    )
    costs = {"minute": Cost(MEMBER_MINUTE, 1, "lisi"), "hour": Cost(MEMBER_HOUR, 1, recipient)}

    permit = reservation.decide(costs, 0)

    assert isinstance(permit, Permit)
    assert (23 if recipient else 0) == permit.remaining


def test_whoever_was_told_an_instant_that_has_passed_is_not_waited_for() -> None:
    """He has come, or he never will."""
    retry_times = RetryTimes()
    retry_times.add([("a", 30), ("a", 10), ("b", 10)])

    assert retry_times.after("a", 9) == [10, 30]
    assert retry_times.after("a", 10) == [30]
    assert retry_times.after("b", 10) == []
    assert retry_times.after("never heard of", 0) == []


def test_too_many_members_are_forgotten() -> None:
    """They only ask more often."""
    retry_times = RetryTimes()
    retry_times.add((str(n), 10) for n in range(MAX_KEYS))
    assert retry_times.after("5", 0) == [10]

    retry_times.add([("one more", 10)])

    assert retry_times.after("5", 0) == []
