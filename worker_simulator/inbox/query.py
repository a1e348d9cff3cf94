"""What a request asks to see: conversation, page, panel, person and language; and links to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import quote, unquote, urlencode

from worker.drawing import Lang
from worker_simulator.request import HttpRequest

Kind = Literal["app", "chat", "webhook", "campaign", "youdu"]
"""An application with one member, a group chat of an application, a webhook's chat, a member's group sends to
customers, a Youdu app with one person."""
Panel = Literal["", "call", "calls", "rules", "faults", "limits", "clock", "callback"]
Part = Literal["list", "talk", "panel"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PANELS: tuple[Panel, ...] = get_args(Panel)
MAX_CHARS = 400
"""The longest search text, name or id in a link."""


class ConversationKey(NamedTuple):
    """A conversation: its kind, the app, corp or server it belongs to, and the person or chat."""

    kind: Kind
    place: str
    who: str

    def __str__(self) -> str:
        return ":".join(quote(part, safe="") for part in self)

    @classmethod
    def parsed(cls, text: str) -> ConversationKey | None:
        """Returns the key in a link, or None if it is not one."""
        kind, _, tail = text.partition(":")
        place, colon, who = tail.partition(":")
        known_kind = next((kind_name for kind_name in KINDS if kind_name == kind), None)
        return cls(known_kind, unquote(place), unquote(who)) if known_kind and colon else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """The parameters of a page."""

    at: ConversationKey | None = None
    q: str = ""
    """The text to search for."""
    kind: str = ""
    """Display only conversations of this kind. Empty: all."""
    skip: int = 0
    """How many conversations of the list to skip."""
    before: int | None = None
    """Display the entries before this one, or the newest if None."""
    panel: Panel = ""
    call: int = 0
    """The call that a panel displays, or before which its list begins. 0: the newest."""
    person: str = ""
    """The person who acts in a chat with several members."""
    lang: Lang = "zh"

    def url(self, **changes: Any) -> str:
        """Returns the URL of a page that differs from this one in `changes`."""
        return _address("/", replace(self, **changes))

    def part(self, name: Part) -> str:
        """Returns the URL of one part of this page."""
        return _address(f"/_inbox/{name}", self)


def parse_query(request: HttpRequest) -> PageQuery:
    """Returns the parameters of a request. Invalid ones are ignored."""
    query = {name: value[:MAX_CHARS] for name, value in request.query.items()}
    return PageQuery(
        at=ConversationKey.parsed(query.get("at", "")),
        q=query.get("q", "").strip(),
        kind=next((kind for kind in KINDS if kind == query.get("kind")), ""),
        skip=_number(query.get("skip")) or 0,
        before=_number(query.get("before")),
        panel=next((panel for panel in PANELS if panel == query.get("panel")), ""),
        call=_number(query.get("call")) or 0,
        person=query.get("person", "").strip(),
        lang=_language(request),
    )


def cookies(request: HttpRequest) -> dict[str, str]:
    """Returns the cookies of a request."""
    pairs = (pair.strip().partition("=") for pair in request.headers.get("cookie", "").split(";"))
    return {name: value for name, equals, value in pairs if equals}


def _language(request: HttpRequest) -> Lang:
    """Returns the language of the link, else of the cookie, else of the browser, else Chinese."""
    choices = request.query.get("lang"), cookies(request).get("lang")
    accepted = request.headers.get("accept-language", "zh")
    chosen = next((choice for choice in choices if choice in ("zh", "en")), "zh" if accepted.startswith("zh") else "en")
    return "zh" if chosen == "zh" else "en"


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 16 else None


def _address(path: str, query: PageQuery) -> str:
    fields = {
        "at": str(query.at) if query.at else "",
        "q": query.q,
        "kind": query.kind,
        "skip": query.skip or "",
        "before": "" if query.before is None else query.before,
        "panel": query.panel,
        "call": query.call or "",
        "person": query.person,
    }
    text = urlencode({name: value for name, value in fields.items() if value != ""})
    return f"{path}?{text}" if text else path
