"""How often the cards of a job can still be updated, and until when. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from worker.domain.job import JobId
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.clock import instant, now_in
from worker.outbox.jobs.codes import unused_codes
from worker.outbox.jobs.follow_ups import jobs_reached
from worker.reporting.find_job import row_of


@dataclass(frozen=True, slots=True)
class CardCodes:
    """The response_codes that one card can still be updated with."""

    job: str
    """The job that sent the card: the one that was named, or a replay of it."""
    part: str
    """Id of the part that sent the card: `<job id>-<n>`."""
    left: int
    """Its response_codes that no update has used or is using now; each is good for one update."""
    until: datetime | None
    """When the last of those left ends; None: none is left."""


@on_callers_connection
def codes_left(connection: Connection, job_id: JobId) -> list[CardCodes]:
    """The codes that `update_card` of this job can still use: an entry for each card of it and of its replays.

    A card gets one code when it is sent and one with each press, and each ends 72 h later (page 94888;
    `delivery.response_code_ttl_s`). Empty: no card of the job has got one yet. JobNotFound for no job.
    """
    return codes_of(connection, row_of(connection, job_id)["id"], now_in(connection))


def codes_of(connection: Connection, job: str, now: str) -> list[CardCodes]:
    """The same of a job that is there, whose row may have megabytes; `now` is the SQL expression of the clock."""
    return [
        CardCodes(job_id, part, left, None if until is None else instant(until))
        for job_id in jobs_reached(connection, job)
        for part, left, until in unused_codes(connection, job_id, now)
    ]
