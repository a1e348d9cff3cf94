"""`worker chats` and `worker events`: what callbacks reported, and what the application's hooks hear of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from worker.cli.reading import Say, opened, outbox
from worker.domain.callbacks.hook import EventState
from worker.domain.errors import ConfigurationError, WorkerError
from worker.outbox.engine.clock import instant
from worker.outbox.jobs import events
from worker.outbox.jobs.chats import list_chats

_INSTANTS = ("first_seen_at", "last_seen_at", "gone_at")
_SHOWN = ("id", "kind", "job_id", "part_id", "tries", "error")


def show_chats(say: Say, *, account: str | None, gone: bool, limit: int, as_json: bool) -> None:
    """Prints the chats whose callbacks came last."""
    with outbox() as connection:
        found = [_plain_chat(row) for row in list_chats(connection, account, gone=gone, limit=limit)]
    if as_json:
        say(json.dumps(found, ensure_ascii=False))
        return
    for chat in found:
        say(_chat_line(chat))
    if not found:
        say("no chats; a webhook's callbacks tell of them, see `worker receiver`")


def _chat_line(chat: Mapping[str, Any]) -> str:
    whose = f"  of {chat['person']}, {chat['allowance']} messages allowed" if chat["person"] else ""
    left = f"  taken out at {chat['gone_at']}" if chat["gone_at"] else ""
    return f"{chat['chat_id']}  {chat['chat_type']:<10} {chat['account']:<12} {chat['last_seen_at']}{whose}{left}"


def _plain_chat(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, **{name: _shown(row[name]) for name in _INSTANTS}}


def show_events(say: Say, *, state: str | None, limit: int, as_json: bool) -> None:
    """Prints the newest events."""
    wanted = None if state is None else int(_state(state))
    with outbox() as connection:
        found = [_plain_event(row) for row in events.list_events(connection, state=wanted, limit=limit)]
    if as_json:
        say(json.dumps(found, ensure_ascii=False))
        return
    for event in found:
        job, error = event["job_id"] or "no job of ours", f"  {event['error']}" if event["error"] else ""
        say(f"{event['id']}  {event['created_at']}  {event['kind']:<11} {event['state']:<8} job {job}{error}")
    if not found:
        say("no events")


def retry(event_id: str) -> None:
    """Makes a parked or ignored event due again; WorkerError for any other."""
    with opened() as database:
        if database.run(lambda connection: events.retry_event(connection, database.now, event_id)):
            return
        with database.reading() as connection:
            row = events.read_event(connection, event_id)
    if row is None:
        raise WorkerError(f"no event {event_id!r}; `worker events` lists them")
    if row["job_id"] is None:
        raise WorkerError(f"event {event_id} is about no job of ours; there is nothing a hook could be told")
    raise WorkerError(f"event {event_id} is {EventState(row['state']).label}; only parked and ignored ones are retried")


def _plain_event(row: dict[str, Any]) -> dict[str, Any]:
    created = _shown(row["created_at"])
    return {**{name: row[name] for name in _SHOWN}, "state": EventState(row["state"]).label, "created_at": created}


def _state(name: str) -> EventState:
    try:
        return EventState[name.upper()]
    except KeyError:
        known = ", ".join(state.label for state in EventState)
        raise ConfigurationError(f"--state {name}: is not a state; use one of {known}") from None


def _shown(at: int | None) -> str | None:
    return None if at is None else instant(at).isoformat(timespec="milliseconds")
