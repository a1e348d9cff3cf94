"""How many updates the cards of a job still allow, and until when. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from worker.domain.job import JobId
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.clock import instant, now_in
from worker.outbox.jobs.codes import unused_codes
from worker.outbox.jobs.target_job import jobs_reached
from worker.reporting.find_job import row_of


@dataclass(frozen=True, slots=True)
class CardCodes:
    """The unused response_codes of one card. Each allows one update."""

    job: str
    """The job that sent the card: the named job, or a replay of it."""
    part: str
    """Id of the part that sent the card: `<job id>-<n>`."""
    left: int
    """How many of its response_codes no update has used or is using now."""
    until: datetime | None
    """When the last unused code ends, or None if none is left."""


@on_callers_connection
def codes_left(connection: Connection, job_id: JobId) -> list[CardCodes]:
    """Lists how many codes `update_card` of this job can still use, for each card of the job and of its replays.

    A card gets one code when it is sent and one with each press, and each ends 72 h later (page 94888;
    `delivery.response_code_ttl_s`). The list is empty while no card of the job has got one. Raises JobNotFound for no
    job.
    """
    return codes_of(connection, row_of(connection, job_id)["id"], now_in(connection))


def codes_of(connection: Connection, job: str, now: str) -> list[CardCodes]:
    """Does the same for a job that exists, without reading its row, which may be large. `now` is the clock in SQL."""
    return [
        CardCodes(job_id, part, left, None if until is None else instant(until))
        for job_id in jobs_reached(connection, job)
        for part, left, until in unused_codes(connection, job_id, now)
    ]
