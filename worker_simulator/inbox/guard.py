"""Keeps other pages from looking and acting: headers of every answer, hosts that are asked for, origins of acts.

Does not know what is looked at. A page that is open in the same browser must neither read this one nor press anything
in it, also when its name was made to point to this machine.
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
"""On every answer of a page, whatever it holds."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens at `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_known_host(request: HttpRequest, *, loopback: bool) -> bool:
    """Whether the page was asked for by a name of this machine; any name will do where others reach it too."""
    name = urlsplit(f"//{request.headers.get('host', '')}").hostname
    return not loopback or (name is not None and is_loopback(name))


def is_foreign(request: HttpRequest) -> bool:
    """Whether a browser says that a page of another site asks; programs say nothing of the kind."""
    return bool({"sec-fetch-site", "origin"} & request.headers.keys()) and not is_own(request)


def is_own(request: HttpRequest) -> bool:
    """Whether an act comes from this page: by what the browser says of its site, or else by its origin.

    A form of a page without referrers has the origin `null`, and browsers say the site to loopback and TLS alone.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(request.headers.get("origin", ""))
    return origin.scheme in ("http", "https") and origin.netloc == request.headers.get("host")
