"""The governor on real databases: many threads and processes inside one limit, its rows, and what it returns."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text

from worker.delivery.sender.admission import MAX_KEYS, Governor
from worker.domain.errors import WorkerError
from worker.domain.outcome import Scope
from worker.domain.pacing.limit import Charge, Denied, Limit, Permit, Unit
from worker.outbox.engine.clock import SECOND, DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes import budgets

KEY = b"site key of the test"


def a_limit(amount: int = 30, name: str = "member_minute", window_s: int = 60, scope: Scope = Scope.PART) -> Limit:
    return Limit(name, window_s, amount, Unit.CALLS, scope, "silent drop", "test")


def a_charge(subject: str = "app/lisi", units: int = 1, **limit: object) -> Charge:
    return Charge(a_limit(**limit), subject, units)  # type: ignore[arg-type]


def a_governor(database: Database, monotonic: Callable[[], float] = lambda: 0.0) -> Governor:
    return Governor(database, site_key=KEY, monotonic=monotonic)


def granted(answers: list[Permit | Denied]) -> list[Permit]:
    return [answer for answer in answers if isinstance(answer, Permit)]


def stored(database: Database) -> list[tuple[str, str]]:
    with database.reading() as connection:
        rows = connection.execute(text("select id, buckets from worker_budgets order by id"))
        return [(row[0], row[1]) for row in rows]


@contextmanager
def transactions(database: Database) -> Iterator[list[str]]:
    """Every connection taken meanwhile: no SQL goes without one, and each transaction takes its own. (A pipelined
    transaction's commit goes past SQLAlchemy, so its events do not tell.)"""
    seen: list[str] = []

    def note(*_connection: object) -> None:
        seen.append("taken")

    event.listen(database.engine, "checkout", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "checkout", note)


def test_a_burst_is_granted_and_the_rest_learns_the_wait(database: Database, driven_clock: DrivenClock) -> None:
    """Thirty calls to one member go at once; the next hears whose limit it is and when there is room, exactly."""
    governor = a_governor(database)

    answers = governor.reserve([[a_charge()]] * 32)
    denied = answers[-1]
    assert isinstance(denied, Denied)
    driven_clock.advance(denied.call_delay)
    later = governor.reserve([[a_charge()]])

    assert len(granted(answers)) == 30
    assert denied == Denied(Scope.PART, pytest.approx(60.301), "member_minute", pytest.approx(60.301))
    assert len(granted(later)) == 1


def test_the_subject_is_nowhere_in_the_row(database: Database) -> None:
    """A budget row is named by a keyed hash: neither limit nor member can be read from it."""
    a_governor(database).reserve([[a_charge("app/lisi")]])

    [(key, buckets)] = stored(database)
    assert len(key) == 64
    assert "lisi" not in key + buckets


def test_all_charges_of_a_call_or_none(database: Database, driven_clock: DrivenClock) -> None:
    """A call that is short of one limit takes nothing from the others, and later calls still go."""
    governor = a_governor(database)
    shared = {"name": "shared", "amount": 2}

    answers = governor.reserve(
        [[a_charge("a", amount=1), a_charge("s", **shared)]] * 2 + [[a_charge("b"), a_charge("s", **shared)]]
    )

    assert [isinstance(answer, Permit) for answer in answers] == [True, False, True]


def test_equal_charges_add_up(database: Database) -> None:
    """The same key twice in one call costs both."""
    [answer] = a_governor(database).reserve([[a_charge(units=20), a_charge(units=11)]])

    assert isinstance(answer, Denied)
    assert answer.impossible


def test_without_charges_there_is_no_sql(database: Database) -> None:
    """A call that no limit counts, or whose limits are switched off, is granted at once and for good."""
    governor = a_governor(database)
    with transactions(database) as seen:
        free = governor.reserve([[], [a_charge(amount=0)], [a_charge(units=0)]])
        mixed = governor.reserve([[], [a_charge()]])

    assert len(seen) == 1
    assert [math.inf] * 3 == [permit.starts_before for permit in granted(free)]
    assert [math.inf, 0.25] == [permit.starts_before for permit in granted(mixed)]


def test_two_governors_share_one_limit(database: Database) -> None:
    """Eight threads of two processes' governors together get exactly the amount."""
    governors = [a_governor(database), a_governor(database)]

    def sender(n: int) -> int:
        return sum(len(granted(governors[n % 2].reserve([[a_charge(amount=100)]] * 3))) for _ in range(8))

    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(sender, range(8)))

    assert sum(counts) == 100


