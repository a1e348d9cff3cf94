"""How far the search for a lost task has come, and whether a task of the vendor's list may be the lost one.

The first stands in a part's spec from one call to the next. A task carries no reference of its caller (page 93338), so
likeness in time, text and attachments is necessary and never enough; `look_up.py` goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.channels.wecom.answer import integer, moment

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


CORP_MADE = 0
"""`create_type`; 1 is a member's own."""

SHOWN: Mapping[str, tuple[str, ...]] = {
    "link": ("title", "picurl", "desc", "url"),
    "miniprogram": ("title", "appid", "page"),
    "image": ("media_id", "pic_url"),
    "video": ("media_id",),
    "file": ("media_id",),
}
"""Fields that the list shows of an attachment. Of an image it shows one of the two; of a mini program no cover."""


def is_like(entry: Mapping[str, Any], content: Mapping[str, Any], since: int, until: int) -> bool:
    """Whether an API call made a task in that time, with this text and these attachments."""
    at = moment(entry, "create_time")
    if at is None or not since <= at <= until:
        return False
    # A person's task, made in the console, has a `creator`.
    if entry.get("creator") or integer(entry, "create_type") not in (None, CORP_MADE):
        return False
    return _text_of(entry) == _text_of(content) and _same_attachments(entry, content)


def _text_of(holder: Mapping[str, Any]) -> str:
    text = holder.get("text")
    content = text.get("content") if isinstance(text, Mapping) else None
    return content.replace("\r\n", "\n").strip() if isinstance(content, str) else ""


def _same_attachments(entry: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    theirs, ours = entry.get("attachments") or [], content.get("attachments") or []
    if not isinstance(theirs, list) or len(theirs) != len(ours):
        return False
    return all(_same(one, other) for one, other in zip(theirs, ours, strict=True))


def _same(theirs: Any, ours: Mapping[str, Any]) -> bool:
    """Whether two attachments have the same type, and no field that both show differs."""
    if not isinstance(theirs, Mapping) or theirs.get("msgtype") != ours.get("msgtype"):
        return False
    msgtype = str(ours.get("msgtype"))
    told, sent = theirs.get(msgtype), ours.get(msgtype)
    if not isinstance(told, Mapping) or not isinstance(sent, Mapping):
        return False
    return all(told[name] == sent[name] for name in SHOWN.get(msgtype, ()) if told.get(name) and sent.get(name))
