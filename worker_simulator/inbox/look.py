"""What a request wants to see: which conversation, which page of it, which panel, in which language; and links to it.

Does not know what there is to see.
"""

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
LONGEST = 400
"""Characters of a search, a name or an id that a link may hold."""


class ConversationKey(NamedTuple):
    """A conversation: its kind, the app, corp or server it belongs to, and who or which chat it is with."""

    kind: Kind
    place: str
    who: str

    def __str__(self) -> str:
        return ":".join(quote(part, safe="") for part in self)

    @classmethod
    def parsed(cls, text: str) -> ConversationKey | None:
        """The key that a link holds; None where it holds none."""
        kind, _, rest = text.partition(":")
        place, found, who = rest.partition(":")
        known = next((one for one in KINDS if one == kind), None)
        return cls(known, unquote(place), unquote(who)) if known and found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """What a page shows."""

    at: ConversationKey | None = None
    q: str = ""
    """What is searched for."""
    kind: str = ""
    """The only kind of conversation the list shows; empty: all."""
    skip: int = 0
    """How many conversations the list passes over."""
    before: int | None = None
    """The entry before which the page of a conversation ends; None: the newest page."""
    panel: Panel = ""
    call: int = 0
    """The call that a panel shows, or before which its list begins; 0: the newest."""
    person: str = ""
    """The person that acts in a chat of several."""
    lang: Lang = "zh"

    def url(self, **changes: Any) -> str:
        """The address of a page that differs from this one in `changes`."""
        return _address("/", replace(self, **changes))

    def part(self, name: Part) -> str:
        """The address of one part of this page."""
        return _address(f"/_inbox/{name}", self)


def look_of(request: HttpRequest) -> PageQuery:
    """What a request asks for; what makes no sense is left out."""
    query = {name: value[:LONGEST] for name, value in request.query.items()}
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
    """The cookies of a request."""
    pairs = (one.strip().partition("=") for one in request.headers.get("cookie", "").split(";"))
    return {name: value for name, found, value in pairs if found}


def _language(request: HttpRequest) -> Lang:
    """The language a link asks for, else the one chosen before, else by the browser's first, else Chinese."""
    wanted = request.query.get("lang"), cookies(request).get("lang")
    spoken = request.headers.get("accept-language", "zh")
    chosen = next((one for one in wanted if one in ("zh", "en")), "zh" if spoken.startswith("zh") else "en")
    return "zh" if chosen == "zh" else "en"


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 16 else None


def _address(path: str, look: PageQuery) -> str:
    given = {
        "at": str(look.at) if look.at else "",
        "q": look.q,
        "kind": look.kind,
        "skip": look.skip or "",
        "before": "" if look.before is None else look.before,
        "panel": look.panel,
        "call": look.call or "",
        "person": look.person,
    }
    query = urlencode({name: value for name, value in given.items() if value != ""})
    return f"{path}?{query}" if query else path
