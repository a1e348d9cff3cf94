"""What the relay remembers of the lanes that have work: one record a lane, account by account.

Knows no SQL: it learns what happens to a lane from the heads that the relay reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import TypeVar

from worker.domain.job import Priority
from worker.domain.lane import account_of
from worker.domain.road import Road
from worker.outbox.lanes.offering import Head

T = TypeVar("T")
LANES_KEPT = 100_000


@dataclass(slots=True)
class Backlog:
    """One lane with work, or that may have some."""

    lane: str
    pressing: bool = False
    """Something urgent just came: it is looked at however much of its account is out."""
    looked: float | None = None
    """When its head was last looked at; null: never since it has work."""
    full: int = len(Priority)
    """From which priority on its window is full: what comes behind need not be looked at at once."""
    front: bool = True
    """It has more than bulk, as far as is known."""
    rang: float = 0.0
    """When something of it was last offered."""
    out: int = 0
    """Doorbells of it that are in the broker, as far as its head told; urgent ones are not counted."""
    credit: int = 0
    """What is owed to bulk behind what was offered of it, see `bulk_quota.py`."""
    road: Road = Road.NORMAL
    """Whose threads it has its share of."""
    first: str = ""
    """The part at its head when it was looked at,"""
    rounds: int = 0
    """how often that was offered and nobody took it,"""
    since: float = 0.0
    """and when the last of these rounds began."""

    def stands_s(self, heads: Sequence[Head], now: float, first_s: float, longest_s: float) -> float:
        """How long what is offered now stands: doubling while nothing of the lane is taken; `heads` not all empty.

        Counted by lane, not by part: after an outage no part has to wait for what became of the others before it.
        """
        first, is_free = next((head.first, head.first_is_free) for head in heads if head.first)
        if first != self.first or is_free:
            self.first, self.rounds, self.since = first or "", 0, now
        elif any(head.again for head in heads) and (
            not self.rounds or now - self.since >= self._length_s(first_s, longest_s)
        ):
            self.rounds, self.since = self.rounds + 1, now
        return self._length_s(first_s, longest_s)

    def _length_s(self, first_s: float, longest_s: float) -> float:
        return min(longest_s, first_s * 2.0 ** min(self.rounds, 16))


class Backlogs:
    """The lanes with work by account, and which of them are to be looked at next."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[str, Backlog]] = {}
        self._waiting: dict[str, dict[str, None]] = {}
        """Account -> its lanes to look at, in order; the account that was looked at last comes last."""
        self._bulk_only: set[str] = set()
        """Lanes that had nothing but bulk when they were looked at last; this outlives a closed lane."""

    def clear(self) -> None:
        """Nothing is known of any lane."""
        self._accounts.clear()
        self._waiting.clear()
        self._bulk_only.clear()

    def of(self, lane: str) -> Backlog | None:
        """What is known of a lane; null: it has no work."""
        return self._accounts.get(account_of(lane), {}).get(lane)

    def want(self, lane: str, most_urgent: int | None = None) -> None:
        """This lane is to be looked at; the most urgent priority of what just came."""
        account = account_of(lane)
        lanes = self._accounts.setdefault(account, {})
        if lane not in lanes:
            lanes[lane] = Backlog(lane, front=lane not in self._bulk_only and most_urgent != Priority.BULK)
        lanes[lane].pressing |= most_urgent == Priority.URGENT
        self._waiting.setdefault(account, {})[lane] = None

    def learn(self, known: Backlog, heads: Mapping[Priority, Head]) -> None:
        """What stands at the head of a lane, as just read."""
        known.front = bool(heads[Priority.URGENT].due or heads[Priority.NORMAL].due)
        if known.front or not heads[Priority.BULK].due:
            self._bulk_only.discard(known.lane)
        else:
            self._bulk_only.add(known.lane)
        if len(self._bulk_only) > LANES_KEPT:
            self._bulk_only.clear()

    def next(self, most: int, is_full: Callable[[str, Road], bool]) -> list[Backlog]:
        """So many lanes at most, accounts taking turns.

        Of an account that has its share out, only the pressing ones and those of which something is out: they tell when
        it is taken.
        """
        picked = [lane for row in zip_longest(*self._queues(most, is_full)) for lane in row if lane is not None][:most]
        for lane in picked:
            account = account_of(lane)
            lanes = self._waiting.pop(account)
            del lanes[lane]
            if lanes:
                self._waiting[account] = lanes
        return [self._accounts[account_of(lane)][lane] for lane in picked]

    def _queues(self, most: int, is_full: Callable[[str, Road], bool]) -> list[list[str]]:
        queues: list[list[str]] = []
        for account, lanes in self._waiting.items():
            if len(queues) == most:
                break
            known = self._accounts[account]
            waits = {road: is_full(account, road) for road in {one.road for one in known.values()}}
            eligible = (
                lane for lane in lanes if not waits[known[lane].road] or known[lane].out or known[lane].pressing
            )
            if queue := list(islice(eligible, most)):
                queues.append(queue)
        return queues

    def is_wanted(self, lane: str) -> bool:
        """True while it waits to be looked at."""
        return lane in self._waiting.get(account_of(lane), ())

    def overdue(self, before: float) -> list[str]:
        """Lanes with work that nobody has looked at since an instant."""
        return [
            lane
            for lanes in self._accounts.values()
            for lane, known in lanes.items()
            if known.looked is not None and known.looked <= before
        ]

    def forget(self, lane: str) -> None:
        """Nothing of the lane is due, or nothing of it may go."""
        account = account_of(lane)
        _take_out(self._accounts, account, lane)
        _take_out(self._waiting, account, lane)

    def accounts(self) -> list[str]:
        """Those with work."""
        return list(self._accounts)

    def lanes(self, account: str, road: Road | None = None) -> dict[bool, int]:
        """How many lanes of an account have work for the threads of this road.

        Two counts: lanes with more than bulk (key true), and lanes with nothing but bulk.
        """
        fronts = [known.front for known in self._accounts.get(account, {}).values() if road in (None, known.road)]
        return {True: sum(fronts), False: len(fronts) - sum(fronts)}

    def out(self, account: str, road: Road = Road.NORMAL) -> int:
        """Doorbells of an account that are in the broker for the threads of a road."""
        return sum(known.out for known in self._accounts.get(account, {}).values() if known.road is road)

    def names(self, account: str) -> list[str]:
        """The lanes of an account that have work."""
        return list(self._accounts.get(account, ()))

    def any_looked_at(self) -> bool:
        """True while some lane is known to have a backlog."""
        return any(known.looked is not None for lanes in self._accounts.values() for known in lanes.values())


def _take_out(lanes: dict[str, dict[str, T]], account: str, lane: str) -> None:
    of_account = lanes.get(account, {})
    of_account.pop(lane, None)
    if not of_account:
        lanes.pop(account, None)
