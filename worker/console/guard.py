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
"""Set on every answer; a file of a message has a stricter policy. `cache-control: no-store` is set on each answer
without a `cache-control` of its own."""
POLICY = "content-security-policy"
FROM_PROXY = "console_from_proxy"
"""The key in a scope for whether the request came through one of our proxies."""
Networks = Sequence[IPv4Network | IPv6Network]


def networks(addresses: Collection[str]) -> Networks:
    """Parses addresses and networks, such as `10.2.0.0/16`; ValueError for anything else."""
    return tuple(ip_network(address) for address in addresses)


class Guard:
    """The ASGI middleware around the console."""

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
        send_with_headers = _with_headers(send)
        if not self._is_ours(Headers(scope=scope).getlist("host")):
            await PlainTextResponse("the console does not answer to this host name; name it in console.hosts\n", 421)(
                scope, receive, send_with_headers
            )
            return
        checked_scope = self._behind_proxy(scope)
        if self._proxies and not checked_scope[FROM_PROXY]:
            # The request bypassed the proxy, which ends TLS and may name the user.
            await PlainTextResponse("the console answers only through its proxy (console.proxies)\n", 403)(
                scope, receive, send_with_headers
            )
            return
        await self._app(checked_scope, receive, send_with_headers)

    def _is_ours(self, hosts: Sequence[str]) -> bool:
        """Returns whether there is exactly one Host header, and it has one of our names."""
        return len(hosts) == 1 and host_of(hosts[0]) in self._hosts

    def _behind_proxy(self, scope: Scope) -> Scope:
        """Returns the scope with the browser's scheme and address, from the headers if one of our proxies set them."""
        peer = scope["client"][0] if scope.get("client") else ""
        if not _is_in(peer, self._proxies):
            return {**scope, FROM_PROXY: False}
        headers = Headers(scope=scope)
        client = _client_address(headers.getlist("x-forwarded-for"), self._proxies) or peer
        scheme = "https" if headers.get("x-forwarded-proto", "").lower() == "https" else scope["scheme"]
        return {**scope, FROM_PROXY: True, "client": (client, 0), "scheme": scheme}


def host_of(text: str) -> str:
    """Returns the name in a Host header, without its port, in lower case; an IPv6 address keeps its brackets."""
    name, colon, port = text.rpartition(":")
    return (name if colon and port.isdigit() else text).lower()


def _client_address(forwarded: Sequence[str], proxies: Networks) -> str | None:
    """Returns the last address in X-Forwarded-For that is not one of our proxies. The client can forge earlier ones.

    Returns None if that entry is not an address, so that endless spellings of it do not get tries of their own.
    """
    for entry in reversed([part.strip() for line in forwarded for part in line.split(",")]):
        address = address_of(_without_port(entry))
        if address is None:
            return None
        if not _is_in(str(address), proxies):
            return str(address)
    return None


def _without_port(entry: str) -> str:
    """Removes the port of `192.0.2.1:4711` or `"[2001:db8::1]:4711"`, as several proxies write it."""
    entry = entry.strip('"')
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """Parses an IP address; returns None if the text is not one.

    An IPv4 address that a dual-stack socket writes as `::ffff:10.0.0.1` is returned as IPv4. A zone, such as `%eth0`,
    is removed.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_in(address: str, networks: Networks) -> bool:
    parsed = address_of(address)
    return parsed is not None and any(parsed in network for network in networks)


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            page_policy = headers.get(POLICY)
            for name, value in HEADERS.items():
                headers[name] = value
            headers[POLICY] = page_policy or HEADERS[POLICY]
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return send_with_headers
