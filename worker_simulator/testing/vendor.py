"""The fake vendors in this process: a transport whose calls are carried out at once, and callbacks that arrive at once.

No socket and no thread: the simulator's world is asked directly, with the requests that would have left.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from worker.delivery.resolver.http_get import WebAnswer
from worker.domain.call import CallResult, FileBody, NoAnswer, NotSent, Reply, Request
from worker.domain.content.web import WebAddress
from worker.language import with_chinese_note
from worker.transport.http import Connection
from worker.transport.multipart import multipart
from worker.transport.pending_call import EndedCall, PendingCall
from worker_simulator.control import answer as controlled
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.testing.faults import UNREACHABLE, rule_of
from worker_simulator.wire import routes
from worker_simulator.wire.call_log import LoggedCall
from worker_simulator.wire.callbacks import Callback, Callbacks, Callee
from worker_simulator.world import World

Receive = Callable[[str, Mapping[str, str], bytes], None]
"""What takes a callback: by its address, its query and its body."""
_BOUNDARY = "b0undary"
_LOOPBACK = "127.0.0.1"
_PUBLIC = "93.184.215.14"
"""What every name resolves to: an address that may be fetched from."""


class Vendor:
    """The transport of a test, and the world behind it."""

    def __init__(self, receive: Receive) -> None:
        self.settings = SimulatorSettings()
        self.world = World(self.settings)
        self.world.callbacks = _CallbacksAtOnce(self.world, receive)
        self.unreachable: int | None = 0
        """How many of the next connections cannot be made; None: none can."""

    def fault(self, fault: str | int, path: str | None, times: int | None) -> None:
        """Breaks the next calls; see `rule_of`."""
        if fault == UNREACHABLE:
            self.unreachable = times
        else:
            self.world.faults.add([rule_of(fault, path, times)])

    def control(self, method: str, name: str, body: bytes = b"", query: Mapping[str, str] | None = None) -> Any:
        """Carries out a call of the simulator's control; ValueError says what is wrong with it."""
        found = controlled(self, HttpRequest(method, f"/_control/{name}", dict(query or {}), body=body))
        said = HttpRequest("", "", {}, body=found.body).json()
        if found.status != 200:
            raise with_chinese_note(ValueError(said["error"]))
        return said

    # -- as a transport -----------------------------------------------------------------------------------------------

    def connect(self, request: Request) -> Connection | NotSent:
        """A connection that needs nothing."""
        if self.unreachable == 0:
            return _AtOnce(self)
        if self.unreachable is not None:
            self.unreachable -= 1
        return NotSent("refused", 0.0)

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NotSent]:
        """The same for each."""
        return [self.connect(request) for request in requests]

    def await_any(self, calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
        """Every call has ended as it began."""
        return list(calls)

    def carry_out(self, request: Request) -> CallResult:
        """What becomes of one call: the vendor's answer, or what a fault makes of it."""
        world, came = self.world, _as_it_comes(request)
        call = world.calls.begin(came, now=world.clock.now(), real=0.0)
        early = world.faults.early(came.method, came.path)
        if early is not None:
            call.fault, call.action, call.received = early.kind, early, "partial"
            return NoAnswer("reset", 0.0)
        call.received, action = "whole", world.faults.late(came.method, came.path, came.body)
        if action is not None:
            call.fault, call.action = action.kind, action
        answer = call.answer = routes.answered(world, call, action)
        world.calls.carried_out += 1
        if answer is None or call.fault in _UNREAD:
            return NoAnswer("read_timeout" if call.fault == "hang" else "cut", 0.0)
        call.answered = "whole"
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(answer.status, headers, answer.body)

    def calls(self, path: str | None = None) -> list[LoggedCall]:
        """The calls that came, tokens aside, oldest first; only those of a path."""
        every = reversed(list(self.world.calls.newest()))
        return [call for call in every if not call.request.path.endswith("gettoken") and path in (None, _path(call))]


_UNREAD = frozenset({"hang", "cut_response_after", "reset_response_after", "drip", "kill"})
"""Faults under which no whole answer is read."""


def _path(call: LoggedCall) -> str:
    return call.request.path


def _as_it_comes(request: Request) -> HttpRequest:
    body, content_type = request.body or b"", request.content_type
    if isinstance(body, FileBody):
        content_type = f"multipart/form-data; boundary={_BOUNDARY}"
        body = b"".join(multipart(body, _BOUNDARY)[1])
    headers = {"content-type": content_type, "content-length": str(len(body))}
    return HttpRequest(request.method, request.path, dict(request.query), _LOOPBACK, headers=headers, body=body)


class _AtOnce:
    """A connection whose call has ended when it has begun."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor

    def begin(self, request: Request, *, deadline: float | None = None) -> PendingCall:
        return EndedCall(self.call(request))

    def call(self, request: Request, *, deadline: float | None = None) -> CallResult:
        return self._vendor.carry_out(request)

    def release(self) -> None:
        """There is nothing to give back."""


class _CallbacksAtOnce(Callbacks):
    """Callbacks that are taken where they are sent."""

    def __init__(self, world: World, receive: Receive) -> None:
        super().__init__(world.settings, world.clock, world.calls)
        self._receive = receive

    def send(self, app: Callee, event: bytes, about: dict[str, Any]) -> Callback:
        """Sends an event, which is stored when this returns."""
        if app.callback_url is None:
            raise with_chinese_note(ValueError(f"{app.name} has no callback address in the application's settings"))
        query, encrypted = self._sealed(app, event)
        self._receive(app.callback_url, query, app.wrapped(encrypted).encode())
        callback = Callback("event", app, about, state="taken")
        self.all.append(callback)
        return callback


class UrlPages:
    """What files by URL are fetched from: each URL with its content; any other is not found."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}

    def __setitem__(self, url: str, content: bytes) -> None:
        """Puts content behind a URL."""
        self._contents[url] = content

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """See `Web`."""
        return [_PUBLIC]

    @contextmanager
    def get(self, to: WebAddress, address: str, within_s: float, stopping: Callable[[], bool]) -> Iterator[WebAnswer]:
        """See `Web`."""
        found = self._contents.get(to.url)
        yield WebAnswer(404 if found is None else 200, {}, iter([found or b""]))
