"""How a part moves: pure decisions over the facts of its row. The only code that assigns a part's state.

Doubt belongs to attempts. `doubts` counts the attempts of a part that have no readable answer; while it is above zero
the part never ends as cancelled, expired, exhausted or rejected; a refusal that its every call must have met ends all
doubt. Every assignment passes `_move`, which holds it against the one table of moves.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.lane import RULES, LaneRules
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
from worker.domain.state import FINAL_STATES, MOVES, PartState

SECOND = 1_000_000


@dataclass(slots=True)
class PartFacts:
    """The columns of a part's row that decide and change; see `outbox/tables/` for their meaning."""

    id: str
    job_id: str
    lane: str
    state: PartState
    not_before: int | None
    expires_at: int | None
    offered_until: int | None
    claim: int
    incarnation: str | None
    marked_at: int | None
    first_marked_at: int | None
    deadline_at: int | None
    tries: int
    busy: int
    repeats: int
    doubts: int
    unheard: int
    flagged: bool | None
    waits_on: str | None
    reason: str | None
    turn: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and how long a part is tried; every figure is a setting."""

    attempts: int = 8
    busy: int = 3
    """Answers -1: at most three, by the vendor's rule."""
    repeats: int = 5
    max_age_s: float = 86_400.0
    doubt_margin_s: float = 5.0
    """An unknown's policy acts no earlier than the call's deadline plus this."""
    ill_after: int = 3
    """So many calls of a lane or account in a row that say the vendor is ill, with nothing taken between, and the next
    ones are not charged to their parts.
    """
    ill_s: float = 30.0
    """How much later than else the policy of an unknown acts then; doubles with each repeat."""
    busy_again_s: float = 60.0
    """How long a part waits after its second -1, when its lane has heard nothing else since the first,"""
    busy_last_s: float = 720.0
    """and before the last retry that the vendor's rule allows."""
    lanes: LaneRules = RULES
    """Penalties and breaker of what the parts stand in."""


def heard(part: PartFacts) -> int:
    """Calls of this part that the vendor may have heard of: its marks, less those under which nothing left."""
    return part.claim - part.unheard


class IllegalMove(AssertionError):
    """A state was about to change outside the table of moves: a defect of this program."""


def _move(part: PartFacts, to: PartState, reason: str | None) -> None:
    if to not in MOVES[part.state]:
        raise IllegalMove(f"{part.state.label} -> {to.label}")
    part.state = to
    part.reason = reason[:300] if reason else None
    if to is not PartState.QUEUED:
        part.offered_until = None


def begin_sending(part: PartFacts, incarnation: str, now: int, deadline_us: int) -> None:
    """Move queued -> sending: durable before the first byte may leave."""
    _move(part, PartState.SENDING, None)
    part.claim += 1
    part.repeats += 1 if part.doubts else 0
    part.incarnation = incarnation
    part.marked_at = now
    part.first_marked_at = part.first_marked_at or now
    part.deadline_at = now + deadline_us


def _queue(part: PartFacts, not_before: int, reason: str | None) -> None:
    if part.state is PartState.QUEUED:
        part.reason = reason[:300] if reason else None
    else:
        _move(part, PartState.QUEUED, reason)
    part.not_before = not_before
    part.offered_until = None


def _close(part: PartFacts, to: PartState, reason: str | None) -> None:
    """Ends a part that was refused or ran out; with a doubt left it becomes unknown and keeps the reason beside it."""
    if not part.doubts:
        _move(part, to, reason)
        part.not_before = None
        return
    reason = f"in doubt; later {to.label}: {reason}"
    if part.state is PartState.UNKNOWN:
        part.reason = reason[:300]
    else:
        _move(part, PartState.UNKNOWN, reason)
    part.not_before = None


def _take(part: PartFacts, to: PartState) -> None:
    _move(part, to, None)
    part.not_before = None


