"""The first page: what is due, what is in the air, what waits for a decision, who works. Figures of the outbox only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from worker.console.page import Ask, View
from worker.domain.state import PartState
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.sql import read_now
from worker.outbox.lanes.processes import living
from worker.outbox.upkeep import gauges


@dataclass(frozen=True, slots=True)
class AccountLine:
    """The backlog of one account."""

    name: str
    due: int
    queued: int
    waited_s: int | None
    """How long its first due part has been due; None where none is due."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The figures of an installation."""

    due: int
    is_capped: bool
    """A count is at least so many."""
    sending: int
    unknown: int
    fresh: int
    silent: int
    lines: tuple[AccountLine, ...]

    @property
    def waited_s(self) -> int | None:
        """How long the first due part of all accounts has been due; None where none is due."""
        return max((line.waited_s for line in self.lines if line.waited_s is not None), default=None)


def home(ask: Ask) -> View:
    """The overview."""
    now_sql = ask.site.database.now
    with ask.reading() as connection:
        now = read_now(connection, now_sql)
        queue = gauges.queue(connection, now_sql)
        called = gauges.called_parts(connection)
        alive = living(connection, now_sql)
    states = Counter[PartState]()
    for (_, state), count in called.items():
        states[state] += count
    fresh = sum(process.fresh for process in alive)
    overview = Overview(
        sum(one.due for one in queue.due.values()),
        queue.is_capped,
        states[PartState.SENDING],
        states[PartState.UNKNOWN],
        fresh,
        len(alive) - fresh,
        _lines(queue, now),
    )
    return View("home.html", ask.say("home.title"), {"overview": overview})


def _lines(queue: gauges.Queue, now: int) -> tuple[AccountLine, ...]:
    due, since = Counter[str](), dict[str, int]()
    for (account, _), one in queue.due.items():
        due[account] += one.due
        since[account] = min(since.get(account, one.oldest_at), one.oldest_at)
    waited = {account: max(0, now - at) // SECOND for account, at in since.items()}
    names = sorted(queue.parts.keys() | due.keys(), key=lambda name: (-due[name], name))
    return tuple(AccountLine(name, due[name], queue.parts[name], waited.get(name)) for name in names)
