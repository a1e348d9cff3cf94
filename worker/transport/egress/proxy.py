"""Asks a proxy to connect to the vendor: CONNECT of HTTP, or SOCKS5 (RFC 1928 and 1929).

All of it ends by the adapter's deadline, and holds nothing of the request to the vendor. Reasons are those of
`tests/unit/transport/faults.md`. A proxy's own text is never reported.
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
from worker.transport.connection import SocketAdapter
from worker.transport.faults import NotConnected

Addresses = list[tuple[int, Any]]
"""The addresses of a name, each with its family, as sockets take them."""
DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_MAX_ANSWER = 16 * 1024
"""Bytes after which a proxy's answer to CONNECT is invalid."""
_STATUS = re.compile(rb"HTTP/1\.[01] {1,8}+(\d{3})")
_MAX_STATUS = 32
"""Bytes after which an answer without a status has none."""
_IPV4, _NAME, _IPV6 = 1, 3, 4
"""SOCKS5's types of addresses."""
_NO_LOGIN, _PASSWORD, _NO_METHOD = 0, 2, 255
"""SOCKS5's authentication methods."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's address, and how to log in to it."""

    scheme: str
    host: str
    port: int
    user: str | None = field(repr=False)
    password: str = field(repr=False)

    @classmethod
    def from_url(cls, url: str) -> Proxy:
        """Returns the proxy of a URL. Raises NotConnected if the URL is invalid."""
        if proxy_problem(url):
            raise NotConnected("proxy_setting")
        parts = urlsplit(url)
        user = None if parts.username is None else unquote(parts.username)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        return cls(parts.scheme, parts.hostname or "", port, user, unquote(parts.password or ""))

    @property
    def is_socks(self) -> bool:
        """True for SOCKS, which is used for all connections, even those without TLS."""
        return self.scheme.startswith("socks")

    def headers(self) -> Mapping[str, str]:
        """Returns the headers that the proxy gets with each request that it forwards."""
        if self.user is None:
            return {}
        login = b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"Proxy-Authorization": f"Basic {login}"}


def open_tunnel(adapter: SocketAdapter, proxy: Proxy, host: str, port: int) -> None:
    """Makes the proxy connect to a host. Everything sent afterwards goes to the host."""
    if proxy.is_socks:
        _socks(adapter, proxy, host, port)
    else:
        _connect(adapter, proxy, host, port)


def resolve(host: str, port: int) -> Addresses:
    """Returns the addresses of a name. Raises NotConnected without any."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        addresses = []
    if not addresses:
        raise NotConnected("dns")
    return [(family, address) for family, _, _, _, address in addresses]


# -- HTTP -------------------------------------------------------------------------------------------------------------


def _connect(adapter: SocketAdapter, proxy: Proxy, host: str, port: int) -> None:
    target = f"[{host}]:{port}" if ":" in host else f"{_ascii(host).decode()}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", "User-Agent: im-delivery-worker"]
    lines += [f"{name}: {value}" for name, value in proxy.headers().items()]
    adapter.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    answer = bytearray()
    while not answer.endswith((b"\n\r\n", b"\n\n")):
        # Byte by byte, because what follows the head comes from the vendor.
        answer += _read(adapter, 1)
        status = _STATUS.match(answer)
        if status and not status[1].startswith(b"2"):
            raise NotConnected(f"proxy_{status[1].decode()}")
        if len(answer) > (_MAX_ANSWER if status else _MAX_STATUS) or (not status and b"\n" in answer):
            raise NotConnected("proxy_garbled")


# -- SOCKS5 -----------------------------------------------------------------------------------------------------------


def _socks(adapter: SocketAdapter, proxy: Proxy, host: str, port: int) -> None:
    # Resolved first, so that the proxy does not have to wait.
    address = _socks_address(proxy, host, port)
    _log_in(adapter, proxy)
    adapter.sendall(bytes((5, 1, 0)) + address + port.to_bytes(2, "big"))
    version, status, _, kind = _read(adapter, 4)
    if version != 5:
        raise NotConnected("proxy_garbled")
    if status:
        raise NotConnected(f"proxy_socks_{status}")
    length = {_IPV4: 4, _IPV6: 16}.get(kind) or (_read(adapter, 1)[0] if kind == _NAME else None)
    if length is None:
        raise NotConnected("proxy_garbled")
    _read(adapter, length + 2)


def _log_in(adapter: SocketAdapter, proxy: Proxy) -> None:
    methods = bytes((_NO_LOGIN,) if proxy.user is None else (_NO_LOGIN, _PASSWORD))
    adapter.sendall(bytes((5, len(methods))) + methods)
    version, method = _read(adapter, 2)
    if version == 5 and method == _PASSWORD and proxy.user is not None:
        login = [text.encode() for text in (proxy.user, proxy.password)]
        adapter.sendall(b"\x01" + b"".join(bytes((len(text),)) + text for text in login))
        if _read(adapter, 2)[1]:
            raise NotConnected("proxy_login")
    elif version == 5 and method == _NO_METHOD:
        raise NotConnected("proxy_login")
    elif (version, method) != (5, _NO_LOGIN):
        raise NotConnected("proxy_garbled")


def _socks_address(proxy: Proxy, host: str, port: int) -> bytes:
    """Returns the host in the proxy's format: an address, or for `socks5h` a name."""
    try:
        return _packed(host)
    except ValueError:
        if proxy.scheme == "socks5h":
            name = _ascii(host)
            return bytes((_NAME, len(name))) + name
    # Many proxies have no IPv6, but no vendor has no IPv4.
    addresses = sorted(resolve(host, port), key=lambda entry: entry[0] != socket.AF_INET)
    return _packed(str(addresses[0][1][0]))


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


def _read(adapter: SocketAdapter, size: int) -> bytes:
    """Reads exactly `size` bytes."""
    buffer = bytearray(size)
    offset = 0
    while offset < size:
        count = adapter.receive_into(memoryview(buffer)[offset:])
        if not count:
            raise NotConnected("proxy_reset")
        offset += count
    return bytes(buffer)
