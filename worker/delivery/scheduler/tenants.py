"""The shares of tenants in a lane: which of their parts come into its window, so that each gets calls by its weight.

Stride scheduling: each call of a tenant costs it the reciprocal of its weight, and the tenant that has paid least is
next. A part counts as called when it was offered and is no longer at the head of its tenant's queue. A tenant that had
no work begins with what the others have paid at least, so that it cannot save up for later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from worker.domain.job import Priority
from worker.outbox.lanes.offering import NOTHING_DUE, Head

ReadHead = Callable[[str, Priority, int], Head]
"""Reads the first due parts, at most so many, that are queued under a key with this priority."""
FRONT = (Priority.URGENT, Priority.NORMAL)
BULK = (Priority.BULK,)


@dataclass(slots=True, eq=False)
class Turn:
    """What one tenant had of a lane."""

    weight: float = 1.0
    paid: float = 0.0
    """Its calls, divided by its weight."""
    waits: bool = False
    """It had work when the lane was last looked at."""
    offered: dict[str, None] = field(default_factory=dict)
    """Its parts that were offered and not called, as far as is known."""
    picked: int = 0
    """Its parts in the broker, or picked for it, in this look."""
    urgent: int = 0
    """Of these the urgent ones."""

    @property
    def owes(self) -> float:
        """What it will have paid when all that is offered for it was called."""
        return self.paid + self.picked / self.weight

    @property
    def urgently(self) -> float:
        """What it will have paid when the urgent ones of these were called."""
        return self.paid + self.urgent / self.weight


@dataclass(slots=True)
class Turns:
    """The turns of a lane's tenants, by key; bulk has turns of its own, as it has a part of the lane of its own."""

    of: dict[str, Turn] = field(default_factory=dict)
    floor: float = 0.0
    """What a tenant has paid at least that begins now."""

    def begin(self, begins: Collection[Turn]) -> None:
        """Lets these tenants begin level with the others, and drops what is known of idle ones that would begin so."""
        going = [turn.paid for turn in self.of.values() if turn.waits and turn not in begins]
        known = [turn.paid for turn in self.of.values()]
        self.floor = max(self.floor, min(going, default=max(known, default=0.0)))
        for turn in begins:
            turn.paid = max(turn.paid, self.floor)
        idle = [one for one, turn in self.of.items() if not turn.waits and turn.paid <= self.floor]
        for one in idle:
            del self.of[one]


class TenantShares:
    """The turns of the tenants of all lanes, for one relay."""

    def __init__(self, weight: Callable[[str], float]):
        self._weight = weight
        self._lanes: dict[str, tuple[Turns, Turns]] = {}

    def window(self, lane: str, stored: Sequence[str], read: ReadHead, blocked: Collection[str] = ()) -> TenantWindow:
        """A look at a lane whose parts are queued under these keys.

        `blocked`: further keys, whose tenants may not have a turn now.
        """
        both = self._lanes.setdefault(lane, (Turns(), Turns()))
        for turns in both:
            for one in turns.of.keys() & blocked:
                # What it is kept from is no credit for later.
                turns.of[one].waits = False
        return TenantWindow(both, stored, read, self._weight)

    def forget(self, lane: str) -> None:
        """Drops a lane of which nothing is due."""
        self._lanes.pop(lane, None)

    def clear(self) -> None:
        """Drops all lanes."""
        self._lanes.clear()


