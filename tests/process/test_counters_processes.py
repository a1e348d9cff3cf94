"""The counters against the truth: two workers, faults of every kind, one worker killed."""

from __future__ import annotations

from collections import Counter

from rig.stack import Stack, until
from rig.stacks import WITH_A_BROKER, Make, on_stacks
from tests.process.counting import counted as counts_of
from tests.process.test_pipeline_processes import SEND, enqueue_texts
from worker.domain.state import FINAL_STATES, PartState
from worker.outbox.upkeep.rates import Calls, call_rates

JOBS, THREADS = 260, 8
SENT = ("wecom_app", "hr", "send")
CALLS_A_THREAD = 8
"""A thread may have several calls in flight."""


@on_stacks(*WITH_A_BROKER, why="another worker process takes over")
def test_each_counter_equals_what_the_outbox_and_the_vendor_counted(make: Make) -> None:
    """Two workers, one of them killed in the middle, refusals, -1, cut connections and stale tokens between."""
    stack = make({"latency_s": 0.05})
    stack.vendor.faults(
        {"match": {"path": SEND, "every": 29}, "times": 8, "action": {"answer": {"errcode": -1}}},
        {"match": {"path": SEND, "every": 11}, "times": 20, "action": {"answer": {"errcode": 40003}}},
        {"match": {"path": SEND, "every": 13}, "times": 10, "action": {"cut_response_after": 10}},
        # Once: a token that is refused right after it was given out parks the account.
        {"match": {"path": SEND, "every": 17}, "times": 1, "action": {"answer": {"errcode": 42001}}},
    )
    enqueue_texts(stack, JOBS, duplicate_check=True)
    first, _ = (stack.worker(threads=THREADS) for _ in range(2))
    until(lambda: stack.vendor.sends() > JOBS // 4, "a quarter is sent")
    first.kill()
    stack.until_settled()

    counts = counts_of(stack)
    # Counted by what an attempt keeps: an answer that came late leaves it in doubt, with the code that it brought.
    rows = stack.rows("select outcome, errcode, count(*) from worker_attempts group by outcome, errcode")
    of_rows = Counter[tuple[str, str]]()
    for outcome, code, count in rows:
        of_rows[outcome, "" if code is None or outcome == "unknown" else str(code)] += count
    counted = Counter[tuple[str, str]]()
    for (_, _, _, outcome, code), count in counts["attempts"].items():
        counted[outcome, "" if code == "unsent" else code] += count
    assert of_rows == counted
    ended = dict(stack.rows("select state, count(*) from worker_parts group by state"))
    assert {PartState(state).label: count for state, count in ended.items() if PartState(state) in FINAL_STATES} == {
        state: count for (*_, state), count in counts["parts_ended"].items()
    }
    assert _observed(counts["first_call_seconds"]) == JOBS
    called = "select count(*) from worker_parts where first_marked_at is not null and state not in (0, 1, 6)"
    assert stack.number(called) == _observed(counts["end_seconds"])
    timed = "select count(*) from worker_attempts where duration_ms is not null"
    assert stack.number(timed) - counts["attempts"][*SENT, "retry", "unsent"] == _observed(counts["call_seconds"])
    doubts = "select count(*) from worker_attempts where outcome = 'unknown'"
    assert 0 < counts["unknowns"].total() <= stack.number(doubts)
    _assert_the_vendor_says_so(stack, counted, counts["late_answers"].total())


def _assert_the_vendor_says_so(stack: Stack, counted: Counter[tuple[str, str]], late: int) -> None:
    """Every answer that left the vendor whole was counted, but for those that the killed worker had in hand."""
    calls = [call for call in stack.vendor.calls(SEND) if call["answered"] == "whole" and call["answer"]]
    answers = Counter(str(call["answer"]["errcode"]) for call in calls)
    of_codes = Counter[str]()
    for (_, code), count in counted.items():
        of_codes[code] += count
    _assert_the_curves_say_so(stack, of_codes)
    unheard = {code: answers[code] - of_codes[code] for code in answers if answers[code] != of_codes[code]}
    assert all(count > 0 for count in unheard.values()), unheard
    assert sum(unheard.values()) - late <= THREADS * CALLS_A_THREAD
    tokens = stack.vendor.get("counts")["counts"]["/cgi-bin/gettoken"]
    granted = counts_of(stack)["token_fetches"].total()
    assert 0 <= tokens - granted <= 1, "one fetch may have been the killed worker's"


def _assert_the_curves_say_so(stack: Stack, of_codes: Counter[str]) -> None:
    """Of the last hour and of the last day, added up."""
    with stack.database.reading() as connection:
        rates = call_rates(connection, stack.database.now)
    for series in (rates.hour, rates.day):
        total = Calls()
        for slot in series["hr"]:
            total.add(slot)
        refused = of_codes.total() - of_codes["0"] - of_codes[""]
        assert (of_codes["0"], refused, of_codes[""]) == (total.accepted, total.refused, total.unanswered)


def _observed(found: Counter[tuple[str, ...]]) -> int:
    return sum(value for labels, value in found.items() if labels[-1] != "sum")
