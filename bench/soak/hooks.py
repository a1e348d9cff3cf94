"""The hook of the bench `soak`: each run leaves a row, which the bench takes away once it has read it."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker import JobDone, on_job_done

TABLE = "create table soak_ends (number integer not null, state integer not null)"
READ = "delete from soak_ends returning number, state"


@on_job_done
def ended(done: JobDone, session: Session) -> None:
    """Notes which job ended, and how."""
    values = {"number": int(done.dedupe_key or -1), "state": int(done.state)}
    session.execute(text("insert into soak_ends values (:number, :state)"), values)
