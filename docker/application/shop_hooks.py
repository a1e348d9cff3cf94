"""An application's hooks, as an example: its image has this module, and WORKER_HOOKS names it.

It knows the worker's public names only. docs/callbacks.md says what a hook is given and what it may do.
"""

from __future__ import annotations

import logging

from sqlalchemy.orm import Session

from worker import JobDone, JobState, on_job_done

log = logging.getLogger(__name__)


@on_job_done(states=[JobState.REJECTED, JobState.UNKNOWN])
def look_at(done: JobDone, session: Session) -> None:
    """Runs after such an end, at least once; rows that it writes with the session are there once, or not."""
    log.warning("job %s ended %s", done.job_id, done.state.name.lower())
