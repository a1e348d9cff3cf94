"""The panels next to a conversation, as values for the templates: calls, rules, faults, limits, clock, callbacks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from worker_simulator.inbox.actions import PRESETS
from worker_simulator.inbox.call_details import call_details, row
from worker_simulator.inbox.conversations import ConversationEntry, Conversations
from worker_simulator.inbox.entries import view
from worker_simulator.inbox.message_views import PageContext
from worker_simulator.inbox.parts import callback_target, subtitle, title, webhook_key
from worker_simulator.inbox.query import Panel
from worker_simulator.wire.routes import ROUTES

ROWS = 50
MAX_VIOLATIONS = 100
"""How many violations of each kind are listed."""
ADVANCES = (60, 3600, 86_400, 259_200)


@dataclass(frozen=True, slots=True)
class ViolationRow:
    """A violation: its text, a short note, and the number of its call."""

    text: str
    note: str = ""
    call: int = 0


def panel_part(context: PageContext, conversations: Conversations) -> dict[str, Any]:
    """Returns the values of the open panel."""
    fill = PANELS.get(context.query.panel)
    return fill(context, conversations) if fill else {}


def _call(context: PageContext, conversations: Conversations) -> dict[str, Any]:
    call = context.state.calls.find(context.query.call)
    if call is None:
        return {"call": None}
    details = call_details(context, conversations, call)
    return {"call": details, "places": [(key, title(context, key), subtitle(context, key)) for key in details.shown_in]}


def _calls(context: PageContext, conversations: Conversations) -> dict[str, Any]:
    calls = list(islice(context.state.calls.newest(context.query.call or None), ROWS + 1))
    older = context.query.url(call=calls[ROWS - 1].seq) if len(calls) > ROWS else None
    newer = context.query.url(call=0) if context.query.call else None
    return {"calls": [row(context, call) for call in calls[:ROWS]], "older": older, "newer": newer}


def _rules(context: PageContext, conversations: Conversations) -> dict[str, Any]:
    violations = context.state.limits.to_json()
    sections = (
        ("limits_over", "no_limits_over", _overstepped(context, violations["limits"])),
        ("drops", "no_drops", _drops(context, violations["drops"])),
        ("blocks", "", _blocks(context, violations["blocked_until"])),
        ("duplicates", "no_duplicates", _duplicates(context)),
    )
    cut = ((head, empty, list(islice(rows, MAX_VIOLATIONS + 1))) for head, empty, rows in sections)
    return {"sections": [(head, empty, rows) for head, empty, rows in cut if rows or empty], "limit": MAX_VIOLATIONS}


def _overstepped(context: PageContext, violations: Sequence[Mapping[str, Any]]) -> Iterator[ViolationRow]:
    for violation in reversed(violations):
        note = context.say("over_row", limit=violation["limit"], count=violation["count"], times=violation["times"])
        length = f"{context.window(violation['window_s'])} · {context.say(violation['kind'])}"
        yield ViolationRow(f"{violation['key']} ({length})", note, violation["last_seq"])


def _drops(context: PageContext, drops: Sequence[Mapping[str, Any]]) -> Iterator[ViolationRow]:
    for drop in reversed(drops):
        text = context.say("drop_row", user=drop["user"], window=context.window(drop["window_s"]), limit=drop["limit"])
        yield ViolationRow(text, context.time(drop["time"]), drop["seq"])


def _blocks(context: PageContext, blocked_until: Mapping[str, float]) -> Iterator[ViolationRow]:
    now = context.state.clock.now()
    for key, until in blocked_until.items():
        if until > now:
            yield ViolationRow(context.say("block_row", key=key, until=context.time(until)))


def _duplicates(context: PageContext) -> Iterator[ViolationRow]:
    for duplicate in reversed(context.state.inbox.duplicates()):
        yield ViolationRow(
            context.say("duplicate_row", user=duplicate["user"], count=len(duplicate["seqs"])),
            "",
            duplicate["seqs"][-1],
        )


def _faults(context: PageContext, conversations: Conversations) -> dict[str, Any]:
    rules = [
        (json.dumps({k: v for k, v in rule.items() if k not in ("matched", "hits")}, ensure_ascii=False), rule)
        for rule in context.state.faults.to_json()
    ]
    return {"rules": rules, "presets": PRESETS, "paths": sorted(ROUTES)}


def _limits(context: PageContext, conversations: Conversations) -> dict[str, Any]:
    settings = context.state.settings.model_dump(mode="json")
    limits = settings.pop("limits")
    groups = [(name, json.dumps(value, ensure_ascii=False, indent=2)) for name, value in settings.items()]
    return {"limits": limits, "groups": groups}


def _clock(context: PageContext, conversations: Conversations) -> dict[str, Any]:
    clock = context.state.clock
    return {"now": context.time(clock.now()), "frozen": clock.frozen, "advances": ADVANCES}


def _callback(context: PageContext, conversations: Conversations) -> dict[str, Any]:
    query = context.query
    conversation = conversations.find(query.at) if query.at else None
    newest = [
        view(context, ConversationEntry((0, n), callback), f"c{n}")
        for n, callback in enumerate(islice(reversed(context.state.callbacks.all), ROWS))
    ]
    values: dict[str, Any] = {"conversation": conversation, "newest": newest}
    if conversation is not None:
        about = {"title": title(context, conversation.key), "sub": subtitle(context, conversation.key)}
        values |= about | {"target": callback_target(context, conversation), "key": webhook_key(conversation)}
    return values


PANELS: Mapping[Panel, Callable[[PageContext, Conversations], dict[str, Any]]] = {
    "call": _call,
    "calls": _calls,
    "rules": _rules,
    "faults": _faults,
    "limits": _limits,
    "clock": _clock,
    "callback": _callback,
}
