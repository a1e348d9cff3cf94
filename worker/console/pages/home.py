"""The first page: all problems, what is due, in flight or waiting for a person, and the worker processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from worker.console.page import ConsoleRequest, View
from worker.console.pages import redaction
from worker.console.pages.cache import cache_of, read
from worker.console.pages.curves import HEIGHT, WIDTH, curves_of, time_axes
from worker.console.running.preparing import OFFERED
from worker.control.command import TargetKind
from worker.domain.callbacks.hook import EventState
from worker.domain.pacing.lane import LaneStatus
from worker.outbox.upkeep import gauges
from worker.outbox.upkeep.gauges import Queue
from worker.outbox.upkeep.rates import call_rates
from worker.reporting.lane_list import UNUSABLE
from worker.reporting.problems import OpenProblem, OutboxReading, find_problems, lost_processes, read_outbox

UNREAD = (
    "the outbox's database does not answer the console, and the figures below are from before;"
    " workers that do not reach it send nothing, and nothing is lost"
)
MAX_PROBLEMS = 50
"""Largest number of problems on the page, and of pauses."""
STOPPED = (UNUSABLE, LaneStatus.PARKED, LaneStatus.BREAKER_OPEN, LaneStatus.BREAKER_HALF_OPEN, LaneStatus.BLOCKED)


@dataclass(frozen=True, slots=True)
class HomeFigure:
    """One figure, and the page with its details."""

    word: str
    count: int
    path: str
    is_bad: bool = False
    """True if a person has to act."""
    limit: int = 2**62
    """Counting stops here, so the figure is shown as "at least"."""


@dataclass(slots=True)
class AccountStanding:
    """What is due and what is stopped on an account."""

    due: int = 0
    oldest_at: int | None = None
    """Since when the first of them has been due, in microseconds; None if none is due."""
    stopped: int = 0
    """How many of its lanes are stopped; the account itself counts as one."""


def home(request: ConsoleRequest) -> View:
    """Shows the overview."""
    site = request.site
    cache = cache_of(site.database)
    queue = cache.queue.latest(lambda: read(site, gauges.queue))
    outbox_reading = cache.outbox.latest(lambda: read(site, read_outbox))
    reading = (outbox_reading or read(site, read_outbox)).value
    if outbox_reading is not None and outbox_reading.is_last:
        # Nothing says that all is well, or that what was wrong before is not over.
        problems = [OpenProblem("DatabaseAway", "", UNREAD, since=outbox_reading.read_at)]
    else:
        problems = find_problems(reading, site.accounts)
    pauses = [pause for pause in reading.pauses if pause.job_id is None][:MAX_PROBLEMS]
    standing = _standing(reading, None if queue is None else queue.value)
    rates = cache.rates.latest(lambda: read(site, call_rates))
    cards, more_accounts = ([], 0) if rates is None else curves_of(rates.value, standing)
    return View.of(
        "home.html",
        request.term("home.title"),
        figures=_figures(reading, None if queue is None else queue.value),
        problems=[(_redacted(request, one), _place(one), _act(request, one)) for one in problems[:MAX_PROBLEMS]],
        more_problems=max(0, len(problems) - MAX_PROBLEMS),
        pauses=[redaction.redact_pause(request.viewer, pause) for pause in pauses],
        behind=reading.behind,
        may_act=request.may_act,
        readings=[reading for reading in (queue, outbox_reading, rates) if reading is not None],
        settling=sum(n for (_, state), n in reading.called.items() if state is gauges.CalledState.SETTLING),
        most_counted=gauges.MAX_COUNT,
        is_read=queue is not None,
        is_due=bool(queue and queue.value.due),
        rates=rates,
        axes={} if rates is None else time_axes(rates.read_at, site.settings.zone),
        cards=[(card, standing.get(card.account or "", AccountStanding())) for card in cards],
        more_accounts=more_accounts,
        width=WIDTH,
        height=HEIGHT,
    )


def _figures(reading: OutboxReading, queue: Queue | None) -> Sequence[HomeFigure]:
    states = Counter[gauges.CalledState]()
    for (_, state), count in reading.called.items():
        states[state] += count
    held, parked = states[gauges.CalledState.HELD], reading.hook_events[EventState.PARKED]
    due = 0 if queue is None else sum(group.due for group in queue.due.values())
    capped = gauges.MAX_COUNT if queue is not None and queue.is_capped else 2**62
    stopped = sum(lane.state in STOPPED for lane in reading.lanes)
    return (
        HomeFigure("home.due", due, "/backlog", limit=capped),
        HomeFigure("home.sending", states[gauges.CalledState.SENDING], "/processes"),
        HomeFigure("home.unknown", held, "/doubts", held > 0, gauges.MAX_COUNT),
        HomeFigure("home.settling", states[gauges.CalledState.SETTLING], "/doubts", limit=gauges.MAX_COUNT),
        HomeFigure("home.stopped", stopped, "/lanes", stopped > 0),
        HomeFigure("home.paused", len(reading.pauses), "/lanes"),
        HomeFigure("home.parked_events", parked, "/events", parked > 0, gauges.MAX_COUNT),
        HomeFigure("home.processes", len(reading.fresh), "/processes", not reading.fresh),
        HomeFigure("home.dead", len(reading.died), "/processes", bool(lost_processes(reading))),
    )


def _standing(reading: OutboxReading, queue: Queue | None) -> dict[str, AccountStanding]:
    """Returns what is due and what is stopped, by account; without accounts that have neither."""
    standing: dict[str, AccountStanding] = {}
    for (account, _), group in ({} if queue is None else queue.due).items():
        account_standing = standing.setdefault(account, AccountStanding())
        account_standing.due += group.due
        account_standing.oldest_at = min(account_standing.oldest_at or group.oldest_at, group.oldest_at)
    for lane in reading.lanes:
        if lane.state in STOPPED:
            standing.setdefault(lane.account, AccountStanding()).stopped += 1
    return standing


def _place(problem: OpenProblem) -> tuple[str, dict[str, str]]:
    """Returns the path and query of the page where a person can act on a problem."""
    account = problem.subject if problem.kind.about == "account" else ""
    match problem.name:
        case "JobsStayOpen":
            return "/jobs", {"account": account, "state": "open"}
        case "PartsUnknown":
            return "/doubts", {}
        case "HooksFailed" | "HookHangs":
            return "/events", {}
        case "ReceiverDown":
            return "/inbound", {}
        case "LaneParked" | "BreakerStaysOpen" | "SetAside":
            return "/lanes", {}
    return (f"/accounts/{account}", {}) if account else ("/processes", {})


def _act(request: ConsoleRequest, problem: OpenProblem) -> dict[str, str] | None:
    """Returns the fields of the command that mends it, or None if there is none or the viewer may not run it."""
    act, account = problem.kind.act, problem.subject if problem.kind.about == "account" else None
    if not (act and problem.subject and request.may_act(account)):
        return None
    return {"account" if OFFERED[act].target is TargetKind.JOBS else "name": problem.subject}


def _redacted(request: ConsoleRequest, problem: OpenProblem) -> OpenProblem:
    return redaction.redact(request.viewer, problem.subject if problem.kind.about == "account" else None, problem)
