"""The application's hook of a universe: it notes each end of a job in its transaction, is slow, and fails at times."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sqlalchemy import text

from bench.explore.fibers import Scheduler
from worker.domain.callbacks.hook import JobDone
from worker.domain.state import JobState
from worker.hooks.registry import ApplicationHooks, on_job_done

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
        self._scheduler, self._chance = scheduler, chance

        def note_end(event: JobDone, session: Session) -> None:
            self._run(event, session)

        self.functions = ApplicationHooks([on_job_done(note_end)] if there else [])

    def _run(self, event: JobDone, session: Session) -> None:
        chance = self._chance
        self.began.add((event.job_id, event.state))
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
