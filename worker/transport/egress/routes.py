"""The routes to vendors that are in use, and the idle connections of each.

Both stay few, however many accounts come and go.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode, urlsplit
from weakref import WeakValueDictionary

from requests.exceptions import InvalidURL

from worker.domain.account import ClientCertificate, Egress, Secret
from worker.domain.call import Request
from worker.domain.errors import ConfigurationError
from worker.transport.connection import PooledConnection
from worker.transport.egress.proxy import Proxy
from worker.transport.egress.tls import Trust, password_of
from worker.transport.faults import NotConnected

TrustOf = Callable[[str | None, ClientCertificate | None], Trust]
FORGET_S = 60.0
"""Seconds after its last use that a route is forgotten."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Route:
    """How to reach a base_url through one egress, and the idle connections to it."""

    base_url: str
    egress: Egress
    """With the values of its secrets."""
    scheme: str
    host: str
    port: int
    origin: str
    prefix: str
    proxy: Proxy | None
    proxy_headers: Mapping[str, str]
    """Headers for the proxy in each forwarded request."""
    tls: Trust | None
    """The TLS settings for the vendor, or None for http."""
    proxy_tls: Trust | None
    idle: dict[PooledConnection, None] = field(default_factory=dict)
    """Idle connections. The one returned last comes last."""

    @classmethod
    def to(cls, base_url: str, egress: Egress, trust_of: TrustOf) -> Route:
        """Builds the route of calls to a base_url."""
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not re.fullmatch(r"[^\x00-\x20]+", host):
            raise InvalidURL
        is_https = parts.scheme == "https"
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        proxy = None if egress.proxy is None else Proxy.from_url(str(egress.proxy))
        forwarding = proxy is not None and not proxy.is_socks and not is_https
        return cls(
            base_url,
            egress,
            parts.scheme,
            host,
            parts.port or (443 if is_https else 80),
            origin,
            parts.path.rstrip("/"),
            proxy,
            proxy.headers() if proxy is not None and forwarding else {},
            trust_of(egress.ca, egress.client_certificate) if is_https else None,
            # The client certificate is for the vendor alone.
            trust_of(egress.ca, None) if proxy is not None and proxy.scheme == "https" else None,
        )

    def target(self, request: Request) -> str:
        """Returns the target in the request line: absolute for a forwarding proxy, else the path."""
        query = f"?{urlencode(request.query)}" if request.query else ""
        path = f"{self.prefix}{request.path}{query}"
        return f"{self.origin}{path}" if self.forwarded else path

    @property
    def forwarded(self) -> bool:
        """True if the proxy receives requests and makes them itself."""
        return self.proxy is not None and not self.proxy.is_socks and self.scheme == "http"


class Routes:
    """The routes of one process, and their idle connections. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float], *, max_idle_s: float, max_idle: int) -> None:
        self._monotonic, self._max_idle_s, self._max_idle = monotonic, max_idle_s, max_idle
        self._lock = threading.Lock()
        self._trusts: WeakValueDictionary[tuple[str | None, ClientCertificate | None], Trust] = WeakValueDictionary()
        self._used_at: OrderedDict[Route, float] = OrderedDict()
        """Route to the time of its last use. The least recently used comes first."""
        self._routes: dict[tuple[str, Egress], Route] = {}
        self._idle: OrderedDict[PooledConnection, Route] = OrderedDict()
        """The idle connections of all routes. The longest idle comes first."""
        self._closed = False

    def __len__(self) -> int:
        return len(self._routes)

    def to(self, base_url: str, egress: Egress) -> Route:
        """Returns the route to a base_url, and builds it if it is new."""
        key = (base_url, _with_secrets(egress))
        now = self._monotonic()
        with self._lock:
            route = self._routes.get(key)
            if route is None:
                route = self._routes[key] = Route.to(*key, self._trust_of)
            self._used_at[route] = now
            self._used_at.move_to_end(route)
            expired = self._take_expired(now)
        _close(expired)
        return route

    def _trust_of(self, ca: str | None, certificate: ClientCertificate | None) -> Trust:
        """Returns the TLS settings for a `ca` and a client certificate, shared by all routes that use them."""
        trust = self._trusts.get((ca, certificate))
        if trust is None:
            trust = self._trusts[ca, certificate] = Trust(ca, certificate, self._monotonic)
        return trust

    def take_idle(self, route: Route) -> PooledConnection | None:
        """Takes the most recently used idle connection of the route that still works. Returns None without any."""
        oldest = self._monotonic() - self._max_idle_s
        while True:
            with self._lock:
                if not route.idle:
                    return None
                connection, _ = route.idle.popitem()
                del self._idle[connection]
            if connection.idle_since >= oldest and connection.adapter.is_alive():
                return connection
            connection.close()

    def give_back(self, route: Route, connection: PooledConnection, *, used: bool) -> None:
        """Returns a connection for the next call, and closes the longest idle one if there are too many."""
        # An unused connection keeps its age: the server counts its keep-alive from the last traffic.
        if used or not connection.idle_since:
            connection.idle_since = self._monotonic()
        surplus = []
        with self._lock:
            if self._closed or route not in self._used_at:
                surplus.append(connection)
            else:
                route.idle[connection] = None
                self._idle[connection] = route
                if len(route.idle) > route.egress.connections:
                    surplus.append(self._remove(next(iter(route.idle))))
                elif len(self._idle) > self._max_idle:
                    surplus.append(self._remove(next(iter(self._idle))))
        _close(surplus)

    def close(self) -> None:
        """Closes idle connections. Those in use are closed when they are given back."""
        with self._lock:
            self._closed = True
            idle = [self._remove(connection) for connection in tuple(self._idle)]
        _close(idle)

    def _remove(self, connection: PooledConnection) -> PooledConnection:
        del self._idle.pop(connection).idle[connection]
        return connection

    def _take_expired(self, now: float) -> list[PooledConnection]:
        """Removes connections that were idle for too long, and then routes that were not used for long."""
        connections = []
        while self._idle and (connection := next(iter(self._idle))).idle_since < now - self._max_idle_s:
            connections.append(self._remove(connection))
        while (route := next(iter(self._used_at))) and self._used_at[route] < now - FORGET_S and not route.idle:
            del self._used_at[route], self._routes[route.base_url, route.egress]
        return connections


def _close(connections: list[PooledConnection]) -> None:
    for connection in connections:
        connection.close()


def _with_secrets(egress: Egress) -> Egress:
    """Returns the egress with the current values of its secrets. Raises NotConnected if one cannot be read."""
    certificate = egress.client_certificate
    if isinstance(egress.proxy, Secret):
        try:
            egress = replace(egress, proxy=egress.proxy.read())
        except ConfigurationError as error:
            raise NotConnected("proxy_setting", str(error)) from None
    if certificate is not None and isinstance(certificate.password, Secret):
        certificate = replace(certificate, password=password_of(certificate))
        egress = replace(egress, client_certificate=certificate)
    return egress
