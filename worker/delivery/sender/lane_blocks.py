"""Blocks, parks and opens lanes and accounts, by what the outcome of one part means for the other parts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from worker.config.settings import DeliverySettings
from worker.delivery.sender.lane_states import LaneStates
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
from worker.domain.pacing.lane import Cause, LaneBlock, LaneChange, LaneRules, Resume, account_of
from worker.domain.pacing.limit import Denied, used_up_reason
from worker.domain.settle import SECOND
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import JobPart
from worker.outbox.lanes.lanes import change_lanes, log_lane_events, return_probe

LABEL_CHARACTERS = 100
"""The length of a lane's name for people in its row. A type of `Raw` and a tenant may together be longer."""
ALARM_REMEDY = "find out what made so many calls; the vendor restricts this app's access until its traffic is normal"
BRIEF_S = 1.0
"""Waits shorter than so many seconds are kept in this process and not written to SQL."""
PEER_RETRY_S = 1.0
"""Seconds for which an account is blocked for all processes when one of them could not reach its vendor."""
NO_PEER_RETRY_S = 10.0
"""The longest time in seconds for which a missing token blocks an account while no other process is alive."""


def block_of(
    part: JobPart,
    outcome: Verdict | Denied | TokenWait | TokenParked,
    settings: DeliverySettings,
    *,
    answered: bool = True,
) -> LaneBlock | None:
    """Returns the block that an outcome causes for the part's lane or account, or None if it causes none.

    `answered`: an answer was read, from the vendor or from a proxy in front of it.
    """
    match outcome:
        case Verdict():
            return _of_verdict(part, outcome, settings, answered=answered)
        case Denied(scope=scope, delay=delay, limit=limit):
            return _block(part, scope, delay, used_up_reason(limit), limit_name=limit)
        case TokenWait(delay=delay, remedy=remedy, penalty=penalty):
            reason, cause = _of_gettoken(outcome), Cause.TOKEN
            return _block(part, Scope.ACCOUNT, delay, reason, remedy, penalty=penalty, cause=cause)
        case TokenParked(probe_in_s=delay, remedy=remedy, hint=hint):
            # Until the next gettoken, which one process makes for all; see `token_probe.py`.
            reason, cause = _of_gettoken(outcome), Cause.TOKEN
            return _block(part, Scope.ACCOUNT, delay, reason, remedy, parked=True, hint=hint, cause=cause)


def _of_verdict(part: JobPart, verdict: Verdict, settings: DeliverySettings, *, answered: bool) -> LaneBlock | None:
    no_errcode = verdict.errcode is None
    match verdict.outcome:
        case Wait(penalty=Penalty() as penalty, scope=scope, delay=delay, reason=reason):
            delay = settings.rate_limit_block_s if penalty is Penalty.FREQUENCY else delay
            # If only the part waits, its lane goes on, more slowly.
            return _block(part, Scope.LANE, 0.0 if scope is Scope.PART else delay, reason, penalty=penalty)
        case Wait(scope=Scope.LANE | Scope.ACCOUNT as scope, delay=delay, reason=reason, remedy=remedy):
            # Without an errcode it was not the vendor that demanded the wait: it is unreachable, or a proxy answered.
            return _block(part, scope, delay, reason, remedy, failed=no_errcode)
        case Parked(scope=scope, reason=reason, remedy=remedy):
            return _block(part, scope, settings.park_probe_s, reason, remedy, parked=True)
        case Unknown(held=False, reason=reason, delay=delay) if no_errcode:
            return _block(part, Scope.LANE if delay else Scope.ACCOUNT, delay, reason, failed=True)
        case Retry(busy=busy, reason=reason) if busy or (no_errcode and answered):
            return _block(part, Scope.LANE, 0.0, reason, failed=True)
        case Rejected(unknown_code=True, reason=reason):
            return _block(part, Scope.LANE, 0.0, reason, failed=True)
        case Accepted() | Partial() | Retry() | Rejected() | Unknown() | Wait() | Progress() | Held() | StaleToken():
            return None


