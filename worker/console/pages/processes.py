"""The worker processes: those alive, those whose heartbeat is late, and those that died in the last day."""

from __future__ import annotations

from worker.console.page import ConsoleRequest, View
from worker.console.pages import seen
from worker.outbox.lanes.processes import (
    RELAY,
    Process,
    lease_holder,
    living_processes,
    recently_died,
    running_processes,
)


def processes(request: ConsoleRequest) -> View:
    """The page."""
    now = request.site.database.now
    with request.reading() as connection:
        alive = [seen.process(request.viewer, one) for one in living_processes(connection, now)]
        dead = [seen.process(request.viewer, one) for one in recently_died(connection, now)]
        releases = {(one.host, one.pid): one.release for one in running_processes(connection, now)}
        leads = lease_holder(connection, now, RELAY) is not None
    return View.of(
        "processes.html",
        request.term("processes.title"),
        alive=alive,
        dead=dead[::-1],
        releases=releases,
        in_flight={one.id: in_flight(one) for one in alive},
        leads=leads,
    )


def in_flight(process: Process) -> int:
    """The calls that a process had in flight at its last heartbeat."""
    return sum(told[0] for told in process.lanes.values())