@pytest.mark.fewer_databases("on SQLite one transaction writes at a time")
def test_opposite_orders_do_not_deadlock(server_database: Database) -> None:
    """Reservations that name the same new and old keys in opposite orders never wait in a circle."""
    governors = [a_governor(server_database), a_governor(server_database)]
    subjects = [f"member{n}" for n in range(60)]

    def sender(n: int) -> int:
        mine = subjects[n : n + 40] if n % 2 else list(reversed(subjects[n : n + 40]))
        return len(granted(governors[n % 2].reserve([[a_charge(subject) for subject in mine]])))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(sender, range(16))) == [1] * 16


class Gate:
    """A monotonic clock that holds the first reservation up until it is opened."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self) -> float:
        self.entered.set()
        assert self.opened.wait(120)
        return 0.0


def reserved_behind(
    gate: Gate, governor: Governor, requests: list[list[list[Charge]]]
) -> tuple[list[list[Permit | Denied]], int]:
    """A first reservation is held up until all others wait; the answers, and how many had to wait."""
    with ThreadPoolExecutor(len(requests) + 1) as pool:
        first = pool.submit(governor.reserve, [[a_charge()]])
        assert gate.entered.wait(120)
        others = [pool.submit(governor.reserve, request) for request in requests]
        while (waiting := len(governor._waiting)) < len(requests):
            gate.opened.wait(0.001)
        gate.opened.set()
        return [future.result(120) for future in [first, *others]], waiting


def test_callers_share_a_transaction(database: Database) -> None:
    """Those who ask while a reservation runs are served together by the next one."""
    gate = Gate()
    with transactions(database) as seen:
        answers, waiting = reserved_behind(gate, a_governor(database, gate), [[[a_charge()]]] * 8)

    assert waiting == 8
    assert [len(granted(answer)) for answer in answers] == [1] * 9
    assert len(seen) == 2


@pytest.mark.parametrize(("keys", "requests"), [(MAX_KEYS // 2 + 1, 2), (MAX_KEYS // 2, 3)])
def test_a_shared_transaction_is_bounded(database: Database, keys: int, requests: int) -> None:
    """A batch takes up only so many keys; whoever does not fit leads the next one."""
    gate = Gate()
    many = [a_charge(f"member{n}") for n in range(keys)]
    with transactions(database) as seen:
        answers, _ = reserved_behind(gate, a_governor(database, gate), [[many]] * requests)

    assert [1] * (requests + 1) == [len(granted(answer)) for answer in answers]
    assert len(seen) == 3


def test_a_failed_reservation_is_heard_and_the_next_one_works(database: Database) -> None:
    """An error reaches the caller, nothing is reserved, and nobody waits for a leader that failed."""
    times = iter([OSError("gone"), 1.0])

    def monotonic() -> float:
        now = next(times)
        if isinstance(now, OSError):
            raise now
        return now

    governor = a_governor(database, monotonic)
    with pytest.raises(OSError, match="gone"):
        governor.reserve([[a_charge()]] * 30)

    assert len(granted(governor.reserve([[a_charge()]] * 30))) == 30


def test_given_back_room_can_be_taken_again(database: Database, driven_clock: DrivenClock) -> None:
    """A call that certainly never left returns its units, once, and only to the governor that took them."""
    governor, stranger = a_governor(database), a_governor(database)
    permits = granted(governor.reserve([[a_charge(amount=2), a_charge("corp", name="api")]] * 2))

    stranger.give_back(permits)
    assert not granted(stranger.reserve([[a_charge(amount=2)]]))
    governor.give_back(permits[:1])
    governor.give_back(permits[:1])

    assert len(granted(governor.reserve([[a_charge(amount=2)]] * 3))) == 1


def test_a_give_back_after_the_window_changes_nothing(database: Database, driven_clock: DrivenClock) -> None:
    """Units whose bucket has lapsed, or whose row was purged, are nobody's any more."""
    governor = a_governor(database)
    [old, older] = granted(governor.reserve([[a_charge()], [a_charge("other")]]))
    driven_clock.advance(61)
    [kept] = granted(governor.reserve([[a_charge(units=30)]]))
    budgets.purge_page(database, driven_clock.micros - 30 * SECOND, "")

    governor.give_back([old, older])

    assert not granted(governor.reserve([[a_charge()]]))
    governor.give_back([kept])
    assert len(granted(governor.reserve([[a_charge()]] * 30))) == 30


