"""What the kernel counts for each thread of this process, and for each step of ours within it. Linux only.

Samplers ask who holds Python's interpreter lock, and a thread that hands it on is sampled where it does so; the kernel
counts what was spent. A step may lie within another one: each is charged with its own part alone.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

TRACING = Path("/sys/kernel/tracing/events")
FUTEX, EVERY_CALL = "syscalls/sys_enter_futex/id", "raw_syscalls/sys_enter/id"
SOFTWARE, TRACEPOINT = 1, 2
TASK_CLOCK, SWITCHES = 1, 3
GROUP = 8
"""`PERF_FORMAT_GROUP`: one read returns all counters of a group."""
OPEN = {"x86_64": 298, "aarch64": 241}
"""The number of the system call `perf_event_open`, which libc has no function for."""
FIELDS = ("cpu_ns", "switches", "calls", "futexes")
WORDS = 1 + len(FIELDS)

Counts = list[int]

# Loaded so that a call of it keeps the interpreter lock: a reading must not cause what it counts.
_libc = ctypes.PyDLL(None, use_errno=True)


class NotAllowed(Exception):
    """The kernel does not let this process count."""


def _open(kind: int, config: int, thread: int, leader: int) -> int:
    machine = platform.machine()
    if machine not in OPEN:
        raise NotAllowed(f"its number for perf_event_open is not known here: {machine}")
    wanted = struct.pack("IIQQQQQIIQ", kind, 64, config, 0, 0, GROUP, 0, 0, 0, 0)
    found = int(_libc.syscall(OPEN[machine], wanted, thread, -1, leader, 0))
    if found < 0:
        raise NotAllowed(os.strerror(ctypes.get_errno()))
    return found


def open_counters(thread: int) -> int:
    """A file from which `read_counters` reads what the kernel counts for this thread from now on."""
    try:
        tracepoints = [int((TRACING / name).read_text()) for name in (EVERY_CALL, FUTEX)]
    except OSError as error:
        raise NotAllowed(error.strerror or "no tracepoints") from error
    leader = _open(SOFTWARE, TASK_CLOCK, thread, -1)
    for kind, config in ((SOFTWARE, SWITCHES), *((TRACEPOINT, number) for number in tracepoints)):
        _open(kind, config, thread, leader)
    return leader


def read_counters(file: int, buffer: Any) -> Counts:
    """The counts so far, in the order of `FIELDS`."""
    if _libc.read(file, buffer, 8 * WORDS) != 8 * WORDS:
        raise OSError(ctypes.get_errno(), "a counter cannot be read")
    return list(buffer[1:])


def new_buffer() -> Any:
    """Where a reading is put; one a thread."""
    return (ctypes.c_uint64 * WORDS)()


class Steps:
    """What one thread's steps have cost so far."""

    def __init__(self, read: Callable[[], Counts]) -> None:
        self._read, self._last, self._step = read, read(), ""
        self.costs: dict[str, Counts] = defaultdict(lambda: [0] * len(FIELDS))
        self.times: dict[str, int] = defaultdict(int)
        self.readings = 1

    def go_to(self, step: str) -> str:
        """Charges the step until now with what was spent since the last reading; returns its name."""
        now, cost, before = self._read(), self.costs[self._step], self._step
        for at, (counted, last) in enumerate(zip(now, self._last, strict=True)):
            cost[at] += counted - last
        cost[FIELDS.index("calls")] -= 1  # of the reading itself
        self.readings += 1
        self._last, self._step = now, step
        return before


class Meter:
    """Counts for the threads and steps of this process."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._guard = threading.Lock()
        self._files: dict[int, int] = {}
        self._steps: dict[int, Steps] = {}
        self._buffer = new_buffer()

    def timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose cost is charged to this step."""

        def counted(*args: Any, **options: Any) -> Any:
            mine = self._mine()
            before = mine.go_to(step)
            mine.times[step] += 1
            try:
                return function(*args, **options)
            finally:
                mine.go_to(before)

        return counted

    def table(self) -> dict[str, dict[str, Any]]:
        """By kind of thread: what it cost in all, and what each step in it cost and how often it was taken."""
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        found: dict[str, dict[str, Any]] = {}
        for thread in map(int, os.listdir("/proc/self/task")):
            file, steps = self._file(thread), self._steps.get(thread)
            cost = read_counters(file, self._buffer)
            kind = found.setdefault(thread_kind(names.get(thread, "")), {"all": [0] * len(FIELDS), "steps": {}})
            if steps:
                cost[FIELDS.index("calls")] -= steps.readings
                for step, spent in list(steps.costs.items()):
                    times, before = kind["steps"].get(step, (0, [0] * len(FIELDS)))
                    kind["steps"][step] = (times + steps.times.get(step, 0), _sum(before, spent))
            kind["all"] = _sum(kind["all"], cost)
        return found

    def _mine(self) -> Steps:
        found: Steps | None = getattr(self._here, "steps", None)
        if found is None:
            thread, buffer = threading.get_native_id(), new_buffer()
            file = self._file(thread)
            found = self._here.steps = self._steps[thread] = Steps(lambda: read_counters(file, buffer))
        return found

    def _file(self, thread: int) -> int:
        with self._guard:
            if thread not in self._files:
                self._files[thread] = open_counters(thread)
            return self._files[thread]


def _sum(one: Counts, other: Counts) -> Counts:
    return [first + second for first, second in zip(one, other, strict=True)]


def thread_kind(name: str) -> str:
    """The name without the number of a thread among its like."""
    return name.rstrip("0123456789_-") or "not Python's"
