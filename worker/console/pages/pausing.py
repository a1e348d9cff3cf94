"""The pauses that hold all jobs of a filter, for pages that would else be silent about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.console.page import ConsoleRequest
from worker.console.pages import redaction
from worker.domain.pause import Pause
from worker.outbox.lanes.pauses import active_pauses

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
