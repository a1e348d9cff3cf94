"""What stops a lane stops it and nothing else: a configuration error parks it, a storm of 45009 blocks it.

Real workers against the fake vendor: behind a 60020 from cold, struck by it in mid-flow, a 43012 on one app's cards;
then, in an installation of its own, a storm. Its blocks are shorter than the vendor's (3 s and 6 s in place of a minute
and an hour); how they are stepped is the same.
"""

from __future__ import annotations

import time
from itertools import pairwise

from bench import Figure
from bench.stand.lanes import (
    OTHER,
    Short,
    accepted,
    app,
    ask,
    command,
    floor,
    in_flight,
    lanes,
    must,
    no_attempt_burnt,
    options,
    refused,
    start,
    wait,
)
from rig.stack import ACCOUNT, Stack
from worker import ButtonCard, Text
from worker.channels.wecom.cards import MainTitle
from worker.channels.wecom_app.cards import Button

PROBE_S = 5.0
PROBES = 2
UNTRUSTED, NO_CALLBACK = 60020, 43012
NOBODY = ["203.0.113.1"]
CARDS = 50
STRIKE_S, AGAIN_S = 4.0, 8.0
FREQUENCY = 45009
HINT = "1767225600123456789012347"
STORM = {
    "match": {"path": "/cgi-bin/message/send", "body_contains": '"agentid":7'},
    "action": {"answer": {"errcode": FREQUENCY, "errmsg": f"api freq out of limit, hint: [{HINT}], more info at x"}},
}
OTHERS = 300
GOAL = "1 failing call from cold, then 1 a probe or step, in mid-flow those in flight; only its scope; all accepted"


def main(argv: list[str]) -> Figure:
    """Runs the three errors, one after the other, on one installation, and the storm with a fifth of the jobs."""
    given = options("parking", 10_000, argv)
    try:
        with floor("parking", given.stack, {"park_probe_s": PROBE_S}) as stack:
            parked = _run(stack, given.jobs)
        with floor(
            "storm", given.stack, {"rate_limit_block_s": STRIKE_S, "rate_limit_block_again_s": AGAIN_S}
        ) as stack:
            return Figure("parking", f"{parked}; a storm: {_storm(stack, given.jobs // 5)}", GOAL, True)
    except Short as error:
        print(error)
        return Figure("parking", "a promise did not hold, see above", GOAL, False)


