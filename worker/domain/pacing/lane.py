"""The state of a lane: whether its calls may begin now, and how many at once.

`LaneState` is the row of a lane, or of an account for all of its lanes. `next_state` returns the state after an event,
and `capacity_of` says how many calls may begin now. Both are pure. `outbox/lanes/lanes.py` locks and writes the rows,
which hold for all processes; each process keeps a copy of the states it uses (`delivery/sender/lane_states.py`). Only
the time of a blocked lane's next try is written without this module (`claim_probe`): by one compare-and-set, without an
event.

Only a call that was marked after the last change counts. A call that was already in flight shows the earlier state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from worker.domain.outcome import Penalty
from worker.domain.pacing.window import SECOND as SECOND

DAY = 86_400 * SECOND
SHANGHAI = 8 * 3_600 * SECOND
"""The vendor's days begin at midnight in Asia/Shanghai, which has no daylight saving time."""
LAST_STEP = 3
"""The step of a frequency penalty that blocks until midnight; the steps before it are shorter."""
MAX_CALLS = 64
"""A bound on calls in flight is removed when it grows above this."""
PARALLEL_COOLDOWN_S = 10
"""Seconds between two growths of the bound after too many parallel calls (45033)."""
SERIAL_COOLDOWN_S = 60
"""Seconds at one call at a time after a conflict (45035), and between two growths of the bound afterwards."""
MAX_FAILURES = 1_000


class LaneEventKind(StrEnum):
    """What happened to a lane. The values are stored, and shown to people."""

    THROTTLED = "struck"
    """45009: blocked, longer with each step, because the vendor does not say which window was exceeded."""
    NARROWED = "narrowed"
    """45033 or 45035: fewer calls in flight."""
    ALARM = "alarm"
    """45036: an operator must find out which program called so often."""
    PARKED = "parked"
    OPENED = "breaker opened"
    CLOSED = "breaker closed"
    OVER = "penalty over"
    """A call went through after the block of a 45009."""
    WIDE = "full again"
    """The bound of a narrowed lane grew until it was removed."""
    RESUMED = "resumed"
    """A person, or a probe that succeeded, lifted what blocked it."""
    FAULT = "set aside"
    """An error of this program stopped work on a part of the lane; nothing is blocked."""
    UNUSABLE = "unusable"
    """A process could not use the account as it is configured there; nothing is blocked for others."""
    TOO_NEW = "too new"
    """A process of an older release put off a part that a newer one enqueued; nothing is blocked."""
    ACKNOWLEDGED = "acknowledged"
    """A person acknowledged the loss of the process that the label names."""


LOGGED = frozenset(
    {
        LaneEventKind.NARROWED,
        LaneEventKind.WIDE,
        LaneEventKind.ALARM,
        LaneEventKind.FAULT,
        LaneEventKind.TOO_NEW,
    }
)
"""Events with a log line of their own. `service/wait_log.py` logs what the others begin and end."""


class Cause(StrEnum):
    """The event besides time and people that lifts a block."""

    TOKEN = "token"
    """The account has no token: it waits until the vendor gives one, or is parked; see `token_probe.py`."""
    CHAT = "chat"
    """The account was removed from the lane's chat. A callback reports when it is back."""
    ALLOWANCE = "allowance"
    """The chat's member allows no more messages. A callback reports when the member allows more."""


class LaneStatus(StrEnum):
    """A lane's state in one word, for people."""

    PARKED = "parked"
    BREAKER_OPEN = "breaker open"
    BREAKER_HALF_OPEN = "breaker half-open"
    BLOCKED = "blocked"
    WATCHED = "watched"
    NARROWED = "narrowed"
    STARTING = "starting"


@dataclass(frozen=True, slots=True)
class LaneRules:
    """The figures of penalties and of the breaker, in seconds or calls."""

    rate_limit_block_s: float = 60.0
    """The first block after a 45009."""
    rate_limit_block_again_s: float = 3_600.0
    """The second block in a row, with no call accepted in between; further ones end at midnight in Asia/Shanghai."""
    failures: int = 5
    """Calls in a row that say the vendor is ill (no answer, no connection, -1) and open the breaker."""
    open_s: float = 2.0
    """How long the breaker stays open before one call tries; doubles with each failed try."""
    open_max_s: float = 60.0
    """The longest that the breaker stays open before the next try."""


