"""A lane's pace: whether its calls may begin now, and how many at once.

`Pace` is the row of a lane, or of an account for all of its lanes. `after` says what becomes of it when something
happens, and `room_of` what may begin now. Both are pure: `outbox/lanes/lanes.py` locks and writes the paces that hold
for all processes, and each process keeps a copy of those it uses (`delivery/sender/lane_state.py`). Only the instant of
a blocked lane's next try is moved there by itself, as in `take_probe`: one compare-and-set, and no step.

Only a call that was marked after the last change is evidence: a call that was in flight before it shows the earlier
state and counts neither way.
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
ALL_STEPS = 3
FULL = 64
"""A bound on calls in flight is removed when it grows above this."""
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
class Pace:
    """The columns of a lane's row; see `outbox/tables/` for their meaning. Instants in microseconds of one clock."""

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
    def needs_answers(self) -> bool:
        """True while the next answer changes it: it has a bound on calls, a penalty step or failures in a row."""
        return self.calls is not None or bool(self.step or self.failures)

    def says_nothing(self, now: int) -> bool:
        """True when nothing is blocked, bounded or counted, so that the row may be deleted."""
        return not (self.parked or self.blocked_until > now or self.needs_answers)


def free(name: str) -> Pace:
    """The pace of a lane or an account to which nothing has happened."""
    return Pace(name, account_of(name))


# -- what happens to a lane -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LaneBlock:
    """A call of the lane was refused or failed, or may not be made: for `delay` seconds nothing of it may begin."""

    lane: str
    """A lane key, or an account's name."""
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


@dataclass(frozen=True, slots=True)
class Resume:
    """A person, a probe or a callback lifts what blocks the lane, if it is blocked."""

    lane: str
    why: str
    cause: Cause | None = None
    """Lifts only a block of this cause; None: any."""
    ends_penalty: bool = False
    """The next 45009 counts as the first."""


@dataclass(frozen=True, slots=True)
class Start:
    """Parts of the lane come after a time without calls."""

    lane: str


LaneChange = LaneBlock | Success | Resume | Start


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


Moved = tuple[Pace, list[LaneEvent]]


def move(paces: dict[str, Pace], change: LaneChange, now: int, rules: LaneRules, in_flight: int = 0) -> list[LaneEvent]:
    """Moves the lane that a change is of, and its account where the change counts for that too. Returns the steps.

    A failure counts for the account until the lane's own breaker opens: later ones say nothing new about other lanes.
    """
    account, before = account_of(change.lane), paces.get(change.lane) or free(change.lane)
    pace, events = after(before, change, now, rules, in_flight)
    paces[change.lane] = pace
    counts = before.failures < pace.failures < rules.failures
    if counts and isinstance(change, LaneBlock) and change.lane != account:
        # Without a delay: the account is blocked only if its own breaker opens.
        same = replace(change, lane=account, label=account, delay=0.0)
        events += move(paces, same, now, rules)
    return events


def after(pace: Pace, change: LaneChange, now: int, rules: LaneRules, in_flight: int = 0) -> Moved:
    """Returns the pace after a change, with the steps that people are told of. `in_flight`: the lane's calls now."""
    match change:
        case LaneBlock():
            return _blocked(replace(pace, label=change.label or pace.label), change, now, rules, in_flight)
        case Success():
            return _answered(pace, change, now, rules)
        case Resume():
            return _resumed(pace, change, now)
        case Start():
            # A narrowed lane is left as it is: a start would end the rest between two growths of its bound.
            stays = pace.blocked_until > now or (pace.calls is not None and pace.rest_s)
            return (pace if stays else _with_one_call(pace, now)), []


