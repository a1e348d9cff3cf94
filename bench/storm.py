"""A storm of 45009: the lane stops within the calls in the air, resumes by evidence, and nobody else notices.

Real workers against the fake vendor. The blocks are shorter than the vendor's (3 s and 6 s in place of a minute and an
hour); how they are stepped is the same.
"""

from __future__ import annotations

import time

import requests

from bench import Figure
from bench.stand.lanes import (
    OTHER,
    Short,
    accepted,
    ask,
    command,
    floor,
    in_the_air,
    lanes,
    must,
    no_attempt_burnt,
    options,
    refused,
    start,
    wait,
)
from rig.stack import ACCOUNT, Stack
from worker import Text

STRIKE_S, AGAIN_S = 4.0, 8.0
FREQUENCY = 45009
HINT = "1767225600123456789012347"
STORM = {
    "match": {"path": "/cgi-bin/message/send", "body_contains": '"agentid":7'},
    "action": {"answer": {"errcode": FREQUENCY, "errmsg": f"api freq out of limit, hint: [{HINT}], more info at x"}},
}
OTHERS = 300
GOAL = "refused at most the calls in the air, then 1 a step; no attempt burnt; the other account done meanwhile"


def main(argv: list[str]) -> Figure:
    """One storm, over two steps."""
    given = options("storm", 2_000, argv)
    try:
        with floor("storm", given.stack, {"strike_s": STRIKE_S, "strike_again_s": AGAIN_S}) as stack:
            return Figure("storm", _run(stack, given.jobs), GOAL, True)
    except Short as error:
        print(error)
        return Figure("storm", "a promise did not hold, see above", GOAL, False)


def _run(stack: Stack, jobs: int) -> str:
    ask(stack, ACCOUNT, _text, range(jobs))
    ask(stack, OTHER, _text, range(OTHERS))
    threads = start(stack)
    wait(lambda: accepted(stack, ACCOUNT) > jobs // 4 and accepted(stack, OTHER) == OTHERS, "both have sent", stack)
    struck = _first_step(stack, threads)
    other_s = _other_goes_on(stack)
    must(refused(stack, FREQUENCY) == struck, "the other account took longer than the block; it noticed, or look again")
    _second_step(stack, struck)
    began = time.monotonic()
    _clear(stack)
    wait(lambda: accepted(stack, ACCOUNT) == jobs, "everything accepted", stack)
    waited_s = time.monotonic() - began
    must(refused(stack, FREQUENCY) == struck + 1, f"{refused(stack, FREQUENCY) - struck} refused after the storm")
    no_attempt_burnt(stack)
    _told(stack)
    return (
        f"{struck} of {threads} possible calls refused, then 1; {jobs} accepted {waited_s:.1f} s after the second "
        f"refusal (block {AGAIN_S:.0f} s); no attempt burnt; {OTHERS} of the other account in {other_s:.1f} s meanwhile"
    )


def _first_step(stack: Stack, threads: int) -> int:
    """Everything in the air is refused, and nothing else."""
    stack.vendor.faults(STORM)
    wait(lambda: refused(stack, FREQUENCY) and not in_the_air(stack), "struck, nothing in the air", stack)
    struck = refused(stack, FREQUENCY)
    print(f"first step: {struck} calls refused, {threads} threads")
    must(struck <= threads, f"{struck} calls were refused, and {threads} can be in the air")
    return struck


def _other_goes_on(stack: Stack) -> float:
    """Seconds that the other account's messages took while the first one's lane was blocked."""
    began = time.monotonic()
    ask(stack, OTHER, _text, range(OTHERS, 2 * OTHERS))
    wait(lambda: accepted(stack, OTHER) == 2 * OTHERS, "the other account's are sent", stack)
    return time.monotonic() - began


def _second_step(stack: Stack, struck: int) -> None:
    """One call tries when the block is over, is refused, and the lane waits longer."""
    wait(lambda: refused(stack, FREQUENCY) > struck and not in_the_air(stack), "struck again", stack)
    must(refused(stack, FREQUENCY) == struck + 1, f"{refused(stack, FREQUENCY) - struck} calls tried")
    blocked_us = "select max(blocked_until - blocked_at) from worker_lanes where step = 2"
    must(stack.number(blocked_us) == AGAIN_S * 1_000_000, "the second block is not the longer one")


def _told(stack: Stack) -> None:
    """Each step is an event with the vendor's hint, and nothing stands on the other account."""
    steps = [row[0] for row in stack.rows("select what from worker_lane_events order by id")]
    must(steps == ["struck", "struck", "penalty over"], f"the events are {steps}")
    hints = {row[0] for row in stack.rows("select hint from worker_lane_events where what = 'struck'")}
    must(hints == {HINT}, f"the hints are {hints}")
    must("penalty over" in command(stack, "lanes", "--events"), "`worker lanes --events` does not tell")
    must(not [lane for lane in lanes(stack, OTHER) if lane["state"] != "starting"], "the other account was blocked")


def _clear(stack: Stack) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.delete(f"{stack.vendor.url}/_control/faults", timeout=30).raise_for_status()


def _text(n: int) -> Text:
    return Text(content=f"{n}: the meeting is at three")
