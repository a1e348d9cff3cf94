"""Blocks, penalties, parking, circuit breaker and slow start of a lane or an account.

Pure decisions over the facts of its row; `outbox/lanes/lanes.py` locks and writes them. Only a call that was marked
after the last change is evidence: a call in the air before it shows the earlier state and counts neither way.
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
"""The vendor's days begin at midnight in Asia/Shanghai, which has no daylight saving time."""
ALL_STEPS = 3
FULL = 64
"""A bound on calls in the air is removed when it grows above this."""
PARALLEL_REST_S = 10
"""Seconds between two growths of the bound after too many parallel calls (45033)."""
SERIAL_REST_S = 60
"""Seconds at one call at a time after a conflict (45035), and between two growths of the bound afterwards."""
MOST_FAILURES = 1_000


class Step(StrEnum):
    """What happened to a lane, for people."""

    STRUCK = "struck"
    """45009: blocked, longer with each step, because the vendor does not say which window was exceeded."""
    NARROWED = "narrowed"
    """45033 or 45035: fewer calls in the air."""
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
    SET_ASIDE = "set aside"
    """An error of this program stopped work on something of the lane; nothing is blocked."""


class Cause(StrEnum):
    """What a block waits for besides time and people, so that it can be lifted when that comes."""

    TOKEN = "token"
    """The vendor refuses the account a token; see `token_probe.py`."""
    CHAT = "chat"
    """The account was taken out of the lane's chat, and a callback can say that it is back."""
    ALLOWANCE = "allowance"
    """No message is left of those that the chat's member allowed, and a callback can bring more."""


class Standing(StrEnum):
    """The present state of a lane, for people."""

    PARKED = "parked"
    BREAKER_OPEN = "breaker open"
    BREAKER_HALF_OPEN = "breaker half-open"
    BLOCKED = "blocked"
    WATCHED = "watched"
    NARROWED = "narrowed"
    STARTING = "starting"


@dataclass(frozen=True, slots=True)
class LaneRules:
    """Figures of penalties and breaker, in seconds or calls."""

    strike_s: float = 60.0
    """The first block after a 45009."""
    strike_again_s: float = 3_600.0
    """The second block in a row, with no call accepted in between; further ones end at midnight in Asia/Shanghai."""
    failures: int = 5
    """Calls in a row that say the vendor is ill (no answer, no connection, -1) and open the breaker."""
    open_s: float = 2.0
    """How long the breaker stays open before one call tries; doubles with each failed try."""
    open_max_s: float = 60.0
    """The longest that the breaker stays open before the next try."""


RULES = LaneRules()


@dataclass(frozen=True, slots=True)
class LaneBlock:
    """For `delay` seconds nothing of `lane` (a lane key, or an account's name) is offered or marked."""

    lane: str
    account: str
    label: str
    delay: float
    reason: str
    """Why, for people; nothing is decided on it."""
    remedy: str | None = None
    parked: bool = False
    cause: Cause | None = None
    """What lifts the block when it comes; None: nothing but time or a person."""
    limit_name: str | None = None
    """The limit of ours that is used up; None: the block has another reason."""
    penalty: Penalty | None = None
    failed: bool = False
    """The call shows a vendor that is ill: counts for the breaker."""
    hint: str | None = None
    """The vendor's trace number of the answer."""
    marked_at: int | None = None
    """When the call that caused the block was marked, in microseconds; None: no call did, the block is of now."""


@dataclass(frozen=True, slots=True)
class Success:
    """An answer that may lift a bound, a penalty or failures from a lane or an account."""

    lane: str
    marked_at: int
    taken: bool
    """The vendor carried the call out."""
    judged: bool
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

    def says_nothing(self, now: int) -> bool:
        """True when nothing is blocked, bounded or counted, so that the row may be deleted."""
        stands = self.parked or self.blocked_until > now or self.calls is not None
        return not (stands or self.step or self.failures)


def standing(row: Mapping[str, Any]) -> Standing:
    """The one word for a lane's row, which must hold `now`."""
    blocked = row["blocked_until"] > row["now"]
    if row["parked"]:
        return Standing.PARKED
    if row["failures"] >= RULES.failures:
        return Standing.BREAKER_OPEN if blocked else Standing.BREAKER_HALF_OPEN
    if blocked:
        return Standing.BLOCKED
    if row["calls"] is None:
        return Standing.WATCHED
    return Standing.NARROWED if row["rest_s"] else Standing.STARTING


