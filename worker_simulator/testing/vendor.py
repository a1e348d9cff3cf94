"""The fake vendors in this process: a transport without sockets or threads.

Calls and callbacks are carried out at once.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

import requests

from worker.domain.call import CallResult, FileBody, NoAnswer, NotSent, Reply, Request
from worker.domain.content.web import web_address
from worker.language import with_chinese_note
from worker.transport.connection import Stream
from worker.transport.egress.dial import Deadline, Resolve
from worker.transport.egress.proxy import Addresses
from worker.transport.egress.routes import Route
from worker.transport.http import Connection
from worker.transport.multipart import multipart
from worker.transport.pending_call import EndedCall, PendingCall
from worker.transport.session import Web
from worker_simulator.control import answer as answer_control
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.testing.faults import UNREACHABLE, rule_of
from worker_simulator.vendor_state import VendorState
from worker_simulator.wire import routes
from worker_simulator.wire.call_log import LoggedCall
from worker_simulator.wire.callbacks import Callback, Callbacks, CallbackTarget

Receive = Callable[[str, Mapping[str, str], bytes], None]
"""Receives a callback: its URL, query and body."""
_BOUNDARY = "b0undary"
_LOOPBACK = "127.0.0.1"
_PUBLIC = "93.184.215.14"
"""What every host name resolves to: an address that may be fetched from."""


class Vendor:
    """The transport of a test, and the state of the fake vendor."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._state = self._with_callbacks(VendorState(SimulatorSettings()))
        self.unreachable: int | None = 0
        """How many of the next connections fail, or None for all."""

    @property
    def state(self) -> VendorState:
        """The state of the fake vendor. One that a reset puts in its place goes on in the same time."""
        return self._state

    @state.setter
    def state(self, state: VendorState) -> None:
        state.clock.set(self._state.clock.now(), frozen=True)
        self._state = self._with_callbacks(state)

    def _with_callbacks(self, state: VendorState) -> VendorState:
        state.callbacks = _ImmediateCallbacks(state, self._receive)
        return state

    @property
    def settings(self) -> SimulatorSettings:
        """The current settings of the fake vendor."""
        return self._state.settings

    def fault(self, fault: str | int, path: str | None, times: int | None) -> None:
        """Breaks the next calls; see `rule_of`."""
        if fault == UNREACHABLE:
            self.unreachable = times
        else:
            self.state.faults.add([rule_of(fault, path, times)])

    def control(self, method: str, name: str, body: bytes = b"", query: Mapping[str, str] | None = None) -> Any:
        """Makes a control call. Raises ValueError with its error."""
        answer = answer_control(self, HttpRequest(method, f"/_control/{name}", dict(query or {}), body=body))
        content = HttpRequest("", "", {}, body=answer.body).json()
        if answer.status != 200:
            raise with_chinese_note(ValueError(content["error"]))
        return content

    # -- as a transport -----------------------------------------------------------------------------------------------

    def connect(self, request: Request) -> Connection | NotSent:
        """Returns a connection, or NotSent while the vendor is unreachable."""
        if self.unreachable == 0:
            return _ImmediateConnection(self)
        if self.unreachable is not None:
            self.unreachable -= 1
        return NotSent("refused", 0.0)

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NotSent]:
        """Returns a connection for each request."""
        return [self.connect(request) for request in requests]

    def await_any(self, calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
        """Returns all calls: each has ended already."""
        return list(calls)

    def carry_out(self, request: Request) -> CallResult:
        """Carries out a call. Returns the vendor's answer, or the result of a fault."""
        state, received = self.state, _http_request(request)
        call = state.calls.begin(received, now=state.clock.now(), real=0.0)
        early_fault = state.faults.while_receiving(received.method, received.path)
        if early_fault is not None:
            call.fault, call.action, call.received = early_fault.kind, early_fault, "partial"
            return NoAnswer("reset", 0.0)
        call.received, action = "whole", state.faults.on_request(received.method, received.path, received.body)
        if action is not None:
            call.fault, call.action = action.kind, action
        answer = call.answer = routes.carry_out(state, call, action)
        state.calls.carried_out += 1
        if answer is None or call.fault in _UNREAD:
            return NoAnswer("read_timeout" if call.fault == "hang" else "cut", 0.0)
        call.answered = "whole"
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(answer.status, headers, answer.body)

    def calls(self, path: str | None = None) -> list[LoggedCall]:
        """Returns the calls of a path or of all, oldest first, without those that fetch a token."""
        newest = self.state.calls.newest()
        calls = [call for call in reversed(list(newest)) if not call.request.path.endswith("gettoken")]
        return [call for call in calls if path in (None, call.request.path)]


_UNREAD = frozenset({"hang", "cut_response_after", "reset_response_after", "drip", "kill"})
"""Faults after which no complete answer can be read."""


def _http_request(request: Request) -> HttpRequest:
    body, content_type = request.body or b"", request.content_type
    if isinstance(body, FileBody):
        content_type = f"multipart/form-data; boundary={_BOUNDARY}"
        body = b"".join(multipart(body, _BOUNDARY)[1])
    headers = {"content-type": content_type, "content-length": str(len(body))}
    return HttpRequest(request.method, request.path, dict(request.query), _LOOPBACK, headers=headers, body=body)


class _ImmediateConnection:
    """A connection whose calls end when they begin."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor

    def begin(self, request: Request, *, deadline: float | None = None) -> PendingCall:
        return EndedCall(self.call(request))

    def call(self, request: Request, *, deadline: float | None = None) -> CallResult:
        return self._vendor.carry_out(request)

    def release(self) -> None:
        """Does nothing: there is no connection."""


class _ImmediateCallbacks(Callbacks):
    """Callbacks that are received as soon as they are sent."""

    def __init__(self, state: VendorState, receive: Receive) -> None:
        super().__init__(state.settings, state.clock, state.calls)
        self._receive = receive

    def send(self, app: CallbackTarget, event: bytes, about: dict[str, Any]) -> Callback:
        """Sends an event. It is stored when this returns."""
        if app.callback_url is None:
            raise with_chinese_note(ValueError(f"{app.name} has no callback address in the application's settings"))
        query, encrypted = self._encrypt(app, event)
        self._receive(app.callback_url, query, app.wrap(encrypted).encode())
        callback = Callback("event", app, about, state="taken")
        self.all.append(callback)
        return callback


class UrlPages(Web):
    """The content of URLs that files are fetched from. Other URLs are not found."""

    def __init__(self) -> None:
        resolved: Addresses = [(socket.AF_INET, (_PUBLIC, 80))]
        super().__init__(monotonic=lambda: 0.0, dial=self._dial, resolve=lambda host, port: resolved)
        self._contents: dict[str, bytes] = {}

    def __setitem__(self, url: str, content: bytes) -> None:
        """Sets the content of a URL."""
        to = web_address(requests.Request("GET", url).prepare().url)
        self._contents[f"{to.scheme}://{to.host_header}{to.target}"] = content

    def _dial(self, route: Route, deadline: Deadline, resolve: Resolve) -> Stream:
        resolve(route.host, route.port)
        return cast(Stream, _PageSocket(lambda target: self._contents.get(f"{route.origin}{target}")))


class _PageSocket:
    """A socket whose server answers each request at once, with the content of its target."""

    def __init__(self, content_of: Callable[[str], bytes | None]) -> None:
        self._content_of, self._request, self._answer = content_of, b"", io.BytesIO()

    def setblocking(self, flag: bool) -> None:
        """Does nothing."""

    def send(self, data: memoryview) -> int:
        """Takes all bytes, and answers a whole request."""
        self._request += data
        if self._request.endswith(b"\r\n\r\n"):
            content = self._content_of(self._request.split(b" ")[1].decode())
            status = "404 Not Found" if content is None else "200 OK"
            self._answer = io.BytesIO(b"HTTP/1.1 %b\r\n\r\n%b" % (status.encode(), content or b""))
        return len(data)

    def recv_into(self, buffer: memoryview) -> int:
        """Returns what is left of the answer."""
        return self._answer.readinto(buffer)

    def close(self) -> None:
        """Does nothing."""
