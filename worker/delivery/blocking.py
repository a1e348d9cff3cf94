"""What one part's fate means for the others of its lane or account: blocked, parked for a person, opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from worker.delivery.chat_blocks import WAITING
from worker.delivery.plant import Plant, policy_of
from worker.delivery.writer import log_steps
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
from worker.domain.permit import Denied
from worker.domain.settle import SECOND
from worker.domain.token import TokenParked, TokenWait
from worker.outbox.lanes import (
    GETTOKEN,
    Block,
    account_of,
    block_lanes,
    hand_probe_on,
    resume_lanes,
    return_probe,
    used_up,
)
from worker.outbox.loading import Loaded

ALARM_REMEDY = "find out what called so much; the vendor restricts this app's access until its traffic is normal"
BRIEF_S = 1.0
"""Shorter waits stay in this process."""


class Blocking:
    """Closes and opens lanes and accounts, in this process at once and in SQL for all."""

    def __init__(self, plant: Plant):
        self._plant = plant
        self._rules = policy_of(plant.settings).lanes

    def consequence(self, work: Loaded, verdict: Verdict) -> Block | None:
        """What an outcome means for the others; the writer stores it with the result."""
        match verdict.outcome:
            case Wait(penalty=Penalty() as penalty) as wait:
                return self._penalty(work, wait, penalty)
            case Wait(scope=scope, delay=delay, reason=reason) if scope is not Scope.PART:
                if verdict.errcode is None:  # the vendor is out of reach, or a proxy asks to wait in its place
                    return self._failure(work, scope, reason, delay)
                return self._block(work, scope, delay, reason)
            case Parked(scope=scope, reason=reason, remedy=remedy):
                return self._block(work, scope, self._plant.settings.park_probe_s, reason, remedy, parked=True)
            case Unknown(held=False, reason=reason) if verdict.errcode is None:
                return self._failure(work, Scope.ACCOUNT, reason)
            case Retry(busy=busy, reason=reason) if busy or (verdict.errcode is None and verdict.http_status):
                return self._failure(work, Scope.LANE, reason)
            case Rejected(unheard_of=True, reason=reason):
                return self._failure(work, Scope.LANE, reason)
            case (
                Accepted() | Partial() | Retry() | Rejected() | Unknown() | Wait() | Progress() | Held() | StaleToken()
            ):
                return None

    def _penalty(self, work: Loaded, wait: Wait, penalty: Penalty) -> Block:
        """The steps of a penalty stand in SQL; here the lane rests for as long as the answer says at least."""
        self._plant.gates.note(work.lane)
        if wait.scope is Scope.PART:  # the part waits by itself, its lane goes on more slowly
            return Block(work.lane, account_of(work.lane), _label(work), 0.0, wait.reason, penalty=penalty)
        delay = self._plant.settings.strike_s if penalty is Penalty.FREQUENCY else wait.delay
        remedy = ALARM_REMEDY if penalty is Penalty.ALARM else None
        return replace(self._block(work, Scope.LANE, delay, wait.reason, remedy), penalty=penalty)

    def _failure(self, work: Loaded, scope: Scope, reason: str, delay: float = 0.0) -> Block:
        """The vendor is ill: counts for the breaker of the lane, or account, which rests for `delay` seconds."""
        for name in (work.lane, account_of(work.lane)):
            self._plant.gates.note(name)
        block = self._block(work, scope, delay, reason)
        self._plant.gates.ailed(block.lane, self._rules.failures, self._rules.open_s)
        return replace(block, failed=True)

    def unpark(self, lanes: Sequence[str]) -> None:
        """A probe got through: what is proved to be open starts again, with one call in the air."""
        database = self._plant.database
        for lane in lanes:
            self._plant.gates.open(lane)
        log_steps(database.run(lambda c: resume_lanes(c, database.now, lanes, "a probe got through")))

    def unreachable(self, work: Loaded, reason: str) -> float:
        """No connection: nothing has left. The account waits, and its breaker counts; for how many seconds from now,
        0 where it waits already.
        """
        delay = self._rest(work)
        if delay is None:
            return 0.0
        block, database, rules = self._failure(work, Scope.ACCOUNT, reason, delay), self._plant.database, self._rules
        log_steps(database.run(lambda c: block_lanes(c, database.now, [block], rules)))
        return delay

    def shut_out(self, work: Loaded, reason: str) -> Wait:
        """The same of a part that is marked: its account waits, or has begun to while the part was marked."""
        delay = self._rest(work)
        return Wait(Scope.PART, 0.0, reason) if delay is None else Wait(Scope.ACCOUNT, delay, reason)

    def _rest(self, work: Loaded) -> float | None:
        return self._plant.gates.failed(account_of(work.lane), self._plant.rng)

    def pass_on(self, work: Loaded, elsewhere_s: float | None = None) -> None:
        """A probe made no call: where its chat waits for a person, its account is for another lane to try.

        `elsewhere_s`: this process cannot use the account, so another may try it in so many seconds.
        """
        database = self._plant.database
        if elsewhere_s is not None:
            wait_us = int(elsewhere_s * SECOND)
            database.run(lambda connection: hand_probe_on(connection, database.now, work.lane, wait_us))
            return
        database.run(lambda connection: return_probe(connection, database.now, work.lane, WAITING))

    def block(self, work: Loaded, scope: Scope, delay: float, reason: str, remedy: str | None = None) -> None:
        """Blocks the part's lane or account, now and in SQL."""
        self._write(self._block(work, scope, delay, reason, remedy))

    def fill(self, work: Loaded, denied: Denied) -> None:
        """The same for a limit that is used up: whoever has reserved before still goes."""
        self._write(self._block(work, denied.scope, denied.delay, used_up(denied.limit), limited=True))

    def no_token(self, work: Loaded, wait: TokenWait) -> None:
        """Its account waits for a token; for as long as evidence says where the vendor set a penalty."""
        if wait.penalty is None:
            self.block(work, Scope.ACCOUNT, wait.delay, wait.reason)
            return
        self._plant.gates.note(account_of(work.lane))
        remedy = ALARM_REMEDY if wait.penalty is Penalty.ALARM else None
        block = self._block(work, Scope.ACCOUNT, wait.delay, GETTOKEN + wait.reason, remedy)
        self._write(replace(block, penalty=wait.penalty))

    def refused_token(self, work: Loaded, parked: TokenParked) -> None:
        """Its account is parked until the next gettoken, which is one for all processes; see `knocking.py`."""
        reason = GETTOKEN + parked.reason
        block = self._block(work, Scope.ACCOUNT, parked.probe_in_s, reason, parked.remedy, parked=True)
        self._write(replace(block, hint=parked.hint))

    def _write(self, block: Block) -> None:
        if block.delay < BRIEF_S and not block.parked:
            return  # another sender of this process is about to end it; nobody else needs to know
        database, rules = self._plant.database, self._rules
        log_steps(database.run(lambda connection: block_lanes(connection, database.now, [block], rules)))

    def _block(
        self,
        work: Loaded,
        scope: Scope,
        delay: float,
        reason: str,
        remedy: str | None = None,
        *,
        parked: bool = False,
        limited: bool = False,
    ) -> Block:
        account = account_of(work.lane)
        lane = account if scope is Scope.ACCOUNT else work.lane
        self._plant.gates.close(lane, delay, used_up=limited)
        label = work.account if scope is Scope.ACCOUNT else _label(work)
        return Block(lane, account, label, delay, reason, remedy, parked)


def _label(work: Loaded) -> str:
    """For people: which calls the lane holds."""
    return f"{work.kind} {work.message.get('type', '')}".strip()
