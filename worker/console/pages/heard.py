"""What vendors said unasked: callbacks, and the events that hooks hear of."""

from __future__ import annotations

import json
from typing import Any

from worker.console.page import Ask, NotFound, View
from worker.console.pages import seen
from worker.domain.callbacks.hook import EventState
from worker.outbox.jobs.events import list_events
from worker.outbox.jobs.inbound import inbound_page, read_inbound

ON_A_PAGE = 50
_CALLBACK = ("id", "account", "event", "happened_at", "received_at", "part_id")
_EVENT = (
    *("id", "kind", "account", "job_id", "part_id", "inbound_id", "state"),
    *("tries", "created_at", "started_at", "ended_at"),
)


def inbound(ask: Ask) -> View:
    """Callbacks, those that came last first; what they hold is looked at one by one."""
    account, event = ask.query.get("account") or None, ask.query.get("event", "").strip() or None
    with ask.reading() as connection:
        before = ask.query.get("before")
        found = inbound_page(connection, account=account, event=event, before=before, limit=ON_A_PAGE)
    return View.of(
        "inbound.html",
        ask.say("inbound.title"),
        rows=[seen.row(ask.viewer, row["account"], row, *_CALLBACK) for row in found.rows],
        found=found,
        account=account,
        event=event or "",
        accounts=ask.site.accounts.names(),
    )


def callback(ask: Ask) -> View:
    """One callback with everything that came; a row in the audit says who looks."""
    with ask.reading() as connection:
        row = read_inbound(connection, ask.path["id"])
    if row is None:
        raise NotFound
    text = ask.text(row["account"], row["id"], lambda: _pretty(row["payload"]))
    shown = seen.row(ask.viewer, row["account"], {**row, "payload": None}, *_CALLBACK)
    return View.of("callback.html", ask.say("inbound.one"), row=shown, text=text)


def events(ask: Ask) -> View:
    """Events of hooks by their state; at first those that are parked."""
    labels = {state.label: state for state in EventState}
    state = labels.get(ask.query.get("state", "parked"))
    with ask.reading() as connection:
        rows = list_events(connection, state=state, limit=ON_A_PAGE, before=ask.query.get("before"))
    return View.of(
        "events.html",
        ask.say("events.title"),
        rows=[_event(ask, row) for row in rows],
        before=rows[-1]["id"] if len(rows) == ON_A_PAGE else None,
        state="all" if state is None else state.label,
        states=[*labels, "all"],
    )


def _event(ask: Ask, row: dict[str, Any]) -> dict[str, Any]:
    account = row["account"]
    more = {"state": EventState(row["state"]).label, "may_act": ask.may_act(account)}
    return {**seen.row(ask.viewer, account, row, *_EVENT), **more}


def _pretty(payload: str) -> str:
    try:
        return json.dumps(json.loads(payload), ensure_ascii=False, indent=2)
    except ValueError:
        return payload
