"""What stands on a lane, or on a whole account, and how it moves: blocked, struck, parked, broken, starting.

Pure decisions over the facts of its row; `outbox/lanes/lanes.py` locks and writes them. Evidence is a call that was
marked after the last change: what was in the air before it tells of the state before, and counts neither for nor
against.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from worker.domain.outcome import Penalty

SECOND = 1_000_000
DAY = 86_400 * SECOND
SHANGHAI = 8 * 3_600 * SECOND
"""The vendor's days begin at midnight in Asia/Shanghai, which knows no summer time."""
ALL_STEPS = 3
FULL = 64
"""A lane that may have more calls than this in the air has no bound any more."""
PARALLEL_REST_S = 10
"""Seconds between two growths of a lane that was told to call less in parallel (45033)."""
SERIAL_REST_S = 60
"""Seconds a lane makes one call at a time that was told of a conflict (45035), and between its growths afterwards."""
MOST_FAILURES = 1_000


class Step(StrEnum):
    """What happened to a lane, for people."""

    STRUCK = "struck"
    """45009: blocked for the window exceeded, as far as it is known."""
    NARROWED = "narrowed"
    """45033 or 45035: fewer calls in the air."""
    ALARM = "alarm"
    """45036: an operator must find out what called so much."""
    PARKED = "parked"
    OPENED = "breaker opened"
    CLOSED = "breaker closed"
    OVER = "penalty over"
    """A call went through after the block of a 45009."""
    WIDE = "full again"
    """As many calls in the air as before it was narrowed."""
    RESUMED = "resumed"
    """By a person, or by a probe that got through."""
    SET_ASIDE = "set aside"
    """An error of ours kept something of it from being judged or done; nothing is blocked."""


class Standing(StrEnum):
    """What stands on a lane now, for people."""

    PARKED = "parked"
    BREAKER_OPEN = "breaker open"
    BREAKER_HALF_OPEN = "breaker half-open"
    BLOCKED = "blocked"
    WATCHED = "watched"
    NARROWED = "narrowed"
    STARTING = "starting"


@dataclass(frozen=True, slots=True)
class LaneRules:
    """Figures of penalties and breaker; all settings."""

    strike_s: float = 60.0
    """The first block of 45009;"""
    strike_again_s: float = 3_600.0
    """and the one after it, as nothing was taken in between; every further one ends at midnight in Asia/Shanghai."""
    failures: int = 5
    """Calls in a row that say the vendor is ill, and open the breaker."""
    open_s: float = 2.0
    """How long it is open before one call tries; doubles with each that fails,"""
    open_max_s: float = 60.0
    """up to this."""


RULES = LaneRules()


@dataclass(frozen=True, slots=True)
class Block:
    """Nothing of `lane` (a lane key, or an account's name) is offered or marked for `delay` seconds."""

    lane: str
    account: str
    label: str
    delay: float
    reason: str
    remedy: str | None = None
    parked: bool = False
    penalty: Penalty | None = None
    failed: bool = False
    """It says that the vendor is ill: counts for the breaker."""
    hint: str | None = None
    """The vendor's trace number of the answer."""
    marked_at: int | None = None
    """When the call that brought it was marked; null: there was none, it is about now."""


@dataclass(frozen=True, slots=True)
class Success:
    """An answer for somebody on whom something stands."""

    lane: str
    marked_at: int
    taken: bool
    """The vendor carried the call out."""
    heard: bool
    """The call itself was judged: carried out or refused for good."""


@dataclass(slots=True)
class LaneFacts:
    """The columns of a lane's row; see `outbox/tables/` for their meaning."""

    lane: str
    account: str
    label: str = ""
    blocked_until: int = 0
    reason: str = ""
    remedy: str | None = None
    parked: bool = False
    blocked_at: int = 0
    hint: str | None = None
    step: int = 0
    struck_until: int = 0
    calls: int | None = None
    changed_at: int = 0
    rest_s: int = 0
    failures: int = 0

    def says_nothing(self, now: int) -> bool:
        """The row may go."""
        stands = self.parked or self.blocked_until > now or self.calls is not None
        return not (stands or self.step or self.failures)


def standing(row: Mapping[str, Any], failures: int) -> Standing:
    """The one word for a lane's row with `now` beside it; so many `failures` open a breaker."""
    blocked = row["blocked_until"] > row["now"]
    if row["parked"]:
        return Standing.PARKED
    if row["failures"] >= failures:
        return Standing.BREAKER_OPEN if blocked else Standing.BREAKER_HALF_OPEN
    if blocked:
        return Standing.BLOCKED
    if row["calls"] is None:
        return Standing.WATCHED
    return Standing.NARROWED if row["rest_s"] else Standing.STARTING


