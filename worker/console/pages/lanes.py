"""What stands in the way of calls, and the steps of lanes page by page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.console.page import ConsoleRequest, View
from worker.console.pages import seen
from worker.domain.pacing.lane import LaneStatus
from worker.outbox.lanes.lanes import list_lane_events
from worker.reporting.lane_list import UNUSABLE, lane_list

STEPS = 50
MOST = 500
"""Lanes and pauses that are shown of all."""
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
_SHOWN = ("id", "lane", "account", "label", "what", "until", "happened_at")


def lanes(request: ConsoleRequest) -> View:
    """The page; of one account, where the query names it."""
    site, account = request.site, request.query.get("account") or None
    database = site.database
    with request.reading() as connection:
        pauses, standing = lane_list(connection, database.now, account=account)
        steps = list_lane_events(connection, account, STEPS, request.query.get("before"))
    return View.of(
        "lanes.html",
        request.term("lanes.title"),
        account=account,
        accounts=site.accounts.names(),
        pauses=[seen.pause(request.viewer, one) for one in pauses[:MOST]],
        lanes=[seen.shown(request.viewer, one.account, one) for one in standing[:MOST]],
        more=max(0, len(pauses) - MOST) + max(0, len(standing) - MOST),
        tones=TONES,
        steps=[_step(request, row) for row in steps],
        before=steps[-1]["id"] if len(steps) == STEPS else None,
        may_act=request.may_act,
    )


def _step(request: ConsoleRequest, row: Mapping[str, Any]) -> dict[str, Any]:
    return seen.row(request.viewer, row["account"] or None, row, *_SHOWN)
