"""Shows what was changed in silence, as badges at the fields and as sentences under the message.

Does not know types of messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from worker.drawing.node import is_list, plain
from worker.drawing.words import Say

MEASURES = ("limit", "unit", "size")


@dataclass(frozen=True, slots=True)
class Alteration:
    """One field that people do not see as it was sent."""

    path: str
    why: str
    sentence: str
    """What happened to the field, in words."""


def by_path(altered: Any) -> dict[str, Mapping[str, Any]]:
    """Returns the entries that name a field, by its path."""
    entries = altered if is_list(altered) else ()
    return {plain(one["field"]): one for one in entries if isinstance(one, Mapping) and plain(one.get("field"))}


def alterations(altered: Mapping[str, Mapping[str, Any]], say: Say) -> Iterator[Alteration]:
    """Yields each of them in words."""
    for path, one in altered.items():
        why = plain(one.get("why"))
        yield Alteration(path, why, _sentence(why, one, say))


def mark(one: Mapping[str, Any] | None, say: Say) -> Markup:
    """Returns the short badge for a field, or nothing for a field that is shown as it was sent."""
    if not one:
        return Markup()
    why = plain(one.get("why"))
    return Markup('<span class="mark mark-{}">{}</span>').format(why.split(",")[0].replace(" ", "-"), say(why))


def _sentence(why: str, one: Mapping[str, Any], say: Say) -> str:
    if why == "cut" and "limit" not in one:
        return say("cut_plain")
    values = {name: plain(one.get(name)) for name in MEASURES}
    sentence = say(f"{why}_long", **{**values, "unit": say(values["unit"])})
    return why if sentence == f"{why}_long" else sentence
