"""How a part moves: each outcome, each other cause, and the promise about doubt held against random histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker.domain import settle
from worker.domain.outcome import (
    Accepted,
    CallReceipt,
    Held,
    Outcome,
    Parked,
    Partial,
    Progress,
    Refusal,
    Rejected,
    Retry,
    Scope,
    StaleToken,
    Unknown,
    Wait,
)
from worker.domain.pacing.quiet import QUIET_HOURS, quiet_hours
from worker.domain.settle import SECOND, IllegalMove, PartFacts, Policy
from worker.domain.state import ACCEPTED_STATES, FINAL_STATES, PartState

NOW = 1_000 * SECOND
DEADLINE = 20 * SECOND
POLICY = Policy()

TAKEN = Accepted(CallReceipt("m1"))
SOME = Partial(CallReceipt("m1"), (Refusal("x", "user", "invaliduser"),))
AGAIN = Retry("6000 conflict")
BUSY = Retry("-1 busy", busy=True)
WAIT = Wait(Scope.PART, 30.0, "full")
LANE = Wait(Scope.LANE, 60.0, "45009")
STALE = StaleToken("42001")
PARKED = Parked(Scope.ACCOUNT, "50003", "enable the app")
REFUSED = Rejected("40007")
NEVER_TO_THEM = Rejected("81013", ends_doubt=True)
NOTHING = Unknown("read_timeout")
OPEN = Unknown("some may have it", (Refusal("x", "user", "errmsg"),), held=True)
PAGE = Progress({"cursor": "2"}, "the next page", 4.0)


@pytest.mark.parametrize(("refused_some", "state"), [(False, PartState.ACCEPTED), (True, PartState.PARTIAL)])
def test_a_person_who_says_it_arrived_does_not_unsay_whom_the_vendor_refused(
    refused_some: bool, state: PartState
) -> None:
    """Then it arrived at the others."""
    part = a_part(state=PartState.UNKNOWN, doubts=1)

    settle.apply_decision(part, "he asked", sent=True, refused_some=refused_some)

    assert (state, 0) == (part.state, part.doubts)


NO_MATCH = Held("no certain match")


def a_part(**fields: object) -> PartFacts:
    part = PartFacts(
        "j-0", "j", "hr:1", PartState.QUEUED, 0, None, None, 0, None, None, None, None, 0, 0, 0, 0, 0, None, None, None
    )
    return replace(part, **fields)  # type: ignore[arg-type]


def sending(**fields: object) -> PartFacts:
    part = a_part(**fields)
    settle.begin_sending(part, "p1", NOW, DEADLINE)
    return part


def ended(outcome: Outcome, *, delay_s: float = 0.0, now: int = NOW, **fields: object) -> PartFacts:
    part = sending(**fields)
    settle.end_attempt(part, outcome, now, delay_s, POLICY)
    return part


def test_a_mark_counts_the_claim_and_keeps_the_first_instant() -> None:
    """A mark is a new claim of one incarnation; when the part was first marked is never forgotten."""
    part = sending(offered_until=5)
    settle.end_attempt(part, AGAIN, NOW, 1.0, POLICY)
    settle.begin_sending(part, "p2", NOW + SECOND, DEADLINE)

    assert (part.state, part.claim, part.incarnation) == (PartState.SENDING, 2, "p2")
    assert (part.first_marked_at, part.marked_at, part.deadline_at) == (NOW, NOW + SECOND, NOW + SECOND + DEADLINE)
    assert part.offered_until is None
    assert part.repeats == 0


def test_only_a_call_in_doubt_counts_as_a_repeat() -> None:
    """A repeat is a call while in doubt; a retry after a readable refusal is none."""
    part = ended(NOTHING)
    settle.repeat(part, NOW)
    settle.begin_sending(part, "p1", NOW, DEADLINE)

    assert (part.repeats, part.doubts) == (1, 1)


def test_a_repeat_is_due_now_and_says_why_it_is_in_doubt() -> None:
    """The reason stays until the repeat has an answer of its own."""
    part = ended(NOTHING)

    settle.repeat(part, NOW + 5)

    assert (part.state, part.not_before, part.reason) == (PartState.QUEUED, NOW + 5, "read_timeout")


@pytest.mark.parametrize(
    ("outcome", "state", "tries", "not_before"),
    [
        (TAKEN, PartState.ACCEPTED, 0, None),
        (SOME, PartState.PARTIAL, 0, None),
        (REFUSED, PartState.REJECTED, 0, None),
        (AGAIN, PartState.QUEUED, 1, NOW + 3 * SECOND),
        (WAIT, PartState.QUEUED, 0, NOW + 30 * SECOND),
        (LANE, PartState.QUEUED, 0, NOW),
        (STALE, PartState.QUEUED, 0, NOW),
        (PARKED, PartState.QUEUED, 0, NOW),
        (PAGE, PartState.QUEUED, 0, NOW + 4 * SECOND),
        (NO_MATCH, PartState.QUEUED, 0, NOW),
        (NOTHING, PartState.UNKNOWN, 1, NOW + DEADLINE + 5 * SECOND),
        (OPEN, PartState.UNKNOWN, 1, None),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int) else None,
)
def test_each_outcome_ends_a_call_its_own_way(
    outcome: Outcome, state: PartState, tries: int, not_before: int | None
) -> None:
    """Outcome by outcome: the state, whether it counts as an attempt, and when the part is due again."""
    part = ended(outcome, delay_s=3.0)

    assert (state, tries, not_before) == (part.state, part.tries, part.not_before)
    assert getattr(outcome, "reason", None) == part.reason


def test_a_page_that_was_read_starts_tries_and_age_anew() -> None:
    """What is read for weeks does not grow too old to be tried again; in doubt its first mark is kept for a search."""
    read = ended(PAGE, tries=7, busy=3, repeats=5)
    searched = ended(PAGE, tries=7, doubts=1)

    assert (read.tries, read.busy, read.repeats, read.first_marked_at) == (0, 0, 0, None)
    assert (searched.state, searched.tries, searched.doubts, searched.first_marked_at) == (PartState.QUEUED, 0, 1, NOW)


def test_a_search_without_a_certain_match_is_held() -> None:
    """The call it was to find stays in doubt, for a person."""
    part = ended(NO_MATCH, doubts=1)

    assert (part.state, part.doubts, part.not_before, part.reason) == (PartState.UNKNOWN, 1, None, "no certain match")


def test_what_was_found_out_ends_accepted() -> None:
    """Following a send ends without a call of its own."""
    part = a_part()

    settle.finish(part)

    assert PartState.ACCEPTED is part.state


def test_the_eighth_attempt_exhausts_and_the_seventh_does_not() -> None:
    """Eight attempts, not one more."""
    assert PartState.QUEUED is ended(AGAIN, tries=6).state
    assert PartState.EXHAUSTED is ended(AGAIN, tries=7).state


def test_the_vendors_busy_is_retried_three_times() -> None:
    """-1 is tried again at most three times, by the vendor's rule."""
    assert PartState.QUEUED is ended(BUSY, busy=2).state
    assert PartState.EXHAUSTED is ended(BUSY, busy=3).state


