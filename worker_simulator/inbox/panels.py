"""The panels beside a conversation, as values for their templates: calls, violations, faults, limits, clock, callbacks.

Does not know HTTP, and how any of it is changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from worker_simulator.inbox.acts import PRESETS
from worker_simulator.inbox.conversations import ConversationEntry, Conversations
from worker_simulator.inbox.entries import view
from worker_simulator.inbox.look import Panel
from worker_simulator.inbox.parts import callee, subtitle, title, webhook_key
from worker_simulator.inbox.shown import PageReader
from worker_simulator.inbox.why import explained, row
from worker_simulator.wire.routes import ROUTES

ROWS = 50
MOST = 100
"""Violations of each sort that are listed."""
ADVANCES = (60, 3600, 86_400, 259_200)


@dataclass(frozen=True, slots=True)
class ViolationLine:
    """One violation: its text, the call to look at, and a short note."""

    text: str
    note: str = ""
    call: int = 0


def panel_part(reader: PageReader, conversations: Conversations) -> dict[str, Any]:
    """The values of the panel that is open."""
    fill = PANELS.get(reader.look.panel)
    return fill(reader, conversations) if fill else {}


def _call(reader: PageReader, conversations: Conversations) -> dict[str, Any]:
    call = reader.world.calls.find(reader.look.call)
    if call is None:
        return {"call": None}
    found = explained(reader, conversations, call)
    return {"call": found, "places": [(key, title(reader, key), subtitle(reader, key)) for key in found.shown_in]}


def _calls(reader: PageReader, conversations: Conversations) -> dict[str, Any]:
    found = list(islice(reader.world.calls.newest(reader.look.call or None), ROWS + 1))
    older = reader.look.url(call=found[ROWS - 1].seq) if len(found) > ROWS else None
    newer = reader.look.url(call=0) if reader.look.call else None
    return {"calls": [row(reader, call) for call in found[:ROWS]], "older": older, "newer": newer}


def _rules(reader: PageReader, conversations: Conversations) -> dict[str, Any]:
    shown = reader.world.limits.shown()
    sections = (
        ("limits_over", "no_limits_over", _overstepped(reader, shown["limits"])),
        ("drops", "no_drops", _drops(reader, shown["drops"])),
        ("blocks", "", _blocks(reader, shown["blocked_until"])),
        ("duplicates", "no_duplicates", _duplicates(reader)),
    )
    cut = ((head, empty, list(islice(lines, MOST + 1))) for head, empty, lines in sections)
    return {"sections": [(head, empty, lines) for head, empty, lines in cut if lines or empty], "most": MOST}


def _overstepped(reader: PageReader, found: Sequence[Mapping[str, Any]]) -> Iterator[ViolationLine]:
    for one in reversed(found):
        note = reader.say("over_row", limit=one["limit"], count=one["count"], times=one["times"])
        length = f"{reader.window(one['window_s'])} · {reader.say(one['kind'])}"
        yield ViolationLine(f"{one['key']} ({length})", note, one["last_seq"])


def _drops(reader: PageReader, found: Sequence[Mapping[str, Any]]) -> Iterator[ViolationLine]:
    for one in reversed(found):
        text = reader.say("drop_row", user=one["user"], window=reader.window(one["window_s"]), limit=one["limit"])
        yield ViolationLine(text, reader.time(one["time"]), one["seq"])


def _blocks(reader: PageReader, found: Mapping[str, float]) -> Iterator[ViolationLine]:
    now = reader.world.clock.now()
    for key, until in found.items():
        if until > now:
            yield ViolationLine(reader.say("block_row", key=key, until=reader.time(until)))


def _duplicates(reader: PageReader) -> Iterator[ViolationLine]:
    for one in reversed(reader.world.inbox.duplicates()):
        yield ViolationLine(reader.say("duplicate_row", user=one["user"], count=len(one["seqs"])), "", one["seqs"][-1])


def _faults(reader: PageReader, conversations: Conversations) -> dict[str, Any]:
    rules = [
        (json.dumps({k: v for k, v in rule.items() if k not in ("matched", "hits")}, ensure_ascii=False), rule)
        for rule in reader.world.faults.shown()
    ]
    return {"rules": rules, "presets": PRESETS, "paths": sorted(ROUTES)}


def _limits(reader: PageReader, conversations: Conversations) -> dict[str, Any]:
    whole = reader.world.settings.model_dump(mode="json")
    limits = whole.pop("limits")
    groups = [(name, json.dumps(value, ensure_ascii=False, indent=2)) for name, value in whole.items()]
    return {"limits": limits, "groups": groups}


def _clock(reader: PageReader, conversations: Conversations) -> dict[str, Any]:
    clock = reader.world.clock
    return {"now": reader.time(clock.now()), "frozen": clock.frozen, "advances": ADVANCES}


def _callback(reader: PageReader, conversations: Conversations) -> dict[str, Any]:
    look = reader.look
    conversation = conversations.find(look.at) if look.at else None
    newest = [
        view(reader, ConversationEntry((0, n), one), f"c{n}")
        for n, one in enumerate(islice(reversed(reader.world.callbacks.all), ROWS))
    ]
    values: dict[str, Any] = {"conversation": conversation, "newest": newest}
    if conversation is not None:
        about = {"title": title(reader, conversation.key), "sub": subtitle(reader, conversation.key)}
        values |= about | {"callee": callee(reader, conversation), "key": webhook_key(conversation)}
    return values


PANELS: Mapping[Panel, Callable[[PageReader, Conversations], dict[str, Any]]] = {
    "call": _call,
    "calls": _calls,
    "rules": _rules,
    "faults": _faults,
    "limits": _limits,
    "clock": _clock,
    "callback": _callback,
}
