"""The way of a process to the vendor: connections, and calls that end as the vendor's fates say."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from bench.explore.fates import ERRCODES, MESSAGES, NAMES, SEND, UNSEEN, Fate
from bench.explore.fibers import FOREVER, Home
from bench.explore.vendor import Vendor, body_of
from worker.domain.call import CallResult, FileBody, NoAnswer, NotSent, Reply, Request, Unsent
from worker.transport.connection import FileFault
from worker.transport.http import Connection
from worker.transport.multipart import multipart
from worker.transport.pending_call import PendingCall


class Network:
    """One process's way to the vendor."""

    def __init__(self, vendor: Vendor, home: Home, step: Callable[[str], None]):
        self._vendor, self._home, self._step = vendor, home, step

    def connect(self, request: Request) -> Connection | NotSent:
        """See `Transport`."""
        return self.connect_all([request])[0]

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NotSent]:
        """See `Transport`."""
        self._step("connect")
        if not self._vendor.is_reached():
            return [NotSent("refused", 0.0) for _ in requests]
        return [_Connection(self._vendor, self._home) for _ in requests]

    def await_any(self, calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
        """See `Transport`."""
        scheduler = self._vendor.scheduler
        until = FOREVER if timeout_s is None else scheduler.now + timeout_s
        while True:
            ended: list[PendingCall] = [call for call in calls if isinstance(call, _Pending) and call.has_ended]
            if ended or scheduler.now >= until:
                return ended
            soonest = min(call.ends_at for call in calls if isinstance(call, _Pending))
            scheduler.wait(min(until, soonest))


class _Connection:
    def __init__(self, vendor: Vendor, home: Home):
        self._vendor, self._home = vendor, home

    def begin(self, request: Request, *, deadline: float | None = None) -> PendingCall:
        return _Pending(self._vendor, self._home, request)

    def call(self, request: Request, *, deadline: float | None = None) -> CallResult:
        return self.begin(request).result()

    def release(self) -> None:
        """There is nothing to give back."""


class _Pending:
    """A call that was begun; the vendor has it a moment later, whatever becomes of the process."""

    def __init__(self, vendor: Vendor, home: Home, request: Request):
        scheduler, chance = vendor.scheduler, vendor.chance
        self._vendor, self._request, self._scheduler = vendor, request, scheduler
        self._fault, file = _read_file(request)
        if self._fault is not None:
            self.ends_at = scheduler.now
            return
        self._fate = vendor.fate(request)
        if self._fate is not Fate.ANSWERED:
            what = vendor.text(body_of(request)) if request.path in MESSAGES else NAMES[request.path]
            vendor.told(f"the call for {what} is {self._fate}")
        self._answer: Reply | None = None
        deadline_s = request.deadline_s
        delay_s = chance.uniform(0.001, 0.02)
        # The vendor's windows count from the arrival, and the guard of a window is 50 ms at most.
        if self._fate in (Fate.UNREACHABLE, Fate.UNSENT):
            self.ends_at = scheduler.now + delay_s
            return
        if self._fate in (Fate.LOST, Fate.UNANSWERED):
            self.ends_at = scheduler.now + deadline_s
            if request.path in MESSAGES:
                vendor.unanswered[vendor.text(body_of(request))] = self.ends_at
        elif self._fate is Fate.SLOW:
            self.ends_at = scheduler.now + chance.uniform(0.3, 0.95) * deadline_s
        else:
            self.ends_at = scheduler.now + delay_s + chance.uniform(0.001, chance.choice([0.1, 0.1, 1.0]))
        if self._fate is not Fate.LOST:
            self._answer = vendor.take(request, self._fate, file)
            home.is_refused |= request.path == SEND and self._fate in ERRCODES and self._fate not in UNSEEN

    @property
    def has_ended(self) -> bool:
        return self._scheduler.now >= self.ends_at

    def result(self) -> CallResult:
        while not self.has_ended:
            self._scheduler.wait(self.ends_at)
        if self._fault is not None:
            return self._fault
        if self._fate in (Fate.UNREACHABLE, Fate.UNSENT):
            return NotSent("reset", 0.01, Unsent.DROPPED if self._fate is Fate.UNSENT else None)
        if self._answer is None or self._fate in (Fate.LOST, Fate.UNANSWERED, Fate.CUT):
            return NoAnswer("cut" if self._fate is Fate.CUT else "read_timeout", 0.1)
        return self._answer


def _read_file(request: Request) -> tuple[NotSent | None, str]:
    """Returns what the file of an upload says, or why it was not sent: then not all of it could be read."""
    if not isinstance(request.body, FileBody):
        return None, ""
    try:
        _, chunks = multipart(request.body, "boundary")
        content = re.search(rb"job \d+", b"".join(chunks))
    except FileFault:
        return NotSent("file", 0.0), ""
    return None, content[0].decode() if content else ""