def _retry(part: PartFacts, outcome: Retry, now: int, delay_s: float, policy: Policy, in_a_row: int = 0) -> None:
    if outcome.busy:
        part.busy += 1
        delay_s = max(delay_s, _busy_s(part, policy, in_a_row))
    part.tries += int(outcome.busy or in_a_row < policy.ill_after)
    # Of a part in doubt the age is that of the lost call: what asks after it may begin long afterwards.
    age_us = 0 if part.doubts or part.first_marked_at is None else now - part.first_marked_at
    too_old = age_us > policy.max_age_s * SECOND
    if part.tries >= policy.attempts or part.busy > policy.busy or too_old:
        _close(part, PartState.EXHAUSTED, outcome.reason)
    else:
        _queue(part, now + int(delay_s * SECOND), outcome.reason)


def _busy_s(part: PartFacts, policy: Policy, in_a_row: int) -> float:
    """Seconds until a message that the vendor was too busy for goes again, beside the usual backoff.

    The vendor allows three retries of a message: they are spread over more than ten minutes where its lane has heard
    nothing better since this part's first -1.
    """
    if in_a_row < part.busy - 1 or part.busy == 1:
        return 0.0
    return policy.busy_last_s if part.busy == policy.busy else policy.busy_again_s


def _wait(part: PartFacts, outcome: Wait, now: int) -> None:
    """Waiting for a lane costs the part nothing: it is due as before, and its lane holds it back."""
    not_before = now + int(outcome.delay * SECOND) if outcome.scope is Scope.PART else now
    _queue(part, not_before, outcome.reason)


def _go_on(part: PartFacts, outcome: Progress, now: int) -> None:
    """The next page is no retry of this one: its tries, repeats and age count anew."""
    part.tries = part.busy = part.repeats = 0
    if not part.doubts:
        part.first_marked_at = None
    _queue(part, now + int(outcome.delay * SECOND), outcome.reason)


def _stay_in_doubt(part: PartFacts, outcome: Held, now: int) -> None:
    """A late answer may have cleared the doubt while the look-up was in the air; then there is nothing to hold."""
    if part.doubts:
        hold(part, outcome.reason)
    else:
        _queue(part, now, outcome.reason)


def end_attempt(part: PartFacts, outcome: Outcome, now: int, delay_s: float, policy: Policy, in_a_row: int = 0) -> None:
    """The current call of a sending part ended; `delay_s` is the drawn backoff of a retry.

    `in_a_row`: the calls of its lane or account before it that said, one after the other, that the vendor is ill.
    """
    match outcome:
        case Accepted():
            _take(part, PartState.ACCEPTED)
        case Partial():
            _take(part, PartState.PARTIAL)
        case Rejected():
            part.doubts = 0 if outcome.lasting else part.doubts
            _close(part, PartState.REJECTED, outcome.reason)
        case Retry():
            _retry(part, outcome, now, delay_s, policy, in_a_row)
        case Wait():
            _wait(part, outcome, now)
        case Progress():
            _go_on(part, outcome, now)
        case Held():
            _stay_in_doubt(part, outcome, now)
        case StaleToken() | Parked():
            _queue(part, now, outcome.reason)
        case Unknown():
            part.tries += 1
            doubt(part, outcome.reason, policy)
            if in_a_row >= policy.ill_after and part.repeats < policy.repeats:
                _space(part, policy)
            if outcome.held:
                part.not_before = None


def doubt(part: PartFacts, reason: str, policy: Policy) -> None:
    """Move sending -> unknown: no readable answer (a cut, a deadline, a dead process).

    Its policy acts after the margin.
    """
    part.doubts += 1
    _move(part, PartState.UNKNOWN, reason)
    part.not_before = (part.deadline_at or 0) + int(policy.doubt_margin_s * SECOND)


def _space(part: PartFacts, policy: Policy) -> None:
    """The repeats of one part outlast an illness: a minute after the first, eight minutes after the fourth."""
    part.not_before = (part.not_before or 0) + int(policy.ill_s * 2**part.repeats * SECOND)