def _run(stack: Stack, jobs: int) -> str:
    app(stack, trusted_ips=NOBODY)
    ask(stack, ACCOUNT, _text, range(jobs))
    threads = start(stack)
    cold, took_s = _cold(stack, jobs)
    struck = _mid_flow(stack, jobs, max(1_000, jobs // 5), threads)
    no_attempt_burnt(stack)
    called = _cards(stack)
    no_attempt_burnt(stack)
    return (
        f"{jobs} jobs behind 60020: 1 failing call, then {cold - 1} probes; all accepted {took_s:.1f} s after "
        f"`worker resume`; struck in mid-flow: {struck} failing calls with {threads} threads; 43012: {called} of "
        f"{CARDS} cards called, texts and the other app's cards sent"
    )


def _cold(stack: Stack, jobs: int) -> tuple[int, float]:
    """Nothing has ever been sent: one call finds out, and then one a probe does."""
    wait(lambda: refused(stack, UNTRUSTED) >= 1, "the first refusal", stack)
    wait(lambda: refused(stack, UNTRUSTED) >= 1 + PROBES, f"{PROBES} probes", stack)
    calls = stack.vendor.calls("/cgi-bin/message/send")
    gaps = [later["real"] - earlier["real"] for earlier, later in pairwise(calls)]
    print(f"from cold: {len(calls)} calls, {[round(gap, 1) for gap in gaps]} s apart")
    must(all(gap >= 0.9 * PROBE_S for gap in gaps), f"more than one call a probe: {gaps}")
    [parked] = [lane for lane in lanes(stack) if lane["state"] == "parked"]
    must((parked["lane"], "127.0.0.1" in parked["remedy"]) == (ACCOUNT, True), f"not parked with its IP: {parked}")
    failed = _resume(stack, ACCOUNT)
    began = time.monotonic()
    wait(lambda: accepted(stack, ACCOUNT) == jobs, "everything accepted", stack)
    must(refused(stack, UNTRUSTED) == failed, "refused after it was resumed")
    return failed, time.monotonic() - began


def _resume(stack: Stack, name: str, code: int = UNTRUSTED) -> int:
    """Right after a probe, so that no other one comes before the person; how many calls were refused until then."""
    before = refused(stack, code)
    wait(lambda: refused(stack, code) > before, "the next probe", stack)
    app(stack)
    command(stack, "resume", name)
    return before + 1


def _mid_flow(stack: Stack, done: int, jobs: int, threads: int) -> int:
    """The app is taken off the list while it sends: whatever is in flight is refused, and nothing else."""
    before = refused(stack, UNTRUSTED)
    ask(stack, ACCOUNT, _text, range(done, done + jobs))
    wait(lambda: accepted(stack, ACCOUNT) > done + jobs // 4, "a quarter is sent", stack)
    app(stack, trusted_ips=NOBODY)
    wait(lambda: refused(stack, UNTRUSTED) > before and not in_flight(stack), "struck, nothing in flight", stack)
    struck = refused(stack, UNTRUSTED) - before
    print(f"in mid-flow: {struck} calls refused, {threads} threads")
    must(struck <= threads, f"{struck} calls were refused, and {threads} can be in flight")
    must(accepted(stack, ACCOUNT) < done + jobs, "it was over before it was struck; ask for more --jobs")
    _resume(stack, ACCOUNT)
    wait(lambda: accepted(stack, ACCOUNT) == done + jobs, "everything accepted", stack)
    return struck


def _cards(stack: Stack) -> int:
    """The app has no callback URL: its cards wait, its texts go, and so do another app's cards."""
    app(stack, callback=False)
    began = time.monotonic()
    sent = accepted(stack, ACCOUNT)
    ask(stack, ACCOUNT, _card, range(1_000_000, 1_000_000 + CARDS))
    wait(lambda: refused(stack, NO_CALLBACK) >= 1, "the first card is refused", stack)
    ask(stack, ACCOUNT, _text, range(2_000_000, 2_000_000 + CARDS))
    ask(stack, OTHER, _card, range(CARDS))
    wait(lambda: accepted(stack, ACCOUNT) == sent + CARDS, "the texts are sent", stack)
    wait(lambda: accepted(stack, OTHER) == CARDS, "the other app's cards are sent", stack)
    [parked] = [lane for lane in lanes(stack) if lane["state"] == "parked"]
    must("template_card" in parked["label"] or "button" in parked["label"], f"not the cards' lane: {parked}")
    probes = _resume(stack, parked["lane"], NO_CALLBACK)
    must(probes <= 2 + (time.monotonic() - began) / PROBE_S, f"{probes} cards were refused: one call, and one a probe")
    wait(lambda: accepted(stack, ACCOUNT) == sent + 2 * CARDS, "the cards are sent", stack)
    return probes


def _storm(stack: Stack, jobs: int) -> str:
    """One storm, over two steps."""
    ask(stack, ACCOUNT, _text, range(jobs))
    ask(stack, OTHER, _text, range(OTHERS))
    threads = start(stack)
    wait(lambda: accepted(stack, ACCOUNT) > jobs // 4 and accepted(stack, OTHER) == OTHERS, "both have sent", stack)
    struck = _first_step(stack, threads)
    other_s = _other_goes_on(stack)
    must(refused(stack, FREQUENCY) == struck, "the other account took longer than the block; it noticed, or look again")
    _second_step(stack, struck)
    began = time.monotonic()
    stack.vendor.heal()
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
    """Everything in flight is refused, and nothing else."""
    stack.vendor.faults(STORM)
    wait(lambda: refused(stack, FREQUENCY) and not in_flight(stack), "struck, nothing in flight", stack)
    struck = refused(stack, FREQUENCY)
    print(f"first step: {struck} calls refused, {threads} threads")
    must(struck <= threads, f"{struck} calls were refused, and {threads} can be in flight")
    return struck


def _other_goes_on(stack: Stack) -> float:
    """Seconds that the other account's messages took while the first one's lane was blocked."""
    began = time.monotonic()
    ask(stack, OTHER, _text, range(OTHERS, 2 * OTHERS))
    wait(lambda: accepted(stack, OTHER) == 2 * OTHERS, "the other account's are sent", stack)
    return time.monotonic() - began


def _second_step(stack: Stack, struck: int) -> None:
    """One call tries when the block is over, is refused, and the lane waits longer."""
    wait(lambda: refused(stack, FREQUENCY) > struck and not in_flight(stack), "struck again", stack)
    must(refused(stack, FREQUENCY) == struck + 1, f"{refused(stack, FREQUENCY) - struck} calls tried")
    blocked_us = "select max(blocked_until - blocked_at) from worker_lanes where step = 2"
    must(stack.number(blocked_us) == AGAIN_S * 1_000_000, "the second block is not the longer one")


def _told(stack: Stack) -> None:
    """Each step is an event with the vendor's hint, and nothing stands on the other account."""
    steps = [row[0] for row in stack.rows("select what from worker_lane_events order by id")]
    must(steps == ["struck", "struck", "penalty over"], f"the events are {steps}")
    hints = {row[0] for row in stack.rows("select hint from worker_lane_events where what = 'struck'")}
    must(hints == {HINT}, f"the hints are {hints}")
    must("penalty over" in command(stack, "lanes", "--history"), "`worker lanes --history` does not tell")
    must(not [lane for lane in lanes(stack, OTHER) if lane["state"] != "starting"], "the other account was blocked")


def _text(n: int) -> Text:
    return Text(content=f"{n}: the meeting is at three")


def _card(n: int) -> ButtonCard:
    return ButtonCard(main_title=MainTitle(title=f"leave {n}"), button_list=[Button(text="ok", key="ok")])
