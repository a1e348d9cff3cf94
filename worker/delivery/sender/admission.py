"""Admission: reserves every limit that a call touches, all or none, or says how long to wait.

Any thread of any process may call it. The callers of one process share transactions: a caller that finds none running
runs the next one for all waiting callers, then hands this role on. It knows limits and permits, but no vendors and no
parts.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from worker.delivery.sender.retry_hints import RetryTimes
from worker.domain.errors import WorkerError
from worker.domain.outcome import Scope
from worker.domain.pacing.limit import Charge, Denied, Limit, Permit, Use
from worker.domain.pacing.window import LONGEST_RETRY_US, SECOND, Window, margin_us, permit_age_s
from worker.outbox.engine.database import Database
from worker.outbox.lanes.budgets import Budgets, budget_key

MAX_KEYS = 4_000
"""The largest number of keys in a shared transaction. A single caller with more keys still gets them all at once."""

_WIDTH = {Scope.PART: 0, Scope.LANE: 1, Scope.ACCOUNT: 2}
_MICRO = 1e-6
_MAX_LAPSES = 5
_TOO_SLOW = Denied(Scope.PART, 1.0, "its permit expired before the call began", 1.0)


@dataclass(slots=True)
class Cost:
    """The units that one call takes from one limit key."""

    limit: Limit
    units: int
    recipient: str | None = None
    """The one recipient that the limit is for, or None if it is for the whole call or several recipients."""


_Call = Mapping[str, Cost]


@dataclass(slots=True, eq=False)
class _Request:
    """One caller of `reserve`, waiting for the transaction that serves it."""

    calls: Sequence[_Call]
    lapses: int
    woken: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    answers: list[Permit | Denied] | None = None
    error: Exception | None = None

    def keys(self) -> int:
        return sum(len(call) for call in self.calls)


class Governor:
    """Keeps all processes together within every window of every limit, by the rows that they share."""

    def __init__(self, database: Database, *, site_key: bytes, monotonic: Callable[[], float] = time.monotonic):
        self._database = database
        self._budgets = Budgets(database)
        self._key = site_key
        self._monotonic = monotonic
        self._owner = object()
        self._lock = threading.Lock()
        self._waiting: deque[_Request] = deque()
        self._running = False
        self._closed = False
        self._retry_times = RetryTimes()
        """Used only by the caller that runs a transaction, so it needs no lock."""

    def reserve(self, requests: Sequence[Sequence[Charge]], *, lapses: int = 0) -> list[Permit | Denied]:
        """Decides about the calls in order. Each gets all of its charges or none.

        Blocks for one or two short transactions. `lapses` is how often in a row the permits for these calls became too
        old before they could start. From the second time on, the permit's age and the margin double, up to two seconds.
        """
        if self._closed:
            raise WorkerError("the process is ending, so no call may begin any more")
        calls = [self._costs(charges) for charges in requests]
        if not any(calls):
            return [self._permit(math.inf, ()) for _ in calls]
        request = _Request(calls, lapses)
        self._serve(request)
        if request.error is not None:
            raise request.error
        assert request.answers is not None
        return request.answers

    def is_fresh(self, permit: Permit) -> bool:
        """Returns True while the permit's call may still start."""
        return self._monotonic() < permit.starts_before

    def renew(self, permit: Permit, charges: Sequence[Charge]) -> Permit | Denied:
        """Returns the permit while it is fresh, else a new one in its place, or a denial, right before the call."""
        answer: Permit | Denied = permit
        lapses = 0
        while isinstance(answer, Permit) and not self.is_fresh(answer):
            # No call starts under a lapsed permit, so its units are certainly free.
            self.give_back([answer])
            # With every lapse a longer age is reserved. If even the longest is too short, the database is too slow to
            # keep a limit, and nothing is called for a second.
            lapses += 1
            slow = lapses > _MAX_LAPSES
            answer = _TOO_SLOW if slow else self.reserve([charges], lapses=lapses)[0]
        return answer

    def give_back(self, permits: Iterable[Permit]) -> None:
        """Returns the units of calls of which certainly nothing was sent, once, into the buckets they came from.

        Ignores permits of another governor.
        """
        uses = [use for permit in permits if self._returns(permit) for use in permit.uses]
        if uses:
            self._database.run(lambda connection: self._put_back(connection, uses), pipelined=True)

    def close(self) -> None:
        """Refuses further reservations. Callers that wait already are still answered."""
        self._closed = True

    def _costs(self, charges: Sequence[Charge]) -> _Call:
        costs: dict[str, Cost] = {}
        for charge in charges:
            limit = charge.limit
            # An amount of 0 switches a limit off. A limit without a window is kept by the mark, not here.
            if limit.amount <= 0 or charge.units <= 0 or not limit.window_s:
                continue
            key = budget_key(self._key, limit, charge.subject)
            cost = costs.get(key)
            if cost is None:
                costs[key] = Cost(limit, charge.units, charge.recipient)
            else:
                cost.units += charge.units
                cost.recipient = charge.recipient if cost.recipient == charge.recipient else None
        return costs

    def _permit(self, starts_before: float, uses: tuple[Use, ...]) -> Permit:
        return Permit(starts_before, uses, self._owner)

    def _serve(self, request: _Request) -> None:
        """Has the request answered: by a transaction of its own, or by that of another caller."""
        with self._lock:
            self._waiting.append(request)
            request.leads, self._running = not self._running, True
        if not request.leads:
            request.woken.wait()
        if request.leads:
            try:
                self._lead(self._batch())
            finally:
                self._hand_on()

    def _batch(self) -> list[_Request]:
        """Returns the waiting requests, the oldest first, with up to `MAX_KEYS` keys together."""
        with self._lock:
            batch = [self._waiting.popleft()]
            keys = batch[0].keys()
            while self._waiting and keys + self._waiting[0].keys() <= MAX_KEYS:
                batch.append(self._waiting.popleft())
                keys += batch[-1].keys()
            return batch

    def _lead(self, batch: Sequence[_Request]) -> None:
        try:
            answers, retries = self._database.run(lambda connection: self._decide(connection, batch), pipelined=True)
            if retries:
                self._retry_times.add(retries)
            for request, answer in zip(batch, answers, strict=True):
                request.answers = answer
        except Exception as error:  # noqa: BLE001 - handed to every waiting caller; each raises it
            # The callers sleep: without an answer or an error they would wait for ever.
            for request in batch:
                request.error = error
        finally:
            for request in batch:
                request.woken.set()

    def _hand_on(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].woken.set()
            else:
                self._running = False

    def _decide(
        self, connection: Connection, batch: Sequence[_Request]
    ) -> tuple[list[list[Permit | Denied]], list[tuple[str, int]]]:
        # Every process locks in key order, so that no two wait for each other.
        keys = sorted({key for request in batch for call in request.calls for key in call})
        rows = self._budgets.lock(connection, keys)
        # A permit's age counts from before the database's clock is read. Counted from later, a slow answer of the
        # database would let the call start later than the window assumes.
        before = self._monotonic()
        # After the locks: a time read together with them may be older than what the last holder of the locks wrote.
        now = self._budgets.clock(connection)
        reservation = Reservation(rows, now=now, before=before, grant=self._permit, retries=self._retry_times.after)
        answers = [[reservation.decide(call, request.lapses) for call in request.calls] for request in batch]
        self._budgets.save(connection, reservation.changed(), reservation.now)
        return answers, reservation.retries

    def _returns(self, permit: Permit) -> bool:
        return permit.owner is self._owner and permit.returned.acquire(blocking=False)

    def _put_back(self, connection: Connection, uses: Sequence[Use]) -> None:
        rows = self._budgets.lock_existing(connection, sorted({use.key for use in uses}))
        now = self._budgets.clock(connection)
        # The window's length does not matter here: a bucket carries its own end.
        windows = {key: Window.load(1, buckets, now) for key, buckets in rows.items()}
        changed = {use.key for use in uses if use.key in windows and windows[use.key].put_back(use.slot, use.units)}
        self._budgets.save(connection, {key: windows[key].dump() for key in sorted(changed)}, now)


