"""The shares of tenants in a lane: which of their parts come into its window, so that each gets calls by its weight.

Stride scheduling: each call of a tenant costs it the reciprocal of its weight, and the tenant that has paid least is
next. A part counts as called when it was offered and is no longer at the head of its tenant's queue. A tenant that had
no work begins with what the others have paid at least, so that it cannot save up for later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from worker.domain.job import Priority
from worker.outbox.lanes.offering import NOTHING_DUE, Head

ReadHead = Callable[[str, Priority, int], Head]
"""Reads the first due parts, at most so many, that are queued under a key with this priority."""
FRONT = (Priority.URGENT, Priority.NORMAL)
BULK = (Priority.BULK,)


@dataclass(slots=True, eq=False)
class Turn:
    """What one tenant had of a lane; bulk is counted apart from all else, because it has a part of its own."""

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
class LaneTurns:
    """The turns of one lane, by key, and whether of bulk; and what a tenant has paid at least that begins now."""

    turns: dict[tuple[str, bool], Turn] = field(default_factory=dict)
    floors: dict[bool, float] = field(default_factory=lambda: {False: 0.0, True: 0.0})


class TenantShares:
    """The turns of the tenants of all lanes, for one relay."""

    def __init__(self, weight: Callable[[str], float]):
        self._weight = weight
        self._lanes: dict[str, LaneTurns] = {}

    def window(
        self, lane: str, stored: Sequence[str], read: ReadHead, rows: int, blocked: Iterable[str] = ()
    ) -> TenantWindow:
        """A look at a lane whose parts are queued under these keys; at most `rows` urgent and normal ones of each.

        `blocked`: further keys, whose tenants may not have a turn now.
        """
        known = self._lanes.setdefault(lane, LaneTurns())
        for one, turn in known.turns.items():
            # What it is kept from is no credit for later.
            turn.waits = turn.waits and one[0] not in blocked
        return TenantWindow(known, stored, read, self._weight, rows)

    def forget(self, lane: str) -> None:
        """Drops a lane of which nothing is due."""
        self._lanes.pop(lane, None)

    def clear(self) -> None:
        """Drops all lanes."""
        self._lanes.clear()


class TenantWindow:
    """One look at the heads of a lane's tenants; urgent parts are picked first, then normal ones, then bulk."""

    def __init__(
        self,
        known: LaneTurns,
        stored: Sequence[str],
        read: ReadHead,
        weight: Callable[[str], float],
        rows: int,
    ):
        self._stored, self._read, self._weight, self._rows = stored, read, weight, rows
        self._turns, self._floors = known.turns, known.floors
        self._heads: dict[tuple[str, Priority], Head] = {}
        self._owner: dict[str, Turn] = {}
        self._taken: set[str] = set()

    def head(self, priority: Priority, room: int) -> Head:
        """The parts of this priority that come into a window of `room` parts."""
        if priority is not Priority.NORMAL:
            group = BULK if priority is Priority.BULK else FRONT
            self._look(group, room if priority is Priority.BULK else max(room, self._rows))
        heads = [self._heads[one, priority] for one in self._stored]
        out = [part for head in heads for part in head.out]
        ids = self._pick(priority, room - len(out))
        first = next((head for head in heads if head.first), NOTHING_DUE)
        orders = {part: order for head in self._heads.values() for part, order in head.orders.items()}
        return Head(
            ids,
            out,
            first.first or next(iter(ids), None),
            first.first_is_free if first.first else bool(ids),
            any(head.again for head in heads),
            {part: orders[part] for part in ids if part in orders},
        )

    def offered(self, ids: Iterable[str]) -> None:
        """Notes which of the parts are offered now."""
        for part in ids:
            if part in self._owner:
                self._owner[part].offered[part] = None

    def idle(self) -> list[str]:
        """The keys under which nothing is due."""
        return [one for one in self._stored if not any(self._heads[one, priority].due for priority in Priority)]

    def _look(self, group: Sequence[Priority], rows: int) -> None:
        """Reads the heads of a group of priorities, and counts what was called since the last look."""
        turns = {one: self._turns.setdefault((one, group is BULK), Turn()) for one in self._stored}
        begins = list[Turn]()
        for one, turn in turns.items():
            turn.weight = self._weight(one)
            # At least as many as were offered: what was given back and waits again must not count as called.
            reach = max(rows, len(turn.offered))
            heads = {priority: self._read(one, priority, reach) for priority in group}
            self._heads |= {(one, priority): head for priority, head in heads.items()}
            due = {part for head in heads.values() for part in (*head.ids, *head.out)}
            turn.paid += len(turn.offered.keys() - due) / turn.weight
            out = [part for head in heads.values() for part in head.out]
            # Also what another relay offered, or a worker took by itself.
            turn.offered = dict.fromkeys(out)
            turn.picked = len(out)
            turn.urgent = len(heads[Priority.URGENT].out) if Priority.URGENT in heads else 0
            self._owner |= dict.fromkeys(due, turn)
            if due and not turn.waits:
                begins.append(turn)
            turn.waits = bool(due)
        is_bulk = group is BULK
        going = [turn.paid for turn in turns.values() if turn.waits and turn not in begins]
        known = [turn.paid for (_, bulk), turn in self._turns.items() if bulk is is_bulk]
        self._floors[is_bulk] = max(self._floors[is_bulk], min(going) if going else max(known))
        for turn in begins:
            turn.paid = max(turn.paid, self._floors[is_bulk])

    def _pick(self, priority: Priority, room: int) -> list[str]:
        """At most so many parts that are not offered, in the order in which their tenants have their turns."""
        queues = {one: queue for one in self._stored if (queue := self._queue(one, priority))}
        turns = {one: self._turns[one, priority is Priority.BULK] for one in self._stored}
        waiting = [turn for turn in turns.values() if turn.waits]
        # Urgent parts go before the others' normal ones, but not for ever: one window's share ahead of them.
        ahead = self._rows / sum(turn.weight for turn in waiting) if waiting else 0.0
        ids = list[str]()
        while queues and len(ids) < room:
            is_urgent = priority is Priority.URGENT
            one = min(queues, key=lambda name: turns[name].urgently if is_urgent else turns[name].owes)
            if priority is Priority.URGENT and turns[one].urgently > min(turn.urgently for turn in waiting) + ahead:
                break
            ids.append(queues[one].pop())
            turns[one].picked += 1
            turns[one].urgent += priority is Priority.URGENT
            if not queues[one]:
                del queues[one]
        self._taken.update(ids)
        return ids

    def _queue(self, one: str, priority: Priority) -> list[str]:
        """What a tenant has to offer, the first part last: with normal parts the urgent ones that were not picked."""
        first = self._heads[one, Priority.URGENT].ids if priority is Priority.NORMAL else []
        return [part for part in (*first, *self._heads[one, priority].ids) if part not in self._taken][::-1]
