"""Calls in flight. Each begins without waiting, and one thread waits for many of them together."""

from __future__ import annotations

import select
from collections.abc import Callable, Collection
from typing import Protocol

from worker.domain.call import CallResult
from worker.transport.connection import PooledConnection


class PendingCall(Protocol):
    """A call that has begun."""

    def result(self) -> CallResult:
        """Returns the result, and waits for the answer until the call's deadline. Returns the same each time."""


class EndedCall:
    """A call that ended as it began, or was made at once."""

    def __init__(self, result: CallResult) -> None:
        self._result = result

    def result(self) -> CallResult:
        """Returns the result."""
        return self._result


class CallInFlight:
    """A call whose request is being written, or whose answer is awaited. `finish` reads the answer."""

    def __init__(self, connection: PooledConnection, finish: Callable[[], CallResult]) -> None:
        self.connection = connection
        self._finish = finish
        self._result: CallResult | None = None
        self.is_writing = not connection.adapter.written

    def advance(self) -> bool:
        """Writes and receives what is possible without waiting. Returns True if `result` would not wait."""
        try:
            if not self.connection.push():
                return False
            self.is_writing = False
            return self.connection.adapter.gather()
        except Exception:  # noqa: BLE001  reading meets the error again, and interprets it
            return True

    def result(self) -> CallResult:
        """Returns the result."""
        if self._result is None:
            self._result = self._finish()
        return self._result


def await_any(
    calls: Collection[PendingCall], monotonic: Callable[[], float], timeout_s: float | None = None
) -> list[PendingCall]:
    """Waits until at least one call has ended, or for `timeout_s` seconds. Returns the calls that have ended."""
    in_flight = {call.connection.adapter.fileno(): call for call in calls if isinstance(call, CallInFlight)}
    if len(in_flight) < len(calls):
        return [call for call in calls if not isinstance(call, CallInFlight)]
    until = min(call.connection.adapter.deadline for call in in_flight.values())
    if timeout_s is not None:
        until = min(until, monotonic() + timeout_s)
    elif len(calls) == 1:
        # The call's own result waits for it.
        return list(calls)
    poller = select.poll()
    for number, call in in_flight.items():
        poller.register(number, select.POLLOUT if call.is_writing else select.POLLIN)
    while True:
        ready = poller.poll(max(0.0, until - monotonic()) * 1000)
        now = monotonic() if ready else until
        ended: list[PendingCall] = []
        for number, _ in ready:
            call = in_flight[number]
            if call.advance():
                ended.append(call)
            elif not call.is_writing:
                poller.modify(number, select.POLLIN)
        ended += [call for call in in_flight.values() if call.connection.adapter.deadline <= now and call not in ended]
        if ended or now >= until:
            return ended
