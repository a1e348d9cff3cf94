"""Twenty broken accounts among two hundred: what they cost the others, and how soon they go on when they are mended.

Two installations with the same work on 180 good accounts; in one of them there are twenty more, broken in ten ways,
with as much work each. The others' rates are compared, round by round in turn, and then the broken ones are mended in
the settings file while the worker runs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from bench import Figure
from bench.stand.installation import installation
from bench.stand.stacks import REDIS, missing_service
from rig.broken_accounts import Accounts
from rig.stack import Stack, Vendor, until
from worker import NewJob, Text, To, enqueue_many

GOAL, GOAL_S = 0.9, 15.0
COUNT, EVERY = 200, 10
THREADS = 16


def main(argv: list[str]) -> Figure:
    """The rate beside the broken ones to the rate alone, and the longest time to come back."""
    parser = argparse.ArgumentParser(prog="python -m bench accounts --broken")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--each", type=int, default=20, help="messages of an account")
    options = parser.parse_args(argv)
    goal = f"{GOAL}, {GOAL_S:.0f} s"
    if missing := missing_service([REDIS]):
        return Figure("accounts", f"{missing} does not answer", goal, ok=False)
    ratios, mended = [], []
    for number in range(options.rounds):
        alone, _ = _run("alone", options.each, with_broken=False)
        beside, back_s = _run("beside", options.each, with_broken=True)
        ratios.append(beside / alone)
        mended.append(back_s)
        print(f"round {number}: {alone:.0f} and {beside:.0f} a second, mended after {back_s:.1f} s", flush=True)
    figure, longest = statistics.median(ratios), max(mended)
    ok = figure >= GOAL and longest <= GOAL_S
    return Figure("accounts", f"{figure:.2f} of the rate, back after {longest:.1f} s", goal, ok)


def _run(name: str, each: int, *, with_broken: bool) -> tuple[float, float]:
    """Messages a second of the good accounts, and the seconds until the first of each broken one after its mending."""
    known = Accounts(COUNT, EVERY)
    with ExitStack() as scope:
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="bench-broken-")))
        vendor = scope.enter_context(closing(Vendor(folder, {"latency_s": 0.02})))
        tables = known.tables(broken=True)
        stack = scope.enter_context(
            installation(f"broken_{name}", REDIS, folder, vendor, account=tables, delivery={}, env={"NOTHING": ""})
        )
        (stack.folder / "wrong").write_text("wrong", encoding="utf-8")
        producers = known.as_a_producer_has_them(stack)
        good = [n for n in range(COUNT) if n not in known.broken]
        numbers = range(COUNT) if with_broken else good
        jobs = [NewJob(f"a{n}", Text(content="hello"), To(users=[f"u{n}-{k}"])) for k in range(each) for n in numbers]
        with stack.database.writing() as connection:
            enqueue_many(connection, jobs, accounts=producers)
        stack.worker(threads=THREADS)
        until(lambda: _accepted(stack) > len(good), "they begin")
        began, first = time.monotonic(), _accepted(stack)
        until(lambda: _accepted(stack) == len(good) * each, "the good ones deliver")
        rate = (len(good) * each - first) / (time.monotonic() - began)
        if not with_broken:
            return rate, 0.0
        known.mend(stack)
        began = time.monotonic()
        back = "select count(distinct account) from worker_jobs where state = 2"
        until(lambda: stack.number(back) == COUNT, "each of the broken has delivered")
        return rate, time.monotonic() - began


def _accepted(stack: Stack) -> int:
    return stack.number("select count(*) from worker_jobs where state = 2")