def test_a_call_to_an_ill_vendor_costs_its_part_no_try() -> None:
    """It finds out whether the vendor is well again; only the part's age ends it."""
    part, early = sending(tries=7), sending(tries=7)
    old = sending(first_marked_at=NOW - 86_400 * SECOND - 1)

    settle.end_attempt(early, AGAIN, NOW, 1.0, POLICY, 2)
    for one in (part, old):
        settle.end_attempt(one, AGAIN, NOW, 1.0, POLICY, 3)

    assert (part.state, part.tries) == (PartState.QUEUED, 7)
    assert [early.state, old.state] == [PartState.EXHAUSTED] * 2


def test_the_retries_of_a_busy_vendor_outlast_ten_minutes() -> None:
    """The first comes soon, the second after a minute, the last after twelve; a fourth is never made."""
    part, waits = sending(), []
    for calls in range(3):
        settle.end_attempt(part, BUSY, NOW, 0.5, POLICY, calls)
        waits.append(((part.not_before or 0) - NOW) / SECOND)
        settle.begin_sending(part, "p1", NOW, DEADLINE)
    settle.end_attempt(part, BUSY, NOW, 0.5, POLICY, 9)

    assert waits == [0.5, 60.0, 720.0]
    assert PartState.EXHAUSTED is part.state


