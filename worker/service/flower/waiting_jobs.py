"""Shows in Flower the jobs that wait and therefore have no events.

The process whose relay is active reads the queued and doubtful parts page by page, over and over. It publishes each job
that is new or waits for something else, each job again after a minute because Flower may have been restarted, and jobs
that a person has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from worker.domain.pacing.lane import with_accounts
from worker.domain.pause import Pause
from worker.domain.state import JobState
from worker.outbox.engine.clock import SECOND, instant
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.lanes.agenda import Agenda, Work
from worker.outbox.lanes.offering import is_anything_paused
from worker.outbox.lanes.pauses import paused_parts
from worker.outbox.lanes.processes import QueueName
from worker.outbox.lanes.waits import FIRST_PAGE, doubtful_page, ended_jobs, lane_rows, queued_page
from worker.reporting.wait import WaitContext, WaitReason, waits

PAGE_SIZE = 250
"""Parts that are read together."""
PAGE_S, ROUND_S = 1.0, 2.0
"""Seconds between two pages, and between two rounds."""
REPEAT_S = 60.0
MAX_REMEMBERED = 10_000
"""Jobs that are remembered. Further ones are published in every round."""
SKIP_WITHIN_US = SECOND
"""Parts that are due again within these microseconds may be in flight by the time Flower shows them. They are skipped.
"""
_ALL_QUEUES = {"": frozenset(QueueName)}


@dataclass(frozen=True, slots=True)
class JobView:
    """How a job stands, for Flower. It reports a state, not an event."""

    job_id: str
    kind: str
    channel: str
    account: str
    state: JobState | None
    """None while the job waits."""
    text: str
    """What the job waits for, or why it is in its state. Holds no text that a person typed, and no recipient."""
    eta: str | None = None
    """When the job is due, or None if it was due at once."""
    was_called: bool = False
    """True if a call for it was made before."""


class WaitingJobs:
    """Finds the jobs that wait, and publishes them from the process whose relay is active."""

    def __init__(
        self,
        database: Database,
        publish: Callable[[Sequence[JobView]], None],
        *,
        leads: Callable[[], bool],
        monotonic: Callable[[], float],
        agenda: Agenda | None = None,
    ):
        self._agenda = agenda or Agenda(database, monotonic)
        self._database, self._publish, self._leads, self._monotonic = database, publish, leads, monotonic
        self._after = FIRST_PAGE
        self._published: dict[str, tuple[JobView, float]] = {}
        """Job id to the view last published and when that was."""
        self._round: set[str] = set()
        """The job ids of this round."""

    def turn(self) -> float:
        """Publishes the jobs of one page, and returns the seconds until the next page."""
        if not self._leads():
            self._published.clear()
            self._after = FIRST_PAGE
            return PAGE_S
        if self._agenda.lacks(Work.OPEN) and not self._published and self._after == FIRST_PAGE:
            return ROUND_S
        with self._database.reading() as connection:
            page = queued_page(connection, self._after, PAGE_SIZE)
            self._publish_news([*self._queued(connection, page), *map(_in_doubt, doubtful_page(connection, PAGE_SIZE))])
            if len(page) == PAGE_SIZE:
                self._after = page[-1]["not_before"], page[-1]["id"]
                return PAGE_S
            self._end_round(connection)
        return ROUND_S

    def _publish_news(self, jobs: Sequence[JobView]) -> None:
        """Publishes jobs that are new or wait for something else, and those last published a minute ago."""
        now = self._monotonic()
        changed = []
        for job in {job.job_id: job for job in jobs}.values():
            self._round.add(job.job_id)
            before = self._published.get(job.job_id)
            if before is None or before[0] != job or now - before[1] >= REPEAT_S:
                changed.append(job)
                if before is not None or len(self._published) < MAX_REMEMBERED:
                    self._published[job.job_id] = job, now
        if changed:
            self._publish(changed)

    def _end_round(self, connection: Connection) -> None:
        """Publishes jobs that people have cancelled or decided since the last round, and starts a new round."""
        missing = {id: self._published.pop(id)[0] for id in self._published.keys() - self._round}
        ended = ended_jobs(connection, missing) if missing else {}
        decided = [
            JobView(job.job_id, job.kind, job.channel, job.account, state, state.label)
            for id, job in missing.items()
            if (state := ended.get(id)) is not None and (state is JobState.CANCELLED or job.state is JobState.UNKNOWN)
        ]
        if decided:
            self._publish(decided)
        self._round.clear()
        self._after = FIRST_PAGE

    def _queued(self, connection: Connection, page: Sequence[Mapping[str, Any]]) -> list[JobView]:
        if not page:
            return []
        now = read_now(connection, self._database.now)
        paused = paused_parts(connection, [row["id"] for row in page]) if is_anything_paused(connection) else {}
        lanes = lane_rows(connection, self._database.now, with_accounts(row["lane"] for row in page))
        return [
            self._waits(row, now, lanes, [paused[row["id"]]] if row["id"] in paused else [])
            for row in page
            if row["first_marked_at"] is None or row["not_before"] > now + SKIP_WITHIN_US
        ]

    def _waits(self, row: Mapping[str, Any], now: int, lanes: Mapping[str, Any], pauses: Sequence[Pause]) -> JobView:
        job = {**row, "id": row["job_id"]}
        surroundings = WaitContext(now, job, lanes, {}, _ALL_QUEUES, pauses, set(), {}, None)
        nearest = next(waits([row], surroundings), None)
        text = "" if nearest is None or nearest.what is WaitReason.TURN else f"({nearest.what}): {nearest.text}"
        if nearest is not None and nearest.what is WaitReason.PAUSE:
            # The text of a pause holds what a person typed.
            text = f"({nearest.what})"
        is_later = row["due_at"] > row["created_at"] + SECOND
        return JobView(
            row["job_id"],
            row["kind"],
            row["channel"],
            row["account"],
            None,
            text,
            instant(row["due_at"]).isoformat() if is_later else None,
            row["first_marked_at"] is not None,
        )


def _in_doubt(row: Mapping[str, Any]) -> JobView:
    state = JobState.UNKNOWN
    text = f"{state.label} {row['reason'] or ''}".strip()
    return JobView(row["job_id"], row["kind"], row["channel"], row["account"], state, text)