RULES = LaneRules()


@dataclass(frozen=True, slots=True)
class LaneState:
    """The columns of a lane's row, explained in `outbox/tables/`. All instants are microseconds of one clock."""

    lane: str
    account: str
    label: str = ""
    blocked_until: int = 0
    reason: str = ""
    remedy: str | None = None
    parked: bool = False
    cause: Cause | None = None
    limit_name: str | None = None
    blocked_at: int = 0
    hint: str | None = None
    step: int = 0
    struck_until: int = 0
    calls: int | None = None
    changed_at: int = 0
    rest_s: int = 0
    failures: int = 0

    @property
    def needs_answer(self) -> bool:
        """True while the next answer may change the state: calls are bounded, or a penalty or failures are counted."""
        return self.calls is not None or bool(self.step or self.failures)

    def is_clear(self, now: int) -> bool:
        """Returns True when nothing is blocked, bounded or counted, so that the row may be deleted."""
        return not (self.parked or self.blocked_until > now or self.needs_answer)


def fresh_state(name: str) -> LaneState:
    """Returns the state of a lane or an account to which nothing has happened."""
    return LaneState(name, account_of(name))


# -- what happens to a lane -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LaneBlock:
    """Blocks a lane for `delay` seconds, because a call was refused, has failed, or must not be made."""

    lane: str
    """A lane key, or an account's name."""
    label: str
    delay: float
    reason: str
    """For people only; no code decides on it."""
    remedy: str | None = None
    parked: bool = False
    cause: Cause | None = None
    """The event that lifts the block, or None if only time or a person does."""
    limit_name: str | None = None
    """Our limit that is used up, or None if the block has another reason."""
    penalty: Penalty | None = None
    failed: bool = False
    """The vendor seems to be down: the failure counts for the breaker."""
    hint: str | None = None
    """The vendor's trace number of the answer."""
    marked_at: int | None = None
    """When the call that caused the block was marked, in microseconds. None if no call caused it: then it counts as
    marked now."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """An answer of the vendor that may lift a bound, a penalty or failures from a lane or an account."""

    lane: str
    marked_at: int
    accepted: bool
    """The vendor carried out the call."""
    final: bool
    """The vendor carried out the call or refused it for good, so that no retry follows."""


@dataclass(frozen=True, slots=True)
class Resume:
    """A person, a probe or a callback lifts the lane's block. Does nothing if the lane is not blocked."""

    lane: str
    reason: str
    cause: Cause | None = None
    """Lifts only a block of this cause, or any block if None."""
    ends_penalty: bool = False
    """Forgets earlier 45009 answers, so that the next one counts as the first."""


@dataclass(frozen=True, slots=True)
class SlowStart:
    """Starts a lane with one call in flight, after a time without calls."""

    lane: str


LaneChange = LaneBlock | Feedback | Resume | SlowStart


@dataclass(frozen=True, slots=True)
class LaneEvent:
    """One event of a lane, as it is logged and stored."""

    lane: str
    account: str
    label: str
    what: LaneEventKind
    reason: str
    remedy: str | None
    hint: str | None
    until: int | None
    """When the block ends or the next probe is due, in microseconds, or None if nothing is blocked."""


Transition = tuple[LaneState, list[LaneEvent]]


def apply_change(
    states: dict[str, LaneState], change: LaneChange, now: int, rules: LaneRules, in_flight: int = 0
) -> list[LaneEvent]:
    """Applies a change to its lane in `states`, and to the lane's account where it counts there too.

    Returns the events. A failure counts for the account only until the lane's own breaker opens, because further
    failures of one lane say nothing new about the others.
    """
    account, before = account_of(change.lane), states.get(change.lane) or fresh_state(change.lane)
    state, events = next_state(before, change, now, rules, in_flight)
    states[change.lane] = state
    counts = before.failures < state.failures < rules.failures
    if counts and isinstance(change, LaneBlock) and change.lane != account:
        # Without a delay: the account is blocked only if its own breaker opens.
        same = replace(change, lane=account, label=account, delay=0.0)
        events += apply_change(states, same, now, rules)
    return events