class Reservation:
    """The locked windows of one reservation. Pure: rows, clocks and the function that makes permits are arguments."""

    def __init__(
        self,
        rows: Mapping[str, str],
        *,
        now: int,
        before: float,
        grant: Callable[[float, tuple[Use, ...]], Permit],
        retries: Callable[[str, int], list[int]] = lambda key, now: [],
    ):
        self.now = now
        self.retries: list[tuple[str, int]] = []
        """Keys, and when parts that wait for them should try again (database clock, microseconds)."""
        self._earlier_retries = retries
        self._queues: dict[str, list[int]] = {}
        self._rows = rows
        self._before = before
        self._grant = grant
        self._windows: dict[str, Window] = {}
        self._changed: set[str] = set()

    def decide(self, call: _Call, lapses: int) -> Permit | Denied:
        """Takes all units that the call costs and returns a permit, or takes none and returns a denial."""
        if not call:
            return self._grant(math.inf, ())
        short = [(cost, wait) for key, cost in call.items() if (wait := self._wait(key, cost)) != 0]
        if short:
            denied = _denied(short, self._is_too_big(call))
            if denied.members and _is_one_recipients(call):
                return replace(denied, retry_in_s=self._retry_s(call))
            return denied
        age = permit_age_s({cost.limit.window_s for cost in call.values()}, lapses)
        uses = tuple([self._take(key, cost, age) for key, cost in call.items()])
        permit = self._grant(self._before + age, uses)
        return replace(permit, remaining=remaining) if (remaining := self._remaining(call)) else permit

    def _remaining(self, call: _Call) -> int:
        """Returns how many more messages to this recipient fit now.

        Counted only while one of the recipient's windows fills so fast that later messages will be refused, else 0.
        """
        windows = [(self._windows[key], cost.limit.amount) for key, cost in call.items()]
        if not any(window.is_filling(amount, self.now) for window, amount in windows) or not _is_one_recipients(call):
            return 0
        return min(amount - window.used for window, amount in windows)

    def changed(self) -> dict[str, str]:
        """Returns the stored forms of the windows that have changed, in key order."""
        return {key: self._windows[key].dump() for key in sorted(self._changed)}

    def _wait(self, key: str, cost: Cost) -> int | None:
        """Returns the microseconds until the key has room, or None if the call costs more than the whole limit."""
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window.load(cost.limit.window_s, self._rows[key], self.now)
            if window.cut_future(self.now):
                # Written even if nothing is granted: cut anew each time, it would never lapse.
                self._changed.add(key)
        return window.wait_us(cost.units, cost.limit.amount, self.now)

    def _is_too_big(self, call: _Call) -> bool:
        """Returns True if a call of one unit would have room in every shared limit, so that no other call must wait."""
        return all(
            self._windows[key].wait_us(1, cost.limit.amount, self.now) == 0
            for key, cost in call.items()
            if cost.limit.scope is not Scope.PART
        )

    def _retry_s(self, call: _Call) -> float:
        """Returns the seconds until a call that waits for one recipient should try again."""
        waits = {key: self._retry_us(key, cost) for key, cost in call.items() if self._wait(key, cost)}
        # Recorded for every key, so that the next call that waits for the same recipient tries again after this one.
        for key in waits:
            at = self.now + max(waits.values())
            insort(self._queues[key], at)
            self.retries.append((key, at))
        return (max(waits.values()) + 0.5) * _MICRO

    def _retry_us(self, key: str, cost: Cost) -> int:
        limit, window = cost.limit, self._windows[key]
        if key not in self._queues:
            # Of a time when the clock was ahead: no retry is later than this.
            last = self.now + limit.window_s * SECOND + 2 * LONGEST_RETRY_US
            self._queues[key] = [at for at in self._earlier_retries(key, self.now) if at <= last]
        wait = window.wait_us(cost.units, limit.amount, self.now) or 0
        margin = margin_us(limit.window_s, permit_age_s({limit.window_s}))
        return max(wait, window.retry_us(cost.units, limit.amount, self._queues[key], self.now, margin))

    def _take(self, key: str, cost: Cost, age: float) -> Use:
        slot = self._windows[key].take(cost.units, self.now, margin_us(cost.limit.window_s, age))
        self._changed.add(key)
        return Use(key, slot, cost.units)


