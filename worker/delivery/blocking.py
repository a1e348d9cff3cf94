"""What one part's fate means for the others of its lane or account: blocked, parked for a person, opened."""

from __future__ import annotations

from worker.delivery.chat_blocks import WAITING
from worker.delivery.plant import Plant
from worker.domain.outcome import (
    Accepted,
    Held,
    Outcome,
    Parked,
    Partial,
    Progress,
    Rejected,
    Retry,
    Scope,
    StaleToken,
    Unknown,
    Wait,
)
from worker.outbox.lanes import Block, account_of, block_lanes, free_lane, return_probe
from worker.outbox.loading import Loaded

BRIEF_S = 1.0
"""Shorter waits stay in this process."""


class Blocking:
    """Closes and opens lanes and accounts, in this process at once and in SQL for all."""

    def __init__(self, plant: Plant):
        self._plant = plant

    def consequence(self, work: Loaded, outcome: Outcome) -> Block | None:
        """What an outcome means for the others; the writer stores it with the result."""
        match outcome:
            case Wait(scope=scope, delay=delay, reason=reason) if scope is not Scope.PART:
                return self._block(work, scope, delay, reason)
            case Parked(scope=scope, reason=reason, remedy=remedy):
                return self._block(work, scope, self._plant.settings.park_probe_s, reason, remedy, parked=True)
            case (
                Accepted() | Partial() | Retry() | Rejected() | Unknown() | Wait() | Progress() | Held() | StaleToken()
            ):
                return None

    def unpark(self, work: Loaded) -> None:
        """A probe got through: its lane and its account are open again."""
        for lane in (work.lane, account_of(work.lane)):
            self._plant.gates.open(lane)
            self._plant.database.run(lambda connection, lane=lane: free_lane(connection, lane))  # type: ignore[misc]

    def pass_on(self, work: Loaded) -> None:
        """A probe made no call: where its chat waits for a person, its account is for another lane to try."""
        database = self._plant.database
        database.run(lambda connection: return_probe(connection, database.now, work.lane, WAITING))

    def block(self, work: Loaded, scope: Scope, delay: float, reason: str, remedy: str | None = None) -> None:
        """Blocks the part's lane or account, now and in SQL."""
        block = self._block(work, scope, delay, reason, remedy)
        if delay < BRIEF_S:
            return  # another sender of this process is about to end it; nobody else needs to know
        database = self._plant.database
        database.run(lambda connection: block_lanes(connection, database.now, [block]))

    def _block(
        self,
        work: Loaded,
        scope: Scope,
        delay: float,
        reason: str,
        remedy: str | None = None,
        *,
        parked: bool = False,
    ) -> Block:
        account = account_of(work.lane)
        lane = account if scope is Scope.ACCOUNT else work.lane
        self._plant.gates.close(lane, delay)
        label = work.account if scope is Scope.ACCOUNT else f"{work.kind} {work.message.get('type', '')}".strip()
        return Block(lane, account, label, delay, reason, remedy, parked)
