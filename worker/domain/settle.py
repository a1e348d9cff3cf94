"""Decides every change of a part's state, by pure functions over its row. No other code assigns a state.

Doubt belongs to attempts. `doubts` counts the attempts of a part that have no readable answer. While it is above zero,
the part never ends as cancelled, expired, exhausted or rejected. A refusal that all its calls must have met ends all
doubt where the part ends by it. Every assignment goes through `_move`, which checks it against the one table of moves.
"""

from __future__ import annotations

from dataclasses import dataclass

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
from worker.domain.pacing.lane import RULES, LaneRules
from worker.domain.pacing.limit import used_up_reason
from worker.domain.pacing.quiet import QUIET_HOURS, QuietHours
from worker.domain.pacing.window import SECOND as SECOND
from worker.domain.state import FINAL_STATES, MOVES, OPEN_STATES, PartState


@dataclass(slots=True)
class PartFacts:
    """The columns of a part's row that decisions read or change, explained in `outbox/tables/`."""

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
    order_id: str | None = None
    limit_name: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and how long a part is tried. Every figure is a setting."""

    attempts: int = 8
    busy: int = 3
    """Retries after the answer -1: at most three, by the vendor's rule."""
    repeats: int = 5
    max_age_s: float = 86_400.0
    doubt_margin_s: float = 5.0
    """The policy for an unknown part acts this many seconds after its call's deadline, or later."""
    ill_after: int = 3
    """After so many consecutive calls of a lane or account that found the vendor down, a retry counts as a try of its
    part only if the answer was -1.
    """
    ill_s: float = 30.0
    """Seconds by which an unknown part's policy acts later in that case; doubled with each repeat."""
    busy_again_s: float = 60.0
    """Seconds that a part waits after its second -1, if its lane got no better answer since the first."""
    busy_last_s: float = 720.0
    """Seconds that a part waits, in the same case, before the last retry that the vendor's rule allows."""
    lanes: LaneRules = RULES
    """Penalties and breaker of the parts' lanes."""


def calls_maybe_sent(part: PartFacts) -> int:
    """Returns how many calls may have shown the part's message to the vendor: all marks that were not forgotten."""
    return part.claim - part.unheard


def forget_call(part: PartFacts, *, was_repeat: bool) -> None:
    """Forgets the part's last call, of which nothing was sent, or which was refused before the vendor saw the message.

    It opened no window of the vendor's duplicate check, and was no repeat.
    """
    part.unheard += 1
    part.repeats -= int(was_repeat and part.repeats > 0)


SWALLOWED = "it may have been dropped as a repeat of a call that was refused"


class IllegalMove(AssertionError):
    """A state was about to change outside the table of moves, which is a defect of this program."""


def _move(part: PartFacts, to: PartState, reason: str | None) -> None:
    if to not in MOVES[part.state]:
        raise IllegalMove(f"{part.state.label} -> {to.label}")
    part.state = to
    part.reason, part.limit_name = reason[:300] if reason else None, None
    if to is not PartState.QUEUED:
        part.offered_until = None


def begin_sending(part: PartFacts, incarnation: str, now: int, deadline_us: int) -> None:
    """Moves the part from queued to sending. This is durable before the first byte may be sent."""
    _move(part, PartState.SENDING, None)
    part.claim += 1
    part.repeats += 1 if part.doubts else 0
    part.incarnation = incarnation
    part.marked_at = now
    part.first_marked_at = part.first_marked_at or now
    part.deadline_at = now + deadline_us


def wait_until(part: PartFacts, until: int, reason: str | None) -> None:
    """Queues the part, or keeps it queued, until an instant. This is not an attempt."""
    if part.state is not PartState.QUEUED:
        _move(part, PartState.QUEUED, None)
    part.reason, part.limit_name = reason[:300] if reason else None, None
    part.not_before = until
    part.offered_until = None


def _close(part: PartFacts, to: PartState, reason: str | None) -> None:
    """Ends a part that was refused or ran out of tries or time. If it is in doubt, it becomes unknown instead."""
    state = to.label
    if part.doubts:
        hold(part, f"in doubt; later {state}: {reason}")
    else:
        _move(part, to, reason)
        part.not_before = None


def _reject(part: PartFacts, outcome: Rejected) -> None:
    part.doubts = 0 if outcome.ends_doubt else part.doubts
    _close(part, PartState.REJECTED, outcome.reason)


def _accept(part: PartFacts, to: PartState) -> None:
    _move(part, to, None)
    part.not_before = None