def test_a_permit_ages_from_before_the_clock_was_read(database: Database) -> None:
    """A slow database eats the permit's age; it never lengthens it."""
    times = iter([100.0, 100.2, 100.3])
    governor = a_governor(database, lambda: next(times))

    [permit] = granted(governor.reserve([[a_charge()]]))

    assert permit.starts_before == 100.25
    assert governor.is_fresh(permit)
    assert not governor.is_fresh(permit)


def test_lapses_stretch_the_age(database: Database) -> None:
    """Calls whose permits lapsed twice in a row get twice the age."""
    governor = a_governor(database)

    [once] = granted(governor.reserve([[a_charge()]], lapses=1))
    [twice] = granted(governor.reserve([[a_charge()]], lapses=2))

    assert (once.starts_before, twice.starts_before) == (0.25, 0.5)


def test_a_lapsed_permit_is_renewed_with_more_age(database: Database) -> None:
    """A stale permit goes back and another one is asked for, longer each time, until one arrives in time."""
    # reserve; fresh? no, reserve; fresh? no, reserve; fresh? yes
    times = iter([0.0, 0.3, 0.3, 0.6, 0.6, 1.0])
    governor = a_governor(database, lambda: next(times))
    charges = [a_charge(amount=1)]
    [stale] = granted(governor.reserve([charges]))

    renewed = governor.renew(stale, charges)

    assert isinstance(renewed, Permit)
    assert pytest.approx(1.1) == renewed.starts_before


def test_a_fresh_permit_is_kept(database: Database) -> None:
    """Renewing costs nothing while there is nothing to renew."""
    governor = a_governor(database)
    [permit] = granted(governor.reserve([[a_charge()]]))

    assert permit is governor.renew(permit, [a_charge()])


def test_renewing_can_be_denied(database: Database, driven_clock: DrivenClock) -> None:
    """When another sender took the room, the caller learns the wait."""
    times = iter([0.0, 1.0, 1.0])
    governor, other = a_governor(database, lambda: next(times)), a_governor(database)
    [stale] = granted(governor.reserve([[a_charge(amount=2)]]))
    other.reserve([[a_charge(amount=2, units=1)]])

    answer = governor.renew(stale, [a_charge(amount=1)])

    assert isinstance(answer, Denied)
    assert Scope.PART is answer.scope


@pytest.mark.parametrize(("units", "scope"), [(700, Scope.PART), (1, Scope.LANE)])
@pytest.mark.parametrize("used", [400, 999, 1_000])
def test_a_call_too_big_for_the_room_that_is_left_waits_alone(
    database: Database, driven_clock: DrivenClock, used: int, units: int, scope: Scope
) -> None:
    """Only a limit without room for a single unit keeps the lane; else smaller calls, and urgent ones, still go."""
    governor = a_governor(database)
    limit = a_limit(1_000, "app_day", 86_400, Scope.LANE)
    granted(governor.reserve([[Charge(limit, "app", used)]]))

    [answer] = governor.reserve([[Charge(limit, "app", units)]])

    if used < 1_000 and units == 1:
        assert isinstance(answer, Permit)
    else:
        assert isinstance(answer, Denied)
        assert (scope if used < 1_000 else Scope.LANE) is answer.scope
        assert 86_400 <= answer.delay < 86_410