def next_state(state: LaneState, change: LaneChange, now: int, rules: LaneRules, in_flight: int = 0) -> Transition:
    """Returns the state after a change, with its events. `in_flight` is the lane's present number of calls."""
    match change:
        case LaneBlock():
            return _blocked(replace(state, label=change.label or state.label), change, now, rules, in_flight)
        case Feedback():
            return _with_feedback(state, change, now, rules)
        case Resume():
            return _resumed(state, change, now)
        case SlowStart():
            # A narrowed lane is left alone: a slow start would let its bound grow too soon.
            is_kept = state.blocked_until > now or (state.calls is not None and state.rest_s)
            return (state if is_kept else _with_one_call(state, now)), []


def _blocked(state: LaneState, block: LaneBlock, now: int, rules: LaneRules, in_flight: int) -> Transition:
    marked_at = now if block.marked_at is None else block.marked_at
    until = now + int(block.delay * SECOND)
    held = _with_block(state, block, until, now)
    if block.failed:
        return _failed(state, held, block, marked_at, now, rules)
    match block.penalty:
        case Penalty.FREQUENCY:
            return _throttled(state, block, marked_at, now, rules)
        case Penalty.PARALLEL:
            calls = max(1, (in_flight if state.calls is None else state.calls) // 2)
            return _narrowed(held, block, calls, PARALLEL_COOLDOWN_S, marked_at, now)
        case Penalty.SERIAL:
            return _narrowed(held, block, 1, SERIAL_COOLDOWN_S, marked_at, now)
        case Penalty.ALARM if state.calls is not None and marked_at < state.changed_at:
            return state, []  # the call was in flight when the alarm was raised
        case Penalty.ALARM:
            return _with_event(_with_one_call(held, until), LaneEventKind.ALARM, block)
        case None:
            return _with_event(held, LaneEventKind.PARKED, block) if block.parked and not state.parked else (held, [])


def _with_block(state: LaneState, block: LaneBlock, until: int, now: int) -> LaneState:
    """Blocks until the later of the present and the new end. A parked lane stays parked."""
    if until <= now and not block.parked:
        return state
    is_blocked = state.parked or state.blocked_until > now
    # Of two blocks that end together the new one's reason is kept.
    if is_blocked and (state.parked, state.blocked_until) > (block.parked, until):
        return replace(state, blocked_until=max(state.blocked_until, until))
    return replace(
        state,
        blocked_until=max(state.blocked_until, until) if is_blocked else until,
        reason=block.reason[:300],
        remedy=block.remedy and block.remedy[:300],
        hint=block.hint,
        cause=block.cause,
        limit_name=block.limit_name,
        parked=block.parked,
        blocked_at=now,
    )


def _with_one_call(state: LaneState, at: int) -> LaneState:
    """Begins a slow start: one call in flight from this instant on, and twice as many after each success."""
    return replace(state, calls=1, changed_at=at, rest_s=0)


def _throttled(state: LaneState, block: LaneBlock, marked_at: int, now: int, rules: LaneRules) -> Transition:
    """Blocks for 60 s, the second time for 60 min, the third time until midnight in Asia/Shanghai.

    A 45009 is the second or third one if no call was accepted since the last one, and the last block ended no longer
    ago than the next one lasts. Otherwise a lane with one call every few minutes would be blocked for only 60 s each
    time.
    """
    if marked_at < state.struck_until:
        return _with_block(state, block, state.struck_until, now), []
    lengths = {
        1: int(rules.rate_limit_block_s * SECOND),
        2: int(rules.rate_limit_block_again_s * SECOND),
        LAST_STEP: DAY,
    }
    next_step = min(LAST_STEP, state.step + 1)
    is_repeated = state.step and now < state.struck_until + lengths[next_step]
    step = next_step if is_repeated else 1
    until = next_midnight(now) if step == LAST_STEP else now + lengths[step]
    throttled = replace(_with_block(state, block, until, now), step=step, struck_until=until)
    return _with_event(_with_one_call(throttled, until), LaneEventKind.THROTTLED, block)


def _narrowed(state: LaneState, block: LaneBlock, calls: int, rest_s: int, marked_at: int, now: int) -> Transition:
    is_old = marked_at < state.changed_at
    if state.calls is not None and (is_old or (state.calls, state.rest_s) == (calls, rest_s)):
        return (state if is_old else replace(state, changed_at=max(state.changed_at, now))), []
    narrowed = replace(state, calls=calls, rest_s=max(rest_s, state.rest_s), changed_at=now)
    return _with_event(narrowed, LaneEventKind.NARROWED, block)


def _failed(
    state: LaneState, held: LaneState, block: LaneBlock, marked_at: int, now: int, rules: LaneRules
) -> Transition:
    """Counts consecutive failures of all processes. Enough of them open the breaker; then one call at a time tries."""
    was_open = state.failures >= rules.failures
    if was_open and marked_at < state.changed_at:
        return state, []  # the call was in flight when the breaker opened
    # While the lane is blocked no failure is counted: one fault that many calls meet counts once.
    is_same_fault = bool(block.delay) and state.blocked_until > now
    # Without a bound on calls in flight, only a call marked after the first of these failures may open the breaker: if
    # a vendor refuses every third call, five of a hundred calls in flight easily fail one after the other.
    is_unbounded, is_first = state.calls is None, not state.failures
    is_early = is_unbounded and not is_first and state.failures == rules.failures - 1 and marked_at < state.changed_at
    if is_same_fault or is_early:
        return held, []
    failures = min(MAX_FAILURES, state.failures + 1)
    if failures < rules.failures and block.delay and block.lane != state.account:
        # Calls of which a proxy said "later" may be in doubt, so the next one goes alone.
        return replace(_with_one_call(held, held.blocked_until), failures=failures), []
    if failures < rules.failures:
        return replace(held, failures=failures, changed_at=now if is_unbounded and is_first else state.changed_at), []
    open_s = min(rules.open_max_s, rules.open_s * 2.0 ** min(failures - rules.failures, 16))
    until = now + int(max(open_s, block.delay) * SECOND)
    opened = _with_one_call(replace(_with_block(state, block, until, now), failures=failures), until)
    return (opened, []) if was_open else _with_event(opened, LaneEventKind.OPENED, block)


def _with_feedback(state: LaneState, feedback: Feedback, now: int, rules: LaneRules) -> Transition:
    """Closes the breaker on any answer, ends a penalty on an accepted one, and doubles the bound on a final one."""
    may_grow = feedback.marked_at > state.changed_at + state.rest_s * SECOND
    events = list[LaneEvent]()
    if state.failures >= rules.failures and feedback.marked_at >= state.changed_at:
        events.append(_ended_event(state, LaneEventKind.CLOSED, "an answer came"))
    if events or state.failures < rules.failures:
        state = replace(state, failures=0)
    if state.step and feedback.accepted and feedback.marked_at >= state.struck_until:
        state = replace(state, step=0, struck_until=0)
        events.append(_ended_event(state, LaneEventKind.OVER, "a call succeeded"))
    if feedback.final and state.calls is not None and may_grow:
        calls, rest_s = state.calls * 2, state.rest_s
        if calls <= MAX_CALLS:
            return replace(state, calls=calls, changed_at=now), events
        state = replace(state, calls=None, changed_at=now, rest_s=0)
        events += [_ended_event(state, LaneEventKind.WIDE, "no such refusal any more")] if rest_s else []
    return state, events


def _resumed(state: LaneState, resume: Resume, now: int) -> Transition:
    """Lifts the lane's block. The lane starts with one call in flight, whose answer counts at once.

    The counts of the breaker and of 45009 stay, unless the change ends the penalty.
    """
    if resume.cause not in (None, state.cause) or not (state.parked or state.blocked_until > now):
        return state, []
    lifted = replace(
        state,
        parked=False,
        blocked_until=0,
        struck_until=min(state.struck_until, now),
        step=0 if resume.ends_penalty else state.step,
        reason="",
        remedy=None,
        hint=None,
        cause=None,
        limit_name=None,
    )
    return _with_one_call(lifted, now), [_ended_event(lifted, LaneEventKind.RESUMED, resume.reason)]


def _with_event(state: LaneState, kind: LaneEventKind, block: LaneBlock) -> Transition:
    until = state.blocked_until or None
    reason, remedy = block.reason[:300], block.remedy and block.remedy[:300]
    return state, [LaneEvent(state.lane, state.account, state.label, kind, reason, remedy, block.hint, until)]


def _ended_event(state: LaneState, kind: LaneEventKind, reason: str) -> LaneEvent:
    return LaneEvent(state.lane, state.account, state.label, kind, reason, None, None, None)


def strictest(local: LaneState, shared: LaneState) -> LaneState:
    """Merges two states of one lane, of which neither has every event; each field gets the stricter value."""
    blocks = max((shared, local), key=lambda state: (state.parked, state.blocked_until))
    return replace(
        blocks,
        blocked_until=max(local.blocked_until, shared.blocked_until),
        step=max(local.step, shared.step),
        struck_until=max(local.struck_until, shared.struck_until),
        calls=min((state.calls for state in (local, shared) if state.calls is not None), default=None),
        changed_at=max(local.changed_at, shared.changed_at),
        rest_s=max(local.rest_s, shared.rest_s),
        failures=max(local.failures, shared.failures),
    )


def next_midnight(now: int) -> int:
    """Returns when the vendor's next day begins."""
    return ((now + SHANGHAI) // DAY + 1) * DAY - SHANGHAI


# -- what may begin now -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many calls of a lane may begin now, by its own state and its account's."""

    calls: int | None = None
    """How many more calls may begin: 0 while the lane is blocked, None for any number."""
    blocked_until: int = 0
    """When the block ends, in microseconds; 0 if nothing is blocked."""
    parked: tuple[str, ...] = ()
    """The lane, its account, or both, if they are parked. When the block ends, one call may try them."""


FREE = Capacity()


def capacity_of(states: Iterable[tuple[LaneState, int]], now: int, *, has_permit: bool = False) -> Capacity:
    """Returns how many calls of a lane may begin now, by the states of the lane and its account.

    Each state comes with its number of calls in flight. With `has_permit` the call has its permit already, so that a
    used-up limit does not block it.
    """
    bounds, until, parked = list[int](), 0, list[str]()
    for state, in_flight in states:
        if state.blocked_until > now and not (has_permit and state.limit_name):
            until = max(until, state.blocked_until)
        if state.parked:
            parked.append(state.lane)
        if state.calls is not None:
            bounds.append(max(0, state.calls - in_flight))
    return Capacity(0 if until else min(bounds, default=None), until, tuple(parked))


# -- what it means for people -----------------------------------------------------------------------------------------


def lane_status(row: Mapping[str, Any]) -> LaneStatus:
    """Returns the status of a lane's row, which must hold `now`."""
    blocked = row["blocked_until"] > row["now"]
    if row["parked"]:
        return LaneStatus.PARKED
    if row["failures"] >= RULES.failures:
        return LaneStatus.BREAKER_OPEN if blocked else LaneStatus.BREAKER_HALF_OPEN
    if blocked:
        return LaneStatus.BLOCKED
    if row["calls"] is None:
        return LaneStatus.WATCHED
    return LaneStatus.NARROWED if row["rest_s"] else LaneStatus.STARTING


# -- names ------------------------------------------------------------------------------------------------------------


def account_of(lane: str) -> str:
    """Returns the account of a lane key. An account's name is its own account."""
    return lane.partition(":")[0]


def lane_range(account: str) -> dict[str, str]:
    """Returns the lower and upper bound, both excluded, of the keys of an account's lanes."""
    return {"low": f"{account}:", "high": f"{account};"}


def with_accounts(lanes: Iterable[str]) -> set[str]:
    """Returns these lanes and their accounts: the names whose states decide about the lanes' parts."""
    return {name for lane in lanes for name in (lane, account_of(lane))}


def tenants_range(lane: str) -> dict[str, str]:
    """Returns the bounds of the lanes that differ from this one in their tenant alone.

    The lower bound is included, the upper one is not.
    """
    account, colon, inside = lane.partition(":")
    without = f"{account}{colon}{inside.partition('.')[0]}"
    return {"from_lane": without, "to_lane": f"{without}/"}
