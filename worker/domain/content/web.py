"""Parses the web address of a file. Does no I/O.

No error text quotes an address, because an address may hold credentials.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

PORTS = {"http": 80, "https": 443}
URL_BYTES = 2048
_SAFE = "!#$%&'()*+,/:;=?@[]~"
"""Characters of a path or query that are sent as written. With `%` among them, encoded characters stay encoded."""
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f]")


class UnusableAddress(ValueError):
    """The text is no address of a file. The error says why and what to write, without the address."""

    def __init__(self, what: str, remedy: str):
        super().__init__(f"{what}; {remedy}")
        self.what, self.remedy = what, remedy


@dataclass(frozen=True, slots=True)
class WebAddress:
    """One parsed http or https address. Its `repr` shows neither path nor credentials."""

    url: str = field(repr=False)
    scheme: str
    host: str
    """The host in lower case, in Punycode unless it was ASCII; an IPv6 address without its brackets."""
    port: int
    target: str = field(repr=False)
    """Path and query as they stand in a request."""
    login: str | None = field(default=None, repr=False)
    """`user:password` for this origin only, or None."""

    @property
    def host_header(self) -> str:
        """The `Host` header of a request."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def filename(self) -> str:
        """The last part of its path, or empty if the path ends in a slash."""
        return unquote(urlsplit(self.target).path.rpartition("/")[2])


def web_address(url: object) -> WebAddress:
    """Parses an address. Raises UnusableAddress, which says what is wrong with it."""
    if not isinstance(url, str) or not url:
        raise UnusableAddress("is not a text with something in it", "write it as https://host/path")
    if len(url.encode("utf-8", "surrogatepass")) > URL_BYTES:
        raise UnusableAddress(f"is longer than {URL_BYTES} bytes", "shorten it")
    if _FORBIDDEN.search(url):
        raise UnusableAddress("holds a space or a control character", "percent-encode it")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
        host = host if host.isascii() else host.encode("idna").decode()
        path = quote(parts.path or "/", safe=_SAFE)
        target = f"{path}?{quote(parts.query, safe=_SAFE)}" if parts.query else path
    except ValueError:  # a port that is none, half a bracket, a lone surrogate, a name that has no Punycode
        host = ""
    if not host or port == 0 or parts.scheme not in PORTS:
        raise UnusableAddress("is not an http or https address", "write it as https://host/path")
    login, at, _ = parts.netloc.rpartition("@")
    return WebAddress(url, parts.scheme, host, port or PORTS[parts.scheme], target, unquote(login) if at else None)
