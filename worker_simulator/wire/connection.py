"""One client connection: requests arrive one after another, fault rules apply, answers are sent."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

from worker_simulator.answers import HttpAnswer, to_bytes
from worker_simulator.request import HttpRequest
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_webhook.memory import SendKey
from worker_simulator.wire import routes
from worker_simulator.wire.call_log import LoggedCall
from worker_simulator.wire.faults import FaultAction
from worker_simulator.wire.reader import BadRequest, Reader, first_line
from worker_simulator.wire.writer import AnswerWriter, kill, reset

GRACE_S = 1.0
"""Seconds for which the client's bytes are still read after a cut, so that the client gets FIN and not RST."""

MAX_PAGE_REQUEST_BYTES = 256 * 1024
"""The largest request for a page. Its forms are small."""
MAX_UNREAD_BYTES = 64 * 1024
"""How many bytes of a stream a client may leave unread before it is disconnected."""
TOO_LARGE = HttpAnswer(b"too large: a page takes 256 KiB at most\n", status=413, headers={"Content-Type": "text/plain"})
BAD_REQUEST = HttpAnswer(b"bad request\n", status=400, headers={"Content-Type": "text/plain"})


class Backend(Protocol):
    """What a connection needs of the simulator."""

    state: VendorState

    def control(self, request: HttpRequest) -> HttpAnswer:
        """Answers a control call."""
        ...

    async def page(self, request: HttpRequest) -> HttpAnswer:
        """Answers a request for a page."""
        ...


class Exchange:
    """One request and its answer. It keeps the state in which it began, also after a reset."""

    def __init__(self, state: VendorState, request: HttpRequest) -> None:
        self.state = state
        self.reader = Reader(request)
        self.call: LoggedCall | None = None
        self.early_fault: FaultAction | None = None
        self.in_flight = False
        self.send_key: SendKey | None = None
        if not request.is_ours:
            self.call = state.calls.begin(request, now=state.clock.now(), real=time.monotonic())
            self.early_fault = state.faults.while_receiving(request.method, request.path)

    def record_received(self) -> None:
        """Writes to the log how much of the request has arrived."""
        self.reader.join()
        if self.call is not None:
            self.call.received = self.reader.received

    def enter(self) -> None:
        """Counts the call as in flight."""
        self.state.in_flight[self.reader.request.path] += 1
        self.send_key = self.state.webhook.in_flight.begin(self.reader.request)
        self.in_flight = True

    def leave(self) -> None:
        """Counts the call as no longer in flight."""
        if self.in_flight:
            self.state.in_flight[self.reader.request.path] -= 1
            self.state.webhook.in_flight.end(self.send_key)
            self.in_flight = False