def late_answer(part: PartFacts, outcome: Outcome, now: int) -> None:
    """An attempt in doubt was answered after all: its own doubt is cleared, and the part follows where it still can."""
    if isinstance(outcome, Unknown):
        return
    settled = isinstance(outcome, Rejected) and outcome.lasting
    part.doubts = 0 if settled else max(0, part.doubts - 1)
    if part.state in FINAL_STATES:
        return
    match outcome:
        case Accepted():
            _take(part, PartState.ACCEPTED)
        case Partial():
            _take(part, PartState.PARTIAL)
        case _ if part.state is PartState.SENDING:
            return  # a newer call is in the air and will say
        case Rejected():
            _close(part, PartState.REJECTED, outcome.reason)
        case _ if not part.doubts:
            _queue(part, now, outcome.reason)


def wait_until(part: PartFacts, until: int, reason: str) -> None:
    """Stays queued until an instant: not an attempt."""
    _queue(part, until, reason)


def try_again(part: PartFacts, reason: str, now: int, delay_s: float, policy: Policy) -> None:
    """Move queued -> queued later, or exhausted: what its call needs could not be got, which counts like a call."""
    _retry(part, Retry(reason), now, delay_s, policy)


def narrow(part: PartFacts) -> None:
    """Some recipients of a queued part, of which nothing ever left, go to a part of their own.

    Whoever read it before has lost it: the claim counts on, as if under a mark under which nothing left.
    """
    part.claim += 1
    part.unheard += 1
    part.marked_at = None


def repeat(part: PartFacts, now: int) -> None:
    """Move unknown -> queued: a safe repeat may be made."""
    _queue(part, now, part.reason)


def hold(part: PartFacts, reason: str) -> None:
    """Leaves an unknown for a person, or makes a queued part in doubt unknown again: no safe repeat is left."""
    if part.state is PartState.UNKNOWN:
        part.reason = reason[:300]
    else:
        _move(part, PartState.UNKNOWN, reason)
    part.not_before = None


def expire(part: PartFacts) -> None:
    """Move queued -> expired, past `expires_at`: certainly never sent, unless an earlier call is in doubt."""
    _close(part, PartState.EXPIRED, "expires_at passed")


def cancel(part: PartFacts, reason: str) -> None:
    """Move queued -> cancelled before its mark, unless an earlier call is in doubt."""
    _close(part, PartState.CANCELLED, reason)


def refuse(part: PartFacts, reason: str) -> None:
    """Move queued -> rejected without a call: our own reason (no msgid, window over, no code left)."""
    _close(part, PartState.REJECTED, reason)


def take_unsent(part: PartFacts) -> None:
    """Move queued -> accepted without a call: what it was about never left (recall of something cancelled)."""
    _take(part, PartState.ACCEPTED)


def finish(part: PartFacts) -> None:
    """Move queued -> accepted without another call: what it was to find out is known."""
    _take(part, PartState.ACCEPTED)


FOREVER = 2**62
"""An instant nobody waits for: parked until woken."""
WAITS_ITS_TURN = "waits for those before it in its order"


def await_turn(part: PartFacts) -> None:
    """Stays queued until those before it in its order are out of the way; woken by whoever sees that."""
    _queue(part, FOREVER, WAITS_ITS_TURN)


def lets_others_go(state: PartState, held: bool, skips: bool) -> bool:
    """True when a part no longer stands in the way of those behind it in its order.

    `held`: an unknown that waits for a person; `skips`: its job would rather leave a gap than keep the others waiting.
    """
    match state:
        case PartState.QUEUED | PartState.SENDING:
            return False
        case PartState.EXHAUSTED:
            return skips
        case PartState.UNKNOWN:
            return skips and held
    return True


def park_on(part: PartFacts, job_id: str, until: int, reason: str) -> None:
    """Stays queued until the job it depends on moves, or `until` at the latest."""
    part.waits_on = job_id
    _queue(part, until, reason)
