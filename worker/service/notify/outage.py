"""A database that is away, or takes no writes, as each process tells it by itself: without a table there is no state.

Told by URLs alone, after a minute, once for an outage with its end, and at most once an hour. Several processes tell of
one outage, each under its own name; one that starts or ends meanwhile tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from uuid_utils import uuid7

from worker.outbox.engine.clock import micros
from worker.outbox.upkeep.alerts import AlertRow
from worker.service.notify.judge import AlertNotice
from worker.service.notify.rules import RULES

AGAIN_S = 60.0
"""Seconds between two tries to tell of it."""
NEXT_S = 3_600.0
"""Seconds after which a process tells of another outage at the earliest."""


class Outage:
    """What one process knows of the outage that it is in."""

    def __init__(
        self,
        post: Callable[[AlertNotice, int], bool],
        urls: Sequence[int],
        *,
        reads: Callable[[], bool],
        process: str,
        monotonic: Callable[[], float],
        wall_clock: Callable[[], float],
    ):
        """`urls`: the places of the targets that are URLs; `reads`: whether the database can be read."""
        self._post, self._urls, self._reads, self._process = post, urls, reads, process
        self._monotonic, self._wall_clock = monotonic, wall_clock
        self._began_at: float | None = None
        self._seen_at = 0
        self._tried_at = self._raised_at = float("-inf")
        self._told: AlertRow | None = None
        """The alert whose end is still to be told."""

    def goes_on(self) -> None:
        """Notes that the database has failed, and tells of it when that has lasted."""
        now = self._monotonic()
        if self._began_at is None:
            self._began_at, self._seen_at = now, micros(self._wall_clock())
        lasts = RULES["DatabaseAway"].delay
        waits = now < max(self._began_at + lasts, self._tried_at + AGAIN_S, self._raised_at + NEXT_S)
        if waits or self._told is not None:
            return
        self._tried_at = now
        name = "DatabaseTakesNoWrites" if self._reads() else "DatabaseAway"
        row = AlertRow(uuid7().hex, name, self._process, self._seen_at)
        if self._tell(row, is_end=False):
            self._told, self._raised_at = row, now

    def is_over(self) -> None:
        """Notes that the database works, and tells so where its outage was told."""
        self._began_at = None
        if self._told is None or self._monotonic() < self._tried_at + AGAIN_S:
            return
        self._tried_at = self._monotonic()
        self._told.gone_at = self._told.gone_at or micros(self._wall_clock())
        if self._tell(self._told, is_end=True):
            self._told, self._tried_at = None, float("-inf")

    def _tell(self, row: AlertRow, *, is_end: bool) -> bool:
        notice = AlertNotice(RULES[row.alert], [row], is_end, micros(self._wall_clock()))
        return any(self._post(notice, n) for n in self._urls)