def _retry(
    part: PartFacts,
    outcome: Retry,
    now: int,
    delay_s: float,
    policy: Policy,
    due_at: int | None,
    failures_in_a_row: int = 0,
) -> None:
    if outcome.busy:
        part.busy += 1
        delay_s = max(delay_s, _busy_s(part, policy, failures_in_a_row))
    part.tries += int(outcome.busy or failures_in_a_row < policy.ill_after)
    # A part in doubt has no age limit: first_marked_at is of the unanswered call, and its search may begin much later.
    begun_at = now if part.doubts or part.first_marked_at is None else part.first_marked_at
    age_us = now - max(begun_at, due_at or begun_at)
    too_old = age_us > policy.max_age_s * SECOND
    if part.tries >= policy.attempts or part.busy > policy.busy or too_old:
        _close(part, PartState.EXHAUSTED, outcome.reason)
    else:
        wait_until(part, now + int(delay_s * SECOND), outcome.reason)


def _busy_s(part: PartFacts, policy: Policy, failures_in_a_row: int) -> float:
    """Returns the least seconds until the retry of a message for which the vendor was too busy (-1).

    The vendor allows three retries of a message. They are spread over more than ten minutes if the lane got no better
    answer since this part's first -1. The usual backoff may be longer.
    """
    if failures_in_a_row < part.busy - 1 or part.busy == 1:
        return 0.0
    return policy.busy_last_s if part.busy == policy.busy else policy.busy_again_s


def end_attempt(
    part: PartFacts,
    outcome: Outcome,
    now: int,
    delay_s: float,
    policy: Policy,
    failures_in_a_row: int = 0,
    *,
    due_at: int | None = None,
) -> None:
    """Ends the current call of a sending part. `delay_s` is the randomised backoff of a retry, in seconds.

    `failures_in_a_row` is how many consecutive calls of its lane or account before it found the vendor down. `due_at`
    is of its job, which may have been rescheduled since its first call: a retry waits for that, and the age begins
    then.
    """
    match outcome:
        case Accepted():
            _accept(part, PartState.ACCEPTED)
        case Partial():
            _accept(part, PartState.PARTIAL)
        case Rejected():
            _reject(part, outcome)
        case Retry():
            _retry(part, outcome, now, delay_s, policy, due_at, failures_in_a_row)
        case Wait():
            # A part that waits for its lane is due now: the lane's block delays it.
            wait_until(part, now + int(outcome.delay * SECOND) if outcome.scope is Scope.PART else now, outcome.reason)
        case Progress():
            # The next page is no retry, so tries, repeats and age start again.
            part.tries = part.busy = part.repeats = 0
            if not part.doubts:
                part.first_marked_at = None
            wait_until(part, now + int(outcome.delay * SECOND), outcome.reason)
        case Held() if part.doubts:
            hold(part, outcome.reason)
        case Held() | StaleToken() | Parked():
            # A late answer ended the doubt of a held part while its search was in flight.
            wait_until(part, now, outcome.reason)
        case Unknown():
            part.tries += 1
            doubt(part, outcome.reason, policy)
            if failures_in_a_row >= policy.ill_after and part.repeats < policy.repeats:
                # A minute after the first repeat, eight minutes after the fourth.
                part.not_before = (part.not_before or 0) + int(policy.ill_s * 2**part.repeats * SECOND)
            if outcome.held:
                part.not_before = None
    if part.state is PartState.QUEUED and not part.doubts:
        part.not_before = max(part.not_before or 0, due_at or 0)


def doubt(part: PartFacts, reason: str, policy: Policy) -> None:
    """Moves the part from sending to unknown: no readable answer came. The policy for it acts later."""
    part.doubts += 1
    _move(part, PartState.UNKNOWN, reason)
    part.not_before = (part.deadline_at or 0) + int(policy.doubt_margin_s * SECOND)


def late_answer(part: PartFacts, outcome: Outcome, now: int) -> None:
    """Takes a late answer to an attempt in doubt: ends its doubt, and changes the part's state unless it has ended."""
    if isinstance(outcome, Unknown):
        return
    part.doubts = max(0, part.doubts - 1)
    if part.state in FINAL_STATES:
        return
    match outcome:
        case Accepted():
            _accept(part, PartState.ACCEPTED)
        case Partial():
            _accept(part, PartState.PARTIAL)
        case _ if part.state is PartState.SENDING:
            return  # a newer call is in flight; its answer decides
        case Rejected():
            _reject(part, outcome)
        case _ if not part.doubts:
            wait_until(part, now, outcome.reason)


def end_call_of_ended(part: PartFacts, outcome: Outcome) -> None:
    """Ends a call of a part that a late answer ended while the call was in flight. Without an answer it is in doubt."""
    part.doubts += int(isinstance(outcome, Unknown))


def apply_decision(part: PartFacts, reason: str, *, sent: bool, refused_some: bool = False) -> None:
    """Applies a person's decision about an unknown part: its calls were carried out (`sent`), or not.

    `refused_some`: the vendor had named recipients that it refused.
    """
    if sent:
        part.doubts = max(0, part.doubts - 1)
        _accept(part, PartState.PARTIAL if refused_some else PartState.ACCEPTED)
    else:
        # The person decides about the message, so about all of its calls.
        part.doubts = 0
        _close(part, PartState.REJECTED, reason)


