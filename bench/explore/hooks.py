"""The application's hooks of a universe: they note each end in their transaction, are slow, and fail at times."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sqlalchemy import text

from bench.explore.fibers import Scheduler
from worker.domain.callbacks.hook import JobDone, TagDone
from worker.domain.state import JobState
from worker.hooks.registry import ApplicationHooks, on_job_done, on_tag_done

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

NOTES = "explored_ends"
"""The application's own table."""


class Hooks:
    """What the processes of a universe run."""

    def __init__(self, scheduler: Scheduler, chance: random.Random, *, there: bool):
        self.there = there
        """False where the application has no hook."""
        self.failing = chance.choice([0.0, 0.4])
        """The part of the runs that fail."""
        self.began = set[tuple[str, JobState]]()
        """The ends with which it was called, perhaps more than once."""
        self.tag_ends: dict[str, TagDone] = {}
        """Event -> the end of a tag with which it was called, in the order of their first calls."""
        self._scheduler, self._chance = scheduler, chance

        def note_end(event: JobDone, session: Session) -> None:
            self.began.add((event.job_id, event.state))
            self._run(event, session)

        def note_tag(event: TagDone, session: Session) -> None:
            self.tag_ends.setdefault(event.id, event)
            self._run(event, session)

        self.hears_tags = there and chance.random() < 0.5
        functions = [on_job_done(note_end)] if there else []
        self.functions = ApplicationHooks([*functions, on_tag_done(note_tag)] if self.hears_tags else functions)

    def _run(self, event: JobDone | TagDone, session: Session) -> None:
        chance = self._chance
        if chance.random() < 0.3:
            self._scheduler.sleep(chance.uniform(0.0, 2.0))
        session.execute(text(f"insert into {NOTES} (event) values (:event)"), {"event": event.id})
        if chance.random() < self.failing:
            raise RuntimeError("the application's own")


class Current:
    """The hooks of the universe that runs."""

    hooks: Hooks


CURRENT = Current()


def load(module: str) -> ApplicationHooks:
    """Returns the hooks of a process of the universe that runs; in place of `load_hooks`."""
    return CURRENT.hooks.functions
