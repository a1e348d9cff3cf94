"""Makes connections: to the vendor, or through a proxy, with TLS where the URLs say so; all by one deadline.

Every wait is for what is left of the connect timeout, so a peer that sends byte after byte gains nothing. Only looking
a name up has limits of its own, those of the system's resolver. Not a byte of a request to the vendor leaves here.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from worker.transport.connection import DeadlinePassed, Stream, Wire
from worker.transport.egress.proxy import Proxy, look_up, open_tunnel
from worker.transport.egress.routes import Route
from worker.transport.egress.tls_in_tls import TlsInTls
from worker.transport.faults import CERTIFICATE_REFUSED, NotConnected, why_not_connected

T = TypeVar("T")

LEAST_S = 2.0
"""Seconds that each address of a name gets at least, as far as there are so many, before the next is tried."""
FIRST_WORDS_S = 0.1
"""Seconds, beyond as many as the handshake took, in which a server of TLS 1.3 may refuse a client certificate."""


def dial(route: Route, monotonic: Callable[[], float]) -> Stream:
    """A new connection of a route. Raises NotConnected, or what sockets and TLS raise (`why_not_connected`)."""
    # Files that cannot be used are found before there is a connection.
    tls = route.tls.context() if route.tls else None
    proxy_tls = route.proxy_tls.context() if route.proxy_tls else None
    deadline = Deadline(monotonic, monotonic() + route.egress.connect_timeout_s)
    sock = (
        _reach(route.host, route.port, deadline)
        if route.proxy is None
        else _reach_proxy(route.proxy, proxy_tls, deadline)
    )
    with _closed_unless_done(sock):
        if route.proxy is not None and not route.forwarded:
            _pass_through(sock, route.proxy, route, deadline)
        if tls is None:
            return sock
        began = monotonic()
        secured = secure(sock, tls, route.host, deadline)
    if route.egress.client_certificate is not None:
        with _closed_unless_done(secured):
            _hear_out(secured, deadline, monotonic() - began + FIRST_WORDS_S)
    return secured


class Deadline:
    """The deadline of one connection that is being made."""

    def __init__(self, monotonic: Callable[[], float], until: float) -> None:
        self.monotonic, self.until = monotonic, until

    def left_s(self) -> float:
        """Seconds that are left; raises DeadlinePassed when there are none."""
        left = self.until - self.monotonic()
        if left <= 0:
            raise DeadlinePassed
        return left

    def beside(self, work: Callable[[], T]) -> T:
        """Does what has limits of its own; the time that it takes is not of the deadline."""
        began = self.monotonic()
        done = work()
        self.until += self.monotonic() - began
        return done

    def wait(self, sock: Stream, event: int, most_s: float | None = None) -> bool:
        """Waits until the socket is ready, for `most_s` seconds; without them until the deadline, or DeadlinePassed."""
        left = self.left_s()
        poller = select.poll()
        poller.register(sock.fileno(), event)
        if poller.poll(1000 * (left if most_s is None else min(left, most_s))):
            return True
        if most_s is None:
            raise DeadlinePassed
        return False


@contextmanager
def _closed_unless_done(sock: Stream) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise


def _reach(host: str, port: int, deadline: Deadline) -> socket.socket:
    """A connection to the first address of a name that takes one."""
    found = deadline.beside(lambda: look_up(host, port))
    error: OSError | None = None
    for n, (family, address) in enumerate(found):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
            with _closed_unless_done(sock):
                left = deadline.left_s()
                # An address that does not answer leaves time for those behind it.
                sock.settimeout(max(left / (len(found) - n), min(left, LEAST_S)))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
                sock.setblocking(False)
        except OSError as failed:
            error = failed
        else:
            return sock
    assert error is not None
    raise error


def _reach_proxy(proxy: Proxy, tls: ssl.SSLContext | None, deadline: Deadline) -> socket.socket:
    """A connection to the proxy itself; what goes wrong up to here names the proxy."""
    with _named_after_the_proxy():
        sock = _reach(proxy.host, proxy.port, deadline)
        if tls is None:
            return sock
        with _closed_unless_done(sock):
            secured = secure(sock, tls, proxy.host, deadline)
    assert isinstance(secured, ssl.SSLSocket)
    return secured


def _pass_through(sock: socket.socket, proxy: Proxy, route: Route, deadline: Deadline) -> None:
    """Has the proxy connect to the vendor."""
    wire = Wire(sock, deadline.monotonic)
    wire.begin(deadline.until, None)
    with _named_after_the_proxy(NotConnected):
        open_tunnel(wire, proxy, route.host, route.port)


@contextmanager
def _named_after_the_proxy(*but: type[Exception]) -> Iterator[None]:
    """Makes any fault one of the proxy, but those that say themselves whose they are."""
    try:
        yield
    except but:
        raise
    except Exception as error:  # noqa: BLE001  every fault has a class
        reason = why_not_connected(error)
        raise NotConnected("proxy_tls" if reason == CERTIFICATE_REFUSED else f"proxy_{reason}") from None


def secure(sock: socket.socket, context: ssl.SSLContext, host: str, deadline: Deadline) -> ssl.SSLSocket | TlsInTls:
    """TLS over a connection that never blocks, with the certificate checked."""
    name = host.rstrip(".")
    secured: ssl.SSLSocket | TlsInTls
    if isinstance(sock, ssl.SSLSocket):
        secured = TlsInTls(sock, context, name)
    else:
        secured = context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
    with _closed_unless_done(secured):
        while (event := _step(secured)) is not None:
            deadline.wait(secured, event)
    return secured


def _step(secured: ssl.SSLSocket | TlsInTls) -> int | None:
    """Takes the handshake on, and returns what it waits for; None: it is complete."""
    try:
        secured.do_handshake()
    except ssl.SSLWantReadError:
        return select.POLLIN
    except ssl.SSLWantWriteError:
        return select.POLLOUT
    return None


def _hear_out(secured: ssl.SSLSocket | TlsInTls, deadline: Deadline, most_s: float) -> None:
    """Waits for the server's first words in TLS 1.3, which are a session ticket, or the refusal of the certificate.

    The handshake is complete on this side before the server has seen the certificate: a request that left now would be
    in doubt. A server that says nothing costs the wait.
    """
    if secured.version() == "TLSv1.3" and deadline.wait(secured, select.POLLIN, most_s):
        with suppress(ssl.SSLWantReadError):
            secured.recv(1)
            raise NotConnected("reset")