def wait_for_limit(part: PartFacts, until: int, limit_name: str) -> None:
    """Keeps the part queued until an instant, because a limit is used up. This is not an attempt."""
    wait_until(part, until, used_up_reason(limit_name))
    part.limit_name = limit_name


def wait_for_quiet_end(part: PartFacts, quiet: QuietHours | None, now: int) -> bool:
    """Keeps the part queued until its quiet hours end. Returns False outside of them. This is not an attempt."""
    # A repeat may run in quiet hours: it ends a doubt, and by the morning no repeat would be safe any more.
    ends_at = None if quiet is None or part.doubts else quiet.ends_at(now)
    if ends_at is None:
        return False
    wait_until(part, ends_at, "quiet hours")
    part.limit_name = QUIET_HOURS
    return True


def try_again(
    part: PartFacts, reason: str, now: int, delay_s: float, policy: Policy, *, due_at: int | None = None
) -> None:
    """Queues the part for later, or exhausts it: a failure in its preparation counts like a call."""
    _retry(part, Retry(reason), now, delay_s, policy, due_at)


def split(part: PartFacts) -> None:
    """Counts a split: some recipients of a queued part, of which nothing was sent, go to a part of their own."""
    # As after a mark under which nothing was sent: a sender that read the part with its old recipients cannot mark it.
    part.claim += 1
    part.unheard += 1
    part.marked_at = None


def repeat(part: PartFacts, now: int) -> None:
    """Moves the part from unknown to queued, for a safe repeat."""
    wait_until(part, now, part.reason)


def hold(part: PartFacts, reason: str) -> None:
    """Holds a part in doubt for a person, because no safe repeat is left. A queued part becomes unknown again."""
    if part.state is PartState.UNKNOWN:
        part.reason = reason[:300]
    else:
        _move(part, PartState.UNKNOWN, reason)
    part.not_before = None


FENCED = "may have been sent after the backup that was restored"


def fence(part: PartFacts, now: int) -> None:
    """Holds an open part that may have been sent though its row does not say so, as after a restored backup.

    A queued part counts as called once more, by no process of this outbox.
    """
    if part.state is PartState.QUEUED:
        part.claim += 1
        part.incarnation = part.waits_on = None
        part.marked_at = now
        part.first_marked_at = part.first_marked_at or now
    part.doubts += int(part.state in OPEN_STATES)
    hold(part, FENCED)


def expire(part: PartFacts) -> None:
    """Expires a queued part whose `expires_at` has passed. It was certainly never sent, unless it is in doubt."""
    _close(part, PartState.EXPIRED, "expires_at passed")


SET_BACK = "the database's clock was set back, so nobody knows how long ago it was called"
CANCELLED = "cancelled before it was sent"


def cancel(part: PartFacts, reason: str) -> None:
    """Cancels a queued part, unless an earlier call of it is in doubt."""
    _close(part, PartState.CANCELLED, reason)


def refuse(part: PartFacts, reason: str) -> None:
    """Rejects a queued part without a call, for the worker's own reason (no msgid, window over, no code left)."""
    _close(part, PartState.REJECTED, reason)


def finish(part: PartFacts) -> None:
    """Accepts a queued part without a call, because there is nothing left to do or to find."""
    _accept(part, PartState.ACCEPTED)


FOREVER = 2**62
"""The `not_before` of a part that has no due time and waits until another part wakes it."""
BEHIND_A_PART = "waits for the part before it"
"""The reason of a part that goes after another part of its job."""
NEWER_RELEASE = "waits for a worker of a newer release, which enqueued it"
"""The reason of a part that a worker of an older release has put off."""
WAITS_ITS_TURN = "waits for the jobs before it in its order"


def await_turn(part: PartFacts) -> None:
    """Keeps the part queued until the parts before it in its order have ended or are skipped, which wakes it."""
    wait_until(part, FOREVER, WAITS_ITS_TURN)


def lets_order_go_on(state: PartState, held: bool, skips: bool) -> bool:
    """Returns True if a part in this state does not keep the parts behind it in its order waiting.

    `held`: the part is unknown and waits for a person. `skips`: its job allows a gap in the order rather than a stop.
    """
    match state:
        case PartState.EXHAUSTED:
            return skips
        case PartState.UNKNOWN:
            return skips and held
    return state not in OPEN_STATES


def wait_for_job(part: PartFacts, job_id: str, until: int, reason: str) -> None:
    """Keeps the part queued until the job it depends on changes, or until `until` at the latest."""
    part.waits_on = job_id
    wait_until(part, until, reason)


PAUSED = "paused by a person"


def pause(part: PartFacts, parked_until: int) -> None:
    """Keeps the part queued until the pause of its job ends. `parked_until` is the pause's own instant."""
    wait_until(part, parked_until, PAUSED)
