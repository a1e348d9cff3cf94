"""The ways to vendors that are in use, and the idle connections of each.

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
from worker.transport.connection import Line
from worker.transport.egress.proxy import Proxy
from worker.transport.egress.tls import Trust, password_of
from worker.transport.faults import NotConnected

TrustOf = Callable[[str | None, ClientCertificate | None], Trust]
FORGET_S = 60.0
"""Seconds after its last use that a route is forgotten."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Route:
    """The way to a base_url by one egress, worked out once; and the connections that are kept to it."""

    base_url: str
    egress: Egress
    """With what its secrets say."""
    scheme: str
    host: str
    port: int
    origin: str
    prefix: str
    proxy: Proxy | None
    proxy_headers: Mapping[str, str]
    """What a forwarded request says to the proxy."""
    tls: Trust | None
    """Of the vendor's https; None: http."""
    proxy_tls: Trust | None
    idle: dict[Line, None] = field(default_factory=dict)
    """The connection that was given back last is the last."""

    @classmethod
    def to(cls, base_url: str, egress: Egress, trust_of: TrustOf) -> Route:
        """The route of calls to a base_url."""
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not re.fullmatch(r"[^\x00-\x20]+", host):
            raise InvalidURL
        is_https = parts.scheme == "https"
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        proxy = None if egress.proxy is None else Proxy.at(str(egress.proxy))
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
        """The target in the request line: absolute for a forwarding proxy, else the path."""
        query = f"?{urlencode(request.query)}" if request.query else ""
        path = f"{self.prefix}{request.path}{query}"
        return f"{self.origin}{path}" if self.forwarded else path

    @property
    def forwarded(self) -> bool:
        """True: the proxy gets requests, and makes them itself."""
        return self.proxy is not None and not self.proxy.is_socks and self.scheme == "http"


class Routes:
    """The routes of one process, and their idle connections. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float], *, max_idle_s: float, most_idle: int) -> None:
        self._monotonic, self._max_idle_s, self._most_idle = monotonic, max_idle_s, most_idle
        self._lock = threading.Lock()
        self._trusts: WeakValueDictionary[tuple[str | None, ClientCertificate | None], Trust] = WeakValueDictionary()
        self._used_at: OrderedDict[Route, float] = OrderedDict()
        """The route that was not used for the longest time is the first."""
        self._known: dict[tuple[str, Egress], Route] = {}
        self._idle: OrderedDict[Line, Route] = OrderedDict()
        """Of all routes; the longest idle is the first."""
        self._closed = False

    def __len__(self) -> int:
        return len(self._known)

    def to(self, base_url: str, egress: Egress) -> Route:
        """The route to a base_url, known or new."""
        key = (base_url, _opened(egress))
        now = self._monotonic()
        with self._lock:
            route = self._known.get(key)
            if route is None:
                route = self._known[key] = Route.to(*key, self._trust_of)
            self._used_at[route] = now
            self._used_at.move_to_end(route)
            outworn = self._outworn(now)
        _close(outworn)
        return route

    def _trust_of(self, ca: str | None, certificate: ClientCertificate | None) -> Trust:
        """The TLS settings for a `ca` and a client certificate, for as long as a route has them."""
        trust = self._trusts.get((ca, certificate))
        if trust is None:
            trust = self._trusts[ca, certificate] = Trust(ca, certificate, self._monotonic)
        return trust

    def kept_alive(self, route: Route) -> Line | None:
        """The connection of the route that was used last and is still good; None: there is none."""
        oldest = self._monotonic() - self._max_idle_s
        while True:
            with self._lock:
                if not route.idle:
                    return None
                line, _ = route.idle.popitem()
                del self._idle[line]
            if line.idle_since >= oldest and line.wire.alive():
                return line
            line.close()

    def keep(self, route: Route, line: Line, *, used: bool) -> None:
        """Keeps a connection for the next call, and closes the longest idle where there are too many."""
        # Given back unused it keeps its age: the server counts its keep-alive from the last traffic.
        if used or not line.idle_since:
            line.idle_since = self._monotonic()
        surplus = []
        with self._lock:
            if self._closed or route not in self._used_at:
                surplus.append(line)
            else:
                route.idle[line] = None
                self._idle[line] = route
                if len(route.idle) > route.egress.connections:
                    surplus.append(self._let_go(next(iter(route.idle))))
                elif len(self._idle) > self._most_idle:
                    surplus.append(self._let_go(next(iter(self._idle))))
        _close(surplus)

    def close(self) -> None:
        """Closes idle connections; those in use are closed when they are given back."""
        with self._lock:
            self._closed = True
            idle = [self._let_go(line) for line in tuple(self._idle)]
        _close(idle)

    def _let_go(self, line: Line) -> Line:
        del self._idle.pop(line).idle[line]
        return line

    def _outworn(self, now: float) -> list[Line]:
        """Takes out connections that were idle for too long, and then routes that were not used for long."""
        lines = []
        while self._idle and (line := next(iter(self._idle))).idle_since < now - self._max_idle_s:
            lines.append(self._let_go(line))
        while (route := next(iter(self._used_at))) and self._used_at[route] < now - FORGET_S and not route.idle:
            del self._used_at[route], self._known[route.base_url, route.egress]
        return lines


def _close(lines: list[Line]) -> None:
    for line in lines:
        line.close()


def _opened(egress: Egress) -> Egress:
    """The egress with what its secrets say now; raises NotConnected where one cannot be read."""
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
