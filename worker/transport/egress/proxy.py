"""What is said to a proxy so that it connects to the vendor: CONNECT of HTTP, or SOCKS5 (RFC 1928 and 1929).

All of it ends by the wire's deadline, and nothing of the request to the vendor is in it. Reasons are those of
`tests/unit/transport/faults.md`; a proxy's own words are never told.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from worker.config.places import proxy_problem
from worker.transport.connection import Wire
from worker.transport.faults import NotConnected

DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_LONGEST_ANSWER = 16 * 1024
"""Bytes after which a proxy's answer to CONNECT is none."""
_STATUS = re.compile(rb"HTTP/1\.[01] +(\d{3})")
_IPV4, _NAME, _IPV6 = 1, 3, 4
"""SOCKS5's kinds of addresses."""
_NO_LOGIN, _PASSWORD, _NOTHING_FITS = 0, 2, 255
"""SOCKS5's ways to log in."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's address, and how to log in to it."""

    scheme: str
    host: str
    port: int
    user: str | None = field(repr=False)
    password: str = field(repr=False)

    @classmethod
    def at(cls, url: str) -> Proxy:
        """The proxy of a URL; raises NotConnected where it is none."""
        if proxy_problem(url):
            raise NotConnected("proxy_setting")
        parts = urlsplit(url)
        user = None if parts.username is None else unquote(parts.username)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        return cls(parts.scheme, parts.hostname or "", port, user, unquote(parts.password or ""))

    @property
    def is_socks(self) -> bool:
        """True: it is told where to connect to, whatever the connection carries."""
        return self.scheme.startswith("socks")

    def headers(self) -> Mapping[str, str]:
        """What it gets beside each request that it forwards."""
        if self.user is None:
            return {}
        login = b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"Proxy-Authorization": f"Basic {login}"}


def open_tunnel(wire: Wire, proxy: Proxy, host: str, port: int) -> None:
    """Has the proxy connect to a host; what goes over the wire from then on is between this side and the host."""
    if proxy.is_socks:
        _socks(wire, proxy, host, port)
    else:
        _connect(wire, proxy, host, port)


def look_up(host: str, port: int) -> list[tuple[int, Any]]:
    """The addresses of a name, each with its family, as sockets take them; raises NotConnected when it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise NotConnected("dns")
    return [(family, address) for family, _, _, _, address in found]


# -- HTTP -------------------------------------------------------------------------------------------------------------


def _connect(wire: Wire, proxy: Proxy, host: str, port: int) -> None:
    target = f"[{host}]:{port}" if ":" in host else f"{_ascii(host).decode()}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", "User-Agent: im-delivery-worker"]
    lines += [f"{name}: {value}" for name, value in proxy.headers().items()]
    wire.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    answer = bytearray()
    while not answer.endswith((b"\n\r\n", b"\n\n")):
        # One by one: what comes behind the head is the vendor's.
        answer += _read(wire, 1)
        status = _STATUS.match(answer)
        if status and not status[1].startswith(b"2"):
            raise NotConnected(f"proxy_{status[1].decode()}")
        if len(answer) > _LONGEST_ANSWER or (not status and b"\n" in answer):
            raise NotConnected("proxy_garbled")


# -- SOCKS5 -----------------------------------------------------------------------------------------------------------


def _socks(wire: Wire, proxy: Proxy, host: str, port: int) -> None:
    # Looked up before the proxy waits for it.
    address = _socks_address(proxy, host, port)
    _log_in(wire, proxy)
    wire.sendall(bytes((5, 1, 0)) + address + port.to_bytes(2, "big"))
    version, status, _, kind = _read(wire, 4)
    if version != 5:
        raise NotConnected("proxy_garbled")
    if status:
        raise NotConnected(f"proxy_socks_{status}")
    length = {_IPV4: 4, _IPV6: 16}.get(kind) or (_read(wire, 1)[0] if kind == _NAME else None)
    if length is None:
        raise NotConnected("proxy_garbled")
    _read(wire, length + 2)


def _log_in(wire: Wire, proxy: Proxy) -> None:
    ways = bytes((_NO_LOGIN,) if proxy.user is None else (_NO_LOGIN, _PASSWORD))
    wire.sendall(bytes((5, len(ways))) + ways)
    version, way = _read(wire, 2)
    if version == 5 and way == _PASSWORD and proxy.user is not None:
        login = [text.encode() for text in (proxy.user, proxy.password)]
        wire.sendall(b"\x01" + b"".join(bytes((len(text),)) + text for text in login))
        if _read(wire, 2)[1]:
            raise NotConnected("proxy_login")
    elif version == 5 and way == _NOTHING_FITS:
        raise NotConnected("proxy_login")
    elif (version, way) != (5, _NO_LOGIN):
        raise NotConnected("proxy_garbled")


def _socks_address(proxy: Proxy, host: str, port: int) -> bytes:
    """The host as the proxy is told it: an address, or for `socks5h` a name."""
    try:
        return _packed(host)
    except ValueError:
        if proxy.scheme == "socks5h":
            name = _ascii(host)
            return bytes((_NAME, len(name))) + name
    # Proxies without IPv6 are many; vendors without IPv4 are none.
    found = sorted(look_up(host, port), key=lambda one: one[0] != socket.AF_INET)
    return _packed(str(found[0][1][0]))


def _packed(address: str) -> bytes:
    parsed = ipaddress.ip_address(address)
    return bytes((_IPV4 if parsed.version == 4 else _IPV6,)) + parsed.packed


def _ascii(host: str) -> bytes:
    try:
        name = host.encode("ascii") if host.isascii() else host.encode("idna")
    except UnicodeError:
        name = b""
    if not 0 < len(name) < 256:
        raise NotConnected("dns")
    return name


def _read(wire: Wire, size: int) -> bytes:
    """Exactly so many bytes."""
    buffer = bytearray(size)
    at = 0
    while at < size:
        count = wire.receive_into(memoryview(buffer)[at:])
        if not count:
            raise NotConnected("proxy_reset")
        at += count
    return bytes(buffer)
