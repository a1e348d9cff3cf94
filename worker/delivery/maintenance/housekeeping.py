"""Housekeeping: deletes finished rows that are older than the settings say, in small batches with pauses in between.

A turn runs one batch of every task that is due. Each task has a cursor and rounds of its own. A task that fails is
reported, and stops no other task. The process with the lease makes the turns, or an operator's command does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from worker.config.settings import RetentionSettings
from worker.delivery.sender.fault_reports import FaultReports
from worker.domain.callbacks.inbound import REPEATS_S
from worker.domain.settle import SECOND
from worker.outbox.engine.database import Database
from worker.outbox.lanes import budgets, tokens
from worker.outbox.upkeep import purge
from worker.outbox.upkeep.emptying import empty_callbacks, empty_old_jobs
from worker.outbox.upkeep.ended_tags import purge_ended_tags

log = structlog.get_logger()

DAY_S = 86_400.0
REPEATS_DAYS = (REPEATS_S + 3600) / DAY_S
"""The shortest time for which a callback's row is kept, because it recognises repeats; with an hour for clocks."""
BODIES_DAYS = 1.0
"""How long stored bodies are kept after the end of their part. They hold message text, and no repeat needs them."""
ENDED_PROCESS_DAYS = 1.0
ENDED_PAUSE_DAYS = 1 / 24
"""An hour, because a slow commit may still park a part on a pause that has just ended."""
PAST_WINDOW_DAYS = 1.0
FORGOTTEN_MEDIA_DAYS = 30.0
IDLE_BUDGET_DAYS = 1.0
IDLE_TOKEN_DAYS = 30.0
NOTIFIED_TAG_DAYS = 7.0
QUIET_LANE_DAYS = 600 / DAY_S
ENDED_SESSION_DAYS = 1 / 24
SIGN_IN_TRY_DAYS = 1.0
BETWEEN_BATCHES_S = 0.2
BETWEEN_ROUNDS_S = 600.0
AFTER_FAILURE_S = 60.0


@dataclass(slots=True)
class _Task:
    name: str
    days: float
    batch: Callable[[Database, int, str], purge.BatchResult]
    cursor: str | None = ""
    """Where its round goes on, or None if the round is complete."""
    due: float = 0.0
    """When its next batch may run, in seconds of the monotonic clock."""
    deleted: int = 0
    """Rows deleted in its round so far."""

    @property
    def label(self) -> str:
        """The name under which its failures are reported."""
        return f"cleaning up {self.name}"


class Housekeeping:
    """Deletes old rows of all tables that grow, round after round."""

    def __init__(
        self, database: Database, settings: RetentionSettings, monotonic: Callable[[], float] = time.monotonic
    ):
        self._database, self._monotonic = database, monotonic
        self._fault_reports = FaultReports(database, monotonic)
        tasks = (
            _Task("bodies", BODIES_DAYS, purge.purge_bodies),
            _Task("attempts", settings.attempts_days, purge.purge_attempts),
            _Task("waits", settings.attempts_days, purge.purge_waits),
            _Task("content", settings.content_days, empty_old_jobs),
            _Task(
                "callbacks",
                settings.callbacks_days and max(settings.callbacks_days, REPEATS_DAYS),
                purge.purge_callbacks,
            ),
            _Task(
                "contents", settings.callbacks_days if settings.callbacks_days < REPEATS_DAYS else 0, empty_callbacks
            ),
            _Task("jobs", settings.jobs_days, purge.purge_jobs),
            _Task("windows", PAST_WINDOW_DAYS, purge.purge_windows),
            _Task("media", FORGOTTEN_MEDIA_DAYS, purge.purge_media),
            _Task("pauses", ENDED_PAUSE_DAYS, purge.purge_pauses),
            _Task("processes", ENDED_PROCESS_DAYS, purge.purge_processes),
            _Task("sessions", ENDED_SESSION_DAYS, purge.purge_sessions),
            _Task("sign_ins", SIGN_IN_TRY_DAYS, purge.purge_sign_ins),
            _Task("access", settings.access_days, purge.purge_access_rows),
            _Task("lanes", QUIET_LANE_DAYS, purge.purge_lanes),
            _Task("lane_events", settings.callbacks_days, purge.purge_lane_events),
            _Task("budgets", IDLE_BUDGET_DAYS, _purge_budgets),
            _Task("tokens", IDLE_TOKEN_DAYS, _purge_tokens),
            _Task("ended_tags", NOTIFIED_TAG_DAYS, _purge_ended_tags),
            _Task("tag_events", settings.callbacks_days, purge.purge_tag_events),
        )
        self._tasks = [task for task in tasks if task.days > 0]
        self.deleted: Mapping[str, int] = {}
        """Rows deleted in the rounds that ended with the last turn, by task; for attempts, the number of parts."""

    def turn(self) -> float:
        """Runs one batch of every task that is due. Returns the seconds until the next turn.

        Raises if the database is away.
        """
        at, deleted = self._monotonic(), {}
        due = [task for task in self._tasks if task.due <= at]
        now = self._database.read_now() if due else 0
        for task in due:
            if not self._fault_reports.run_step(task.label, partial(self._run_batch, task, now)):
                task.due = at + AFTER_FAILURE_S
            elif task.cursor is None:
                task.due, task.cursor = at + BETWEEN_ROUNDS_S, ""
                deleted[task.name], task.deleted = task.deleted, 0
        self.deleted = {name: rows for name, rows in deleted.items() if rows}
        return max(BETWEEN_BATCHES_S, min(task.due for task in self._tasks) - at)

    def _run_batch(self, task: _Task, now: int) -> None:
        result = task.batch(self._database, now - int(task.days * DAY_S * SECOND), task.cursor or "")
        task.cursor, task.deleted = result.after, task.deleted + result.deleted


def _purge_tokens(database: Database, before: int, after: str) -> purge.BatchResult:
    deleted = tokens.purge_tokens(database, before)
    return purge.BatchResult(deleted, "" if deleted == tokens.PURGE_BATCH else None)


def _purge_ended_tags(database: Database, before: int, after: str) -> purge.BatchResult:
    deleted = database.run(lambda connection: purge_ended_tags(connection, before, purge.ROWS))
    return purge.BatchResult(deleted, "" if deleted == purge.ROWS else None)


def _purge_budgets(database: Database, before: int, after: str) -> purge.BatchResult:
    return purge.BatchResult(*budgets.purge_page(database, before, after))
