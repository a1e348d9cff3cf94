"""Housekeeping: what is over and older than the settings say goes, batch by batch, so that nobody waits for it.

A turn takes one batch of every kind. Turns are taken by the process that leads the relay, or by a person's command.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from worker.config.settings import RetentionSettings
from worker.domain.settle import SECOND
from worker.outbox import budgets, purge
from worker.outbox.database import Database

DAY_S = 86_400.0
ENDED_PROCESS_DAYS = 1.0
PAST_WINDOW_DAYS = 1.0
FORGOTTEN_MEDIA_DAYS = 30.0
IDLE_BUDGET_DAYS = 1.0
QUIET_LANE_DAYS = 600 / DAY_S
BETWEEN_BATCHES_S = 0.2
BETWEEN_ROUNDS_S = 600.0


@dataclass(frozen=True, slots=True)
class _Task:
    name: str
    days: float
    batch: Callable[[Database, int, str], purge.Look]


class Housekeeping:
    """Goes round after round through everything that grows."""

    def __init__(self, database: Database, settings: RetentionSettings):
        self._database = database
        tasks = (
            _Task("bodies", settings.bodies_days, purge.purge_bodies),
            _Task("attempts", settings.attempts_days, purge.purge_attempts),
            _Task("callbacks", settings.callbacks_days, purge.purge_callbacks),
            _Task("jobs", settings.jobs_days, purge.purge_jobs),
            _Task("windows", PAST_WINDOW_DAYS, purge.purge_windows),
            _Task("media", FORGOTTEN_MEDIA_DAYS, purge.purge_media),
            _Task("lanes", QUIET_LANE_DAYS, purge.purge_lanes),
            _Task("lane_events", settings.callbacks_days, purge.purge_lane_events),
            _Task("processes", ENDED_PROCESS_DAYS, purge.purge_processes),
        )
        self._tasks = [task for task in tasks if task.days > 0]
        self._after: dict[str, str | None] = {}
        """Where each task of this round goes on; null: it is through."""
        self._gone: Counter[str] = Counter()
        self.gone: Mapping[str, int] = {}
        """What went in the last whole round, by kind. (Attempts count parts.)"""

    def turn(self) -> float:
        """One batch of every task; returns the seconds until the next turn. A task that fails does not keep the others
        from theirs; the first error is raised in the end.
        """
        if not self._after:
            self._after = {task.name: "" for task in self._tasks}
        now = self._database.read_now()
        errors: list[Exception] = []
        for task in self._tasks:
            try:
                self._go_on(task, now)
            except Exception as error:  # noqa: BLE001  raised below
                errors.append(error)
        if errors:
            raise errors[0]
        if any(after is not None for after in self._after.values()):
            return BETWEEN_BATCHES_S
        self._gone["budgets"] += budgets.purge(self._database, older_than_s=IDLE_BUDGET_DAYS * DAY_S)
        self.gone, self._after, self._gone = +self._gone, {}, Counter()
        return BETWEEN_ROUNDS_S

    def _go_on(self, task: _Task, now: int) -> None:
        after = self._after[task.name]
        if after is not None:
            look = task.batch(self._database, now - int(task.days * DAY_S * SECOND), after)
            self._after[task.name] = look.after
            self._gone[task.name] += look.deleted

    def round(self) -> Mapping[str, int]:
        """A whole round at once; what went, as `gone`."""
        while self.turn() != BETWEEN_ROUNDS_S:
            pass
        return self.gone
