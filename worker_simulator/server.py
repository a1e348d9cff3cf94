"""The simulator as a server: full or bare, as a process or in a thread of a test."""

import asyncio
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakSet

from worker_simulator import control
from worker_simulator.answers import HttpAnswer, json_answer
from worker_simulator.inbox.guard import is_foreign, is_known_host, is_loopback
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.vendor_state import VendorState
from worker_simulator.wire.bare import Bare, BareConnection
from worker_simulator.wire.connection import ClientConnection

if TYPE_CHECKING:
    from worker_simulator.inbox.pages import Pages

Connection = ClientConnection | BareConnection
ConnectionFactory = Callable[[], Connection]
BACKLOG = 1024
ACCEPT_TURNS = 4
"""Turns of the event loop after which every accepted connection has its transport.

A server that is closed before leaves the sockets of the others open.
"""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """The address to listen on. Port 0 picks a free port."""

    host: str = "127.0.0.1"
    port: int = 0
    certfile: str | None = None
    keyfile: str | None = None

    def tls(self) -> ssl.SSLContext | None:
        """Returns the TLS context, or None without a certificate."""
        if self.certfile is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certfile, self.keyfile)
        return context

    def url(self, port: int) -> str:
        """Returns the URL for clients."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certfile else 'http'}://{host}:{port}"


class Simulator:
    """The full simulator. All connections share one state."""

    def __init__(self, settings: SimulatorSettings, address: ListenAddress) -> None:
        self.state = VendorState(settings)
        self._scheme = "https" if address.certfile else "http"
        self._loopback = is_loopback(address.host)
        self._pages: Pages | None = None

    def control(self, request: HttpRequest) -> HttpAnswer:
        """Answers a control call.

        A call from a page of another site gets 403, because any browser may have one open.
        """
        if is_foreign(request) or not is_known_host(request, loopback=self._loopback):
            return json_answer(
                {"error": "the call comes from a page of another site, or names another host"}, status=403
            )
        return control.answer(self, request)

    async def page(self, request: HttpRequest) -> HttpAnswer:
        """Answers a request for a page."""
        if self._pages is None:
            # Loading the templates takes 0.3 s, in which the vendor's calls go on.
            pages_class = await asyncio.to_thread(_load_pages)
            self._pages = self._pages or pages_class(self, scheme=self._scheme, loopback=self._loopback)
        return await self._pages.answer(request)

    def connection(self) -> ClientConnection:
        """Returns the protocol of a new connection."""
        return ClientConnection(self)


def _load_pages() -> "type[Pages]":
    from worker_simulator.inbox.pages import Pages  # at the first request for a page

    return Pages


def serve(
    host: str,
    port: int,
    *,
    settings: SimulatorSettings,
    bare: bool = False,
    latency_s: float = 0.0,
    announce: Callable[[str], None] | None = None,
    certfile: str | None = None,
    keyfile: str | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT. Calls `announce` with one line that contains the URL."""
    address = ListenAddress(host, port, certfile, keyfile)
    asyncio.run(_serve(_factory(settings, bare, latency_s, address), address, announce))


@contextmanager
def running(settings: SimulatorSettings | None = None, *, bare: bool = False, latency_s: float = 0.0) -> Iterator[str]:
    """Runs a simulator in a thread of this process, for tests. Yields its URL."""
    ready: list[str] = []
    started, loop = threading.Event(), asyncio.new_event_loop()
    stopping = asyncio.Event()

    def announce(url: str) -> None:
        ready.append(url)
        started.set()

    factory = _factory(settings or SimulatorSettings(), bare, latency_s, ListenAddress())
    thread = threading.Thread(
        target=_in_thread, args=(loop, factory, announce, stopping), name="simulator", daemon=True
    )
    thread.start()
    started.wait()
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()


def _factory(settings: SimulatorSettings, bare: bool, latency_s: float, address: ListenAddress) -> ConnectionFactory:
    if bare:
        return Bare(latency_s).connection
    if latency_s:
        settings.latency_s = latency_s
    return Simulator(settings, address).connection


def _in_thread(
    loop: asyncio.AbstractEventLoop,
    factory: ConnectionFactory,
    announce: Callable[[str], None],
    stopping: asyncio.Event,
) -> None:
    try:
        loop.run_until_complete(_listen(factory, ListenAddress(), announce, stopping))
    finally:
        tasks = asyncio.all_tasks(loop)  # callbacks on their way
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks))
        loop.close()


async def _serve(factory: ConnectionFactory, address: ListenAddress, announce: Callable[[str], None] | None) -> None:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    print_line = announce or (lambda line: None)
    await _listen(factory, address, lambda url: print_line(f"simulator listening on {url}"), stopping)


async def _listen(
    factory: ConnectionFactory, address: ListenAddress, announce: Callable[[str], None], stopping: asyncio.Event
) -> None:
    """Listens until `stopping` is set, then closes every connection."""
    connections: WeakSet[Connection] = WeakSet()

    def new_connection() -> Connection:
        connection = factory()
        connections.add(connection)
        return connection

    loop, tls = asyncio.get_running_loop(), address.tls()
    server = await loop.create_server(new_connection, address.host, address.port, ssl=tls, backlog=BACKLOG)
    announce(address.url(server.sockets[0].getsockname()[1]))
    await stopping.wait()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    for _ in range(ACCEPT_TURNS):
        await asyncio.sleep(0)
    for connection in connections:
        connection.abort()
    await asyncio.sleep(0)
    server.close()
