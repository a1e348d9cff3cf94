"""The hook of the bench `soak`: each run leaves a row, which the bench takes away once it has read it."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker import JobDone, on_job_done

TABLE = "create table soak_ends (id bigserial, number integer not null, state integer not null)"
READ = "with ends as (delete from soak_ends returning *) select number, state from ends order by id"


@on_job_done
def ended(done: JobDone, session: Session) -> None:
    """Notes which job ended, and how."""
    values = {"number": int(done.dedupe_key or -1), "state": int(done.state)}
    session.execute(text("insert into soak_ends (number, state) values (:number, :state)"), values)