@pytest.mark.parametrize(
    ("full", "scope"), [(a_limit(1), Scope.PART), (a_limit(1, "app_minute", scope=Scope.LANE), Scope.LANE)]
)
def test_a_call_too_big_for_one_limit_waits_for_what_else_is_full(
    database: Database, driven_clock: DrivenClock, full: Limit, scope: Scope
) -> None:
    """Its recipient's limit keeps nobody else; another limit of the lane keeps the smaller calls, too."""
    governor = a_governor(database)
    day = a_limit(1_000, "app_day", 86_400, Scope.LANE)
    granted(governor.reserve([[Charge(day, "app", 400)], [Charge(full, "app/lisi", 1)]]))

    [answer] = governor.reserve([[Charge(day, "app", 700), Charge(full, "app/lisi", 1)]])

    assert isinstance(answer, Denied)
    assert scope is answer.scope


def test_a_database_too_slow_for_any_permit_stops_calls(database: Database, driven_clock: DrivenClock) -> None:
    """When even the longest age lapses nothing is called, nothing stays used, and nobody spins."""
    times = iter(range(0, 1_000, 3))
    governor = a_governor(database, lambda: float(next(times)))
    charges = [a_charge(amount=1)]
    [stale] = granted(governor.reserve([charges]))

    answer = governor.renew(stale, charges)

    assert Denied(Scope.PART, 1.0, "its permit expired before the call began", 1.0) == answer
    assert len(granted(governor.reserve([charges]))) == 1


def test_a_thousand_recipients_are_one_reservation(database: Database) -> None:
    """Two thousand rows are locked, decided and written together."""
    call = [
        a_charge(f"app/user{n}", name=name, window_s=window_s, amount=amount)
        for n in range(1_000)
        for name, window_s, amount in (("member_minute", 60, 1), ("member_hour", 3_600, 1_000))
    ]
    governor = a_governor(database)

    first, second = governor.reserve([call, call])

    assert isinstance(first, Permit)
    assert isinstance(second, Denied)
    assert second.limit == "member_minute"


def test_purged_rows_are_made_again(database: Database, driven_clock: DrivenClock) -> None:
    """Idle rows are purged in pages; live ones stay, and a governor that knew the others makes them anew."""
    governor = a_governor(database)
    governor.reserve([[a_charge(f"old{n}") for n in range(1_100)]])
    governor.reserve([[a_charge("day", name="day", window_s=86_400)]])
    driven_clock.advance(3_600)
    governor.reserve([[a_charge("new")]])

    deleted = list[int]()
    after: str | None = ""
    while after is not None:
        count, after = budgets.purge_page(database, driven_clock.micros - 600 * SECOND, after)
        deleted.append(count)

    assert (len(deleted), sum(deleted)) == (3, 1_100)
    assert len(stored(database)) == 2
    assert len(granted(governor.reserve([[a_charge("old1")]] * 31))) == 30


def test_the_memory_of_known_rows_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has met very many members forgets and asks the database again."""
    monkeypatch.setattr(budgets, "_MAX_REMEMBERED", 3)
    made: list[int] = []
    lock_rows = budgets.lock_rows

    def noted(*arguments: Any, **options: Any) -> tuple[list[tuple[Any, ...]], set[str]]:
        rows, inserted = lock_rows(*arguments, **options)
        made.append(len(inserted))
        return rows, inserted

    monkeypatch.setattr(budgets, "lock_rows", noted)
    governor = a_governor(database)

    for _ in range(2):
        governor.reserve([[a_charge(f"member{n}") for n in range(4)]])
        governor.reserve([[a_charge("one more")]])

    assert made == [4, 1, 4, 0]


def test_a_closed_governor_grants_nothing(database: Database) -> None:
    """After close nothing may be called."""
    governor = a_governor(database)
    governor.close()

    with pytest.raises(WorkerError, match="the process is ending"):
        governor.reserve([[a_charge()]])
