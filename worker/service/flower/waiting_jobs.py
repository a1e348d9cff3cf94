"""Tells Flower of the jobs that wait: no event of theirs would, for nothing happens to them.

The process whose relay is active goes through what is queued or in doubt, a page at a time, over and over. It tells of
each job that it sees for the first time or that waits for something else, of all once a minute (Flower may have been
started anew), and of those that a person has ended meanwhile.
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
from worker.outbox.lanes.offering import some_paused
from worker.outbox.lanes.pauses import paused_among
from worker.outbox.lanes.processes import QueueName
from worker.outbox.lanes.waits import FIRST, doubtful_page, ended_among, lanes_named, queued_page
from worker.reporting.wait import Surroundings, WaitFor, waits

PAGE = 250
"""Parts that are read together."""
PAGE_S, ROUND_S = 1.0, 2.0
"""Seconds between two pages, and between two rounds."""
AGAIN_S = 60.0
KEPT = 10_000
"""Jobs that are remembered; of further ones Flower is told in every round."""
SOON_US = SECOND
"""What is tried again within these microseconds may be in the air when it is told: then nothing is told of it."""
_ALL_QUEUES = {"": frozenset(QueueName)}


@dataclass(frozen=True, slots=True)
class JobView:
    """How a job stands, to be shown by Flower; nothing happened to it."""

    job_id: str
    kind: str
    channel: str
    account: str
    state: JobState | None
    """None: it waits."""
    text: str
    """What it waits for, or why it is where it is; without anything that a person typed, and without recipients."""
    eta: str | None = None
    """When it is due, where that is later; None: at once."""
    was_called: bool = False
    """A call of it was made before."""


class WaitingJobs:
    """Goes through the jobs that wait, for one process."""

    def __init__(
        self,
        database: Database,
        tell: Callable[[Sequence[JobView]], None],
        *,
        leads: Callable[[], bool],
        monotonic: Callable[[], float],
        agenda: Agenda | None = None,
    ):
        self._agenda = agenda or Agenda(database, monotonic)
        self._database, self._tell, self._leads, self._monotonic = database, tell, leads, monotonic
        self._after = FIRST
        self._told: dict[str, tuple[JobView, float]] = {}
        """Job -> what was told of it, and when."""
        self._seen: set[str] = set()
        """The jobs of this round."""

    def turn(self) -> float:
        """Tells of the jobs of one page; returns the seconds until the next."""
        if not self._leads():
            self._told.clear()
            self._after = FIRST
            return PAGE_S
        if self._agenda.lacks(Work.OPEN) and not self._told and self._after == FIRST:
            return ROUND_S
        with self._database.reading() as connection:
            page = queued_page(connection, self._after, PAGE)
            self._show([*self._queued(connection, page), *map(_in_doubt, doubtful_page(connection, PAGE))])
            if len(page) == PAGE:
                self._after = page[-1]["not_before"], page[-1]["id"]
                return PAGE_S
            self._end_round(connection)
        return ROUND_S

    def _show(self, jobs: Sequence[JobView]) -> None:
        """Tells of those that are new or wait for something else, and of all that were told of a minute ago."""
        now = self._monotonic()
        news = []
        for job in {job.job_id: job for job in jobs}.values():
            self._seen.add(job.job_id)
            before = self._told.get(job.job_id)
            if before is None or before[0] != job or now - before[1] >= AGAIN_S:
                news.append(job)
                if before is not None or len(self._told) < KEPT:
                    self._told[job.job_id] = job, now
        if news:
            self._tell(news)

    def _end_round(self, connection: Connection) -> None:
        """Tells of jobs that were cancelled, or decided by a person, since they were last seen; begins anew."""
        gone = {id: self._told.pop(id)[0] for id in self._told.keys() - self._seen}
        ended = ended_among(connection, gone) if gone else {}
        by_people = [
            JobView(job.job_id, job.kind, job.channel, job.account, state, state.label)
            for id, job in gone.items()
            if (state := ended.get(id)) is not None and (state is JobState.CANCELLED or job.state is JobState.UNKNOWN)
        ]
        if by_people:
            self._tell(by_people)
        self._seen.clear()
        self._after = FIRST

    def _queued(self, connection: Connection, page: Sequence[Mapping[str, Any]]) -> list[JobView]:
        if not page:
            return []
        now = read_now(connection, self._database.now)
        paused = paused_among(connection, [row["id"] for row in page]) if some_paused(connection) else {}
        lanes = lanes_named(connection, self._database.now, with_accounts(row["lane"] for row in page))
        return [
            self._waits(row, now, lanes, [paused[row["id"]]] if row["id"] in paused else [])
            for row in page
            if row["first_marked_at"] is None or row["not_before"] > now + SOON_US
        ]

    def _waits(self, row: Mapping[str, Any], now: int, lanes: Mapping[str, Any], pauses: Sequence[Pause]) -> JobView:
        job = {**row, "id": row["job_id"]}
        around = Surroundings(now, job, lanes, {}, _ALL_QUEUES, pauses, set(), {}, None)
        nearest = next(waits([row], around), None)
        text = "" if nearest is None or nearest.what is WaitFor.TURN else f"({nearest.what}): {nearest.text}"
        if nearest is not None and nearest.what is WaitFor.PAUSE:
            # Its text holds what a person typed.
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
