"""One connection of a client: requests come in one after another, faults strike, answers leave.

Does not know what calls mean: control and vendor calls are carried out elsewhere.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

from worker_simulator.answers import HttpAnswer, to_wire
from worker_simulator.request import HttpRequest
from worker_simulator.wecom_webhook.memory import InTheAir
from worker_simulator.wire import routes
from worker_simulator.wire.call_log import LoggedCall
from worker_simulator.wire.faults import FaultAction
from worker_simulator.wire.reader import BadRequest, Reader, first_line
from worker_simulator.wire.writer import AnswerWriter, kill, reset
from worker_simulator.world import World

GRACE_S = 1.0
"""Seconds for which the client's bytes are still read after a cut, so that it gets a FIN and not a RST."""

MOST_OF_A_PAGE = 256 * 1024
"""Bytes of a request for a page: its forms are small."""
MOST_UNREAD = 64 * 1024
"""Bytes of a stream that a client may leave unread."""
TOO_LARGE = HttpAnswer(b"too large: a page takes 256 KiB at most\n", status=413, headers={"Content-Type": "text/plain"})
BAD_REQUEST = HttpAnswer(b"bad request\n", status=400, headers={"Content-Type": "text/plain"})


class Simulated(Protocol):
    """What a connection needs of the simulator."""

    world: World

    def control(self, request: HttpRequest) -> HttpAnswer:
        """Answer a control call."""
        ...

    async def page(self, request: HttpRequest) -> HttpAnswer:
        """Answer a request for a page."""
        ...


class Exchange:
    """One request and its answer on their way, in the world they began in."""

    def __init__(self, world: World, request: HttpRequest) -> None:
        self.world = world
        self.reader = Reader(request)
        self.call: LoggedCall | None = None
        self.early: FaultAction | None = None
        self.in_flight = False
        self.equal: InTheAir | None = None
        if not request.is_ours:
            self.call = world.calls.begin(request, now=world.clock.now(), real=time.monotonic())
            self.early = world.faults.early(request.method, request.path)

    def note_received(self) -> None:
        """Write into the log how far the request has come."""
        self.reader.join()
        if self.call is not None:
            self.call.received = self.reader.received

    def enter(self) -> None:
        """Count the call as in the air from now on."""
        self.world.in_flight[self.reader.request.path] += 1
        self.equal = self.world.webhook.air.enter(self.reader.request)
        self.in_flight = True

    def leave(self) -> None:
        """Count the call as no longer in the air."""
        if self.in_flight:
            self.world.in_flight[self.reader.request.path] -= 1
            self.world.webhook.air.leave(self.equal)
            self.in_flight = False


