"""The worker processes: those alive, those whose heartbeat is late, and those that died in the last day."""

from __future__ import annotations

from worker.console.page import ConsoleRequest, View
from worker.console.pages import redaction
from worker.outbox.lanes.processes import (
    RELAY,
    Process,
    lease_holder,
    living_processes,
    recently_died,
    running_processes,
)


def processes(request: ConsoleRequest) -> View:
    """Shows the processes that are alive, and those that died in the last day."""
    now = request.site.database.now
    with request.reading() as connection:
        alive = [redaction.redact_process(request.viewer, process) for process in living_processes(connection, now)]
        dead = [redaction.redact_process(request.viewer, process) for process in recently_died(connection, now)]
        releases = {(process.host, process.pid): process.release for process in running_processes(connection, now)}
        leads = lease_holder(connection, now, RELAY) is not None
    return View.of(
        "processes.html",
        request.term("processes.title"),
        alive=alive,
        dead=dead[::-1],
        releases=releases,
        in_flight={process.id: in_flight(process) for process in alive},
        leads=leads,
    )


def in_flight(process: Process) -> int:
    """Returns how many calls a process had in flight at its last heartbeat."""
    return sum(calls[0] for calls in process.lanes.values())
