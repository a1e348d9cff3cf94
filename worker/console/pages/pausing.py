"""The pauses that hold all jobs of a filter, and what waits behind a pause, for pages that would else be silent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from worker.console.page import ConsoleRequest
from worker.console.pages import redaction
from worker.domain.pause import Pause
from worker.outbox.lanes.pauses import active_pauses, count_paused
from worker.outbox.upkeep.gauges import MAX_COUNT

HELD_ACTS = ("correct", "replay")
"""The commands whose new jobs a pause holds like any others."""


def pauses_over(request: ConsoleRequest, act: str, conditions: Mapping[str, Any]) -> list[Pause]:
    """Returns the pauses in force that hold what a command enqueues for the jobs of a filter with these conditions."""
    if act not in HELD_ACTS:
        return []
    with request.reading() as connection:
        pauses = active_pauses(connection, ())
    holding = (pause for pause in pauses if pause.scope().items() <= conditions.items())
    return [redaction.redact_pause(request.viewer, pause) for pause in holding]


def parts_behind(request: ConsoleRequest, pauses: Iterable[Pause]) -> dict[str, int]:
    """Returns pause id -> how many parts wait for its end so far; from `MAX_COUNT` on at least that many."""
    with request.reading() as connection:
        return count_paused(connection, pauses, MAX_COUNT)


def ended_pauses(request: ConsoleRequest, act: str, conditions: Mapping[str, Any]) -> list[Pause]:
    """Returns the pauses that `resume` with these conditions ends."""
    if act != "resume":
        return []
    with request.reading() as connection:
        pauses = active_pauses(connection, ())
    return [redaction.redact_pause(request.viewer, pause) for pause in pauses if pause.scope() == conditions]