class ClientConnection(asyncio.Protocol):
    """The protocol of one client connection."""

    def __init__(self, simulated: Simulated) -> None:
        self._simulated = simulated
        self._transport: asyncio.Transport
        self._peer: tuple[str, int] = ("", 0)
        self._waiting = b""
        self._exchange: Exchange | None = None
        self._writer: AnswerWriter | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._visit: asyncio.Task[None] | None = None
        self._deaf = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: a client is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = (peer[0], peer[1])

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: the connection is gone; what has not left never will."""
        self._deaf = True
        if self._timer is not None:
            self._timer.cancel()
        if self._writer is not None:
            self._writer.stop()
        if self._visit is not None:
            self._visit.cancel()
        if self._exchange is not None:
            self._exchange.leave()
            if self._exchange.reader.received != "whole":
                self._exchange.note_received()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came in. Those of a next request wait until this one is answered."""
        if self._deaf:
            return
        self._waiting += data
        try:
            self._read()
        except BadRequest:
            self._refuse(BAD_REQUEST)

    def _refuse(self, answer: HttpAnswer) -> None:
        """Answer what cannot be carried out, and listen no more."""
        self._deaf = True
        self._transport.write(to_wire(answer, keep_alive=False))
        self._transport.close()

    def _read(self) -> None:
        if self._exchange is None:
            request = first_line(self._waiting, *self._peer) if self._waiting else None
            if request is None:
                return
            self._exchange = Exchange(self._simulated.world, request)
        if self._exchange.reader.received != "whole":
            data, self._waiting = self._waiting, b""
            self._feed(self._exchange, data)

    def _feed(self, exchange: Exchange, data: bytes) -> None:
        strike_at = exchange.early.early_at if exchange.early else None
        left = None if strike_at is None else strike_at - exchange.reader.bytes
        if left is None or len(data) < left:
            self._take(exchange, data)
            return
        kept = data if exchange.early and exchange.early.kind == "kill" else data[:left]
        exchange.reader.feed(kept)
        exchange.note_received()
        self._strike_early(exchange)

    def _take(self, exchange: Exchange, data: bytes) -> None:
        reader = exchange.reader
        reader.feed(data)
        if exchange.call is None and reader.request.is_page and reader.bytes > MOST_OF_A_PAGE:
            self._refuse(TOO_LARGE)
            return
        if reader.wants_continue and reader.received == "head":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            reader.wants_continue = False
        if reader.received == "whole":
            self._on_whole(exchange)

    def _strike_early(self, exchange: Exchange) -> None:
        action, call = exchange.early, exchange.call
        assert action is not None
        assert call is not None
        call.fault, call.action, exchange.early = action.kind, action, None
        if action.kind == "kill":
            kill(action, call, self._transport)
            self._after_kill(exchange, action)
        elif action.kind == "cut_request_after":
            self._cut()
        else:
            self._deaf = True
            reset(self._transport)

    def _after_kill(self, exchange: Exchange, action: FaultAction) -> None:
        if not action.applies:
            self._cut()
        elif exchange.reader.received == "whole":
            self._on_whole(exchange)

    def _cut(self) -> None:
        """Close our side at once, and the connection when the client has or after a moment."""
        self._deaf = True
        if not self._transport.can_write_eof():  # TLS
            self._transport.close()
            return
        self._transport.write_eof()
        self._later(GRACE_S, self._transport.close)

    def _on_whole(self, exchange: Exchange) -> None:
        exchange.note_received()
        request = exchange.reader.request
        if exchange.call is None and request.is_page:
            self._visit = asyncio.get_running_loop().create_task(self._show(exchange))
            return
        if exchange.call is None:
            self._transport.write(to_wire(self._simulated.control(request), keep_alive=exchange.reader.keep_alive))
            self._next(exchange)
            return
        exchange.call.time = exchange.world.clock.now()
        action = exchange.world.faults.late(request.method, request.path, request.body)
        if action is not None:
            exchange.call.fault, exchange.call.action = action.kind, action
        self._carry_out(exchange, exchange.call, action)

    async def _show(self, exchange: Exchange) -> None:
        """Answer a page; a stream goes on until the client is gone, or does not read what it is sent."""
        answer = await self._simulated.page(exchange.reader.request)
        if answer.stream is None:
            self._transport.write(to_wire(answer, keep_alive=exchange.reader.keep_alive))
            self._next(exchange)
            return
        self._transport.write(to_wire(answer, keep_alive=False))
        async with aclosing(answer.stream) as stream:
            async for piece in stream:
                if self._transport.get_write_buffer_size() > MOST_UNREAD:
                    self._transport.abort()
                    return
                self._transport.write(piece)

    def _carry_out(self, exchange: Exchange, call: LoggedCall, action: FaultAction | None) -> None:
        world, path = exchange.world, call.request.path
        exchange.enter()
        if action is not None and action.kind == "kill" and not action.kills_late:
            kill(action, call, self._transport)
        answer = call.answer = routes.answered(world, call, action)
        world.calls.carried_out += 1
        if action is not None and action.kind == "hang":
            if action.hang is not None:
                self._later(action.hang, self._transport.close)
        elif answer is None:
            self._cut()
        else:
            self._later(routes.latency(world, path, action), lambda: self._send(exchange, call, answer, action))

    def _send(self, exchange: Exchange, call: LoggedCall, answer: HttpAnswer, action: FaultAction | None) -> None:
        exchange.leave()
        data = to_wire(answer, keep_alive=exchange.reader.keep_alive)
        self._writer = AnswerWriter(self._transport, call, data, lambda: self._next(exchange))
        self._writer.start(action)

    def _next(self, exchange: Exchange) -> None:
        self._exchange = self._writer = None
        if not exchange.reader.keep_alive:
            self._deaf = True
            self._transport.close()
        elif self._waiting:
            self.data_received(b"")

    def _later(self, delay: float, act: Callable[[], object]) -> None:
        if delay <= 0:
            act()
        else:
            self._timer = asyncio.get_running_loop().call_later(delay, act)
