"""The first page: everything that is wrong, what is due, what is in flight, what waits for a person, who works."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from worker.console.page import ConsoleRequest, View
from worker.console.pages import seen
from worker.console.pages.curves import HEIGHT, WIDTH, curves_of
from worker.console.pages.memory import memory_of, read
from worker.domain.callbacks.hook import EventState
from worker.domain.pacing.lane import LaneStatus
from worker.domain.state import PartState
from worker.outbox.lanes.processes import recently_died
from worker.outbox.upkeep import gauges
from worker.outbox.upkeep.gauges import Queue
from worker.outbox.upkeep.rates import call_rates
from worker.reporting.lane_list import UNUSABLE
from worker.reporting.problems import OpenProblem, OutboxReading, find_problems, read_outbox

SHOWN = 50
"""Problems that are shown at most."""
STOPPED = (UNUSABLE, LaneStatus.PARKED, LaneStatus.BREAKER_OPEN, LaneStatus.BREAKER_HALF_OPEN, LaneStatus.BLOCKED)


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


@dataclass(slots=True)
class AccountStanding:
    """What waits and what is held up of an account."""

    due: int = 0
    oldest_at: int | None = None
    """Since when the oldest waiting job is due; None: none is."""
    stopped: int = 0
    """Lanes that stand still; the account itself counts as one."""


def home(request: ConsoleRequest) -> View:
    """The overview."""
    site, database = request.site, request.site.database
    memory = memory_of(database)
    queue = memory.queue.latest(lambda: read(site, gauges.queue))
    kept = memory.outbox.latest(lambda: read(site, read_outbox))
    with request.reading() as connection:
        dead = recently_died(connection, database.now)
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
    standing = _standing(reading, None if queue is None else queue.value)
    rates = memory.rates.latest(lambda: read(site, call_rates))
    cards, more_accounts = ([], 0) if rates is None else curves_of(rates.value, standing)
    return View.of(
        "home.html",
        request.term("home.title"),
        figures=figures,
        problems=[(_shown(request, problem), _place(problem)) for problem in problems[:SHOWN]],
        more_problems=max(0, len(problems) - SHOWN),
        readings=[one for one in (queue, kept, rates) if one is not None],
        is_read=queue is not None,
        is_due=due > 0,
        rates=rates,
        cards=[(card, standing.get(card.account or "", AccountStanding())) for card in cards],
        more_accounts=more_accounts,
        width=WIDTH,
        height=HEIGHT,
    )


def _standing(reading: OutboxReading, queue: Queue | None) -> dict[str, AccountStanding]:
    """What waits and what is held up, by account; only accounts of which anything does or is."""
    found: dict[str, AccountStanding] = {}
    for (account, _), one in ({} if queue is None else queue.due).items():
        stands = found.setdefault(account, AccountStanding())
        stands.due += one.due
        stands.oldest_at = min(stands.oldest_at or one.oldest_at, one.oldest_at)
    for (account, _), due_at in reading.oldest_open.items():
        stands = found.setdefault(account, AccountStanding())
        stands.oldest_at = min(stands.oldest_at or due_at, due_at)
    for lane in reading.lanes:
        if lane.state in STOPPED:
            found.setdefault(lane.account, AccountStanding()).stopped += 1
    return found


def _place(problem: OpenProblem) -> tuple[str, dict[str, str]]:
    """The page where something can be done about a problem, and its query."""
    account = problem.subject if problem.kind.about == "account" else ""
    match problem.name:
        case "JobsStayOpen":
            return "/jobs", {"account": account, "state": "open"}
        case "PartsUnknown":
            return "/doubts", {}
        case "HooksFailed":
            return "/events", {}
        case "LaneParked" | "BreakerStaysOpen" | "SetAside":
            return "/lanes", {}
    return (f"/accounts/{account}", {}) if account else ("/processes", {})


def _shown(request: ConsoleRequest, problem: OpenProblem) -> OpenProblem:
    return seen.shown(request.viewer, problem.subject if problem.kind.about == "account" else None, problem)
