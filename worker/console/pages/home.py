"""The first page: what is due, what is in the air, what waits for a person, who works. Figures of the outbox only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from worker.console.page import Ask, View
from worker.console.pages import seen
from worker.console.pages.backlog import QueuedAccount, lines_of, read_queue
from worker.console.pages.memory import memory_of
from worker.console.pages.showing import show
from worker.domain.callbacks.hook import EventState
from worker.domain.pacing.lane import Standing
from worker.domain.state import PartState
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.sql import read_now
from worker.outbox.lanes.processes import died_lately, living
from worker.outbox.upkeep import gauges
from worker.outbox.upkeep.gauges import MOST
from worker.reporting.lane_list import UNUSABLE, lane_list
from worker.reporting.standstill import standing_still

LINES = 20
"""Accounts that are listed, those with the longest queues."""
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
    queue = memory_of(database).queue.latest(lambda: read_queue(site))
    with ask.reading() as connection:
        now = read_now(connection, database.now)
        called = gauges.called_parts(connection)
        alive = living(connection, database.now)
        dead = died_lately(connection, database.now)
        hooks = gauges.hook_events(connection)
        failures = site.settings.delivery.breaker_failures
        standing = lane_list(connection, database.now, breaker_failures=failures)
        standstills = standing_still(connection, database.now)
    states = Counter[PartState]()
    for (_, one), count in called.items():
        states[one] += count
    lines = [] if queue is None else lines_of(queue.value)
    capped = MOST if queue is not None and queue.value.is_capped else 2**62
    stopped = sum(one.state in STOPPED for one in standing.lanes)
    fresh = sum(process.fresh for process in alive)
    figures = (
        HomeFigure("home.due", sum(one.due for one in lines), "/backlog", most=capped),
        HomeFigure("home.standing", sum(len(one.lanes) for one in standstills), "/processes", bool(standstills)),
        HomeFigure("home.sending", states[PartState.SENDING], "/processes"),
        HomeFigure("home.unknown", states[PartState.UNKNOWN], "/doubts", states[PartState.UNKNOWN] > 0, MOST),
        HomeFigure("home.stopped", stopped, "/lanes", stopped > 0),
        HomeFigure("home.paused", len(standing.pauses), "/lanes"),
        HomeFigure("home.parked_events", hooks[EventState.PARKED], "/events", hooks[EventState.PARKED] > 0, MOST),
        HomeFigure("home.processes", fresh, "/processes", not fresh),
        HomeFigure("home.silent", len(alive) - fresh, "/processes", len(alive) > fresh),
        HomeFigure("home.dead", len(dead), "/processes", bool(dead)),
    )
    return show(
        ask,
        "home.html",
        ask.say("home.title"),
        figures=figures,
        standstills=[seen.standstill(ask.viewer, one) for one in standstills],
        is_read=queue is not None,
        is_capped=queue is not None and queue.value.is_capped,
        lines=[(line, _waited_s(line, now)) for line in lines[:LINES]],
        more=max(0, len(lines) - LINES),
    )


def _waited_s(line: QueuedAccount, now: int) -> int | None:
    """How long its first due part has been due; None where none is due."""
    return None if line.oldest_at is None or not line.due else max(0, now - line.oldest_at) // SECOND
