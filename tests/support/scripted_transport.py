"""A transport without a network: answers come from a function or a list, calls are recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence

from worker.domain.call import CallResult, NotSent, Reply, Request
from worker.transport.http import Connection
from worker.transport.pending_call import PendingCall

Answer = Callable[[Request], CallResult]


def answered(body: bytes, status: int = 200, **headers: str) -> Reply:
    """A whole answer; header names are given with underscores (`retry_after="3"`)."""
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


class ScriptedTransport:
    """`answers` gives each call's result: a function of the request (run outside the lock, so it may block), or a
    list used up in order. `refuse`, if given, may keep a connection from being made. Thread-safe."""

    def __init__(
        self, answers: Answer | Iterable[CallResult], refuse: Callable[[Request], NotSent | None] | None = None
    ) -> None:
        self._lock = threading.Lock()
        self._answer = answers if callable(answers) else None
        self._list = None if callable(answers) else iter(tuple(answers))
        self._refuse = refuse
        self.calls: list[Request] = []
        """Every request that was called, in the order in which the calls began."""
        self.deadlines: list[float | None] = []
        self.connects: list[Request] = []
        self.open = 0
        """Connections handed out and neither called nor released."""

    def connect(self, request: Request) -> Connection | NotSent:
        """A connection that needs nothing."""
        with self._lock:
            self.connects.append(request)
        refused = self._refuse(request) if self._refuse else None
        if refused is not None:
            return refused
        with self._lock:
            self.open += 1
        return _ScriptedConnection(self)

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NotSent]:
        """The same for each."""
        return [self.connect(request) for request in requests]

    def await_any(self, calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
        """Every call has ended as it began."""
        return list(calls)

    def make(self, request: Request) -> CallResult:
        """A call of a session, for which no connection was asked."""
        return self._call(request, None)

    def _finish(self) -> None:
        with self._lock:
            self.open -= 1

    def _call(self, request: Request, deadline: float | None) -> CallResult:
        with self._lock:
            self.calls.append(request)
            self.deadlines.append(deadline)
            if self._list is not None:
                result = next(self._list, None)
                assert result is not None, f"call {len(self.calls)} has no answer left in the list"
                return result
        assert self._answer is not None
        return self._answer(request)


class _ScriptedConnection:
    def __init__(self, transport: ScriptedTransport) -> None:
        self._transport = transport
        self._used = False

    def begin(self, request: Request, *, deadline: float | None = None) -> PendingCall:
        return _Made(self.call(request, deadline=deadline))

    def call(self, request: Request, *, deadline: float | None = None) -> CallResult:
        if self._used:
            return NotSent("released", 0.0)
        self.release()
        return self._transport._call(request, deadline)

    def release(self) -> None:
        if not self._used:
            self._used = True
            self._transport._finish()


class _Made:
    """A call that was made at once."""

    def __init__(self, result: CallResult) -> None:
        self._result = result

    def result(self) -> CallResult:
        return self._result
