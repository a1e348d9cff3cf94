"""Reads what the drawing room draws as a browser would, with the parser of the standard library, and judges it.

Knows which elements and attributes a page may hold, and nothing of messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlsplit

GLOBAL = {
    "class",
    "role",
    "hidden",
    "title",
    "aria-label",
    "aria-hidden",
    "tabindex",
    "data-type",
    "data-kind",
    "data-state",
}
PLAIN = (
    *("article", "section", "div", "span", "p", "strong", "em", "b", "i", "u", "s", "sub", "sup", "bdi", "br", "hr"),
    *("ul", "li", "dl", "dt", "dd", "blockquote", "pre", "code", "table", "thead", "tbody", "tr", "th", "td"),
    *("fieldset", "legend", "label", "summary"),
)
ELEMENTS: dict[str, set[str]] = {
    **{name: set() for name in PLAIN},
    "ol": {"start"},
    "details": {"open"},
    "a": {"href", "target", "rel"},
    "img": {"src", "alt"},
    "video": {"src", "controls", "preload"},
    "form": {"method", "action", "data-message-form"},
    "button": {"type", "name", "value"},
    "input": {"type", "name", "value", "checked"},
    "select": {"name"},
    "option": {"value", "selected"},
}
VOID = {"br", "hr", "img", "input"}
INTERACTIVE = {"a", "button"}
"""Elements that a browser does not nest."""
LOADED = {"src", "action"}


class DrawnHtml(HTMLParser):
    """The text and the elements of a drawing."""

    def __init__(self, drawn: str) -> None:
        super().__init__()
        self.text = ""
        self.faults: list[str] = []
        """Whatever no page may hold, and tags that are not closed in order."""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(str(drawn))  # a Markup would escape what the parser reads out of it
        self.close()
        self.faults += [f"<{tag}> is left open" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.faults += _faults(tag, attrs)
        if tag in INTERACTIVE and INTERACTIVE & set(self._open):
            self.faults.append(f"<{tag}> inside another that is pressed")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes another")

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.faults.append(f"a comment {data!r}")

    def handle_decl(self, decl: str) -> None:
        self.faults.append(f"a declaration {decl!r}")


def _faults(tag: str, attrs: list[tuple[str, str | None]]) -> Iterator[str]:
    if tag not in ELEMENTS:
        yield f"<{tag}>"
        return
    for name, value in attrs:
        if name not in GLOBAL | ELEMENTS[tag]:
            yield f"<{tag} {name}>"
        if name == "href" and urlsplit(value or "").scheme not in ("http", "https", ""):
            yield f"leads to {value!r}"
        if name in LOADED and (urlsplit(value or "").scheme or urlsplit(value or "").netloc):
            yield f"loads {value!r}"


def bare(text: str, less: str = "") -> str:
    """The text without white space, which HTML does not keep, and without these characters."""
    return re.sub(rf"[\s{re.escape(less)}]" if less else r"\s", "", text)


WORK_UNSEEN = frozenset(
    {
        *("url", "link", "icon_url", "content_source_url", "appid", "page", "pagepath"),  # where it leads
        *("media_id", "thumb_media_id", "pic_media_id", "picurl", "image_url"),  # what is drawn in its place
        *("id", "key", "question_key", "selected_id", "task_id", "callback_id", "name", "value", "replace_text"),
        *("card_type", "msgtype", "type", "action", "border_color", "text_color"),
    }
)
"""Fields that do their work without being read."""


def leaves(value: object, *, read: bool = False) -> Iterator[str]:
    """Every text of a JSON value; only those that people read with `read`."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            if not (read and name in WORK_UNSEEN and isinstance(one, str)):
                yield from leaves(one, read=read)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one, read=read)
