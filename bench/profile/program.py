"""What a job costs a worker process, by thread and by step: processor time, switches, system calls and futex calls.

The worker of `bench throughput`, whose steps are counted by the kernel (see `profile_counters`). Figures are of the
steady state between the warm-up and the last jobs, for one job. A step's line is without the steps within it.

`--statements` counts the statements sent to PostgreSQL in the same way; `bench idle` counts those of a worker that has
nothing to do.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import Figure
from bench.profile.counters import NotAllowed, open_counters
from bench.stand.stacks import RABBITMQ, REDIS, STACKS, missing_service
from bench.throughput import ours
from bench.throughput.program import Side, broker
from bench.throughput.rig import WARM_UP, BenchFailed, Rig
from rig.stack import Stack

FUTEXES, SWITCHES = 25, 12
STATEMENTS = 1.0
"""Of a job, at most."""
GOAL = f"at most {FUTEXES} futex calls and {SWITCHES} switches a job"
BATCHES = "ThreadPoolExecutor"
"""The threads of Celery's pool, which answer doorbells."""
GUESS = 330
"""Jobs a second of the first try; a machine that does more gets more work laid ready."""
COUNTED = "log"
"""The step that every job takes once."""

Table = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """A thread's or a step's cost of one job."""

    name: str
    times: float | None
    cost: tuple[float, ...]

    def line(self) -> str:
        """The row for people; processor time in microseconds."""
        cpu_ns, switches, calls, futexes = self.cost
        times = "" if self.times is None else f"{self.times:.2f}"
        return f"{self.name:<32} {times:>6} {cpu_ns / 1000:>8.0f} {switches:>8.2f} {futexes:>8.1f} {calls:>8.1f}"


def main(argv: list[str]) -> Figure:
    """One run and its table; the last line has the figures of the whole process."""
    options = _options(argv)
    if options.statements:
        return _statements(options)
    try:
        open_counters(0)
    except NotAllowed as error:
        remedy = "run as root after `mount -t tracefs nodev /sys/kernel/tracing`"
        return Figure("profile", f"the kernel does not count here: {error}; {remedy}", GOAL, ok=False)
    if missing := missing_service((options.stack, REDIS)):
        return Figure("profile", f"{missing} does not answer", GOAL, ok=False)
    return _figure(_rows(options, "kernel"))


def _rows(options: Any, meter: str) -> list[Row]:
    """One run, whose worker counts with this meter."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every process started here is ended
    with tempfile.TemporaryDirectory(prefix="bench-profile-") as folder:
        rig = Rig(Path(folder), options.stack, broker(options), options.threads, options.seconds)
        written = Path(folder) / "profile"

        def start(stack: Stack) -> Any:
            written.write_text("", encoding="utf-8")
            return stack.process("bench.profile.worker", meter, str(options.threads), str(written))

        run = Side(lambda rig, jobs: ours.run(rig, jobs, start), GUESS).run(rig)
        tables = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]
    return window(tables, WARM_UP, run.jobs - 2 * options.threads)


def _options(argv: list[str]) -> Any:
    parser = argparse.ArgumentParser(prog="python -m bench profile")
    parser.add_argument("--seconds", type=float, default=15.0, help="of the measured window")
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--stack", choices=STACKS, default=REDIS)
    parser.add_argument("--redis-db", type=int, default=11, help="an empty one; flushed at the end")
    parser.add_argument("--statements", action="store_true", help="instead: statements a job")
    options = parser.parse_args(argv)
    if options.statements and options.stack not in (REDIS, RABBITMQ):
        parser.error("--statements: counted on PostgreSQL")
    return options


def window(tables: list[Table], first: int, last: int) -> list[Row]:
    """The costs of one job between the tables in which `first` and at most `last` jobs were recorded."""
    steady = [table for table in tables if first <= _jobs(table) <= last]
    jobs = _jobs(steady[-1]) - _jobs(steady[0]) if steady else 0
    if not jobs:
        raise BenchFailed("the worker wrote down too little in the window; give it more --seconds")
    begin, end = steady[0], steady[-1]
    rows = []
    for thread, now in end.items():
        nothing = [0] * len(now["all"])
        before = begin.get(thread, {"all": nothing, "steps": {}})
        rows.append(Row(thread, None, _each(now["all"], before["all"], jobs)))
        for step, (times, cost) in now["steps"].items():
            times_before, cost_before = before["steps"].get(step, (0, nothing))
            if step:
                rows.append(Row(f"  {step}", (times - times_before) / jobs, _each(cost, cost_before, jobs)))
    return rows


def _jobs(table: Table) -> int:
    return int(table.get(BATCHES, {"steps": {}})["steps"].get(COUNTED, (0,))[0])


def _each(now: list[int], before: list[int], jobs: int) -> tuple[float, ...]:
    return tuple((late - early) / jobs for late, early in zip(now, before, strict=True))


def _figure(rows: list[Row]) -> Figure:
    threads = [row for row in rows if row.times is None]
    whole = Row("all", None, tuple(map(sum, zip(*(row.cost for row in threads), strict=True))))
    print(f"{'thread, and step':<32} {'times':>6} {'CPU us':>8} {'switches':>8} {'futex':>8} {'calls':>8}")
    for row in (*rows, whole):
        print(row.line(), flush=True)
    cpu_ns, switches, calls, futexes = whole.cost
    figure = (
        f"{cpu_ns / 1000:.0f} us, {futexes:.0f} futex calls, {switches:.0f} switches, {calls:.0f} system calls a job"
    )
    return Figure("profile", figure, GOAL, ok=futexes <= FUTEXES and switches <= SWITCHES)


def _statements(options: Any) -> Figure:
    """Statements a job."""
    goal = f"at most {STATEMENTS:g} a job"
    if missing := missing_service((options.stack,)):
        return Figure("profile", f"{missing} does not answer", goal, ok=False)
    rows = _rows(options, "statements")
    print(f"{'thread, and step, of a job':<32} {'times':>6} {'statements':>10}")
    for row in rows:
        print(f"{row.name:<32} {'' if row.times is None else f'{row.times:.2f}':>6} {row.cost[0]:>10.2f}")
    a_job = sum(row.cost[0] for row in rows if row.times is None)
    return Figure("profile", f"{a_job:.2f} statements a job", goal, a_job <= STATEMENTS)
