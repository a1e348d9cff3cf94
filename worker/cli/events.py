"""`worker events`: lists the events of application hooks, and retries one of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.cli.reading import Say, opened, outbox
from worker.domain.callbacks.hook import EventState
from worker.domain.errors import ConfigurationError, WorkerError
from worker.outbox.jobs import events

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = ("id", "kind", "job_id", "part_id", "tries", "error")


def show(say: Say, *, state: str | None, limit: int, as_json: bool) -> None:
    """Prints the newest events."""
    wanted = None if state is None else int(_state(state))
    with outbox() as connection:
        found = [_plain(row) for row in events.list_events(connection, state=wanted, limit=limit)]
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


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    created = (_EPOCH + timedelta(microseconds=row["created_at"])).isoformat(timespec="milliseconds")
    return {**{name: row[name] for name in _SHOWN}, "state": EventState(row["state"]).label, "created_at": created}


def _state(name: str) -> EventState:
    try:
        return EventState[name.upper()]
    except KeyError:
        known = ", ".join(state.label for state in EventState)
        raise ConfigurationError(f"--state {name}: is not a state; use one of {known}") from None
