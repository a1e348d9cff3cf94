"""Logs what keeps accounts and lanes from sending: one line when it begins, and one when it ends.

It is what `worker why` and `worker lanes` say of an account or a lane. The process that runs the relay logs what holds
for all processes. Each process logs the accounts that it cannot use or reach, and which process runs the relay in its
place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection

from worker.delivery.sender.lane_states import LaneStates
from worker.domain.pacing.lane import LaneStatus
from worker.outbox.engine.clock import instant
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import waiting_lanes
from worker.outbox.lanes.pauses import active_pauses
from worker.outbox.lanes.processes import RELAY, alive_processes, lease_holder
from worker.reporting.standstill import find_standstills

log = structlog.get_logger()

EVERY_S = 2.0
STANDSTILLS_EVERY_S = 30.0
"""Seconds between two searches for standstills, which read a row for each lane with due parts."""
GONE_S = 6.0
"""Seconds after which a wait that is not found any more has ended: a limit under load is used up again at once."""
STANDBY_TURNS = 3
"""After so many turns without the relay a process says which one has it."""


@dataclass(frozen=True, slots=True)
class _Wait:
    """One reason why calls of an account do not begin."""

    account: str
    what: str
    """A `LaneStatus`, `paused` or `standing still`."""
    reason: str
    label: str
    remedy: str | None = None
    lane: str | None = None
    """The key of the lane, or None for several lanes or an account."""
    count: int = 1
    """How many lanes wait for it."""
    hint: str | None = None
    until: datetime | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is told by: while this stays, it is the same wait."""
        return self.account, self.what, self.reason or self.label


@dataclass(slots=True)
class _Begun:
    """A wait whose beginning was logged."""

    wait: _Wait
    began_at: float
    seen_at: float


class WaitLog:
    """Compares what waits with what it logged last."""

    def __init__(
        self,
        database: Database,
        *,
        is_leader: Callable[[], bool],
        lane_states: LaneStates,
        monotonic: Callable[[], float],
        is_embedded: bool = False,
    ):
        """With `is_embedded`, this process sends nothing without the relay."""
        self._database, self._is_leader, self._lane_states = database, is_leader, lane_states
        self._monotonic, self._is_embedded = monotonic, is_embedded
        self._begun: dict[tuple[str, str, str], _Begun] = {}
        self._unusable: Mapping[str, str] = {}
        self._unreachable: Mapping[str, str] = {}
        self._standstills: list[_Wait] = []
        self._look_at = float("-inf")
        """When standstills are searched for again."""
        self._turns_without, self._leader = 0, ""

    def turn(self) -> float:
        """Logs what began and what ended, and returns the seconds until the next turn."""
        self._log_own_accounts()
        if self._is_leader():
            self._turns_without, self._leader = 0, ""
            with self._database.reading() as connection:
                self._log_waits([*self._waits(connection)])
        else:
            # The process that has the relay logs them now.
            self._begun.clear()
            self._turns_without += 1
            if self._turns_without >= STANDBY_TURNS:
                self._log_leader()
        return EVERY_S

    def _log_own_accounts(self) -> None:
        """Logs the accounts that this process avoids, although others may use them."""
        before, self._unusable = self._unusable, self._lane_states.unusable()
        for name, problem in self._unusable.items():
            if before.get(name) != problem:
                log.error("account_unusable", account=name, reason=problem)
        for name in before.keys() - self._unusable.keys():
            log.info("account_usable", account=name)
        before, self._unreachable = self._unreachable, self._lane_states.unreachable_accounts()
        for name, problem in self._unreachable.items():
            if before.get(name) != problem:
                log.warning("account_unreachable", account=name, reason=problem)
        for name in before.keys() - self._unreachable.keys():
            log.info("account_reached", account=name)

    def _log_leader(self) -> None:
        """Logs the process that has the relay, once for each."""
        database = self._database
        with database.reading() as connection:
            holder = lease_holder(connection, database.now, RELAY)
            processes = alive_processes(connection, database.now) if holder not in (None, self._leader) else []
        for process in processes:
            if process.id == holder:
                self._leader = process.id
                level = log.warning if self._is_embedded else log.info
                text = "it offers the parts; this process takes over when it ends"
                if self._is_embedded:
                    text = "it delivers from this outbox; this process sends nothing, and takes over when it ends"
                level("relay_elsewhere", process=f"{process.host} {process.pid}", text=text)

    def _log_waits(self, waits: Sequence[_Wait]) -> None:
        now = self._monotonic()
        for wait in waits:
            begun = self._begun.get(wait.key)
            if begun is None:
                self._begun[wait.key] = begun = _Begun(wait, now, now)
                _log_begin(wait)
            begun.seen_at = now
        for begun in [begun for begun in self._begun.values() if now - begun.seen_at >= GONE_S]:
            wait, seconds = begun.wait, round(begun.seen_at - begun.began_at)
            del self._begun[wait.key]
            # A breaker may have opened where a block ended: then the same calls wait for something else.
            if all((wait.account, wait.label) != (other.account, other.label) for other in waits):
                log.info("goes_on", account=wait.account, what=wait.what, label=wait.label, seconds=seconds)

    def _waits(self, connection: Connection) -> Iterator[_Wait]:
        """Yields everything that keeps accounts and lanes from sending."""
        for row in waiting_lanes(connection, self._database.now):
            status = LaneStatus.PARKED if row.parked else LaneStatus.BREAKER_OPEN if row.broken else LaneStatus.BLOCKED
            remedy = row.remedy or (f"`worker resume {row.lane or row.account}`, or wait" if row.parked else None)
            until = instant(row.until) if row.until else None
            yield _Wait(row.account, str(status), row.reason, row.label, remedy, row.lane, row.count, row.hint, until)
        # Why a person paused stands in the audit: the words may name others.
        for pause in active_pauses(connection, ()):
            yield _Wait(pause.account or "", "paused", "", pause.scope_text(), pause.ending())
        if self._monotonic() >= self._look_at:
            self._look_at = self._monotonic() + STANDSTILLS_EVERY_S
            self._standstills = [
                _Wait(found.account, "standing still", found.text, found.account, found.remedy)
                for found in find_standstills(connection, self._database.now)
            ]
        yield from self._standstills


def _log_begin(wait: _Wait) -> None:
    log.warning(
        "waits",
        account=wait.account,
        what=wait.what,
        reason=wait.reason,
        remedy=wait.remedy,
        label=wait.label,
        lane=wait.lane,
        count=wait.count,
        hint=wait.hint,
        until=None if wait.until is None else wait.until.isoformat(timespec="milliseconds"),
    )
