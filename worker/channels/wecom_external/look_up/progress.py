"""How far the search for a lost task has come: what stands in a part's spec from one call to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LIST, MEMBERS, RESULTS = "list", "members", "results"


@dataclass(frozen=True, slots=True)
class Fit:
    """A task that fits the part: it names no other recipients and, where the part has a sender, no other member."""

    msgid: str
    seen: str
    """Which of the part's recipients it names: a bit each, in hex."""


@dataclass(frozen=True, slots=True)
class Search:
    """The state between two calls."""

    step: str = LIST
    cursor: str = ""
    window: tuple[int, ...] = ()
    """Start and end, in Unix seconds, of the span that is being read; a cursor belongs to it."""
    empty: int = 0
    """How often the list was read to its end without a task that is like this one."""
    pages: int = 0
    """How many pages were read in all."""
    restarts: int = 0
    """How often the vendor did not know a cursor any more."""
    found: tuple[str, ...] = ()
    """Tasks that look like it and are still to be looked into; the first is the one being read."""
    members: tuple[str, ...] = ()
    """Members of the first task: in step `members` those read so far, in step `results` those still to be read."""
    seen: str = "0"
    """Which of the part's recipients the first task names: a bit each, in hex."""
    fits: tuple[Fit, ...] = ()
    unsure: int = 0
    """How many tasks could not be read far enough to say whose they are."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict; `search_of` reads it back."""
        return asdict(self)


def search_of(spec: Mapping[str, Any]) -> Search:
    """The state in a part's spec; a spec without one is at the beginning."""
    held = dict(spec.get("look_up") or {})
    for name in ("found", "members", "window"):
        held[name] = tuple(held.get(name, ()))
    held["fits"] = tuple(Fit(**one) for one in held.get("fits", ()))
    return Search(**held)


def marked(seen: str, places: Sequence[int]) -> str:
    """`seen` with the recipients at these places marked too."""
    bits = int(seen, 16)
    for place in places:
        bits |= 1 << place
    return f"{bits:x}"


def unmarked(seen: str, ids: Sequence[str]) -> list[str]:
    """The recipients that are not marked in `seen`."""
    bits = int(seen, 16)
    return [one for place, one in enumerate(ids) if not bits >> place & 1]