def _blocked(pace: Pace, block: LaneBlock, now: int, rules: LaneRules, in_flight: int) -> Moved:
    marked_at = now if block.marked_at is None else block.marked_at
    until = now + int(block.delay * SECOND)
    held = _held(pace, block, until, now)
    if block.failed:
        return _failed(pace, held, block, marked_at, now, rules)
    match block.penalty:
        case Penalty.FREQUENCY:
            return _struck(pace, block, marked_at, now, rules)
        case Penalty.PARALLEL:
            calls = max(1, (in_flight if pace.calls is None else pace.calls) // 2)
            return _narrowed(held, block, calls, PARALLEL_REST_S, marked_at, now)
        case Penalty.SERIAL:
            return _narrowed(held, block, 1, SERIAL_REST_S, marked_at, now)
        case Penalty.ALARM if pace.calls is not None and marked_at < pace.changed_at:
            return pace, []  # it was in flight when the alarm was given
        case Penalty.ALARM:
            return _with_step(_with_one_call(held, until), Step.ALARM, block)
        case None:
            return _with_step(held, Step.PARKED, block) if block.parked and not pace.parked else (held, [])


def _held(pace: Pace, block: LaneBlock, until: int, now: int) -> Pace:
    """Blocks until the later of the present and the new end; a parked lane stays parked, whatever limit passes."""
    if until <= now and not block.parked:
        return pace
    stands = pace.parked or pace.blocked_until > now
    # Of two that end together the new one is told.
    if stands and (pace.parked, pace.blocked_until) > (block.parked, until):
        return replace(pace, blocked_until=max(pace.blocked_until, until))
    return replace(
        pace,
        blocked_until=max(pace.blocked_until, until) if stands else until,
        reason=block.reason[:300],
        remedy=block.remedy,
        hint=block.hint,
        cause=block.cause,
        limit_name=block.limit_name,
        parked=block.parked,
        blocked_at=now,
    )


def _with_one_call(pace: Pace, at: int) -> Pace:
    """Slow start: one call in flight from this instant on, and twice as many after each success."""
    return replace(pace, calls=1, changed_at=at, rest_s=0)


def _struck(pace: Pace, block: LaneBlock, marked_at: int, now: int, rules: LaneRules) -> Moved:
    """Blocks for 60 s, the second time for 60 min, the third time until midnight in Asia/Shanghai.

    It counts as one more time when no call was accepted since, and the last block ended no longer ago than the next one
    lasts. Otherwise a lane with one call every few minutes would be blocked for only 60 s each time.
    """
    if marked_at < pace.struck_until:
        return _held(pace, block, pace.struck_until, now), []
    lengths = {1: int(rules.strike_s * SECOND), 2: int(rules.strike_again_s * SECOND), ALL_STEPS: DAY}
    next_step = min(ALL_STEPS, pace.step + 1)
    again = pace.step and now < pace.struck_until + lengths[next_step]
    step = next_step if again else 1
    until = next_midnight(now) if step == ALL_STEPS else now + lengths[step]
    struck = replace(_held(pace, block, until, now), step=step, struck_until=until)
    return _with_step(_with_one_call(struck, until), Step.STRUCK, block)


def _narrowed(pace: Pace, block: LaneBlock, calls: int, rest_s: int, marked_at: int, now: int) -> Moved:
    is_old = marked_at < pace.changed_at
    if pace.calls is not None and (is_old or (pace.calls, pace.rest_s) == (calls, rest_s)):
        return (pace if is_old else replace(pace, changed_at=max(pace.changed_at, now))), []
    narrowed = replace(pace, calls=calls, rest_s=max(rest_s, pace.rest_s), changed_at=now)
    return _with_step(narrowed, Step.NARROWED, block)


def _failed(pace: Pace, held: Pace, block: LaneBlock, marked_at: int, now: int, rules: LaneRules) -> Moved:
    """Counts failures in a row, of all processes, and opens the breaker for seconds; then one call at a time tries."""
    was_open = pace.failures >= rules.failures
    if was_open and marked_at < pace.changed_at:
        return pace, []  # it was in flight when the breaker opened
    # A call that began before the block that now stands is not counted: one fault that many calls meet counts once.
    stands = bool(block.delay) and pace.blocked_until > now
    # Without a bound on calls in flight, only a call marked after the row of failures began may open the breaker: when
    # a vendor refuses every third call, five of a hundred calls in flight easily fail one after the other.
    is_free, is_first = pace.calls is None, not pace.failures
    is_early = is_free and not is_first and pace.failures == rules.failures - 1 and marked_at < pace.changed_at
    if stands or is_early:
        return held, []
    failures = min(MOST_FAILURES, pace.failures + 1)
    if failures < rules.failures:
        return replace(held, failures=failures, changed_at=now if is_free and is_first else pace.changed_at), []
    open_s = min(rules.open_max_s, rules.open_s * 2.0 ** min(failures - rules.failures, 16))
    until = now + int(max(open_s, block.delay) * SECOND)
    opened = _with_one_call(replace(_held(pace, block, until, now), failures=failures), until)
    return (opened, []) if was_open else _with_step(opened, Step.OPENED, block)


def _answered(pace: Pace, answer: Success, now: int, rules: LaneRules) -> Moved:
    """An answer closes the breaker; an accepted call ends a penalty; a judged one doubles the bound."""
    after_rest = answer.marked_at > pace.changed_at + pace.rest_s * SECOND
    events = list[LaneEvent]()
    if pace.failures >= rules.failures and answer.marked_at >= pace.changed_at:
        events.append(_end(pace, Step.CLOSED, "an answer came"))
    if events or pace.failures < rules.failures:
        pace = replace(pace, failures=0)
    if pace.step and answer.taken and answer.marked_at >= pace.struck_until:
        pace = replace(pace, step=0, struck_until=0)
        events.append(_end(pace, Step.OVER, "a call went through"))
    if answer.judged and pace.calls is not None and after_rest:
        calls, rest_s = pace.calls * 2, pace.rest_s
        if calls <= FULL:
            return replace(pace, calls=calls, changed_at=now), events
        pace = replace(pace, calls=None, changed_at=now, rest_s=0)
        events += [_end(pace, Step.WIDE, "no such refusal any more")] if rest_s else []
    return pace, events


def _resumed(pace: Pace, resume: Resume, now: int) -> Moved:
    """Lifts what blocks the lane; it starts with one call in flight, and what that shows counts at once.

    The breaker keeps its count, and so does a 45009, unless this ends the penalty.
    """
    if resume.cause not in (None, pace.cause) or not (pace.parked or pace.blocked_until > now):
        return pace, []
    lifted = replace(
        pace,
        parked=False,
        blocked_until=0,
        struck_until=min(pace.struck_until, now),
        step=0 if resume.ends_penalty else pace.step,
        reason="",
        remedy=None,
        hint=None,
        cause=None,
        limit_name=None,
    )
    return _with_one_call(lifted, now), [_end(lifted, Step.RESUMED, resume.why)]


def _with_step(pace: Pace, what: Step, block: LaneBlock) -> Moved:
    until = pace.blocked_until or None
    reason = block.reason[:300]
    return pace, [LaneEvent(pace.lane, pace.account, pace.label, what, reason, block.remedy, block.hint, until)]


def _end(pace: Pace, what: Step, reason: str) -> LaneEvent:
    return LaneEvent(pace.lane, pace.account, pace.label, what, reason, None, None, None)


def stricter(mine: Pace, theirs: Pace) -> Pace:
    """Returns what is stricter in each of two paces of a lane: neither of them knows all that has happened to it."""
    blocks = max((theirs, mine), key=lambda pace: (pace.parked, pace.blocked_until))
    return replace(
        blocks,
        blocked_until=max(mine.blocked_until, theirs.blocked_until),
        step=max(mine.step, theirs.step),
        struck_until=max(mine.struck_until, theirs.struck_until),
        calls=min((pace.calls for pace in (mine, theirs) if pace.calls is not None), default=None),
        changed_at=max(mine.changed_at, theirs.changed_at),
        rest_s=max(mine.rest_s, theirs.rest_s),
        failures=max(mine.failures, theirs.failures),
    )


def next_midnight(now: int) -> int:
    """The beginning of the vendor's next day."""
    return ((now + SHANGHAI) // DAY + 1) * DAY - SHANGHAI


# -- what may begin now -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Room:
    """What a lane may do now, by its own pace and its account's."""

    calls: int | None = None
    """How many more calls may begin, 0 while something blocks them; None: any number."""
    blocked_until: int = 0
    """When that ends, in microseconds; 0: nothing blocks them."""
    parked: tuple[str, ...] = ()
    """The lane and its account, as far as they are parked: with the end of the block one call may try them."""


FREE = Room()


def room_of(paces: Iterable[tuple[Pace, int]], now: int, *, has_permit: bool = False) -> Room:
    """Answers whether calls of a lane may begin now, by the paces in their way, each with its calls in flight.

    With `has_permit`, for a call that has its room in the limits already: a used-up limit does not block it.
    """
    rooms, until, parked = list[int](), 0, list[str]()
    for pace, in_flight in paces:
        if pace.blocked_until > now and not (has_permit and pace.limit_name):
            until = max(until, pace.blocked_until)
        if pace.parked:
            parked.append(pace.lane)
        if pace.calls is not None:
            rooms.append(max(0, pace.calls - in_flight))
    return Room(0 if until else min(rooms, default=None), until, tuple(parked))


# -- what it means for people -----------------------------------------------------------------------------------------


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


# -- names ------------------------------------------------------------------------------------------------------------


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
