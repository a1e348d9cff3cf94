"""What is queued, by account, and roughly when it will be sent. Both are costly to read, so they are cached."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial

from worker.console.page import ConsoleRequest, View
from worker.console.pages import redaction
from worker.console.pages.cache import cache_of, read
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
    """Shows the queue of each account, and the forecast."""
    site, cache = request.site, cache_of(request.site.database)
    queue = cache.queue.latest(lambda: read(site, gauges.queue))
    forecast_reading = cache.forecast.latest(lambda: read(site, partial(forecast, accounts=site.accounts)))
    return View.of(
        "backlog.html",
        request.term("backlog.title"),
        queue=queue,
        lines=[] if queue is None else lines_of(queue.value),
        forecast_reading=forecast_reading,
        forecasts=[]
        if forecast_reading is None
        else [
            redaction.redact(request.viewer, account_forecast.account, account_forecast)
            for account_forecast in forecast_reading.value
        ],
    )


def lines_of(queue: Queue) -> list[QueuedAccount]:
    """Returns the queue by account, the longest first."""
    due: dict[str, Counter[str]] = {}
    oldest: dict[str, int] = {}
    for (account, priority), group in queue.due.items():
        due.setdefault(account, Counter())[Priority(priority).name.lower()] += group.due
        oldest[account] = min(oldest.get(account, group.oldest_at), group.oldest_at)
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
