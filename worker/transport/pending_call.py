"""Calls in the air: each is begun without waiting, and one thread waits for many of them together."""

from __future__ import annotations

import select
from collections.abc import Callable, Collection
from typing import Protocol

from worker.domain.call import CallResult
from worker.transport.connection import Line


class PendingCall(Protocol):
    """A call that was begun."""

    def result(self) -> CallResult:
        """What came of it; waits for the answer until the call's deadline. The same at every call."""


class EndedCall:
    """A call that ended as it began, or was made at once."""

    def __init__(self, result: CallResult) -> None:
        self._result = result

    def result(self) -> CallResult:
        """What came of it."""
        return self._result


class OnTheWire:
    """A call whose request is being written, or whose answer is on its way; `finish` reads the answer."""

    def __init__(self, line: Line, finish: Callable[[], CallResult]) -> None:
        self.line = line
        self._finish = finish
        self._result: CallResult | None = None
        self.writes = not line.wire.written

    def go_on(self) -> bool:
        """Writes and takes in what is possible at once; True when `result` has nothing to wait for."""
        try:
            if not self.line.push():
                return False
            self.writes = False
            return self.line.wire.gather()
        except Exception:  # noqa: BLE001  reading meets it again, and says what it means
            return True

    def result(self) -> CallResult:
        """What came of it."""
        if self._result is None:
            self._result = self._finish()
        return self._result


def await_any(
    calls: Collection[PendingCall], monotonic: Callable[[], float], timeout_s: float | None = None
) -> list[PendingCall]:
    """Waits until at least one call has ended, or `timeout_s` seconds are over; returns those that have."""
    on_the_wire = {call.line.wire.fileno(): call for call in calls if isinstance(call, OnTheWire)}
    if len(on_the_wire) < len(calls):
        return [call for call in calls if not isinstance(call, OnTheWire)]
    until = min(call.line.wire.deadline for call in on_the_wire.values())
    if timeout_s is not None:
        until = min(until, monotonic() + timeout_s)
    elif len(calls) == 1:
        # Its result waits by itself.
        return list(calls)
    poller = select.poll()
    for number, call in on_the_wire.items():
        poller.register(number, select.POLLOUT if call.writes else select.POLLIN)
    while True:
        ready = poller.poll(max(0.0, until - monotonic()) * 1000)
        now = monotonic() if ready else until
        ended: list[PendingCall] = []
        for number, _ in ready:
            call = on_the_wire[number]
            if call.go_on():
                ended.append(call)
            elif not call.writes:
                poller.modify(number, select.POLLIN)
        ended += [call for call in on_the_wire.values() if call.line.wire.deadline <= now and call not in ended]
        if ended or now >= until:
            return ended
