"""The hooks of the bench `presses`: a press leaves its instant in a file; BENCH_ENDS adds a hook for cancelled jobs."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sqlalchemy.orm import Session

from worker import CardPressed, JobDone, JobState, on_card_action, on_job_done


@on_card_action
def pressed(action: CardPressed, session: Session) -> None:
    """Notes when it ran, and for whom."""
    with Path(os.environ["BENCH_LOG"]).open("a", encoding="utf-8") as log:
        log.write(f"{action.person} {time.monotonic()}\n")


if os.environ.get("BENCH_ENDS"):

    @on_job_done(states=[JobState.CANCELLED])
    def cancelled(done: JobDone, session: Session) -> None:
        """Does nothing: many of them are in the way of presses, or are not."""