@dataclass(frozen=True, slots=True)
class LaneEvent:
    """One step, as it is logged and stored."""

    lane: str
    account: str
    label: str
    what: Step
    reason: str
    remedy: str | None
    hint: str | None
    until: int | None
    """When the block ends, or the next probe is due, in microseconds; None: nothing is blocked."""


def next_midnight(now: int) -> int:
    """The beginning of the vendor's next day."""
    return ((now + SHANGHAI) // DAY + 1) * DAY - SHANGHAI


# -- what stands in the way -------------------------------------------------------------------------------------------


def meet(facts: LaneFacts, block: LaneBlock, now: int, rules: LaneRules, in_the_air: int = 0) -> LaneEvent | None:
    """Applies a block to its lane's facts; the event, when it is a step. `in_the_air`: the lane's calls now."""
    marked_at = now if block.marked_at is None else block.marked_at
    until = now + int(block.delay * SECOND)
    facts.label = block.label or facts.label
    if block.failed:
        return _fail(facts, block, until, marked_at, now, rules)
    match block.penalty:
        case Penalty.FREQUENCY:
            return _strike(facts, block, marked_at, now, rules)
        case Penalty.PARALLEL:
            _hold(facts, block, until, now)
            calls = max(1, (in_the_air if facts.calls is None else facts.calls) // 2)
            return _narrow(facts, block, calls, PARALLEL_REST_S, marked_at, now)
        case Penalty.SERIAL:
            _hold(facts, block, until, now)
            return _narrow(facts, block, 1, SERIAL_REST_S, marked_at, now)
        case Penalty.ALARM:
            if facts.calls is not None and marked_at < facts.changed_at:
                return None  # it was in the air when the alarm was given
            _hold(facts, block, until, now)
            begin(facts, until)
            return _event(facts, Step.ALARM, block)
        case None:
            newly = block.parked and not facts.parked
            _hold(facts, block, until, now)
            return _event(facts, Step.PARKED, block) if newly else None


def _hold(facts: LaneFacts, block: LaneBlock, until: int, now: int) -> None:
    """Blocks until the later of the present and the new end; a parked lane stays parked, whatever limit passes."""
    if until <= now and not block.parked:
        return
    stands = facts.parked or facts.blocked_until > now
    # Of two that end together the new one is told.
    keeps = stands and (facts.parked, facts.blocked_until) > (block.parked, until)
    if not keeps:
        facts.reason, facts.remedy, facts.hint = block.reason[:300], block.remedy, block.hint
        facts.cause, facts.limit_name = block.cause, block.limit_name
        facts.parked, facts.blocked_at = block.parked, now
    facts.blocked_until = max(facts.blocked_until, until) if stands else until


def _strike(facts: LaneFacts, block: LaneBlock, marked_at: int, now: int, rules: LaneRules) -> LaneEvent | None:
    """Blocks for 60 s, the second time for 60 min, the third time until midnight in Asia/Shanghai.

    It counts as one more time when no call was accepted since, and the last block ended no longer ago than the next one
    lasts. Otherwise a lane with one call every few minutes would be blocked for only 60 s each time.
    """
    if marked_at < facts.struck_until:
        _hold(facts, block, facts.struck_until, now)
        return None
    next_step = min(ALL_STEPS, facts.step + 1)
    again = facts.step and now < facts.struck_until + _length(next_step, rules)
    facts.step = next_step if again else 1
    facts.struck_until = next_midnight(now) if facts.step == ALL_STEPS else now + _length(facts.step, rules)
    _hold(facts, block, facts.struck_until, now)
    begin(facts, facts.struck_until)
    return _event(facts, Step.STRUCK, block)


def _length(step: int, rules: LaneRules) -> int:
    return {1: int(rules.strike_s * SECOND), 2: int(rules.strike_again_s * SECOND)}.get(step, DAY)


def _narrow(facts: LaneFacts, block: LaneBlock, calls: int, rest_s: int, marked_at: int, now: int) -> LaneEvent | None:
    if facts.calls is not None and (marked_at < facts.changed_at or (facts.calls, facts.rest_s) == (calls, rest_s)):
        facts.changed_at = max(facts.changed_at, now if marked_at >= facts.changed_at else 0)
        return None
    facts.calls, facts.rest_s, facts.changed_at = calls, max(rest_s, facts.rest_s), now
    return _event(facts, Step.NARROWED, block)


def _fail(
    facts: LaneFacts, block: LaneBlock, until: int, marked_at: int, now: int, rules: LaneRules
) -> LaneEvent | None:
    """Counts failures in a row, of all processes, and opens the breaker for seconds; then one call at a time tries."""
    was_open = facts.failures >= rules.failures
    if was_open and marked_at < facts.changed_at:
        return None  # it was in the air when the breaker opened
    # A call that began before the block that now stands is not counted: one fault that many calls meet counts once.
    stands = bool(block.delay) and facts.blocked_until > now
    if stands or not _is_counted(facts, marked_at, now, rules) or facts.failures < rules.failures:
        _hold(facts, block, until, now)
        return None
    open_s = min(rules.open_max_s, rules.open_s * 2.0 ** min(facts.failures - rules.failures, 16))
    until = now + int(max(open_s, block.delay) * SECOND)
    _hold(facts, block, until, now)
    begin(facts, until)
    return None if was_open else _event(facts, Step.OPENED, block)


def _is_counted(facts: LaneFacts, marked_at: int, now: int, rules: LaneRules) -> bool:
    """Counts one more failure in a row; False: this one does not count.

    Without a bound on calls in the air, only a call marked after the row of failures began may open the breaker: when a
    vendor refuses every third call, five of a hundred calls in the air easily fail one after the other.
    """
    if facts.calls is None and not facts.failures:
        facts.changed_at = now
    elif facts.calls is None and facts.failures == rules.failures - 1 and marked_at < facts.changed_at:
        return False
    facts.failures = min(MOST_FAILURES, facts.failures + 1)
    return True


# -- what opens again -------------------------------------------------------------------------------------------------


def begin(facts: LaneFacts, at: int) -> None:
    """Slow start: one call in the air from this instant on, and twice as many after each success."""
    facts.calls, facts.changed_at, facts.rest_s = 1, at, 0


def resume(facts: LaneFacts, now: int, why: str, *, ends_penalty: bool = False) -> LaneEvent:
    """Lifts what blocks the lane; it starts with one call in the air, and what that shows counts at once.

    The breaker keeps its count, and so does a 45009, unless this `ends_penalty`.
    """
    facts.parked, facts.blocked_until = False, 0
    facts.struck_until = min(facts.struck_until, now)
    if ends_penalty:
        facts.step = 0
    facts.reason, facts.remedy, facts.hint = "", None, None
    facts.cause = facts.limit_name = None
    begin(facts, now)
    return _over(facts, Step.RESUMED, why)


def succeed(facts: LaneFacts, answer: Success, now: int, rules: LaneRules) -> list[LaneEvent]:
    """Applies an answer: it closes the breaker; an accepted call ends a penalty; a judged one doubles the bound."""
    events = []
    if facts.failures < rules.failures:
        facts.failures = 0
    elif answer.marked_at >= facts.changed_at:
        facts.failures = 0
        events.append(_over(facts, Step.CLOSED, "an answer came"))
    if facts.step and answer.taken and answer.marked_at >= facts.struck_until:
        facts.step = facts.struck_until = 0
        events.append(_over(facts, Step.OVER, "a call went through"))
    if answer.judged and facts.calls is not None and answer.marked_at > facts.changed_at + facts.rest_s * SECOND:
        facts.calls, facts.changed_at = facts.calls * 2, now
        if facts.calls > FULL:
            if facts.rest_s:
                events.append(_over(facts, Step.WIDE, "no such refusal any more"))
            facts.calls, facts.rest_s = None, 0
    return events


def _event(facts: LaneFacts, what: Step, block: LaneBlock) -> LaneEvent:
    until = facts.blocked_until or None
    return LaneEvent(facts.lane, facts.account, facts.label, what, block.reason[:300], block.remedy, block.hint, until)


def _over(facts: LaneFacts, what: Step, reason: str) -> LaneEvent:
    return LaneEvent(facts.lane, facts.account, facts.label, what, reason, None, None, None)


def account_of(lane: str) -> str:
    """The account a lane key belongs to."""
    return lane.partition(":")[0]


def lane_range(account: str) -> dict[str, str]:
    """Lower and upper bound, both excluded, of the keys of an account's lanes."""
    return {"low": f"{account}:", "high": f"{account};"}


def in_the_way(lanes: Iterable[str]) -> set[str]:
    """The names that may be blocked for parts of these lanes: the lanes and their accounts."""
    return {name for lane in lanes for name in (lane, account_of(lane))}


def tenants_range(lane: str) -> dict[str, str]:
    """Bounds of the lanes that differ from one in their tenant alone: the lower included, the upper not."""
    account, colon, inside = lane.partition(":")
    without = f"{account}{colon}{inside.partition('.')[0]}"
    return {"from_lane": without, "to_lane": f"{without}/"}
