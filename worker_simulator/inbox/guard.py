"""Protects the page: security headers of every answer, checks of host and origin.

A page of another site in the same browser must neither read this page nor press anything in it, even if its host name
was made to point to this machine.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from worker_simulator.request import HttpRequest

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Sent with every answer of a page."""


def is_loopback(host: str) -> bool:
    """True if a server that listens on `host` can be reached only from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_known_host(request: HttpRequest, *, loopback: bool) -> bool:
    """True if the Host header names this machine. Any name is accepted if other machines can reach the server."""
    name = urlsplit(f"//{request.headers.get('host', '')}").hostname
    return not loopback or (name is not None and is_loopback(name))


def is_foreign(request: HttpRequest) -> bool:
    """True if the browser says that a page of another site sent the request. Programs send no such header."""
    return bool({"sec-fetch-site", "origin"} & request.headers.keys()) and not is_same_origin(request)


def is_same_origin(request: HttpRequest) -> bool:
    """True if an action comes from this page, judged by Sec-Fetch-Site, or else by Origin.

    A form of a page without referrers has the origin `null`, and browsers send Sec-Fetch-Site only to loopback and over
    TLS.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(request.headers.get("origin", ""))
    return origin.scheme in ("http", "https") and origin.netloc == request.headers.get("host")
