"""The callbacks that vendors sent, and the events that the application's hooks get from them."""

from __future__ import annotations

import json
from typing import Any

from worker.console.page import ConsoleRequest, NotFound, View
from worker.console.pages import redaction
from worker.domain.callbacks.hook import EventState
from worker.outbox.jobs.events import list_events
from worker.outbox.jobs.inbound import inbound_page, read_inbound
from worker.reporting.problems import find_receiver_problem

ON_A_PAGE = 50
_CALLBACK = ("id", "account", "event", "happened_at", "received_at", "part_id")
_EVENT = (
    *("id", "kind", "account", "job_id", "part_id", "inbound_id", "state"),
    *("tries", "created_at", "started_at", "ended_at"),
)


def inbound(request: ConsoleRequest) -> View:
    """Shows the list of callbacks, newest first. Each has a page of its own for its content."""
    account, event = request.query.get("account") or None, request.query.get("event", "").strip() or None
    with request.reading() as connection:
        before = request.query.get("page_after")
        page = inbound_page(connection, account=account, event=event, before=before, limit=ON_A_PAGE)
        problems = find_receiver_problem(connection, request.site.database.now, request.site.accounts)
    return View.of(
        "inbound.html",
        request.term("inbound.title"),
        rows=[redaction.redact_row(request.viewer, row["account"], row, *_CALLBACK) for row in page.rows],
        results=page,
        account=account,
        event=event or "",
        accounts=request.site.accounts.names(),
        problems=problems,
    )


def callback(request: ConsoleRequest) -> View:
    """Shows one callback with its whole content. The audit records who opens it."""
    with request.reading() as connection:
        row = read_inbound(connection, request.path["id"])
    if row is None:
        raise NotFound
    text = request.text(row["account"], row["id"], lambda: _pretty(row["payload"]))
    visible = redaction.redact_row(request.viewer, row["account"], {**row, "payload": None}, *_CALLBACK)
    return View.of("callback.html", request.term("inbound.one"), row=visible, text=text)


def events(request: ConsoleRequest) -> View:
    """Shows the list of hook events in one state, by default the parked ones."""
    labels = {state.label: state for state in EventState}
    state = labels.get(request.query.get("state", "parked"))
    with request.reading() as connection:
        rows = list_events(connection, state=state, limit=ON_A_PAGE + 1, before=request.query.get("page_after"))
    return View.of(
        "events.html",
        request.term("events.title"),
        rows=[_event(request, row) for row in rows],
        page_after=rows[ON_A_PAGE - 1]["id"] if len(rows) > ON_A_PAGE else None,
        state="all" if state is None else state.label,
        states=[*labels, "all"],
    )


def _event(request: ConsoleRequest, row: dict[str, Any]) -> dict[str, Any]:
    account = row["account"]
    extra = {"state": EventState(row["state"]).label, "may_act": request.may_act(account)}
    return {**redaction.redact_row(request.viewer, account, row, *_EVENT), **extra}


def _pretty(payload: str) -> str:
    try:
        return json.dumps(json.loads(payload), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return payload
