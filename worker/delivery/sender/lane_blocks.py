"""What one part's outcome means for the others of its lane or account: blocked, parked for a person, opened."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from worker.config.policy import policy_of
from worker.config.settings import DeliverySettings
from worker.delivery.sender.lane_state import LaneStates
from worker.domain.account import GETTOKEN, TokenParked, TokenWait
from worker.domain.outcome import (
    Accepted,
    Held,
    Parked,
    Partial,
    Penalty,
    Progress,
    Rejected,
    Retry,
    Scope,
    StaleToken,
    Unknown,
    Verdict,
    Wait,
)
from worker.domain.pacing.lane import Cause, LaneBlock, Resume, account_of
from worker.domain.pacing.limit import Denied, used_up
from worker.domain.settle import SECOND
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import DuePart
from worker.outbox.lanes.lanes import change_lanes, log_steps, return_probe

ALARM_REMEDY = "find out what called so much; the vendor restricts this app's access until its traffic is normal"
BRIEF_S = 1.0
"""Waits shorter than so many seconds are kept in this process and not written to SQL."""
ELSEWHERE_S = 1.0
"""Seconds that an account rests for all where one process has not reached its vendor, and another is to try."""
NOBODY_ELSE_S = 10.0
"""Seconds that it rests at most for want of a token where no other process lives, for one may start."""


class LaneBlocks:
    """Closes and opens lanes and accounts, in this process at once and in SQL for all."""

    def __init__(
        self,
        database: Database,
        lane_states: LaneStates,
        settings: DeliverySettings,
        rng: random.Random,
        others: Callable[[str], bool],
    ):
        """`others`: whether another process lives that may be able to use an account."""
        self._database, self._lane_states, self._settings, self._rng = database, lane_states, settings, rng
        self._others = others
        self._rules = policy_of(settings).lanes

    def consequence(self, due: DuePart, verdict: Verdict, *, answered: bool) -> LaneBlock | None:
        """What an outcome means for the others; the writer stores it with the result.

        `answered`: an answer was read, the vendor's or that of a proxy before it.
        """
        match verdict.outcome:
            case Wait(penalty=Penalty() as penalty) as wait:
                return self._penalty(due, wait, penalty)
            case Wait(scope=scope, delay=delay, reason=reason, remedy=remedy) if scope is not Scope.PART:
                # Without an errcode it was not the vendor who asked to wait: it is out of reach, or a proxy answered.
                if verdict.errcode is None:
                    return self._failure(due, scope, reason, delay, remedy)
                return self._block(due, scope, delay, reason)
            case Parked(scope=scope, reason=reason, remedy=remedy):
                return self._block(due, scope, self._settings.park_probe_s, reason, remedy, parked=True)
            case Unknown(held=False, reason=reason) if verdict.errcode is None:
                return self._failure(due, Scope.ACCOUNT, reason)
            case Retry(busy=busy, reason=reason) if busy or (verdict.errcode is None and answered):
                return self._failure(due, Scope.LANE, reason)
            case Rejected(unheard_of=True, reason=reason):
                return self._failure(due, Scope.LANE, reason)
            case (
                Accepted() | Partial() | Retry() | Rejected() | Unknown() | Wait() | Progress() | Held() | StaleToken()
            ):
                return None

    def _penalty(self, due: DuePart, wait: Wait, penalty: Penalty) -> LaneBlock:
        """The block of an answer with a penalty; in this process the lane rests at least as long as the answer says."""
        # The penalty's steps are kept in SQL, for all processes together.
        self._lane_states.note(due.lane)
        if wait.scope is Scope.PART:
            # The part waits by itself, and its lane goes on more slowly.
            return LaneBlock(due.lane, account_of(due.lane), _label(due), 0.0, wait.reason, penalty=penalty)
        delay = self._settings.strike_s if penalty is Penalty.FREQUENCY else wait.delay
        remedy = ALARM_REMEDY if penalty is Penalty.ALARM else None
        return replace(self._block(due, Scope.LANE, delay, wait.reason, remedy), penalty=penalty)

    def _failure(
        self, due: DuePart, scope: Scope, reason: str, delay: float = 0.0, remedy: str | None = None
    ) -> LaneBlock:
        """The block of a call which says that the vendor is ill; it counts for the breaker of the lane or account.

        `delay`: seconds that the lane or account rests.
        """
        for name in (due.lane, account_of(due.lane)):
            self._lane_states.note(name)
        block = self._block(due, scope, delay, reason, remedy)
        self._lane_states.ailed(block.lane, self._rules.failures, self._rules.open_s)
        return replace(block, failed=True)

    def unpark(self, lanes: Sequence[str]) -> None:
        """Opens lanes and accounts after a successful probe; they start again with one call in flight."""
        database = self._database
        for lane in lanes:
            self._lane_states.open(lane)
        resumed = [Resume(lane, "a probe got through") for lane in sorted(set(lanes))]
        log_steps(database.run(lambda c: change_lanes(c, database.now, resumed)))

    def unreachable(self, due: DuePart, reason: str, remedy: str | None = None) -> float:
        """Blocks the account of a part whose host could not be reached, and counts that for its breaker.

        Returns for how many seconds from now; 0 where the account is blocked already.
        """
        rest = self._rest(due, reason, remedy)
        if rest is None:
            return 0.0
        delay, shared_s = rest
        self._write(self._failure(due, Scope.ACCOUNT, reason, shared_s, remedy))
        return delay

    def shut_out(self, due: DuePart, reason: str, remedy: str | None = None) -> Wait:
        """The outcome of a marked part whose host closed the connection at once: its account waits.

        The part alone waits, for 0 s, where the account is blocked already.
        """
        rest = self._rest(due, reason, remedy)
        return Wait(Scope.PART, 0.0, reason) if rest is None else Wait(Scope.ACCOUNT, rest[1], reason, remedy=remedy)

    def _leave_to_others(self, due: DuePart, delay: float, reason: str, remedy: str | None) -> bool:
        """Leaves the account to other processes for so many seconds; False: there are none.

        They may have another way to the vendor. All rest briefly, and the breaker counts what each of them meets.
        """
        account = account_of(due.lane)
        if not self._others(account):
            return False
        self._lane_states.leave_to_others(account, delay, f"{reason}; {remedy}" if remedy else reason)
        return True

    def _rest(self, due: DuePart, reason: str, remedy: str | None) -> tuple[float, float] | None:
        """Seconds that the account rests in this process, and in all; None: it is blocked already."""
        delay = self._lane_states.failed(account_of(due.lane), self._rng)
        if delay is None:
            return None
        return delay, ELSEWHERE_S if self._leave_to_others(due, delay, reason, remedy) else delay

    def return_probe(self, lane: str, wait_s: float) -> None:
        """Gives back the probe of a lane or its account that made no call: another part tries in so many seconds."""
        database, wait_us = self._database, int(wait_s * SECOND)
        database.run(lambda connection: return_probe(connection, database.now, lane, wait_us))

    def block(self, due: DuePart, scope: Scope, delay: float, reason: str, remedy: str | None = None) -> None:
        """Blocks the part's lane or account, now and in SQL."""
        self._write(self._block(due, scope, delay, reason, remedy))

    def fill(self, due: DuePart, denied: Denied) -> None:
        """Blocks the lane or account whose limit is used up; calls that have a permit are still made."""
        block = self._block(due, denied.scope, denied.delay, used_up(denied.limit), limited=True)
        self._write(replace(block, limit_name=denied.limit))

    def no_token(self, due: DuePart, wait: TokenWait) -> None:
        """Blocks the account of a part that has no token yet; with the vendor's penalty, if it set one."""
        reason = GETTOKEN + wait.reason.removeprefix(GETTOKEN)
        if wait.alone:
            self._no_token_here(due, wait, reason)
            return
        if wait.penalty is None:
            self.block(due, Scope.ACCOUNT, wait.delay, reason, wait.remedy)
            return
        self._lane_states.note(account_of(due.lane))
        remedy = ALARM_REMEDY if wait.penalty is Penalty.ALARM else None
        block = self._block(due, Scope.ACCOUNT, wait.delay, reason, remedy)
        self._write(replace(block, penalty=wait.penalty))

    def _no_token_here(self, due: DuePart, wait: TokenWait, reason: str) -> None:
        """Rests an account for which this process has heard nothing of the vendor, though another may."""
        if self._lane_states.does_without(due.lane):
            # One fetch that many threads waited for counts once.
            return
        if self._leave_to_others(due, wait.delay, reason, wait.remedy):
            self._write(self._failure(due, Scope.ACCOUNT, reason, ELSEWHERE_S, wait.remedy))
        else:
            self.block(due, Scope.ACCOUNT, min(wait.delay, NOBODY_ELSE_S), reason, wait.remedy)

    def refused_token(self, due: DuePart, parked: TokenParked) -> None:
        """Parks the account until the next gettoken, which one process makes for all; see `token_probe.py`."""
        reason = f"{GETTOKEN}{parked.reason}"
        block = self._block(due, Scope.ACCOUNT, parked.probe_in_s, reason, parked.remedy, parked=True)
        self._write(replace(block, hint=parked.hint, cause=Cause.TOKEN))

    def _write(self, block: LaneBlock) -> None:
        if block.delay < BRIEF_S and not block.parked:
            # So short a wait need not reach the other processes; in this one it is noted already.
            return
        database, rules = self._database, self._rules
        log_steps(database.run(lambda connection: change_lanes(connection, database.now, [block], rules)))

    def _block(
        self,
        due: DuePart,
        scope: Scope,
        delay: float,
        reason: str,
        remedy: str | None = None,
        *,
        parked: bool = False,
        limited: bool = False,
    ) -> LaneBlock:
        account = account_of(due.lane)
        lane = account if scope is Scope.ACCOUNT else due.lane
        self._lane_states.close(lane, delay, used_up=limited)
        label = due.account if scope is Scope.ACCOUNT else _label(due)
        return LaneBlock(lane, account, label, delay, reason, remedy, parked)


def _label(due: DuePart) -> str:
    """The kind and message type of the lane's parts, as people read it."""
    label = f"{due.kind} {due.message.get('type', '')}".strip()
    return label if due.tenant is None else f"{label} of tenant {due.tenant}"
