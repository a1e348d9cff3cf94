"""Bulk gets a tenth of a full lane in any minute, and urgent parts go before normal ones: real workers, both at once.

Two lanes: one whose bottleneck is its limit (600 calls in 60 s), one whose bottleneck is the threads (a vendor that
takes 0.3 s). Twice: behind a standing backlog of normal and bulk parts, and with normal parts that come in twice as
fast as they can go. Urgent ones trickle in. Judged by what arrived at the vendor: of the calls in any sliding minute
that lies within the run at least 0.08 are bulk; an urgent one is called soon after the limit's next room, however
many others wait. `--quick` takes windows of 10 s with the same pace.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import Figure
from bench.priorities.judge import Story, lateness, least_share, quantile, waits_since
from bench.stand.installation import installation, start_with_windows
from bench.stand.stacks import EMBEDDED, REDIS, STACKS, missing_service
from bench.throughput.rig import BenchFailed
from rig.stack import ACCOUNT, Stack, Vendor
from worker import Chats, NewJob, Text, To, enqueue_many
from worker.channels import wecom_webhook as webhook
from worker.domain.job import Priority

GOAL = 0.08
"""Every tenth call is bulk's, and each process counts for itself."""
SOON_S = 3.0
"""What an urgent call may be later than its limit's next room: a bucket of the limit lapses whole (0.6 s of a minute's)
after its guard (0.3 s), and every thread may be at a doorbell, which it works at for two seconds at most."""
FAR = 3
"""The 99th of a hundred normal calls is so many times as late as that of urgent ones, at least."""
PROCESSES, THREADS = 2, 8
LATENCY_S = 0.3
PER_SECOND = {"push": 10.0, ACCOUNT: 46.0}
"""What each lane can do: its limit, or all threads but two."""
SECONDS, QUICK_S = 130.0, 25.0
"""Of one run: what comes in is more than a window before it waits all the time."""
WINDOW_S, QUICK_WINDOW_S = 60, 10
NORMAL, BULK, URGENT = 2.0, 1.0, 0.05
"""How fast they come in, as parts of what the lane can do."""
WAITING = 10
"""So many parts of bulk and of normal ones wait all the time in a minute that counts."""
NOTICE_S = 1.0
"""Until an urgent part is in a thread's hands, others reserve room: at the end of a burst that is the last of it, and
the next comes with the next window.
"""
CALLS_A_PROCESS = 50
"""A tenth of all calls less one a process is the goal from so many on."""
POLL_S = 0.1
DELIVERY = {"cold_after_s": 0}
"""A lane has all of its calls at once after the pause for its limit, which is as long as a slow start's silence."""
KEY = "key-push"
SEND = "/cgi-bin/message/send"
PUSH = f"""
[accounts.push]
channel = "wecom_webhook"
edition = "push"
limits = {{{{ chat_minute = {{amount}}, key_minute = 0 }}}}
secret = {{{{ file = "FOLDER/{KEY}" }}}}
base_url = "http://127.0.0.1:PORT"
"""


@dataclass(slots=True)
class Ride:
    """One run: how long, with which windows, behind what; and what happened on each lane."""

    name: str
    seconds: float
    window_s: int
    standing: bool
    lanes: dict[str, Story] = field(default_factory=lambda: {account: Story() for account in PER_SECOND})
    ended: float = 0.0
    """Every call that arrived until then is known."""

    def amount(self, account: str) -> int:
        """The calls of a window; 0: no limit."""
        return int(PER_SECOND["push"] * self.window_s) if account == "push" else 0


