"""What templates of several pages need: instants, counts with a bound, words that may be missing.

Reads nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from markupsafe import Markup

from worker import language
from worker.console.page import THROUGH, Ask, View
from worker.console.words import WORDS, say
from worker.drawing import Lang
from worker.outbox.engine.clock import instant
from worker.outbox.upkeep.gauges import MOST


def show(ask: Ask, template: str, title: str, **data: object) -> View:
    """A page with these beside its own variables."""
    lang = ask.viewer.lang
    own = {"at": at, "short": short, "word": partial(_word, lang), "many": partial(_many, lang)}
    own |= {"state_word": partial(_word, lang, "state"), "action": partial(action_word, ask)}
    return View(template, title, own | data)


def at(when: datetime | int | None) -> Markup:
    """An instant in UTC; microseconds too, and a dash where there is none."""
    if when is None or when == 0:
        return Markup('<span class="quiet">–</span>')
    moment = (instant(when) if isinstance(when, int) else when).astimezone(UTC)
    told = f"{moment:%Y-%m-%d %H:%M:%S}"
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(timespec="milliseconds"), told)


def short(id: str) -> str:
    """The beginning of a job's id, and what tells a part from others; whole ids stand in titles and links."""
    job, dash, n = id.partition("-")
    return f"{job[:8]}…{job[-4:]}{dash}{n}" if len(job) > 16 else id


def action_word(ask: Ask, action: str) -> str:
    """The word of an action of the audit; one that came through the console says so."""
    own = action.removeprefix(THROUGH)
    told = language.word("action", own, ask.viewer.lang)
    return told if own == action else ask.say("audit.console", action=told)


def _word(lang: Lang, group: str, value: object) -> str:
    """The word of a value of a group: the console's, or one that commands show too; else the value is its own word."""
    if (key := f"{group}.{value}") in WORDS:
        return say(lang, key)
    return language.word(group if group in ("step", "unit") else "state", str(value), lang)


def _many(lang: Lang, count: int, most: int = MOST) -> str:
    """A count; from a bound on only "at least"."""
    told = f"{count:,}"
    return say(lang, "all.at_least", count=told) if count >= most else told
