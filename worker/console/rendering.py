"""Makes a page of its template: escaped, and with an error for a variable that was not given. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from importlib.resources import files
from urllib.parse import quote, urlencode

from jinja2 import Environment
from markupsafe import Markup

from worker.console.page import View
from worker.console.visit import Visit
from worker.console.words import say
from worker.drawing import Lang, environment, stylesheet
from worker.language import said, word

TONES: Mapping[str, str] = {
    "open": "busy",
    "queued": "calm",
    "sending": "busy",
    "accepted": "good",
    "partial": "mixed",
    "rejected": "bad",
    "exhausted": "bad",
    "unknown": "doubt",
    "expired": "gone",
    "cancelled": "gone",
}
"""The colour of each state of a job and of a part, as a class `tone-...` of the style sheet."""
_HERE = files("worker.console")
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load."""

    body: bytes
    content_type: str
    version: str
    """The beginning of its hash, which stands in its address: a newer file has another address."""


@cache
def assets() -> Mapping[str, Asset]:
    """All of them by their names: there is no other file that a path could lead to."""
    own = {name: (_HERE / "static" / name).read_bytes() for name in ("console.css", "console.js", "icon.svg")}
    return {
        name: Asset(body, _TYPES[name.rpartition(".")[2]], sha256(body).hexdigest()[:12])
        for name, body in {**own, "design.css": stylesheet().encode()}.items()
    }


def address(root: str, path: str, query: Mapping[str, object]) -> str:
    """A path of the console as a browser asks for it; a list is several values, and None is left out."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{root}{quote(path)}{'?' + urlencode(given, doseq=True) if given else ''}"


def render(page: View, visit: Visit, *, root: str, here: str, nav: Iterable[tuple[str, str]]) -> str:
    """The page as HTML.

    `root` is the path under which the console is mounted, empty for none; `here` the page's own path and query below
    it; `nav` has path and word of each link that the viewer may follow.
    """
    field = Markup('<input type="hidden" name="csrf" value="{}">').format(visit.csrf) if visit.csrf else None
    path = here.partition("?")[0]
    return (
        _environment()
        .get_template(page.template)
        .render(
            {
                "title": page.title,
                "lang": visit.lang,
                "theme": visit.theme,
                "viewer": visit.viewer,
                "can_sign_out": visit.can_sign_out,
                "here": here,
                "nav": [(other, word, _is_within(path, other)) for other, word in nav],
                "csrf_field": field,
                "t": partial(say, visit.lang),
                "said": lambda text: said(text or "", visit.lang),
                "badge": lambda state: badge(state, visit.lang),
                "link": lambda path, **query: address(root, path, query),
                "asset": lambda name: address(root, f"/static/{name}", {"v": assets()[name].version}),
                **page.data,
            }
        )
    )


def badge(state: str, lang: Lang) -> Markup:
    """A state as a badge in its colour, with its word; one that is not known is its own word."""
    form = '<span class="badge state tone-{}" data-state="{}">{}</span>'
    return Markup(form).format(TONES.get(state, "calm"), state, word("state", state, lang))


def _is_within(here: str, path: str) -> bool:
    return here == path if path == "/" else here == path or here.startswith(f"{path}/")


@cache
def _environment() -> Environment:
    return environment("worker.console")
