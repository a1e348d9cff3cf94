"""Which of the asked recipients the vendor refused, in the caller's own spelling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.channels.wecom.reply import listed
from worker.domain.job import Part
from worker.domain.outcome import Refusal

FIELDS: Mapping[str, str] = {
    "invaliduser": "user",
    "unlicenseduser": "user",
    "invalidparty": "party",
    "invalidtag": "tag",
}
"""The vendor's lists (page 90236) and whom they name."""

ASKED: Mapping[str, tuple[str, str]] = {
    "user": ("users", "invaliduser"),
    "party": ("parties", "invalidparty"),
    "tag": ("tags", "invalidtag"),
}
"""By kind: the key of such recipients in a part's spec, and the vendor's list that is noted when all are refused."""

Key = tuple[str, str]


def refusals(part: Part, data: Mapping[str, Any]) -> tuple[tuple[Refusal, ...], list[str]]:
    """The refused recipients, each once, and notes on what did not fit. Ids come back lower-cased (page 90236)."""
    lists = {field: listed(data[field]) for field in FIELDS if data.get(field)}
    notes = [f"{field} has another type" for field, ids in lists.items() if ids is None]
    named = {(FIELDS[field], entry.lower()): field for field, ids in lists.items() for entry in ids or ()}
    asked = _asked(part)
    strangers = len(named.keys() - asked.keys())
    if strangers:
        notes.append(f"{strangers} refused ids were not asked for")
    return tuple(replace(asked[key], field=field) for key, field in named.items() if key in asked), notes


def all_refused(part: Part, data: Mapping[str, Any]) -> tuple[Refusal, ...]:
    """Every recipient of the part: 81013 means all of them, though the lists may name only some."""
    named, _ = refusals(part, data)
    return tuple({**_asked(part), **{(each.kind, each.recipient.lower()): each for each in named}}.values())


def _asked(part: Part) -> dict[Key, Refusal]:
    return {
        (kind, str(entry).lower()): Refusal(str(entry), kind, field)
        for kind, (name, field) in ASKED.items()
        for entry in part.spec.get(name, ())
    }
