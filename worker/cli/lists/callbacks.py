"""`worker inbound` and `worker events`: what callbacks reported, and what the application's hooks hear of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from worker.cli.reading import iso, outbox, padded, state_named, tell
from worker.domain.callbacks.hook import EventState
from worker.language import said, word
from worker.outbox.jobs import events
from worker.outbox.jobs.chats import list_chats
from worker.outbox.jobs.inbound import list_inbound

_INSTANTS = ("first_seen_at", "last_seen_at", "gone_at")
_SHOWN = ("id", "kind", "job_id", "part_id", "tries", "error")


def show_chats(*, account: str | None, gone: bool, limit: int, as_json: bool) -> None:
    """Prints the chats whose callbacks came last."""
    with outbox() as connection:
        rows = list_chats(connection, account, gone=gone, limit=limit)
    found = [{**row, **{name: iso(row[name]) for name in _INSTANTS}} for row in rows]
    nothing = "no chats; a webhook's callbacks tell of them, see `worker receiver`"
    tell(found, _chat_line, nothing, as_json=as_json)


def _chat_line(chat: Mapping[str, Any]) -> str:
    whose = f"  of {chat['person']}, {chat['allowance']} messages allowed" if chat["person"] else ""
    left = f"  taken out at {chat['gone_at']}" if chat["gone_at"] else ""
    more = said(whose) + said(left)
    return f"{chat['chat_id']}  {chat['chat_type']:<10} {chat['account']:<12} {chat['last_seen_at']}{more}"


def show_inbound(*, account: str | None, event: str | None, limit: int, as_json: bool) -> None:
    """Prints the callbacks that came last; what they hold only as JSON."""
    with outbox() as connection:
        rows = list_inbound(connection, account=account, event=event, limit=limit)
    shown = ("id", "account", "event", "person", "part_id")
    found = [
        {
            **{name: row[name] for name in shown},
            **{name: iso(row[name]) for name in ("happened_at", "received_at")},
            "message": json.loads(row["payload"]).get("message"),
        }
        for row in rows
    ]
    tell(found, _inbound_line, "no callbacks; `worker receiver` takes them", as_json=as_json)


def _inbound_line(row: Mapping[str, Any]) -> str:
    card = f"  card of part {row['part_id']}" if row["part_id"] else ""
    return f"{row['received_at']}  {padded(row['account'], 12)} {row['event']:<24} {row['person']}{said(card)}"


def show_events(*, state: str | None, limit: int, as_json: bool) -> None:
    """Prints the newest events."""
    wanted = state_named(EventState, state)
    with outbox() as connection:
        rows = events.list_events(connection, state=wanted, limit=limit)
    tell([_plain_event(row) for row in rows], _event_line, "no events", as_json=as_json)


def _event_line(event: Mapping[str, Any]) -> str:
    job, error = event["job_id"] or "no job of ours", f"  {event['error']}" if event["error"] else ""
    state, about = padded(word("state", event["state"]), 8), said(f"job {job}")
    return f"{event['id']}  {event['created_at']}  {event['kind']:<11} {state} {about}{error}"


def _plain_event(row: dict[str, Any]) -> dict[str, Any]:
    created = iso(row["created_at"])
    return {**{name: row[name] for name in _SHOWN}, "state": EventState(row["state"]).label, "created_at": created}
