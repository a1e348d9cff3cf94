"""Renders a page from its template, escaped; a missing variable is an error. Knows no HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache, partial
from hashlib import sha256
from importlib.resources import files
from urllib.parse import quote, urlencode

from jinja2 import Environment
from markupsafe import Markup, escape

from worker import language
from worker.console.page import AUDIT_PREFIX, View
from worker.console.viewer import may_read_names
from worker.console.visit import Visit
from worker.console.words import WORDS, term
from worker.control.commands import COMMANDS
from worker.domain.times import write_time
from worker.drawing import STYLESHEET, Lang, environment
from worker.language import translate
from worker.outbox.engine.clock import instant
from worker.outbox.upkeep.gauges import MAX_COUNT
from worker.reporting.job_list import content_text

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
    "recalled": "gone",
}
"""The colour of each state of a job and of a part, as a class `tone-...` of the style sheet."""
_GROUPS = ("step", "unit", "mailing", "kind", "msgtype")
_DANGEROUS = frozenset(name for name, command in COMMANDS.items() if command.is_dangerous)
_BACKTICKS = re.compile("`([^`\n]+)`")
_LISTING = re.compile(r"worker ([a-z]+)((?: --(?:account|state|tag) [^ <&]+)*)")
"""A command that only lists, and whose page can be opened instead."""
_PAGES = {name: f"/{name}" for name in ("accounts", "audit", "failures", "inbound", "jobs", "lanes")}
_PAGES |= {"hooks": "/events", "forecast": "/backlog", "limits": "/accounts"}
_HERE = files("worker.console")
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load."""

    body: bytes
    content_type: str
    version: str
    """The beginning of its hash. It is part of the URL, so a changed file has another URL."""


@cache
def assets() -> Mapping[str, Asset]:
    """Returns all files that pages load, by name. No other file is served."""
    static = {name: (_HERE / "static" / name).read_bytes() for name in ("console.css", "console.js", "icon.svg")}
    return {
        name: Asset(body, _TYPES[name.rpartition(".")[2]], sha256(body).hexdigest()[:12])
        for name, body in {**static, "design.css": STYLESHEET.encode()}.items()
    }


def address(root: str, path: str, query: Mapping[str, object]) -> str:
    """Returns a path of the console as a browser requests it; a list gives several values, and None is left out."""
    values = {name: value for name, value in query.items() if value is not None}
    return f"{root}{quote(path)}{'?' + urlencode(values, doseq=True) if values else ''}"


def render(page: View, visit: Visit, *, root: str, here: str, nav: Iterable[tuple[str, str]], zone: tzinfo) -> str:
    """Returns the page as HTML.

    `root` is the path under which the console is mounted, empty for none; `here` the page's own path and query below
    it; `nav` has the path and the text key of each link that the viewer may follow; times are shown in `zone`.
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
                "nav": [(link_path, word, _is_within(path, link_path)) for link_path, word in nav],
                "csrf_field": field,
                "reads_all": visit.viewer is not None and may_read_names(visit.viewer, None),
                "t": partial(term, visit.lang),
                "translate": lambda text: with_commands(translate(text or "", visit.lang), root),
                "with_commands": partial(with_commands, root=root),
                "badge": partial(badge, lang=visit.lang),
                "state_word": partial(word, visit.lang, "state"),
                "term": partial(word, visit.lang),
                "many": partial(_many, visit.lang),
                "action": partial(action_word, visit.lang),
                "at": partial(at, zone=zone),
                "span": partial(span, visit.lang),
                "zone": zone,
                "short": short,
                "content": lambda kind, type=None: content_text(kind, type, visit.lang),
                "dangerous": _DANGEROUS,
                "link": lambda path, **query: address(root, path, query),
                "asset": lambda name: address(root, f"/static/{name}", {"v": assets()[name].version}),
                **page.data,
            }
        )
    )


def badge(state: str, lang: Lang) -> Markup:
    """Returns a state as a coloured badge with its name in the language; an unknown state keeps its own name."""
    form = '<span class="badge state tone-{}" data-state="{}">{}</span>'
    return Markup(form).format(TONES.get(state, "calm"), state, language.term("state", state, lang))


def at(when: datetime | int | None, zone: tzinfo = UTC) -> Markup:
    """Returns an instant (a datetime, or microseconds) in the time zone as HTML; a dash for None."""
    if when is None or when == 0:
        return Markup('<span class="quiet">–</span>')
    moment = instant(when) if isinstance(when, int) else when
    text, _, offset = write_time(moment, zone).rpartition(" ")
    # The zone stands at the head of the page.
    form = '<time datetime="{}" title="{}">{}</time>'
    return Markup(form).format(moment.astimezone(UTC).isoformat(timespec="milliseconds"), offset, text)


def span(lang: Lang, seconds: float) -> str:
    """Returns a length of time in the largest unit that gives it exactly, or that it has ten of."""
    whole = round(seconds)
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if whole >= 10 * size or (whole % size == 0 and whole >= size + (size == 86_400)):
            return term(lang, f"times.{unit}", count=f"{round(whole / size):,}")
    return term(lang, "times.seconds", count=f"{whole:,}")


def with_commands(text: str, root: str) -> Markup:
    """Returns a sentence as HTML, with what stands between backticks as code, and a link if a page shows the same."""
    return Markup(_BACKTICKS.sub(lambda match: _code(match[1], root), str(escape(text))))


def _code(command: str, root: str) -> str:
    code, listing = f"<code>{command}</code>", _LISTING.fullmatch(command)
    if listing is None or (path := _PAGES.get(listing[1])) is None:
        return code
    words = listing[2].split()
    query = {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}
    return f'<a href="{escape(address(root, path, query))}">{code}</a>'


def short(id: str) -> str:
    """Returns a short form of the id of a job or part; whole ids stand in titles and links."""
    job, dash, n = id.partition("-")
    return f"{job[:8]}…{job[-4:]}{dash}{n}" if len(job) > 16 else id


def action_word(lang: Lang, action: str) -> str:
    """Returns the name of an action of the audit, with a note if it was given through the console."""
    name = action.removeprefix(AUDIT_PREFIX)
    text = language.term("action", name, lang).replace("_", " ")
    return text if name == action else term(lang, "audit.console", action=text)


def word(lang: Lang, group: str, value: object) -> str:
    """Returns the name of a value from the console's texts, else from those of the command line, else the value."""
    if (key := f"{group}.{value}") in WORDS:
        return term(lang, key)
    return language.term(
        group if group in ("step", "unit", "mailing", "kind", "msgtype") else "state", str(value), lang
    )


def _many(lang: Lang, count: int, limit: int = MAX_COUNT) -> str:
    """Returns a count as text; from a bound on, only "at least" that many."""
    text = f"{count:,}"
    return term(lang, "all.at_least", count=text) if count >= limit else text


def _is_within(here: str, path: str) -> bool:
    return here == path if path == "/" else here == path or here.startswith(f"{path}/")


@cache
def _environment() -> Environment:
    return environment("worker.console")
