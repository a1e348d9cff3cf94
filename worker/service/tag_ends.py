"""Finds tags of which all jobs have ended, and writes an event for the application's hooks.

Runs only in processes with such hooks, in one of them at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import astuple
from functools import partial

from pydantic_core import to_json
from uuid_utils import uuid7

from worker.domain.callbacks.hook import EventKind
from worker.domain.job_filter import JobFilter
from worker.domain.mailing import MailingStage
from worker.outbox.engine.clock import micros
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.events import event_row
from worker.outbox.upkeep.ended_tags import EndedTag, due_tags, find_open_jobs, postpone_check, write_end
from worker.reporting.mailing import mailing

IDLE_S = 1.0
IDLE_FACTOR = 20
"""Factor from the time of a search to the pause after it: with a million open parts, a search takes seconds."""
RECHECK_S = 10.0
"""Seconds until a tag that still has an open job is checked again, at least."""
_OPEN = (MailingStage.WAITING, MailingStage.IN_FLIGHT)


class TagEnds:
    """Writes the events of tags whose jobs have all ended."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic):
        self._database, self._monotonic = database, monotonic

    def turn(self) -> float:
        """Checks the tags that are due, and returns the seconds until the next turn. Raises the database's errors."""
        began, database = self._monotonic(), self._database
        with database.reading() as connection:
            # Read before the search, so that a job that ends after this instant causes a later event.
            at = read_now(connection, database.now)
            tags = due_tags(connection, at)
            open_jobs = find_open_jobs(connection, tags) if tags else {}
        duration_s = self._monotonic() - began
        if waiting := {ended: open_jobs[ended.tag] for ended in tags if ended.tag in open_jobs}:
            later = at + micros(max(RECHECK_S, IDLE_FACTOR * duration_s))
            database.run(lambda connection: postpone_check(connection, later, waiting))
        for ended in tags:
            if ended.tag not in open_jobs:
                self._write_event(ended, at)
        return max(IDLE_S, IDLE_FACTOR * duration_s)

    def _write_event(self, ended: EndedTag, at: int) -> None:
        """Writes the event of a tag that has no open job. Postpones its check if the count finds one after all."""
        with self._database.reading() as connection:
            report = mailing(connection, JobFilter(tag=ended.tag))
        if any(report.stages[stage].parts for stage in _OPEN):
            # It was enqueued, or a person gave a job in doubt back, between the search and the count.
            later = at + micros(RECHECK_S)
            self._database.run(lambda connection: postpone_check(connection, later, {ended: None}))
            return
        stages = {stage: astuple(count) for stage, count in report.stages.items()}
        counts = to_json({"stages": stages, "is_cut_short": report.is_cut_short}).decode()
        # Such an event comes after presses of buttons, like the ends of jobs.
        row = event_row(uuid7().hex, EventKind.TAG_DONE, at, job_state=0, tag=ended.tag, counts=counts)
        self._database.run(partial(write_end, ended=ended, at=at, event=row))