@dataclass(frozen=True, slots=True)
class LaneEvent:
    """One step, as it is logged and kept."""

    lane: str
    account: str
    label: str
    what: Step
    reason: str
    remedy: str | None
    hint: str | None
    until: int | None
    """When the block ends, or the next probe is due; null: nothing is blocked."""


def next_midnight(now: int) -> int:
    """The beginning of the vendor's next day."""
    return ((now + SHANGHAI) // DAY + 1) * DAY - SHANGHAI


# -- what stands in the way -------------------------------------------------------------------------------------------


def meet(facts: LaneFacts, block: Block, now: int, rules: LaneRules, in_the_air: int = 0) -> LaneEvent | None:
    """A block meets what stands on its lane; an event when it is a step. `in_the_air`: the lane's calls now."""
    marked_at = now if block.marked_at is None else block.marked_at
    facts.label = block.label if block.label else facts.label
    if block.failed:
        return _fail(facts, block, marked_at, now, rules)
    match block.penalty:
        case Penalty.FREQUENCY:
            return _strike(facts, block, marked_at, now, rules)
        case Penalty.PARALLEL:
            _hold(facts, block, now + int(block.delay * SECOND), now)
            calls = max(1, (in_the_air if facts.calls is None else facts.calls) // 2)
            return _narrow(facts, block, calls, PARALLEL_REST_S, marked_at, now)
        case Penalty.SERIAL:
            _hold(facts, block, now + int(block.delay * SECOND), now)
            return _narrow(facts, block, 1, SERIAL_REST_S, marked_at, now)
        case Penalty.ALARM:
            return _alarm(facts, block, marked_at, now)
        case None:
            newly = block.parked and not facts.parked
            _hold(facts, block, now + int(block.delay * SECOND), now)
            return _event(facts, Step.PARKED, block) if newly else None


def _hold(facts: LaneFacts, block: Block, until: int, now: int) -> None:
    """Blocks the lane; a later end wins over an earlier one of the same lane.

    What waits for a person goes on waiting for one: a passing limit must not lift a parking.
    """
    if until <= now and not block.parked:
        return
    stands = facts.parked or facts.blocked_until > now
    keeps = stands and (
        facts.parked if facts.parked != block.parked else facts.blocked_until > until
    )  # the new one when they end together
    if not keeps:
        facts.reason, facts.remedy, facts.hint = block.reason[:300], block.remedy, block.hint
        facts.parked, facts.blocked_at = block.parked, now
    facts.blocked_until = max(facts.blocked_until, until) if stands else until


def _strike(facts: LaneFacts, block: Block, marked_at: int, now: int, rules: LaneRules) -> LaneEvent | None:
    """60 s; again: 60 min; again: until midnight.

    Again is, with no success heard since, within the time that the next block lasts: a lane that is asked for a call
    every few minutes is not struck for the first time for ever.
    """
    if facts.step and marked_at < facts.struck_until:
        _hold(facts, block, facts.struck_until, now)
        return None
    next_step = min(ALL_STEPS, facts.step + 1)
    again = facts.step and now < facts.struck_until + _length(next_step, rules)
    facts.step = next_step if again else 1
    whole = facts.step == ALL_STEPS
    facts.struck_until = next_midnight(now) if whole else now + _length(facts.step, rules)
    _hold(facts, block, facts.struck_until, now)
    begin(facts, facts.struck_until)
    return _event(facts, Step.STRUCK, block)


def _length(step: int, rules: LaneRules) -> int:
    return {1: int(rules.strike_s * SECOND), 2: int(rules.strike_again_s * SECOND)}.get(step, DAY)


def _narrow(facts: LaneFacts, block: Block, calls: int, rest_s: int, marked_at: int, now: int) -> LaneEvent | None:
    if facts.calls is not None and (marked_at < facts.changed_at or (facts.calls, facts.rest_s) == (calls, rest_s)):
        facts.changed_at = max(facts.changed_at, now if marked_at >= facts.changed_at else 0)
        return None
    facts.calls, facts.rest_s, facts.changed_at = calls, max(rest_s, facts.rest_s), now
    return _event(facts, Step.NARROWED, block)


def _alarm(facts: LaneFacts, block: Block, marked_at: int, now: int) -> LaneEvent | None:
    if facts.calls is not None and marked_at < facts.changed_at:
        return None  # it was in the air when the alarm was given
    until = now + int(block.delay * SECOND)
    _hold(facts, block, until, now)
    begin(facts, until)
    return _event(facts, Step.ALARM, block)


def _fail(facts: LaneFacts, block: Block, marked_at: int, now: int, rules: LaneRules) -> LaneEvent | None:
    """The breaker: in a row, over all processes. It opens for seconds, and then one call at a time tries."""
    was_open = facts.failures >= rules.failures
    if was_open and marked_at < facts.changed_at:
        return None  # it was in the air when the breaker opened
    if block.delay and facts.blocked_until > now:
        _hold(facts, block, now + int(block.delay * SECOND), now)
        return None  # it began before what keeps others from trying: many that meet one fault meet it once
    if not _is_counted(facts, marked_at, now, rules) or facts.failures < rules.failures:
        _hold(facts, block, now + int(block.delay * SECOND), now)
        return None
    open_s = min(rules.open_max_s, rules.open_s * 2.0 ** min(facts.failures - rules.failures, 16))
    until = now + int(max(open_s, block.delay) * SECOND)
    _hold(facts, block, until, now)
    begin(facts, until)
    return None if was_open else _event(facts, Step.OPENED, block)


def _is_counted(facts: LaneFacts, marked_at: int, now: int, rules: LaneRules) -> bool:
    """One more in a row.

    Without a bound, the one that opens the breaker is a call marked after the row began: of a hundred calls in the air,
    five that fail one after the other prove little of a vendor that refuses every third.
    """
    if facts.calls is None and not facts.failures:
        facts.changed_at = now
    elif facts.calls is None and facts.failures == rules.failures - 1 and marked_at < facts.changed_at:
        return False
    facts.failures = min(MOST_FAILURES, facts.failures + 1)
    return True


def reaches_account(lane: LaneFacts, rules: LaneRules) -> bool:
    """True when a failure that its lane has counted counts for the account as well.

    That holds for the failures before the one for which the lane rests. From then on the lane rests by itself; its next
    failures say nothing new of the other lanes.
    """
    return lane.failures < rules.failures


# -- what opens again -------------------------------------------------------------------------------------------------


def begin(facts: LaneFacts, at: int) -> None:
    """From this instant on one call in the air, and twice as many after each success."""
    facts.calls, facts.changed_at, facts.rest_s = 1, at, 0


def resume(facts: LaneFacts, now: int, why: str) -> LaneEvent:
    """Lifts whatever blocks it now, with its reason; then it starts with one call.

    The breaker and a 45009 keep their count.
    """
    facts.parked, facts.blocked_until = False, 0
    facts.reason, facts.remedy, facts.hint = "", None, None
    begin(facts, now)
    return LaneEvent(facts.lane, facts.account, facts.label, Step.RESUMED, why, None, None, None)


def succeed(facts: LaneFacts, answer: Success, now: int, rules: LaneRules) -> list[LaneEvent]:
    """The vendor is well: the breaker closes, a success ends a penalty and doubles the calls in the air."""
    events = []
    if facts.failures < rules.failures:
        facts.failures = 0
    elif answer.marked_at >= facts.changed_at:
        facts.failures = 0
        events.append(_over(facts, Step.CLOSED, "an answer came"))
    if facts.step and answer.taken and answer.marked_at >= facts.struck_until:
        facts.step = facts.struck_until = 0
        events.append(_over(facts, Step.OVER, "a call went through"))
    if answer.heard and facts.calls is not None and answer.marked_at > facts.changed_at + facts.rest_s * SECOND:
        events += _grow(facts, now)
    return events


def _grow(facts: LaneFacts, now: int) -> list[LaneEvent]:
    assert facts.calls is not None
    facts.calls, facts.changed_at = facts.calls * 2, now
    if facts.calls <= FULL:
        return []
    narrowed, facts.calls, facts.rest_s = bool(facts.rest_s), None, 0
    return [_over(facts, Step.WIDE, "no such refusal any more")] if narrowed else []


def _event(facts: LaneFacts, what: Step, block: Block) -> LaneEvent:
    until = facts.blocked_until or None
    reason = block.reason[:300]
    return LaneEvent(facts.lane, facts.account, facts.label, what, reason, block.remedy, block.hint, until)


def _over(facts: LaneFacts, what: Step, reason: str) -> LaneEvent:
    return LaneEvent(facts.lane, facts.account, facts.label, what, reason, None, None, None)


def account_of(lane: str) -> str:
    """The account a lane key belongs to."""
    return lane.partition(":")[0]


def with_accounts(lanes: Iterable[str]) -> set[str]:
    """These lanes and their accounts: whatever stands on either stands in their way."""
    return {name for lane in lanes for name in (lane, account_of(lane))}