def main(argv: list[str]) -> Figure:
    """Both runs; the figure is the least part that bulk had anywhere."""
    parser = argparse.ArgumentParser(prog="python -m bench priorities")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each of the two runs")
    parser.add_argument("--stack", choices=[name for name in STACKS if name != EMBEDDED], default=REDIS)
    parser.add_argument("--quick", action="store_true", help=f"windows of {QUICK_WINDOW_S} s, {QUICK_S:.0f} s a run")
    given = parser.parse_args(argv)
    goal = f"{GOAL}, urgent within {SOON_S} s"
    if missing := missing_service([given.stack]):
        return Figure("priorities", f"{missing} does not answer", goal, ok=False)
    seconds, window_s = (QUICK_S, QUICK_WINDOW_S) if given.quick else (given.seconds, WINDOW_S)
    rides = [Ride("standing", seconds, window_s, True), Ride("coming in", seconds, window_s, False)]
    for ride in rides:
        _run(given.stack, ride)
    judged = [_judge(ride, account) for ride in rides for account in ride.lanes]
    shares, late_s, wrong = ([one[place] for one in judged] for place in range(3))
    figure = f"least part {min(shares):.3f}, urgent p99 {max(late_s):.2f} s behind its limit"
    return Figure("priorities", figure, goal, not any(wrong))


def _run(kind: str, ride: Ride) -> None:
    with _installation(kind, ride) as stack:
        if ride.standing:
            _lay_ready(stack, ride)
        start_with_windows(stack, PROCESSES, THREADS, {"chat_minute": ride.window_s})
        try:
            _watch(stack, ride)
        except BenchFailed as error:
            raise BenchFailed(f"{ride.name}: {error}\n{stack.state()}\n{stack.logs()[-3000:]}") from None
        if refused := stack.number("select count(*) from worker_attempts where errcode <> 0"):
            raise BenchFailed(f"{ride.name}: the vendor refused {refused} calls")


@contextmanager
def _installation(kind: str, ride: Ride) -> Iterator[Stack]:
    """The fake vendor, which enforces the limit where it is a minute's, and a scratch database."""
    enforced = ride.amount("push") if ride.window_s == WINDOW_S else 0
    settings = {
        "webhook": {
            "keys": [{"key": KEY, "profile": "internal"}],
            "chat_per_minute": enforced,
            "key_per_minute": 0,
        },
        "limits": {"ip_per_minute": 0, "ip_per_hour": 0},
        "latency_by_path": {SEND: LATENCY_S},
    }
    with ExitStack() as scope:
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="bench-priorities-")))
        vendor = scope.enter_context(closing(Vendor(folder, settings)))
        table = PUSH.format(amount=ride.amount("push"))
        made = installation("priorities", kind, folder, vendor, delivery=DELIVERY, account=table)
        stack = scope.enter_context(made)
        (stack.folder / KEY).write_text(KEY, encoding="utf-8")
        yield stack


