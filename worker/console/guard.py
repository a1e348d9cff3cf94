"""Checks every request before any page does, and sets the headers of every answer: host, proxy, security headers.

It wraps the whole application, so that the page of an error has the headers too. Knows no page and no viewer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""On every answer; a file of a message has a stricter policy. `cache-control: no-store` on each that does not say
otherwise."""
POLICY = "content-security-policy"
FROM_PROXY = "console_from_proxy"
"""The key in a scope for whether the request came through one of our proxies."""
Networks = Sequence[IPv4Network | IPv6Network]


def networks(addresses: Collection[str]) -> Networks:
    """Parses addresses and networks, such as `10.2.0.0/16`; ValueError for anything else."""
    return tuple(ip_network(address) for address in addresses)


class Guard:
    """The console behind its checks."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], proxies: Networks = ()):
        """`hosts`: the names, without ports, that requests may use; `proxies`: addresses whose headers are trusted."""
        self._app, self._hosts, self._proxies = app, frozenset(map(str.lower, hosts)), proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers requests; anything else, such as a web socket, is left unanswered."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        guarded = _with_headers(send)
        if not self._is_ours(Headers(scope=scope).getlist("host")):
            await PlainTextResponse("no such host\n", 421)(scope, receive, guarded)
            return
        seen = self._seen(scope)
        if self._proxies and not seen[FROM_PROXY]:
            # It came in the clear, past the proxy that ends TLS and may know who asks.
            await PlainTextResponse("only through the proxy\n", 403)(scope, receive, guarded)
            return
        await self._app(seen, receive, guarded)

    def _is_ours(self, given: Sequence[str]) -> bool:
        """Returns whether there is exactly one Host header, with one of our names."""
        return len(given) == 1 and host_of(given[0]) in self._hosts

    def _seen(self, scope: Scope) -> Scope:
        """Returns the scope with the browser's own scheme and address, which one of our proxies puts into headers."""
        peer = scope["client"][0] if scope.get("client") else ""
        if not _is_one_of(peer, self._proxies):
            return {**scope, FROM_PROXY: False}
        headers = Headers(scope=scope)
        client = _first_stranger(headers.getlist("x-forwarded-for"), self._proxies) or peer
        scheme = "https" if headers.get("x-forwarded-proto", "").lower() == "https" else scope["scheme"]
        return {**scope, FROM_PROXY: True, "client": (client, 0), "scheme": scheme}


def host_of(text: str) -> str:
    """Returns the name in a Host header, without its port, in lower case; an IPv6 address keeps its brackets."""
    name, colon, port = text.rpartition(":")
    return (name if colon and port.isdigit() else text).lower()


def _first_stranger(forwarded: Sequence[str], proxies: Networks) -> str | None:
    """Returns the last address of X-Forwarded-For that is no proxy of ours; anyone can have written those before it.

    Returns None where that entry is no address: what has no end of spellings must not be counted by them.
    """
    for entry in reversed([one.strip() for line in forwarded for one in line.split(",")]):
        address = address_of(_without_port(entry))
        if address is None:
            return None
        if not _is_one_of(str(address), proxies):
            return str(address)
    return None


def _without_port(entry: str) -> str:
    """Returns the address of `192.0.2.1:4711` or `"[2001:db8::1]:4711"`, as several proxies write it."""
    entry = entry.strip('"')
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """Parses an IP address; returns None if the text is not one.

    One of IPv4 that a socket of both families writes as `::ffff:10.0.0.1` is that of IPv4. A zone, such as `%eth0`, is
    left out.
    """
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_one_of(address: str, wanted: Networks) -> bool:
    found = address_of(address)
    return found is not None and any(found in network for network in wanted)


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            own = headers.get(POLICY)
            for name, value in HEADERS.items():
                headers[name] = value
            headers[POLICY] = own or HEADERS[POLICY]
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return guarded