def _block(
    part: JobPart, scope: Scope, delay: float, reason: str, remedy: str | None = None, **fields: Any
) -> LaneBlock:
    account, is_account = account_of(part.lane), scope is Scope.ACCOUNT
    remedy = ALARM_REMEDY if fields.get("penalty") is Penalty.ALARM else remedy
    lane, label = (account, part.account) if is_account else (part.lane, _label(part))
    return LaneBlock(lane, label, delay, reason, remedy, **fields)


def _label(part: JobPart) -> str:
    """Returns the kind and message type of the lane's parts, for people."""
    label = f"{part.kind} {part.message.get('type', '')}".strip()
    label = label if part.tenant is None else f"{label} of tenant {part.tenant}"
    return label[:LABEL_CHARACTERS]


def _of_gettoken(token: TokenWait | TokenParked) -> str:
    return GETTOKEN + token.reason.removeprefix(GETTOKEN)


class LaneBlocks:
    """Blocks and opens lanes and accounts, in this process at once and in SQL for all processes."""

    def __init__(
        self,
        database: Database,
        lane_states: LaneStates,
        rules: LaneRules,
        rng: random.Random,
        has_peer: Callable[[str], bool],
    ):
        """`has_peer` tells whether another living process may be able to use an account."""
        self._database, self._lane_states, self._rules, self._rng = database, lane_states, rules, rng
        self._has_peer = has_peer

    def apply(self, block: LaneBlock | None) -> None:
        """Blocks a lane or account. A block of less than a second holds in this process only."""
        if block is None:
            return
        self._lane_states.apply(block)
        if block.delay >= BRIEF_S or block.parked:
            self._write([block])

    def unpark(self, lanes: Sequence[str]) -> None:
        """Opens lanes and accounts after a successful probe. They start again with one call in flight."""
        resumed = [Resume(lane, "a probe was accepted") for lane in sorted(set(lanes))]
        for resume in resumed:
            self._lane_states.apply(resume)
        self._write(resumed)

    def return_probe(self, lane: str, wait_s: float) -> None:
        """Returns a probe that made no call, so that another part of the lane or account tries in `wait_s` seconds."""
        database, wait_us = self._database, int(wait_s * SECOND)
        database.run(lambda connection: return_probe(connection, database.now, lane, wait_us))

    def block_unreachable(self, part: JobPart, reason: str, remedy: str | None = None) -> LaneBlock | None:
        """Returns the block of an account whose host could not be reached; it counts for the account's breaker.

        This process avoids the account for up to a minute. If another process may reach the vendor, the others are
        blocked only briefly. Returns None if the account was blocked already.
        """
        delay = self._lane_states.record_unreachable(account_of(part.lane), self._rng)
        if delay is None:
            return None
        block_s = PEER_RETRY_S if self._leave_to_peers(part, delay, reason, remedy) else delay
        return _block(part, Scope.ACCOUNT, block_s, reason, remedy, failed=True)

    def block_without_token(self, part: JobPart, wait: TokenWait) -> LaneBlock | None:
        """Returns the block of an account for which this process got no token, or None if it was blocked for that."""
        # One fetch that many threads waited for counts once.
        if self._lane_states.is_left_to_peers(part.lane):
            return None
        reason, remedy = _of_gettoken(wait), wait.remedy
        if self._leave_to_peers(part, wait.delay, reason, remedy):
            return _block(part, Scope.ACCOUNT, PEER_RETRY_S, reason, remedy, failed=True)
        return _block(part, Scope.ACCOUNT, min(wait.delay, NO_PEER_RETRY_S), reason, remedy)

    def _leave_to_peers(self, part: JobPart, delay: float, reason: str, remedy: str | None) -> bool:
        """Leaves the account to other processes for `delay` seconds. Returns False if no other process is alive."""
        account = account_of(part.lane)
        if not self._has_peer(account):
            return False
        self._lane_states.leave_to_peers(account, delay, f"{reason}; {remedy}" if remedy else reason)
        return True

    def _write(self, changes: Sequence[LaneChange]) -> None:
        database, rules = self._database, self._rules
        log_lane_events(database.run(lambda connection: change_lanes(connection, database.now, changes, rules)))
