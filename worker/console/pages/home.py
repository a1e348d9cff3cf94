"""The first page: everything that is wrong, what is due, what is in flight, what waits for a person, who works."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from worker.console.page import Ask, View
from worker.console.pages import seen
from worker.console.pages.memory import memory_of, read
from worker.domain.callbacks.hook import EventState
from worker.domain.pacing.lane import Standing
from worker.domain.state import PartState
from worker.outbox.lanes.processes import died_lately
from worker.outbox.upkeep import gauges
from worker.reporting.lane_list import UNUSABLE
from worker.reporting.problems import OpenProblem, find_problems, read_outbox

SHOWN = 50
"""Problems that are shown at most."""
STOPPED = (UNUSABLE, Standing.PARKED, Standing.BREAKER_OPEN, Standing.BREAKER_HALF_OPEN, Standing.BLOCKED)


@dataclass(frozen=True, slots=True)
class HomeFigure:
    """One figure, and the page that has more of it."""

    word: str
    count: int
    path: str
    is_bad: bool = False
    """It waits for a person."""
    most: int = 2**62
    """So many are counted at most."""


def home(ask: Ask) -> View:
    """The overview."""
    site, database = ask.site, ask.site.database
    memory = memory_of(database)
    queue = memory.queue.latest(lambda: read(site, gauges.queue))
    kept = memory.outbox.latest(lambda: read(site, read_outbox))
    with ask.reading() as connection:
        dead = died_lately(connection, database.now)
    reading = (kept or read(site, read_outbox)).value
    problems = find_problems(reading)
    states = Counter[PartState]()
    for (_, state), count in reading.called.items():
        states[state] += count
    unknown, parked = states[PartState.UNKNOWN], reading.hook_events[EventState.PARKED]
    due = 0 if queue is None else sum(one.due for one in queue.value.due.values())
    capped = gauges.MOST if queue is not None and queue.value.is_capped else 2**62
    stopped = sum(lane.state in STOPPED for lane in reading.lanes)
    figures = (
        HomeFigure("home.due", due, "/backlog", most=capped),
        HomeFigure("home.sending", states[PartState.SENDING], "/processes"),
        HomeFigure("home.unknown", unknown, "/doubts", unknown > 0, gauges.MOST),
        HomeFigure("home.stopped", stopped, "/lanes", stopped > 0),
        HomeFigure("home.paused", len(reading.pauses), "/lanes"),
        HomeFigure("home.parked_events", parked, "/events", parked > 0, gauges.MOST),
        HomeFigure("home.processes", len(reading.fresh), "/processes", not reading.fresh),
        HomeFigure("home.dead", len(dead), "/processes", bool(dead)),
    )
    return View.of(
        "home.html",
        ask.say("home.title"),
        figures=figures,
        problems=[_shown(ask, problem) for problem in problems[:SHOWN]],
        more_problems=max(0, len(problems) - SHOWN),
        is_read=queue is not None,
        is_due=due > 0,
    )


def _shown(ask: Ask, problem: OpenProblem) -> OpenProblem:
    return seen.shown(ask.viewer, problem.subject if problem.kind.about == "account" else None, problem)