class ClientConnection(asyncio.Protocol):
    """The protocol of one client connection."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._transport: asyncio.Transport
        self._peer: tuple[str, int] = ("", 0)
        self._buffer = b""
        self._exchange: Exchange | None = None
        self._writer: AnswerWriter | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._page_task: asyncio.Task[None] | None = None
        self._ignores_input = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: a client has connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = (peer[0], peer[1])

    def abort(self) -> None:
        """Closes the connection at once."""
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: the connection is closed. Stops what was still to be sent."""
        self._ignores_input = True
        if self._timer is not None:
            self._timer.cancel()
        if self._writer is not None:
            self._writer.stop()
        if self._page_task is not None:
            self._page_task.cancel()
        if self._exchange is not None:
            self._exchange.leave()
            if self._exchange.reader.received != "whole":
                self._exchange.record_received()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes have arrived. Those of the next request wait until this one is answered."""
        if self._ignores_input:
            return
        self._buffer += data
        try:
            self._read()
        except BadRequest:
            self._refuse(BAD_REQUEST)

    def _refuse(self, answer: HttpAnswer) -> None:
        """Sends an error answer, closes the connection, and ignores further bytes."""
        self._ignores_input = True
        self._transport.write(to_bytes(answer, keep_alive=False))
        self._transport.close()

    def _read(self) -> None:
        if self._exchange is None:
            request = first_line(self._buffer, *self._peer) if self._buffer else None
            if request is None:
                return
            self._exchange = Exchange(self._backend.state, request)
        if self._exchange.reader.received != "whole":
            data, self._buffer = self._buffer, b""
            self._feed(self._exchange, data)

    def _feed(self, exchange: Exchange, data: bytes) -> None:
        fault_at = exchange.early_fault.fault_at if exchange.early_fault else None
        remaining = None if fault_at is None else fault_at - exchange.reader.bytes
        if remaining is None or len(data) < remaining:
            self._receive(exchange, data)
            return
        received = data if exchange.early_fault and exchange.early_fault.kind == "kill" else data[:remaining]
        exchange.reader.feed(received)
        exchange.record_received()
        self._apply_early_fault(exchange)

    def _receive(self, exchange: Exchange, data: bytes) -> None:
        reader = exchange.reader
        reader.feed(data)
        if exchange.call is None and reader.request.is_page and reader.bytes > MAX_PAGE_REQUEST_BYTES:
            self._refuse(TOO_LARGE)
            return
        if reader.wants_continue and reader.received == "head":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            reader.wants_continue = False
        if reader.received == "whole":
            self._on_request(exchange)

    def _apply_early_fault(self, exchange: Exchange) -> None:
        action, call = exchange.early_fault, exchange.call
        assert action is not None
        assert call is not None
        call.fault, call.action, exchange.early_fault = action.kind, action, None
        if action.kind == "kill":
            kill(action, call, self._transport)
            self._after_kill(exchange, action)
        elif action.kind == "cut_request_after":
            self._cut()
        else:
            self._ignores_input = True
            reset(self._transport)

    def _after_kill(self, exchange: Exchange, action: FaultAction) -> None:
        if not action.applies:
            self._cut()
        elif exchange.reader.received == "whole":
            self._on_request(exchange)

    def _cut(self) -> None:
        """Sends FIN at once, and closes the connection when the client does or after a moment."""
        self._ignores_input = True
        if not self._transport.can_write_eof():  # TLS
            self._transport.close()
            return
        self._transport.write_eof()
        self._call_later(GRACE_S, self._transport.close)

    def _on_request(self, exchange: Exchange) -> None:
        exchange.record_received()
        request = exchange.reader.request
        if exchange.call is None and request.is_page:
            self._page_task = asyncio.get_running_loop().create_task(self._serve_page(exchange))
            return
        if exchange.call is None:
            self._transport.write(to_bytes(self._backend.control(request), keep_alive=exchange.reader.keep_alive))
            self._next(exchange)
            return
        exchange.call.time = exchange.state.clock.now()
        action = exchange.state.faults.on_request(request.method, request.path, request.body)
        if action is not None:
            exchange.call.fault, exchange.call.action = action.kind, action
        self._carry_out(exchange, exchange.call, action)

    async def _serve_page(self, exchange: Exchange) -> None:
        """Answers a page. A stream ends when the client disconnects or stops reading."""
        answer = await self._backend.page(exchange.reader.request)
        if answer.stream is None:
            self._transport.write(to_bytes(answer, keep_alive=exchange.reader.keep_alive))
            self._next(exchange)
            return
        self._transport.write(to_bytes(answer, keep_alive=False))
        async with aclosing(answer.stream) as stream:
            async for piece in stream:
                if self._transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
                    self._transport.abort()
                    return
                self._transport.write(piece)

    def _carry_out(self, exchange: Exchange, call: LoggedCall, action: FaultAction | None) -> None:
        state, path = exchange.state, call.request.path
        exchange.enter()
        if action is not None and action.kind == "kill" and not action.kills_late:
            kill(action, call, self._transport)
        answer = call.answer = routes.carry_out(state, call, action)
        state.calls.carried_out += 1
        if action is not None and action.kind == "hang":
            if action.hang is not None:
                self._call_later(action.hang, self._transport.close)
        elif answer is None:
            self._cut()
        else:
            self._call_later(routes.latency(state, path, action), lambda: self._send(exchange, call, answer, action))

    def _send(self, exchange: Exchange, call: LoggedCall, answer: HttpAnswer, action: FaultAction | None) -> None:
        exchange.leave()
        data = to_bytes(answer, keep_alive=exchange.reader.keep_alive)
        self._writer = AnswerWriter(self._transport, call, data, lambda: self._next(exchange))
        self._writer.start(action)

    def _next(self, exchange: Exchange) -> None:
        self._exchange = self._writer = None
        if not exchange.reader.keep_alive:
            self._ignores_input = True
            self._transport.close()
        elif self._buffer:
            self.data_received(b"")

    def _call_later(self, delay: float, callback: Callable[[], object]) -> None:
        if delay <= 0:
            callback()
        else:
            self._timer = asyncio.get_running_loop().call_later(delay, callback)
