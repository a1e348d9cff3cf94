"""What is queued, by account, and roughly when it will be through: costly readings, told with their age."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial

from worker.console.page import ConsoleRequest, View
from worker.console.pages import seen
from worker.console.pages.memory import memory_of, read
from worker.domain.job import Priority
from worker.outbox.upkeep import gauges
from worker.outbox.upkeep.gauges import Queue
from worker.reporting.forecast import forecast


@dataclass(frozen=True, slots=True)
class QueuedAccount:
    """The queued parts of one account."""

    account: str
    queued: int
    due: int
    by_priority: tuple[tuple[str, int], ...]
    oldest_at: int | None


def backlog(request: ConsoleRequest) -> View:
    """The page."""
    site, memory = request.site, memory_of(request.site.database)
    queue = memory.queue.latest(lambda: read(site, gauges.queue))
    foretold = memory.forecast.latest(lambda: read(site, partial(forecast, accounts=site.accounts)))
    return View.of(
        "backlog.html",
        request.term("backlog.title"),
        queue=queue,
        lines=[] if queue is None else lines_of(queue.value),
        foretold=foretold,
        forecasts=[] if foretold is None else [seen.shown(request.viewer, one.account, one) for one in foretold.value],
    )


def lines_of(queue: Queue) -> list[QueuedAccount]:
    """The queue by account, the longest first."""
    due: dict[str, Counter[str]] = {}
    oldest: dict[str, int] = {}
    for (account, priority), one in queue.due.items():
        due.setdefault(account, Counter())[Priority(priority).name.lower()] += one.due
        oldest[account] = min(oldest.get(account, one.oldest_at), one.oldest_at)
    names = sorted(queue.parts.keys() | due.keys(), key=lambda name: (-queue.parts[name], name))
    return [
        QueuedAccount(
            name,
            queue.parts[name],
            due.get(name, Counter()).total(),
            tuple(sorted(due.get(name, Counter()).items())),
            oldest.get(name),
        )
        for name in names
    ]
