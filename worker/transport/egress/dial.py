"""Opens connections to the vendor, directly or through a proxy, with TLS if the URLs say so, by one deadline.

Every wait ends with the connect timeout, so a peer that sends byte after byte gains nothing. Only name resolution has
its own limits, those of the system's resolver. No byte of a request to the vendor is sent here.

urllib3 2.8 can open none of this in our place: its timeout is for each address and each read, a refused CONNECT is an
OSError with the proxy's own text, SOCKS needs PySocks, and `SSLTransport` waits in each send and read, where calls here
share a thread over sockets that never wait.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from worker.transport.connection import DeadlinePassed, SocketAdapter, Stream
from worker.transport.egress.proxy import Addresses, Proxy, open_tunnel, resolve
from worker.transport.egress.routes import Route
from worker.transport.egress.tls_in_tls import TlsInTls
from worker.transport.faults import CERTIFICATE_REFUSED, NotConnected, connection_fault

T = TypeVar("T")

MIN_ADDRESS_S = 2.0
"""Seconds that each address of a name gets before the next is tried, at least, if there is so much time."""
REFUSAL_WAIT_S = 0.1
"""Seconds, beyond the time of the handshake, in which a TLS 1.3 server may refuse a client certificate."""


def dial(route: Route, deadline: Deadline, resolve: Resolve) -> Stream:
    """Opens a connection of a route. Raises NotConnected, or what sockets and TLS raise (see `connection_fault`).

    `resolve` finds the vendor's addresses if there is no proxy.
    """
    # Files that cannot be used are noticed before a connection is opened.
    tls = route.tls.context() if route.tls else None
    proxy_tls = route.proxy_tls.context() if route.proxy_tls else None
    sock = (
        _connect(route.host, route.port, deadline, resolve)
        if route.proxy is None
        else _connect_to_proxy(route.proxy, proxy_tls, deadline)
    )
    with _closed_on_error(sock):
        if route.proxy is not None and not route.forwarded:
            _tunnel(sock, route.proxy, route, deadline)
        if tls is None:
            return sock
        began = deadline.monotonic()
        try:
            secured = secure(sock, tls, route.host, deadline)
        except DeadlinePassed:
            raise NotConnected("tls_timeout") from None
    if route.egress.client_certificate is not None:
        with _closed_on_error(secured):
            _await_refusal(secured, deadline, deadline.monotonic() - began + REFUSAL_WAIT_S)
    return secured


class Deadline:
    """The deadline of one connection that is being opened."""

    def __init__(self, monotonic: Callable[[], float], until: float) -> None:
        self.monotonic, self.until = monotonic, until

    def remaining_s(self) -> float:
        """Returns the remaining seconds. Raises DeadlinePassed if there are none."""
        remaining = self.until - self.monotonic()
        if remaining <= 0:
            raise DeadlinePassed
        return remaining

    def excluding(self, work: Callable[[], T]) -> T:
        """Does work that has its own limits, and extends the deadline by the time it takes."""
        began = self.monotonic()
        result = work()
        self.until += self.monotonic() - began
        return result

    def wait(self, sock: Stream, event: int, max_s: float | None = None) -> bool:
        """Waits until the socket is ready: at most `max_s` seconds, or to the deadline, which raises DeadlinePassed."""
        remaining = self.remaining_s()
        poller = select.poll()
        poller.register(sock.fileno(), event)
        if poller.poll(1000 * (remaining if max_s is None else min(remaining, max_s))):
            return True
        if max_s is None:
            raise DeadlinePassed
        return False


@contextmanager
def _closed_on_error(sock: Stream) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise


Resolve = Callable[[str, int], Addresses]
Dial = Callable[[Route, Deadline, Resolve], Stream]


def _connect(host: str, port: int, deadline: Deadline, resolve: Resolve) -> socket.socket:
    """Connects to the first address of a name that accepts."""
    addresses = deadline.excluding(lambda: resolve(host, port))
    error: OSError | None = None
    for n, (family, address) in enumerate(addresses):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
            with _closed_on_error(sock):
                remaining = deadline.remaining_s()
                # An address that does not answer leaves time for the following ones.
                sock.settimeout(max(remaining / (len(addresses) - n), min(remaining, MIN_ADDRESS_S)))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
                sock.setblocking(False)
        except OSError as failed:
            error = failed
        else:
            return sock
    assert error is not None
    raise error


def _connect_to_proxy(proxy: Proxy, tls: ssl.SSLContext | None, deadline: Deadline) -> socket.socket:
    """Connects to the proxy itself. Every fault up to here is reported as the proxy's."""
    with _proxy_faults():
        sock = _connect(proxy.host, proxy.port, deadline, resolve)
        if tls is None:
            return sock
        with _closed_on_error(sock):
            secured = secure(sock, tls, proxy.host, deadline)
    assert isinstance(secured, ssl.SSLSocket)
    return secured


def _tunnel(sock: socket.socket, proxy: Proxy, route: Route, deadline: Deadline) -> None:
    """Makes the proxy connect to the vendor."""
    adapter = SocketAdapter(sock, deadline.monotonic)
    adapter.begin(deadline.until, None)
    with _proxy_faults(NotConnected):
        open_tunnel(adapter, proxy, route.host, route.port)


@contextmanager
def _proxy_faults(*except_for: type[Exception]) -> Iterator[None]:
    """Reports every fault as the proxy's, except for those classes that already say whose fault they are."""
    try:
        yield
    except except_for:
        raise
    except Exception as error:  # noqa: BLE001  every fault has a class
        reason = connection_fault(error)
        raise NotConnected("proxy_tls" if reason == CERTIFICATE_REFUSED else f"proxy_{reason}") from None


def secure(sock: socket.socket, context: ssl.SSLContext, host: str, deadline: Deadline) -> ssl.SSLSocket | TlsInTls:
    """Wraps a non-blocking connection in TLS, and checks the certificate."""
    name = host.rstrip(".")
    secured: ssl.SSLSocket | TlsInTls
    if isinstance(sock, ssl.SSLSocket):
        secured = TlsInTls(sock, context, name)
    else:
        secured = context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
    with _closed_on_error(secured):
        while (event := _continue_handshake(secured)) is not None:
            deadline.wait(secured, event)
    return secured


def _continue_handshake(secured: ssl.SSLSocket | TlsInTls) -> int | None:
    """Continues the handshake, and returns the event it waits for, or None once it is complete."""
    try:
        secured.do_handshake()
    except ssl.SSLWantReadError:
        return select.POLLIN
    except ssl.SSLWantWriteError:
        return select.POLLOUT
    return None


def _await_refusal(secured: ssl.SSLSocket | TlsInTls, deadline: Deadline, max_s: float) -> None:
    """Waits for the server's first record in TLS 1.3: a session ticket, or the refusal of our certificate.

    The handshake is complete on this side before the server has seen the certificate. A request sent at once would be
    in doubt if the certificate is refused. A server that sends nothing costs the whole wait.
    """
    if secured.version() == "TLSv1.3" and deadline.wait(secured, select.POLLIN, max_s):
        with suppress(ssl.SSLWantReadError):
            secured.recv(1)
            raise NotConnected("reset")