def _lay_ready(stack: Stack, ride: Ride) -> None:
    """A backlog that no lane can work off."""
    for account, story in ride.lanes.items():
        whole = int(PER_SECOND[account] * (ride.seconds + 2 * ride.window_s))
        for priority, count in ((Priority.NORMAL, whole), (Priority.BULK, whole // 2)):
            for first in range(0, count, 1_000):
                _ask(stack, account, story, priority, range(first, min(first + 1_000, count)))


def _ask(stack: Stack, account: str, story: Story, priority: Priority, numbers: Sequence[int]) -> None:
    """One transaction; every person gets one message, so no member's limit is near."""
    at = time.monotonic()
    story.asked[priority].update(dict.fromkeys(numbers, at))
    new = [_job(account, priority, n) for n in numbers]
    with stack.database.writing() as connection:
        enqueue_many(connection, new, accounts=stack.accounts)


def _job(account: str, priority: Priority, n: int) -> NewJob:
    content = f"{priority.value} {n}"
    if account == ACCOUNT:
        return NewJob(account, Text(content=content), To(users=[f"u{priority.value}-{n}"]), priority=priority)
    return NewJob(account, webhook.Text(content=content), Chats("wr1"), priority=priority)


def _watch(stack: Stack, ride: Ride) -> None:
    """Reads the vendor's log and asks for more, until the time is over; it counts from the first call."""
    seen, started, deadline = 0, 0.0, time.monotonic() + 60
    while not started or ride.ended - started < ride.seconds:
        ride.ended = time.monotonic()
        for call in stack.vendor.get("calls", since=seen)["calls"]:
            seen = call["seq"]
            if call["path"] != "/cgi-bin/gettoken":
                started = started or call["real"]
                _note(ride, call)
        if not started and time.monotonic() > deadline:
            raise BenchFailed("no call arrived")
        if any(process.poll() is not None for process in stack.processes):
            raise BenchFailed("a worker ended")
        if started or not ride.standing:
            _ask_for_more(stack, ride, time.monotonic() - (started or deadline - 60))
        time.sleep(POLL_S)


def _note(ride: Ride, call: dict[str, object]) -> None:
    priority, number = json.loads(str(call["body"]))["text"]["content"].split()
    story = ride.lanes[ACCOUNT if call["path"] == SEND else "push"]
    story.called[Priority(int(priority))][int(number)] = float(str(call["real"]))


def _ask_for_more(stack: Stack, ride: Ride, spent: float) -> None:
    """What has come in by now at its pace."""
    paces = {Priority.URGENT: URGENT} | ({} if ride.standing else {Priority.NORMAL: NORMAL, Priority.BULK: BULK})
    for account, story in ride.lanes.items():
        for priority, pace in paces.items():
            known = len(story.asked[priority])
            if (due := int(spent * pace * PER_SECOND[account])) > known:
                _ask(stack, account, story, priority, range(known, due))


def _judge(ride: Ride, account: str) -> tuple[float, float, bool]:
    """Bulk's least part of a window, how late urgent ones were, and whether anything was wrong."""
    story = ride.lanes[account]
    calls = story.calls()
    times = [at for at, _ in calls]
    share = _share(ride, account, calls)
    started = {Priority.URGENT: times[0], Priority.NORMAL: 0.0}  # before it nobody was there to call anything
    late = {
        one: lateness(
            times,
            story.asked_since(one, since),
            story.called[one],
            ride.amount(account),
            ride.window_s,
            NOTICE_S,
        )
        for one, since in started.items()
    }
    urgent, normal = (quantile(late[one], 0.99) for one in (Priority.URGENT, Priority.NORMAL))
    wrong = share < GOAL or urgent > SOON_S or FAR * urgent > normal
    print(
        f"  {ride.name:<10} {account:<5} {len(calls):>5} calls in {times[-1] - times[0]:.0f} s; bulk at least"
        f" {share:.4f} of any {ride.window_s} s; {len(late[Priority.URGENT])} urgent: p50"
        f" {quantile(late[Priority.URGENT], 0.5):.2f} s, p99 {urgent:.2f} s behind the limit, normal p99 {normal:.1f} s"
        f"{'   WRONG' if wrong else ''}",
        flush=True,
    )
    return share, urgent, wrong


def _share(ride: Ride, account: str, calls: Sequence[tuple[float, Priority]]) -> float:
    """The least part of bulk in the windows in which normal parts and bulk wait all the time.

    Half of what the lane can do must be done in such a window: a minute may also begin with the last of what its limit
    let through, and hold a handful of calls.
    """
    story = ride.lanes[account]
    backlogs = [(story.asked[one], story.called[one]) for one in (Priority.NORMAL, Priority.BULK)]
    since = max(waits_since(asked, called, WAITING) for asked, called in backlogs)
    if since > ride.ended - ride.window_s:
        raise BenchFailed(f"{ride.name} {account}: there was no backlog all through a window, so nothing is shown")
    full = max(CALLS_A_PROCESS * PROCESSES, int(PER_SECOND[account] * ride.window_s / 2))
    return least_share([(at, one is Priority.BULK) for at, one in calls], ride.window_s, (since, ride.ended), full)
