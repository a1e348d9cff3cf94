"""What the processes of an installation send to PostgreSQL, and use of a processor, while there is nothing to do.

A worker with all that can be on (Flower's events, hooks, notices), a receiver, the metrics and a console, side by side.
Statements are counted in the processes themselves, by the loop that sends them, without what begins and ends a
transaction. The figure is the worker's, once nothing has come for a while.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench import Figure
from bench.stand.installation import installation
from bench.stand.stacks import RABBITMQ, REDIS, missing_service
from bench.throughput.cost import tree_seconds
from rig.stack import Stack, Vendor, until

STATEMENTS, CORE = 5.0, 0.01
"""The goals of a worker: statements a second, and the part of a core."""
SETTLE_S = 20.0
"""Seconds until what a process does only at its start is over, and the relay looks as seldom as it ever does."""
NOTICES = '[notify]\nto = [{ url = { env = "PAGER_URL" } }]\n'
CALLBACK = '{ token = { env = "CALLBACK_TOKEN" }, aes_key = { env = "CALLBACK_AES_KEY" } }'
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "receiver": ("receiver", "--port", "0"),
    "metrics": ("metrics", "--listen", "127.0.0.1:0"),
    "console": ("console", "--listen", "127.0.0.1:0"),
}


@dataclass(frozen=True, slots=True)
class Idle:
    """One process, for a second."""

    by_thread: Mapping[str, float]
    core: float
    """The part of a core that it used."""

    @property
    def statements(self) -> float:
        """Of all its threads."""
        return sum(self.by_thread.values())

    def line(self, name: str) -> str:
        """The process for people."""
        threads = ", ".join(f"{thread} {rate:.1f}" for thread, rate in self.by_thread.items() if rate >= 0.05)
        sent = f"{self.statements:.1f} statements a second ({threads or 'none'})"
        return f"{name}: {sent}, {self.core:.1%} of a core"


def main(argv: list[str]) -> Figure:
    """Every process; the figure is of the worker."""
    parser = argparse.ArgumentParser(prog="python -m bench idle")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of the measured window, in which people are told of problems twice"
    )
    parser.add_argument("--threads", type=int, default=64, help="pool size of the worker")
    parser.add_argument(
        "--stack", choices=(REDIS, RABBITMQ), default=REDIS, help="statements are counted on PostgreSQL"
    )
    options = parser.parse_args(argv)
    goal = f"at most {STATEMENTS:g} statements a second and {CORE:.0%} of a core"
    if missing := missing_service((options.stack,)):
        return Figure("idle", f"{missing} does not answer", goal, ok=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every process started here is ended
    found = idle(options.stack, options.threads, options.seconds)
    for name, process in found.items():
        print(process.line(name), flush=True)
    worker = found["worker"]
    figure = f"{worker.statements:.1f} statements a second, {worker.core:.1%} of a core"
    return Figure("idle", figure, goal, worker.statements <= STATEMENTS and worker.core <= CORE)


def idle(kind: str, threads: int, seconds: float) -> dict[str, Idle]:
    """A worker, a receiver, the metrics and a console, side by side."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-idle-") as folder,
        closing(Vendor(Path(folder), bare=True)) as vendor,
        installation(
            "idle",
            kind,
            Path(folder),
            vendor,
            delivery={},
            callback=CALLBACK,
            top='hooks = "bench.presses.hooks"',
            account=NOTICES,
            env={"PAGER_URL": f"{vendor.url}/pager", "CALLBACK_TOKEN": "idle", "CALLBACK_AES_KEY": "a" * 43},
        ) as stack,
    ):
        files = {name: Path(folder) / name for name in ("worker", *COMMANDS)}
        pids = {"worker": stack.process("bench.profile.worker", "statements", str(threads), str(files["worker"])).pid}
        for name, command in COMMANDS.items():
            pids[name] = stack.process("bench.profile.statements", str(files[name]), "worker.cli", *command).pid
        until(lambda: all(file.exists() and _sent(file) is not None for file in files.values()), "all count")
        time.sleep(SETTLE_S)
        before, began = _look(stack, files, pids), time.monotonic()
        time.sleep(seconds)
        after, spent = _look(stack, files, pids), time.monotonic() - began
    return {name: _between(before[name], after[name], spent) for name in files}


Look = tuple[Counter[str], float]
"""Statements by kind of thread, and seconds of the processor, so far."""


def _look(stack: Stack, files: Mapping[str, Path], pids: Mapping[str, int]) -> dict[str, Look]:
    ended = [process.poll() for process in stack.processes]
    assert ended == [None] * len(ended), stack.logs()[-3000:]
    return {name: (_sent(file) or Counter(), tree_seconds(pids[name])) for name, file in files.items()}


def _between(before: Look, after: Look, seconds: float) -> Idle:
    sent = Counter(after[0])
    sent.subtract(before[0])
    return Idle({thread: n / seconds for thread, n in sent.most_common()}, (after[1] - before[1]) / seconds)


def _sent(file: Path) -> Counter[str] | None:
    """What the last whole line says; None: there is none yet."""
    lines = file.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
    if not lines:
        return None
    return Counter({thread: int(cost["all"][0]) for thread, cost in json.loads(lines[-1]).items()})
