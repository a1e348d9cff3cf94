"""How many parts are worth offering where a limit of ours is the bottleneck: as many as one window of it lets through.

What is offered goes to whichever thread comes first; the relay has no more say in what takes the room that there is. So
a lane, or an account, that was closed by a limit lately has one window's worth in the broker, chosen by priority.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from worker.delivery.mixing import BULK_EVERY
from worker.outbox.lanes import account_of

KEPT_S, KEPT_PART = 120.0, 0.1
"""A limit that has not closed anything for so long, and for this part of how long it was closed, is no bottleneck."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What a limit lets through in a window."""

    units: int
    shared: bool
    """All lanes of the account that it counts share it."""


class Limited:
    """Lanes and accounts that limits close, for one relay. `amount` tells an account's amount of a limit by name."""

    def __init__(self, amount: Callable[[str, str], Amount | None]):
        self._amount = amount
        self._most: dict[str, tuple[int, float]] = {}
        self._known: dict[str, float] = {}

    def note(self, key: str, limit: str, now: float, left_s: float) -> None:
        """This lane or account is closed by a limit for so long."""
        account, known = account_of(key), self._known.get(key)
        if known is not None and known >= now + left_s:
            return
        amount = self._amount(account, limit)
        if amount is not None:
            until = now + left_s + max(KEPT_S, KEPT_PART * left_s)
            self._known[key] = until
            self._most[account if amount.shared else key] = (amount.units, until)

    def tidy(self, now: float) -> None:
        """Forgets what closes nothing any more."""
        self._most = {key: kept for key, kept in self._most.items() if kept[1] > now}
        self._known = {key: until for key, until in self._known.items() if until > now}

    def most(self, lane: str, lanes: Mapping[bool, int], *, front: bool) -> int | None:
        """Parts of a lane at once, of its own limits and those that it shares with others of its account (`lanes`: how
        many have more than bulk, and how many have not; `front`: the lane has); null: no limit closes it.
        """
        own, shared = self._most.get(lane), self._most.get(account_of(lane))
        bounds = [own[0]] if own else []
        if shared:
            bounds.append(part_of(shared[0], lanes, front=front))
        return min(bounds, default=None)


def part_of(amount: int, lanes: Mapping[bool, int], *, front: bool) -> int:
    """One lane's part of what a limit lets through that an account's lanes share: those with nothing but bulk have one
    in eight of it together where others have work too (`lanes`: how many of the others, and of these).
    """
    whole = amount
    if lanes[True] and lanes[False]:
        of_bulk = -(-amount // BULK_EVERY)
        whole = amount - of_bulk if front else of_bulk
    return max(1, -(-whole // max(1, lanes[front])))
