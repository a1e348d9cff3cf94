"""Addresses in a message: which may be followed, which may be loaded, and the name a file is shown under.

Only http and https lead anywhere, and only files of the page's own origin are loaded. Does not know messages.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from markupsafe import Markup, escape

BARE = re.compile(r"https?://[^\s<>\"'\u3000-\u303f\uff00-\uffef]+")
"""An address in running text; punctuation of Chinese sentences ends it."""
UNFIT = re.compile(r"[\s\\\x00-\x20]")


def followed(address: str) -> str:
    """The address if a browser may follow it, else an empty text."""
    address = address.strip()
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return address if parts.scheme.lower() in ("http", "https") and parts.netloc else ""


def loaded(address: str | None) -> str:
    """The address if it is of the page's own origin, else an empty text."""
    if not address or address.startswith("//") or UNFIT.search(address):
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return "" if parts.scheme or parts.netloc else address


def file_name(address: str) -> str:
    """The last part of an address's path."""
    return unquote(urlsplit(address).path.rpartition("/")[2], errors="replace")


def anchor(address: str, inside: str | Markup) -> Markup:
    """A link that tells its target nothing; the inside alone where the address may not be followed."""
    if not followed(address):
        return Markup("{}").format(inside)
    return Markup('<a href="{}" target="_blank" rel="noreferrer noopener nofollow">{}</a>').format(
        followed(address), inside
    )


def with_links(text: str) -> Markup:
    """Running text whose addresses are links."""
    out, at = [], 0
    for found in BARE.finditer(text):
        out += [escape(text[at : found.start()]), anchor(found[0], found[0])]
        at = found.end()
    return Markup().join([*out, escape(text[at:])])
