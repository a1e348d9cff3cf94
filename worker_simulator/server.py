"""The simulator as a server: full or bare, in a process of its own or in a thread of a test.

Does not know HTTP and the vendor.
"""

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
from worker_simulator.answers import HttpAnswer, as_json
from worker_simulator.inbox.guard import is_foreign, is_known_host, is_loopback
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.wire.bare import Bare, BareConnection
from worker_simulator.wire.connection import ClientConnection
from worker_simulator.world import World

if TYPE_CHECKING:
    from worker_simulator.inbox.pages import Pages

Client = ClientConnection | BareConnection
Factory = Callable[[], Client]
BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Listening:
    """Where to listen; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 0
    certfile: str | None = None
    keyfile: str | None = None

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context, if there is a certificate."""
        if self.certfile is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certfile, self.keyfile)
        return context

    def url(self, port: int) -> str:
        """The address clients use."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certfile else 'http'}://{host}:{port}"


class Simulator:
    """The full simulator: one world, shared by all connections."""

    def __init__(self, settings: SimulatorSettings, listening: Listening) -> None:
        self.world = World(settings)
        self._scheme = "https" if listening.certfile else "http"
        self._loopback = is_loopback(listening.host)
        self._pages: Pages | None = None

    def control(self, request: HttpRequest) -> HttpAnswer:
        """Answer a control call; a page of another site, which any browser may have open, controls nothing."""
        if is_foreign(request) or not is_known_host(request, loopback=self._loopback):
            return as_json({"error": "asked for by a page or a name that is not the simulator's own"}, status=403)
        return control.answer(self, request)

    async def page(self, request: HttpRequest) -> HttpAnswer:
        """Answer a request for a page."""
        if self._pages is None:
            # Loading the templates takes 0.3 s, in which the vendor's calls go on.
            made = await asyncio.to_thread(_load_pages)
            self._pages = self._pages or made(self, scheme=self._scheme, loopback=self._loopback)
        return await self._pages.answer(request)

    def connection(self) -> ClientConnection:
        """A protocol for a new client."""
        return ClientConnection(self)


def _load_pages() -> "type[Pages]":
    from worker_simulator.inbox.pages import Pages  # when a page is asked for first

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
    """Serve until SIGTERM or SIGINT; `announce` is called with one line that has the address."""
    listening = Listening(host, port, certfile, keyfile)
    asyncio.run(_serve(_factory(settings, bare, latency_s, listening), listening, announce))


@contextmanager
def running(settings: SimulatorSettings | None = None, *, bare: bool = False, latency_s: float = 0.0) -> Iterator[str]:
    """A simulator in a thread of this process, for tests; yields its address."""
    ready: list[str] = []
    started, loop = threading.Event(), asyncio.new_event_loop()
    stopping = asyncio.Event()

    def announce(url: str) -> None:
        ready.append(url)
        started.set()

    factory = _factory(settings or SimulatorSettings(), bare, latency_s, Listening())
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


def _factory(settings: SimulatorSettings, bare: bool, latency_s: float, listening: Listening) -> Factory:
    if bare:
        return Bare(latency_s).connection
    if latency_s:
        settings.latency_s = latency_s
    return Simulator(settings, listening).connection


def _in_thread(
    loop: asyncio.AbstractEventLoop, factory: Factory, announce: Callable[[str], None], stopping: asyncio.Event
) -> None:
    try:
        loop.run_until_complete(_listen(factory, Listening(), announce, stopping))
    finally:
        left = asyncio.all_tasks(loop)  # callbacks on their way
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.close()


async def _serve(factory: Factory, listening: Listening, announce: Callable[[str], None] | None) -> None:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    say = announce or (lambda line: None)
    await _listen(factory, listening, lambda url: say(f"simulator listening on {url}"), stopping)


async def _listen(
    factory: Factory, listening: Listening, ready: Callable[[str], None], stopping: asyncio.Event
) -> None:
    """Listen until told to stop, then close every connection."""
    clients: WeakSet[Client] = WeakSet()

    def client() -> Client:
        made = factory()
        clients.add(made)
        return made

    loop, tls = asyncio.get_running_loop(), listening.tls()
    server = await loop.create_server(client, listening.host, listening.port, ssl=tls, backlog=BACKLOG)
    ready(listening.url(server.sockets[0].getsockname()[1]))
    await stopping.wait()
    server.close()
    for made in clients:
        made.abort()
    await asyncio.sleep(0)
