"""Pauses, blocked lanes, and the events of lanes page by page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.console.page import ConsoleRequest, View
from worker.console.pages import redaction
from worker.domain.pacing.lane import LaneStatus
from worker.outbox.lanes.lanes import list_lane_events
from worker.reporting.lane_list import UNUSABLE, lane_list

EVENTS = 50
MAX_ROWS = 500
"""Largest number of lanes, and of pauses, on the page."""
TONES: Mapping[str, str] = {
    LaneStatus.PARKED: "bad",
    UNUSABLE: "bad",
    LaneStatus.BREAKER_OPEN: "doubt",
    LaneStatus.BREAKER_HALF_OPEN: "doubt",
    LaneStatus.BLOCKED: "mixed",
    LaneStatus.NARROWED: "mixed",
    LaneStatus.WATCHED: "calm",
    LaneStatus.STARTING: "busy",
}
_EVENT_COLUMNS = ("id", "lane", "account", "label", "what", "until", "happened_at")


LIFTABLE = (LaneStatus.PARKED, LaneStatus.BREAKER_OPEN, LaneStatus.BREAKER_HALF_OPEN, LaneStatus.BLOCKED)
"""The states that a person can end; the others end by themselves as calls succeed."""


def lanes(request: ConsoleRequest) -> View:
    """Shows the lanes and pauses of all accounts, or of the one in the query."""
    site, account = request.site, request.query.get("account") or None
    database = site.database
    with request.reading() as connection:
        pauses, standing = lane_list(connection, database.now, account=account)
        steps = list_lane_events(connection, account, EVENTS, request.query.get("page_after"))
    return View.of(
        "lanes.html",
        request.term("lanes.title"),
        account=account,
        accounts=site.accounts.names(),
        pauses=[redaction.redact_pause(request.viewer, pause) for pause in pauses[:MAX_ROWS]],
        lanes=[redaction.redact(request.viewer, lane.account, lane) for lane in standing[:MAX_ROWS]],
        more=max(0, len(pauses) - MAX_ROWS) + max(0, len(standing) - MAX_ROWS),
        tones=TONES,
        liftable=LIFTABLE,
        steps=[_step(request, row) for row in steps],
        page_after=steps[-1]["id"] if len(steps) == EVENTS else None,
        may_act=request.may_act,
    )


def _step(request: ConsoleRequest, row: Mapping[str, Any]) -> dict[str, Any]:
    return redaction.redact_row(request.viewer, row["account"] or None, row, *_EVENT_COLUMNS)
