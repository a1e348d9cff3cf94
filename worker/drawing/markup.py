"""The HTML that vendors take inside their texts, made safe: links in a text, colours in a textcard, a whole article.

Each tag is either written anew from a list or shown as it was typed, so nothing of a message's own markup reaches the
page. Sources: 90236 发送应用消息 (text, textcard, mpnews). Does not know fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import unescape
from itertools import islice

from markupsafe import Markup, escape

from worker.drawing.links import followed, with_links

TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)(\s[^<>]{0,4096}|/?)>")
IMAGE = re.compile(r"<img\s([^<>]{0,4096})>", re.IGNORECASE)
MENTION = re.compile(r"<@([^<>\s]{1,64})>")
# No name is tried again from its second letter: that would cost the square of its length.
ATTRIBUTE = re.compile(r"""(?<![a-z-])([a-z-]++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++))""", re.IGNORECASE)
Attributes = Mapping[str, str]
Opening = Callable[[Attributes], Markup]
"""The tag that is written for one that was read."""
MOST_OPEN = 40
"""Tags inside each other; deeper ones are left out, and their text stays."""
MOST_TAGS = 5_000
"""Tags of one text; what follows them is shown as typed, so that no message keeps a page waiting."""
MOST_PICTURES = 200
"""Pictures of one article, likewise."""


def _as(tag: str) -> Opening:
    return lambda attributes: Markup(f"<{tag}>")


def _link(attributes: Attributes) -> Markup:
    address = followed(attributes.get("href", ""))
    if not address:
        return Markup("<a>")
    return Markup('<a href="{}" target="_blank" rel="noreferrer noopener nofollow">').format(address)


def _coloured(attributes: Attributes) -> Markup:
    """Of a textcard: gray, highlight, normal."""
    colour = attributes.get("class", "")
    return Markup(f'<div class="ink-{colour}">') if colour in ("gray", "highlight", "normal") else Markup("<div>")


LINKS: Mapping[str, Opening] = {"a": _link}
"""A text of an application."""
COLOURS: Mapping[str, Opening] = {"div": _coloured, "br": _as("br")}
"""The description of a textcard."""
ARTICLE: Mapping[str, Opening] = {
    **{tag: _as(tag) for tag in ("p", "div", "br", "hr", "ul", "ol", "li", "blockquote", "pre", "code", "sub", "sup")},
    **{tag: _as(tag) for tag in ("b", "strong", "i", "em", "u", "s", "span", "table", "tbody", "tr", "td", "th")},
    **{f"h{level}": lambda attributes: Markup('<p class="heading-3">') for level in range(1, 7)},
    **{tag: _as("div") for tag in ("section", "article", "header", "footer", "figure", "figcaption")},
    "font": _as("span"),
    "a": _link,
}
"""The content of an article."""
EMPTY = frozenset({"br", "hr"})


def marked_up(text: str, tags: Mapping[str, Opening], between: Callable[[str], Markup] = escape) -> Markup:
    """Text with the tags of a list; every other one is shown as typed. All that is opened is closed.

    `between` draws what stands outside of links, in which nothing else can lead anywhere.
    """
    out: list[Markup] = []
    opened: list[tuple[str, str]] = []
    at = 0
    for found in islice(TAG.finditer(text), MOST_TAGS):
        out.append((escape if _links(opened) else between)(text[at : found.start()]))
        out.append(_tag(found, tags, opened))
        at = found.end()
    out.append((escape if _links(opened) else between)(text[at:]))
    out += [Markup(f"</{written}>") for _, written in reversed(opened)]
    return Markup().join(out)


def _tag(found: re.Match[str], tags: Mapping[str, Opening], opened: list[tuple[str, str]]) -> Markup:
    closing, name = found[1], found[2].lower()
    if name not in tags:
        return escape(found[0])
    if closing:
        return _closed(name, opened)
    if len(opened) >= MOST_OPEN or (name == "a" and _links(opened)):
        return Markup()
    attributes = {one[1].lower(): unescape(one[2] or one[3] or one[4] or "") for one in ATTRIBUTE.finditer(found[3])}
    written = tags[name](attributes)
    if name not in EMPTY:
        opened.append((name, written[1:].partition(" ")[0].rstrip(">")))
    return written


def _links(opened: list[tuple[str, str]]) -> bool:
    return any(name == "a" for name, _ in opened)


def _closed(name: str, opened: list[tuple[str, str]]) -> Markup:
    """Closes the tag and those inside it; an end without a beginning is nothing."""
    if name not in [one for one, _ in opened]:
        return Markup()
    out = []
    while True:
        read, written = opened.pop()
        out.append(Markup(f"</{written}>"))
        if read == name:
            return Markup().join(out)


def chat_text(text: str, tags: Mapping[str, Opening], mention: Callable[[str], Markup] | None) -> Markup:
    """A text as chats show it: tags of a list and bare addresses lead on, and `mention` draws each `<@userid>`."""

    def between(part: str) -> Markup:
        if mention is None:
            return with_links(part)
        pieces = MENTION.split(part)
        return Markup().join(mention(one) if number % 2 else with_links(one) for number, one in enumerate(pieces))

    return marked_up(text, tags, between)


def coloured_text(text: str) -> Markup:
    """The description of a textcard."""
    return marked_up(text, COLOURS)


def article(text: str, picture: Callable[[str], Markup]) -> Markup:
    """An article's HTML; its pictures are drawn by `picture`."""
    out, at = [], 0
    for found in islice(IMAGE.finditer(text), MOST_PICTURES):
        source = next((one[2] or one[3] or one[4] for one in ATTRIBUTE.finditer(found[1]) if one[1] == "src"), "")
        out += [(text[at : found.start()], unescape(source or ""))]
        at = found.end()
    parts = [Markup("{}{}").format(marked_up(before, ARTICLE, _read), picture(source)) for before, source in out]
    return Markup().join([*parts, marked_up(text[at:], ARTICLE, _read)])


def _read(part: str) -> Markup:
    """Text between tags, whose entities are characters."""
    return escape(unescape(part))
