"""The worker processes: those alive, those whose heartbeat is late, and those that died in the last day."""

from __future__ import annotations

from worker.console.page import Ask, View
from worker.console.pages import seen
from worker.outbox.lanes.processes import RELAY, Process, died_lately, holder_of, living, running


def processes(ask: Ask) -> View:
    """The page."""
    now = ask.site.database.now
    with ask.reading() as connection:
        alive = [seen.process(ask.viewer, one) for one in living(connection, now)]
        dead = [seen.process(ask.viewer, one) for one in died_lately(connection, now)]
        releases = {(one.host, one.pid): one.release for one in running(connection, now)}
        leads = holder_of(connection, now, RELAY) is not None
    return View.of(
        "processes.html",
        ask.say("processes.title"),
        alive=alive,
        dead=dead[::-1],
        releases=releases,
        in_flight={one.id: in_flight(one) for one in alive},
        leads=leads,
    )


def in_flight(process: Process) -> int:
    """The calls that a process had in flight at its last heartbeat."""
    return sum(told[0] for told in process.lanes.values())