def _denied(short: Sequence[tuple[Cost, int | None]], too_big: bool) -> Denied:
    """Returns a denial for the widest scope that was short, for as long as the limits of that scope need.

    `too_big`: only this call waits, whatever was short, because smaller calls have room.
    """
    for cost, wait in short:
        if wait is None:
            # No waiting helps this call, so no other call waits for it, and it tries again a whole window later.
            return Denied(Scope.PART, float(cost.limit.window_s), cost.limit.name, math.inf)
    # Half a microsecond more: the float, turned back into integer microseconds, gives the same wait, not one less.
    waits = [(cost, ((wait or 0) + 0.5) * _MICRO) for cost, wait in short]
    short_of = max((cost.limit.scope for cost, _ in waits), key=_WIDTH.__getitem__)
    widest, delay = max((entry for entry in waits if entry[0].limit.scope is short_of), key=lambda entry: entry[1])
    members = _members(waits) if short_of is Scope.PART else {}
    return Denied(
        Scope.PART if too_big else short_of, delay, widest.limit.name, max(wait for _, wait in waits), members
    )


def _is_one_recipients(call: _Call) -> bool:
    recipients = {cost.recipient for cost in call.values()}
    return len(recipients) == 1 and None not in recipients


def _members(waits: Sequence[tuple[Cost, float]]) -> dict[str, float]:
    """Returns the seconds to wait by recipient if only their own limits were short, else an empty dict."""
    members: dict[str, float] = {}
    for cost, wait in waits:
        if cost.recipient is None:
            return {}
        members[cost.recipient] = max(wait, members.get(cost.recipient, 0.0))
    return members
