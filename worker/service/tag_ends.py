"""Looks whether all jobs of a tag have ended, of which one ended lately, and tells the application's hooks.

Runs in processes with such hooks, in one of them at a time.
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
from worker.outbox.engine.clock import micros
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.events import event_row
from worker.outbox.upkeep.ended_tags import EndedTag, look_later, open_jobs_of, tags_to_look_at, tell_end
from worker.reporting.mailing import mailing

IDLE_S = 1.0
RESTS = 20
"""It rests so many times as long as it looked: behind a million open parts a look takes seconds."""
AGAIN_S = 10.0
"""When a tag of which a job is open is looked at again, at the earliest."""


class TagEnds:
    """Tells the ends of tags."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic):
        self._database, self._monotonic = database, monotonic

    def turn(self) -> float:
        """Looks at the tags that are due; returns the seconds until the next turn. Raises what the database raises."""
        began, database = self._monotonic(), self._database
        with database.reading() as connection:
            # Before the look: what ends after this instant is told by a later event.
            at = read_now(connection, database.now)
            tags = tags_to_look_at(connection, at)
            open_jobs = open_jobs_of(connection, tags) if tags else {}
        took = self._monotonic() - began
        if waiting := {one: open_jobs[one.tag] for one in tags if one.tag in open_jobs}:
            later = at + micros(max(AGAIN_S, RESTS * took))
            database.run(lambda connection: look_later(connection, later, waiting))
        for one in tags:
            if one.tag not in open_jobs:
                self._tell(one, at)
        return max(IDLE_S, RESTS * took)

    def _tell(self, ended: EndedTag, at: int) -> None:
        """Writes the event of a tag of which no job is open."""
        with self._database.reading() as connection:
            report = mailing(connection, JobFilter(tag=ended.tag))
        stages = {stage: astuple(count) for stage, count in report.stages.items()}
        counts = to_json({"stages": stages, "is_cut_short": report.is_cut_short}).decode()
        # Behind the presses of people, as the ends of jobs are.
        row = event_row(uuid7().hex, EventKind.TAG_DONE, at, job_state=0, tag=ended.tag, counts=counts)
        self._database.run(partial(tell_end, ended=ended, at=at, event=row))