class TenantWindow:
    """One look at the heads of a lane's tenants."""

    def __init__(
        self, both: tuple[Turns, Turns], stored: Sequence[str], read: ReadHead, weight: Callable[[str], float]
    ):
        self._both, self._stored, self._read, self._weight = both, stored, read, weight
        self._owner: dict[str, Turn] = {}
        self._busy: set[str] = set()

    def front(self, urgent_room: int, room: int) -> tuple[Head, Head]:
        """The urgent and the normal parts that come into windows of so many parts; urgent ones are picked first."""
        rows = max(urgent_room, room)
        turns, heads = self._look(self._both[0], FRONT, rows)
        urgent, normal = ([heads[one, priority] for one in self._stored] for priority in FRONT)
        waiting = [turn for turn in turns.values() if turn.waits]
        # Urgent parts go before the others' normal ones, but not for ever: one window's share ahead of them.
        ahead = rows / sum(turn.weight for turn in waiting) if waiting else 0.0
        queues = {one: heads[one, Priority.URGENT].ids[::-1] for one in self._stored}
        pressing = list[str]()
        while len(pressing) < urgent_room - sum(len(head.out) for head in urgent) and any(queues.values()):
            one = min((name for name in queues if queues[name]), key=lambda name: turns[name].urgently)
            if turns[one].urgently > min(turn.urgently for turn in waiting) + ahead:
                break
            pressing.append(queues[one].pop())
            turns[one].picked += 1
            turns[one].urgent += 1
        # The urgent parts that were not picked go with the normal ones, before them.
        for one, head in zip(self._stored, normal, strict=True):
            queues[one] = [*head.ids[::-1], *queues[one]]
        ids = _by_turns(queues, turns, room - sum(len(head.out) for head in normal))
        return _together(urgent, pressing, urgent), _together(normal, ids, [*urgent, *normal])

    def bulk(self, room: int) -> Head:
        """The bulk parts that come into a window of `room` parts."""
        turns, heads = self._look(self._both[1], BULK, room)
        bulk = [heads[one, Priority.BULK] for one in self._stored]
        queues = {one: heads[one, Priority.BULK].ids[::-1] for one in self._stored}
        ids = _by_turns(queues, turns, room - sum(len(head.out) for head in bulk))
        return _together(bulk, ids, bulk)

    def offered(self, ids: Iterable[str]) -> None:
        """Notes which of the parts are offered now."""
        for part in ids:
            if part in self._owner:
                self._owner[part].offered[part] = None

    def idle(self) -> list[str]:
        """The keys under which nothing is due."""
        return [one for one in self._stored if one not in self._busy]

    def _look(
        self, known: Turns, group: Sequence[Priority], rows: int
    ) -> tuple[dict[str, Turn], dict[tuple[str, Priority], Head]]:
        """Reads the heads of a group of priorities, and counts what was called since the last look."""
        turns = {one: known.of.setdefault(one, Turn()) for one in self._stored}
        found = dict[tuple[str, Priority], Head]()
        begins = list[Turn]()
        for one, turn in turns.items():
            turn.weight = self._weight(one)
            # At least as many as were offered: what was given back and waits again must not count as called.
            reach = max(rows, len(turn.offered))
            heads = {priority: self._read(one, priority, reach) for priority in group}
            found |= {(one, priority): head for priority, head in heads.items()}
            due = {part for head in heads.values() for part in (*head.ids, *head.out)}
            turn.paid += len(turn.offered.keys() - due) / turn.weight
            out = [part for head in heads.values() for part in head.out]
            # Also what another relay offered, or a worker took by itself.
            turn.offered = dict.fromkeys(out)
            turn.picked = len(out)
            turn.urgent = len(heads[Priority.URGENT].out) if Priority.URGENT in heads else 0
            self._owner |= dict.fromkeys(due, turn)
            if due:
                self._busy.add(one)
                begins += [] if turn.waits else [turn]
            turn.waits = bool(due)
        known.begin(begins)
        return turns, found


def _by_turns(queues: Mapping[str, list[str]], turns: Mapping[str, Turn], room: int) -> list[str]:
    """At most so many of the parts, the last of each queue first, in the order in which tenants have their turns."""
    left = {one: queue for one, queue in queues.items() if queue}
    ids = list[str]()
    while left and len(ids) < room:
        one = min(left, key=lambda name: turns[name].owes)
        ids.append(left[one].pop())
        turns[one].picked += 1
        if not left[one]:
            del left[one]
    return ids


def _together(heads: Sequence[Head], ids: list[str], of: Sequence[Head]) -> Head:
    """The heads of the tenants as one, from which these parts were picked; `of`: where they were read."""
    first = next((head for head in heads if head.first), NOTHING_DUE)
    orders = {part: order for head in of for part, order in head.orders.items()}
    return Head(
        ids,
        [part for head in heads for part in head.out],
        first.first or next(iter(ids), None),
        first.first_is_free if first.first else bool(ids),
        any(head.again for head in heads),
        {part: orders[part] for part in ids if part in orders},
    )
