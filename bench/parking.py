"""A configuration error parks exactly its scope: one failing call for 10,000 jobs, one a probe, everything afterwards.

Real workers against the fake vendor: behind a 60020 from cold, struck by it in mid-flow, a 43012 on one app's cards.
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
from worker import ButtonCard, Text
from worker.channels.wecom.cards import MainTitle
from worker.channels.wecom_app.messages.cards import Button

PROBE_S = 5.0
PROBES = 2
UNTRUSTED, NO_CALLBACK = 60020, 43012
NOBODY = ["203.0.113.1"]
CARDS = 50
GOAL = "1 failing call from cold, 1 a probe, in mid-flow those in the air; only cards of the app; all accepted"


def main(argv: list[str]) -> Figure:
    """Runs the three, one after the other, on one installation."""
    given = options("parking", 10_000, argv)
    try:
        with floor("parking", given.stack, {"park_probe_s": PROBE_S}) as stack:
            return Figure("parking", _run(stack, given.jobs), GOAL, True)
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
    """The app is taken off the list while it sends: whatever is in the air is refused, and nothing else."""
    before = refused(stack, UNTRUSTED)
    ask(stack, ACCOUNT, _text, range(done, done + jobs))
    wait(lambda: accepted(stack, ACCOUNT) > done + jobs // 4, "a quarter is sent", stack)
    app(stack, trusted_ips=NOBODY)
    wait(lambda: refused(stack, UNTRUSTED) > before and not in_the_air(stack), "struck, nothing in the air", stack)
    struck = refused(stack, UNTRUSTED) - before
    print(f"in mid-flow: {struck} calls refused, {threads} threads")
    must(struck <= threads, f"{struck} calls were refused, and {threads} can be in the air")
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


def _text(n: int) -> Text:
    return Text(content=f"{n}: the meeting is at three")


def _card(n: int) -> ButtonCard:
    return ButtonCard(main_title=MainTitle(title=f"leave {n}"), button_list=[Button(text="ok", key="ok")])