def test_a_busy_answer_among_others_is_about_its_message() -> None:
    """Something else of its lane was taken since: its retries come as soon as ever."""
    part = sending(busy=2)

    settle.end_attempt(part, BUSY, NOW, 0.5, POLICY, 1)

    assert NOW + SECOND // 2 == part.not_before


def test_the_repeats_into_an_illness_outlast_it() -> None:
    """Half a minute later than else after the first call, a minute after the first repeat, and so on; the last one that
    the settings allow is not waited for.
    """
    later = []
    for repeats in range(6):
        part = sending(repeats=max(0, repeats - 1), doubts=repeats)
        settle.end_attempt(part, NOTHING, NOW, 0.0, POLICY, 3)
        later.append(((part.not_before or 0) - (part.deadline_at or 0)) // SECOND - 5)

    assert later == [30, 60, 120, 240, 480, 0]


def test_a_day_after_the_first_mark_no_retry_is_made() -> None:
    """Age ends retries too, counted from the first mark."""
    day = 86_400 * SECOND

    assert PartState.QUEUED is ended(AGAIN, first_marked_at=NOW - day).state
    assert PartState.EXHAUSTED is ended(AGAIN, first_marked_at=NOW - day - 1).state


@pytest.mark.parametrize(
    ("end", "word"),
    [
        (lambda part: settle.cancel(part, "revoked"), "cancelled: revoked"),
        (settle.expire, "expired: expires_at passed"),
        (lambda part: settle.refuse(part, "no code left"), "rejected: no code left"),
    ],
    ids=["cancel", "expire", "refuse"],
)
@pytest.mark.parametrize("doubts", [0, 1, 3])
def test_what_is_in_doubt_stays_unknown_with_the_later_reason_beside_it(end, word: str, doubts: int) -> None:
    """Cancelled, expired and refused are only said of what was certainly never sent."""
    part = a_part(doubts=doubts, reason="read_timeout")

    end(part)

    if doubts:
        assert (PartState.UNKNOWN, f"in doubt; later {word}") == (part.state, part.reason)
    else:
        assert word == f"{part.state.label}: {part.reason}"
    assert part.not_before is None


@pytest.mark.parametrize("outcome", [REFUSED, Retry("again")], ids=["rejected", "exhausted"])
def test_a_refused_repeat_leaves_the_earlier_doubt(outcome: Outcome) -> None:
    """A repeat that is refused says nothing about the call before it."""
    part = ended(outcome, doubts=1, tries=7)

    assert (part.state, part.doubts, part.not_before) == (PartState.UNKNOWN, 1, None)
    assert str(part.reason).startswith("in doubt; later ")


@pytest.mark.parametrize("doubts", [0, 1, 3])
def test_a_refusal_every_call_must_have_met_ends_all_doubt(doubts: int) -> None:
    """Of a repeat, or told late: whatever was in doubt was refused, too."""
    late = a_part(state=PartState.UNKNOWN, doubts=doubts + 1)

    settle.late_answer(late, NEVER_TO_THEM, NOW)

    assert (late.state, late.doubts, late.reason) == (PartState.REJECTED, 0, "81013")
    part = ended(NEVER_TO_THEM, doubts=doubts)
    assert (part.state, part.doubts, part.reason) == (PartState.REJECTED, 0, "81013")


@pytest.mark.parametrize(
    ("state", "doubts", "outcome", "expected"),
    [
        (PartState.UNKNOWN, 1, TAKEN, PartState.ACCEPTED),
        (PartState.UNKNOWN, 2, TAKEN, PartState.ACCEPTED),
        (PartState.QUEUED, 1, SOME, PartState.PARTIAL),
        (PartState.SENDING, 1, TAKEN, PartState.ACCEPTED),
        (PartState.SENDING, 1, REFUSED, PartState.SENDING),
        (PartState.SENDING, 1, AGAIN, PartState.SENDING),
        (PartState.SENDING, 2, NEVER_TO_THEM, PartState.SENDING),
        (PartState.ACCEPTED, 2, NEVER_TO_THEM, PartState.ACCEPTED),
        (PartState.UNKNOWN, 1, REFUSED, PartState.REJECTED),
        (PartState.UNKNOWN, 2, REFUSED, PartState.UNKNOWN),
        (PartState.QUEUED, 1, REFUSED, PartState.REJECTED),
        (PartState.QUEUED, 2, REFUSED, PartState.UNKNOWN),
        (PartState.UNKNOWN, 1, AGAIN, PartState.QUEUED),
        (PartState.UNKNOWN, 2, AGAIN, PartState.UNKNOWN),
        (PartState.QUEUED, 1, STALE, PartState.QUEUED),
        (PartState.ACCEPTED, 1, REFUSED, PartState.ACCEPTED),
        (PartState.PARTIAL, 1, TAKEN, PartState.PARTIAL),
    ],
)
def test_a_late_answer_clears_its_own_doubt_and_moves_what_still_can_move(
    state: PartState, doubts: int, outcome: Outcome, expected: PartState
) -> None:
    """Taken wins; a refusal ends the part only when no other attempt is in doubt; a newer call in flight decides."""
    part = a_part(state=state, doubts=doubts)

    settle.late_answer(part, outcome, NOW)

    assert (expected, doubts - 1) == (part.state, part.doubts)


def test_a_late_again_later_makes_the_part_due_now() -> None:
    """Its backoff is over long since."""
    part = a_part(state=PartState.UNKNOWN, doubts=1, reason="died", not_before=NOW + 5)

    settle.late_answer(part, AGAIN, NOW)

    assert (part.not_before, part.reason) == (NOW, AGAIN.reason)


def test_each_call_without_an_answer_counts() -> None:
    """As a try, as a doubt of a part that has ended meanwhile, and as one that a person's word settles."""
    tried, accepted, decided = (
        ended(NOTHING, tries=2),
        a_part(state=PartState.ACCEPTED, doubts=1),
        a_part(state=PartState.UNKNOWN, doubts=3),
    )

    settle.end_call_of_ended(accepted, NOTHING)
    settle.apply_decision(decided, "he asked", sent=True)

    assert tried.tries == 3
    assert accepted.doubts == 2
    assert decided.doubts == 2


def test_a_split_counts_as_a_mark_under_which_nothing_was_sent() -> None:
    """Who read the part with its former recipients cannot mark it, and it is as fresh as before."""
    part = a_part(claim=4, unheard=1, marked_at=NOW)

    settle.split(part)

    assert part.claim == 5
    assert part.unheard == 2
    assert part.marked_at is None
    assert settle.calls_maybe_sent(part) == 3


def test_a_late_no_answer_changes_nothing() -> None:
    """That the call ended without an answer is known already."""
    part = a_part(state=PartState.UNKNOWN, doubts=1, reason="died")
    before = replace(part)

    settle.late_answer(part, NOTHING, NOW)

    assert before == part


def test_a_hold_leaves_the_unknown_to_a_person() -> None:
    """Held: unknown, with a reason and no instant at which anything would act on it."""
    waiting, queued = a_part(state=PartState.UNKNOWN, doubts=1, not_before=NOW), a_part(doubts=1, not_before=NOW)

    settle.hold(waiting, "nothing makes a repeat safe")
    settle.hold(queued, "window over")

    assert waiting.state == PartState.UNKNOWN
    assert waiting.not_before is None
    assert waiting.reason == "nothing makes a repeat safe"
    assert (queued.state, queued.not_before) == (PartState.UNKNOWN, None)


@pytest.mark.parametrize(
    ("state", "claim", "doubts", "expected"),
    [
        (PartState.QUEUED, 0, 0, (1, 1)),
        (PartState.QUEUED, 2, 1, (3, 2)),
        (PartState.SENDING, 2, 1, (2, 2)),
        (PartState.UNKNOWN, 2, 2, (2, 2)),
    ],
)
def test_a_fence_puts_what_is_open_into_doubt(
    state: PartState, claim: int, doubts: int, expected: tuple[int, int]
) -> None:
    """A queued part counts as called once more, by nobody; what is in flight, as unanswered; what is in doubt stays."""
    part = a_part(state=state, claim=claim, doubts=doubts, not_before=NOW, waits_on="u", incarnation="p", marked_at=5)

    settle.fence(part, NOW)

    assert (PartState.UNKNOWN, None, settle.FENCED) == (part.state, part.not_before, part.reason)
    assert expected == (part.claim, part.doubts)
    if state is PartState.QUEUED:
        assert (part.marked_at, part.first_marked_at, part.incarnation, part.waits_on) == (NOW, NOW, None, None)
    else:
        assert (part.marked_at, part.incarnation) == (5, "p")


def test_a_fence_keeps_when_a_part_was_first_marked() -> None:
    """Its age counts from then."""
    part = a_part(first_marked_at=7)

    settle.fence(part, NOW)

    assert (part.marked_at, part.first_marked_at) == (NOW, 7)


def test_what_waits_says_for_what_and_until_when() -> None:
    """`why` and the counts by limit read it from the row."""
    limited, paused, behind = parts = [a_part(reason="before", offered_until=9) for _ in range(3)]

    settle.wait_for_limit(limited, NOW + 5, "member_minute")
    settle.pause(paused, NOW + 5)
    settle.wait_for_job(behind, "other", NOW + 5, "waits for its upload")

    assert (limited.reason, limited.limit_name) == ("limit member_minute is used up", "member_minute")
    assert (paused.reason, paused.limit_name, paused.waits_on) == ("paused by a person", None, None)
    assert (behind.reason, behind.limit_name, behind.waits_on) == ("waits for its upload", None, "other")
    assert [(part.not_before, part.offered_until) for part in parts] == [(NOW + 5, None)] * 3


def test_a_part_waits_for_the_end_of_its_quiet_hours() -> None:
    """Unless it is in doubt, or the hours are over: then its row stays as it was."""
    night, noon = quiet_hours("22:00-07:00 UTC"), int(datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()) * SECOND
    midnight, morning = noon + 12 * 3_600 * SECOND, noon + 19 * 3_600 * SECOND
    quiet, by_day, in_doubt = (a_part(doubts=doubts, offered_until=9) for doubts in (0, 0, 1))

    waits = [
        settle.wait_for_quiet_end(quiet, night, midnight),
        settle.wait_for_quiet_end(by_day, night, noon),
        settle.wait_for_quiet_end(in_doubt, night, midnight),
        settle.wait_for_quiet_end(by_day, None, midnight),
    ]

    assert waits == [True, False, False, False]
    assert (quiet.reason, quiet.limit_name, quiet.not_before) == ("quiet hours", QUIET_HOURS, morning)
    assert [part.offered_until for part in (quiet, by_day, in_doubt)] == [None, 9, 9]


def test_waiting_is_no_attempt() -> None:
    """A turn waited for and a job waited on cost no try, and put an offered part back."""
    part = a_part(offered_until=9)

    settle.wait_for_job(part, "other", NOW, "waits")
    settle.wait_until(part, NOW + 5, "full")

    assert part.tries == 0
    assert part.claim == 0
    assert part.not_before == NOW + 5
    assert part.waits_on == "other"
    assert part.offered_until is None


def test_a_move_outside_the_table_is_refused() -> None:
    """A defect of ours stops before it is stored: nothing that has ended is marked again."""
    part = a_part(state=PartState.ACCEPTED)

    with pytest.raises(IllegalMove, match="accepted -> sending"):
        settle.begin_sending(part, "p1", NOW, DEADLINE)


def test_reasons_fit_their_column() -> None:
    """A reason is cut at 300 characters, wherever it comes from."""
    long = "x" * 1_000
    parts = [
        ended(Rejected(long)),
        ended(Retry(long)),
        ended(Rejected(long), doubts=1),
        a_part(state=PartState.UNKNOWN),
    ]
    settle.hold(parts[-1], long)

    assert [len(str(part.reason)) for part in parts] == [300] * 4


OUTCOMES = [TAKEN, SOME, AGAIN, BUSY, WAIT, LANE, STALE, PARKED, REFUSED, NEVER_TO_THEM, NOTHING, OPEN, PAGE, NO_MATCH]


class Histories(RuleBasedStateMachine):
    """Random marks, ends, deaths, late answers, cancels, expiries, holds and repeats against a list of what was said.

    The list is the reference: per attempt `None` while it is in flight or in doubt, else the readable outcome.
    """

    @initialize()
    def start(self) -> None:
        self.part = a_part()
        self.now = NOW
        self.said: list[Outcome | None] = []
        self.in_flight = False

    def _pass(self) -> None:
        self.now += SECOND

    @precondition(lambda self: self.part.state is PartState.QUEUED)
    @rule()
    def mark(self) -> None:
        self._pass()
        settle.begin_sending(self.part, "p", self.now, DEADLINE)
        self.said.append(None)
        self.in_flight = True

    @precondition(lambda self: self.part.state is PartState.SENDING)
    @rule(outcome=st.sampled_from(OUTCOMES))
    def end(self, outcome: Outcome) -> None:
        settle.end_attempt(self.part, outcome, self.now, 1.0, POLICY)
        self._say(-1, outcome)
        self.in_flight = False

    @precondition(lambda self: self.part.state is PartState.SENDING)
    @rule()
    def die(self) -> None:
        settle.doubt(self.part, "died", POLICY)
        self.in_flight = False

    @rule(outcome=st.sampled_from(OUTCOMES), pick=st.integers(0, 20))
    def answer_late(self, outcome: Outcome, pick: int) -> None:
        open_doubts = [n for n in range(len(self.said) - int(self.in_flight)) if self.said[n] is None]
        if not open_doubts:
            return
        settle.late_answer(self.part, outcome, self.now)
        self._say(open_doubts[pick % len(open_doubts)], outcome)

    def _say(self, n: int, outcome: Outcome) -> None:
        self.said[n] = None if isinstance(outcome, Unknown) else outcome
        if outcome is NEVER_TO_THEM and self.part.state is PartState.REJECTED:
            ended = len(self.said) - int(self.in_flight)
            self.said[:ended] = [outcome if said is None else said for said in self.said[:ended]]

    @precondition(lambda self: self.part.state is PartState.QUEUED)
    @rule(how=st.sampled_from(["cancel", "expire", "refuse"]))
    def give_up(self, how: str) -> None:
        if how == "expire":
            settle.expire(self.part)
        else:
            {"cancel": settle.cancel, "refuse": settle.refuse}[how](self.part, "reason")

    @precondition(lambda self: self.part.state is PartState.UNKNOWN)
    @rule(again=st.booleans())
    def act_on_unknown(self, again: bool) -> None:
        if again:
            settle.repeat(self.part, self.now)
        else:
            settle.hold(self.part, "held")

    def _in_doubt(self) -> int:
        return sum(outcome is None for outcome in self.said) - int(self.in_flight)

    @invariant()
    def doubts_are_the_attempts_without_an_answer(self) -> None:
        assert self._in_doubt() == self.part.doubts

    @invariant()
    def nothing_in_doubt_ends_as_if_it_never_left(self) -> None:
        if self.part.doubts:
            assert self.part.state not in FINAL_STATES - ACCEPTED_STATES

    @invariant()
    def anything_taken_wins(self) -> None:
        taken = any(isinstance(outcome, Accepted | Partial) for outcome in self.said)
        assert taken == (self.part.state in ACCEPTED_STATES)

    @invariant()
    def unknown_means_doubt(self) -> None:
        if self.part.state is PartState.UNKNOWN:
            assert self.part.doubts

    @invariant()
    def sending_is_the_newest_call_in_flight(self) -> None:
        assert len(self.said) == self.part.claim
        if self.part.state is PartState.SENDING:
            assert self.in_flight


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=75, stateful_step_count=25)


@pytest.mark.parametrize(("repeats", "was_repeat", "left"), [(2, True, 1), (0, True, 0), (2, False, 2)])
def test_a_call_that_the_vendor_never_saw_is_no_repeat(repeats: int, was_repeat: bool, left: int) -> None:
    """Nor does it count as one that may have shown the message."""
    part = a_part(claim=3, repeats=repeats)

    settle.forget_call(part, was_repeat=was_repeat)

    assert part.repeats == left
    assert part.unheard == 1
    assert settle.calls_maybe_sent(part) == 2
