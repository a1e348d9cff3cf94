"""Addresses in a message: which may be followed, which may be loaded, and the tags that vendors accept in a text.

Only http and https can be followed, and only files of the page's own origin are loaded. A tag is either written again
or shown as it was typed, so nothing of a message's own markup reaches the page. Source of the tags: 90236 发送应用消息
(text, textcard, mpnews). Does not know messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from urllib.parse import unquote, urlsplit

from markupsafe import Markup, escape

BARE = re.compile(r"https?://[^\s<>\"'\u3000-\u303f\uff00-\uffef]+")
"""An address in running text. Chinese punctuation ends it."""
UNSAFE = re.compile(r"[\s\\\x00-\x20]")
MENTION = re.compile(r"<@([^<>\s]{1,64})>")
LINK = re.compile(
    r"""<a\s[^<>]{0,1024}?\bhref\s*=\s*(?:"([^"<>]*)"|'([^'<>]*)')[^<>]{0,1024}>(.*?)</a>""", re.DOTALL | re.IGNORECASE
)
"""A link in the text of an application."""
COLOURED = re.compile(
    r"""<div\s+class\s*=\s*["']?(gray|highlight|normal)["']?\s*>(.*?)</div>|<br\s*/?>""", re.DOTALL | re.IGNORECASE
)
"""A colour or a line end in the description of a textcard."""
MAX_PARSED = 8_192
"""Characters of a text whose tags are drawn. A longer one, which no vendor accepts, is shown as it was typed."""
ENDS_LINE = re.compile(r"</(?:p|div|h\d|li|tr)>|<br\s*/?>", re.IGNORECASE)
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


def followed(address: str) -> str:
    """Returns the address if a browser may follow it, else an empty text."""
    address = address.strip()
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return address if parts.scheme.lower() in ("http", "https") and parts.netloc else ""


def loaded(address: str | None) -> str:
    """Returns the address if it is of the page's own origin, else an empty text."""
    if not address or address.startswith("//") or UNSAFE.search(address):
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return "" if parts.scheme or parts.netloc else address


def file_name(address: str) -> str:
    """Returns the last part of an address's path."""
    return unquote(urlsplit(address).path.rpartition("/")[2], errors="replace")


def anchor(address: str, inside: str | Markup) -> Markup:
    """Returns a link that reveals nothing to its target, or only the inside if the address may not be followed."""
    if not followed(address):
        return Markup("{}").format(inside)
    return Markup('<a href="{}" target="_blank" rel="noreferrer noopener nofollow">{}</a>').format(
        followed(address), inside
    )


def chat_text(text: str, *, has_tags: bool, mention: Callable[[str], Markup] | None) -> Markup:
    """Draws a text as chats show it. Bare addresses become links, `has_tags` keeps tags, `mention` draws names."""

    def mentioned(part: str) -> Markup:
        return _pieces(MENTION, part, lambda found: mention(found[1]), _with_links) if mention else _with_links(part)

    if not has_tags or len(text) > MAX_PARSED:
        return mentioned(text)
    return _pieces(LINK, text, lambda found: anchor(unescape(found[1] or found[2] or ""), found[3]), mentioned)


def coloured_text(text: str) -> Markup:
    """Draws the description of a textcard."""
    return _pieces(COLOURED, text, _coloured, escape) if len(text) <= MAX_PARSED else escape(text)


def article_text(text: str) -> str:
    """Returns the text of an article's HTML, without its tags."""
    return unescape(TAG.sub("", ENDS_LINE.sub("\n", text)))


def _coloured(found: re.Match[str]) -> Markup:
    return Markup('<div class="ink-{}">{}</div>').format(found[1].lower(), found[2]) if found[1] else Markup("<br>")


def _with_links(text: str) -> Markup:
    """Draws running text whose addresses are links."""
    return _pieces(BARE, text, lambda found: anchor(found[0], found[0]), escape)


def _pieces(
    pattern: re.Pattern[str], text: str, write: Callable[[re.Match[str]], Markup], between: Callable[[str], Markup]
) -> Markup:
    """Draws each match with `write`, and everything else with `between`."""
    out, at = [], 0
    for found in pattern.finditer(text):
        out += [between(text[at : found.start()]), write(found)]
        at = found.end()
    return Markup().join([*out, between(text[at:])])
