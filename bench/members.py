"""Whether per-member caps, which the vendor enforces by dropping in silence, are kept, and how little time that costs.

100,000 messages to one member each, 2,000 members, the heaviest with 600 of them, 30 in 10 s and 300 in 100 s a member.
The arithmetic minimum is the time in which the heaviest member can have all of his; so the machine must manage its
share of the others meanwhile (526 calls a second; the figures printed say how many it did). Arrivals are written down
by a bare vendor. A call beyond a window, sliding or aligned, would have been dropped. `--quick` is smaller: a hint, in
which the last burst weighs more.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench import Figure
from bench.stand.arrivals import Arrivals, most, most_aligned
from bench.stand.installation import installation, lay_ready, start_with_windows
from bench.stand.servers import own_redis
from bench.stand.stacks import REDIS, missing_service
from bench.throughput.plain_call import text_of
from bench.throughput.rig import BenchFailed, empty_broker
from rig.stack import ACCOUNT, Stack, Vendor
from worker import NewJob, Text, To

MOST_OVER, QUICK_OVER = 0.06, 0.1
WINDOWS = {"member_minute": (10, 30), "member_hour": (100, 300)}
"""Seconds and amount, in the place of a minute's 30 and an hour's 1,000."""
PROCESSES, THREADS = 2, 16
LATENCY_MS = 5


@dataclass(frozen=True, slots=True)
class Scale:
    """How many messages, to how many members, how many of them to the heaviest."""

    messages: int
    members: int
    heaviest: int

    def sizes(self) -> list[int]:
        """Messages of each member, the heaviest first, falling off evenly to the mean's other side."""
        rest = self.messages - self.heaviest
        steepness = next(s / 100 for s in range(1, 400) if sum(self._falling(s / 100)) <= rest)
        sizes = [self.heaviest, *self._falling(steepness)]
        for n in range(self.messages - sum(sizes)):
            sizes[1 + n % (self.members - 1)] += 1
        return sizes

    def _falling(self, steepness: float) -> list[int]:
        return [max(1, int(self.heaviest * 0.9 / rank**steepness)) for rank in range(1, self.members)]

    def minimum_s(self) -> float:
        """Seconds from the first to the last message of the heaviest, every window full."""
        times: list[float] = []
        for n in range(self.heaviest):
            times.append(
                max([times[n - amount] + window for window, amount in WINDOWS.values() if n >= amount] or [0.0])
            )
        return times[-1]


FULL, QUICK = Scale(100_000, 2_000, 600), Scale(6_000, 200, 150)


def main(argv: list[str]) -> Figure:
    """One run; the figure is how much longer than the minimum it took."""
    options = argparse.ArgumentParser(prog="python -m bench members")
    options.add_argument("--redis-db", type=int, default=12, help="an empty one; flushed at the end")
    options.add_argument("--quick", action="store_true", help=f"{QUICK.messages} messages: a hint")
    given = options.parse_args(argv)
    most_over = QUICK_OVER if given.quick else MOST_OVER
    goal = f"at most {most_over:.0%} over the minimum"
    if missing := missing_service((REDIS,)):
        return Figure("members", f"{missing} does not answer", goal, ok=False)
    scale = QUICK if given.quick else FULL
    with tempfile.TemporaryDirectory(prefix="bench-members-") as folder:
        took_s = _run(Path(folder), own_redis(given.redis_db), scale)
    over = took_s / scale.minimum_s() - 1
    return Figure("members", f"{over:.1%} over", goal, over <= most_over)


def _run(folder: Path, broker: str, scale: Scale) -> float:
    amounts = ", ".join(f"{name} = {amount}" for name, (_, amount) in WINDOWS.items())
    limits = f"limits = {{ {amounts} }}\n"
    with empty_broker(broker), closing(Arrivals(folder, LATENCY_MS)) as arrivals:
        vendor = cast("Vendor", arrivals)  # a stack only asks where it is
        with installation("members", REDIS, folder, vendor, broker=broker, delivery={}, account=limits) as stack:
            return _took_s(stack, arrivals, scale)


def _took_s(stack: Stack, arrivals: Arrivals, scale: Scale) -> float:
    """Seconds from the first call to the last; fails when one would have been dropped, or was never made."""
    _lay_ready(stack, scale.sizes())
    workers = start_with_windows(stack, PROCESSES, THREADS, {name: window for name, (window, _) in WINDOWS.items()})
    _until_done(stack, workers, 10 * scale.minimum_s() + 60)
    times = defaultdict[str, list[float]](list)
    for at, member in arrivals.all():
        times[member].append(at)
    accepted = stack.number("select count(*) from worker_jobs where state = 2")
    calls = sum(len(one) for one in times.values())
    dropped = sum(_beyond(one) for one in times.values())
    took_s = max(one[-1] for one in times.values()) - min(one[0] for one in times.values())
    heaviest = max(times.values(), key=len)
    print(
        f"  {scale.messages} messages to {scale.members} members: {calls} calls, {accepted} accepted, {dropped} beyond"
        f" a window; {took_s:.1f} s ({calls / took_s:.0f}/s), the heaviest member's {len(heaviest)} in"
        f" {heaviest[-1] - heaviest[0]:.1f} s; the minimum is {scale.minimum_s():.0f} s",
        flush=True,
    )
    if dropped or accepted != scale.messages or calls != scale.messages:
        raise BenchFailed(f"{dropped} would have been dropped, {accepted} accepted of {scale.messages}, {calls} calls")
    return took_s


def _beyond(times: Sequence[float]) -> int:
    """How far a member's calls went beyond his windows."""
    worst = (max(most(times, window), most_aligned(times, window)) - amount for window, amount in WINDOWS.values())
    return max(0, *worst)


def _lay_ready(stack: Stack, sizes: Sequence[int]) -> None:
    """All messages wait before the first call, in no order."""
    members = [f"u{member}" for member, size in enumerate(sizes) for _ in range(size)]
    random.Random(7).shuffle(members)
    lay_ready(
        stack, (NewJob(ACCOUNT, Text(content=text_of(n)), To(users=[member])) for n, member in enumerate(members))
    )
    with stack.database.writing() as connection:
        connection.exec_driver_sql("analyze")


def _until_done(stack: Stack, workers: Sequence[Any], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while stack.number("select count(*) from (select 1 from worker_parts where state in (0, 1) limit 1) left_over"):
        if any(worker.poll() is not None for worker in workers):
            raise BenchFailed(f"a worker ended\n{stack.logs()[-3000:]}")
        if time.monotonic() > deadline:
            raise BenchFailed(f"not done within {limit_s:.0f} s\n{stack.state()}\n{stack.logs()[-3000:]}")
        time.sleep(0.5)
