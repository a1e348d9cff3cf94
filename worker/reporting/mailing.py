"""Counts a mailing: how many jobs, parts and recipients of a filter wait, are in flight, sent, refused and so on.

Reads only, and at most 200,000 jobs. Every job, part and recipient is in exactly one stage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection

from worker.domain.content.recipient import Recipients, stored_recipients, stored_spec
from worker.domain.job import JobKind
from worker.domain.job_filter import JobFilter, require_filter
from worker.domain.mailing import MailingStage, StageCount
from worker.domain.pause import Pause
from worker.domain.state import OPEN_STATES, JobState, PartState
from worker.outbox.control.mailings import (
    Follower,
    in_flight_by_job,
    mailing_pages,
    part_shares,
    recalls_and_corrections,
    refused_by_list,
)
from worker.outbox.engine.bulk import batched_by_size
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.clock import instant, now_in
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.reading import RECIPIENT_COLUMNS, RecipientRows, recipient_rows
from worker.outbox.jobs.rows import COUNTER_NAMES
from worker.outbox.lanes.pauses import active_pauses
from worker.reporting.recipient_status import OVERLAPPING, RecipientStatus, group_by_status, recipient_count, status_of

MAX_JOBS = 200_000
"""Most jobs that are counted, the newest first."""
RECIPIENTS = 1_000
"""Of jobs that are read whole, how many recipients times parts are read at once."""
_NOT_COUNTED = frozenset({JobKind.RECALL, JobKind.UPLOAD, JobKind.TRACK})


@dataclass(frozen=True, slots=True)
class RecallCount:
    """The numbers of recalls of a mailing's jobs."""

    under_way: int = 0
    """Recalls that are open or in doubt."""
    accepted: int = 0
    """Recalls that the vendor accepted."""
    refused: int = 0
    """Recalls that the vendor refused, for example because they came too late."""


@dataclass(frozen=True, slots=True)
class MailingReport:
    """The counts of a mailing at one moment."""

    read_at: datetime
    """When the reading began, by the database's clock."""
    stages: Mapping[MailingStage, StageCount]
    """Every stage, with its counts."""
    total: StageCount
    """The sums of all stages."""
    recalls: RecallCount
    """The recalls of its jobs."""
    pauses: tuple[Pause, ...]
    """The pauses of its tag that are in force."""
    first_at: datetime | None
    """When the oldest of its jobs was enqueued, or None if it has no jobs."""
    last_at: datetime | None
    """When the newest of its jobs was enqueued, or None if it has no jobs."""
    is_cut_short: bool
    """True if there are older jobs that were not counted."""
    leaves_fresh_out: bool
    """True if more than 100,000 parts are open, or more than 50,000 jobs wait to be indexed, and not all were read."""


@on_callers_connection
def mailing(connection: Connection, filter: JobFilter) -> MailingReport:
    """Counts the jobs of a filter, usually of a tag, by stage, without recalls, uploads and tracks.

    It counts the newest 200,000 jobs at most. Raises CheckFailed where the filter is about parts or calls.
    """
    require_filter(filter)
    filter.require_jobs_of_a_list()
    now = read_now(connection, now_in(connection))
    pauses = active_pauses(connection) if filter.tag is not None else []
    counts_every_kind = filter.ids is not None or filter.kind is not None
    tally, in_flight = _Tally(), in_flight_by_job(connection)
    is_cut_short = leaves_fresh_out = False
    for page in mailing_pages(connection, filter, now, MAX_JOBS):
        _count(
            connection,
            tally,
            [row for row in page.rows if counts_every_kind or row["kind"] not in _NOT_COUNTED],
            in_flight,
        )
        is_cut_short, leaves_fresh_out = page.is_cut_short, leaves_fresh_out or page.leaves_fresh_out
    return MailingReport(
        instant(now),
        {stage: tally.of(stage) for stage in MailingStage},
        tally.of(*MailingStage),
        RecallCount(**tally.recalls),
        tuple(pause for pause in pauses if pause.tag == filter.tag),
        instant(min(tally.span)) if tally.span else None,
        instant(max(tally.span)) if tally.span else None,
        is_cut_short,
        leaves_fresh_out,
    )


@dataclass(slots=True)
class _Tally:
    """The counts so far."""

    jobs: Counter[MailingStage] = field(default_factory=Counter)
    parts: Counter[MailingStage] = field(default_factory=Counter)
    recipients: Counter[MailingStage] = field(default_factory=Counter)
    recalls: Counter[str] = field(default_factory=Counter)
    """Recalls by the fields of `RecallCount`."""
    span: tuple[int, ...] = ()
    """When the oldest and the newest counted job were enqueued; empty if none was counted."""

    def of(self, *stages: MailingStage) -> StageCount:
        """Returns the counts of these stages together."""
        jobs, parts, recipients = (
            sum(count[stage] for stage in stages) for count in (self.jobs, self.parts, self.recipients)
        )
        return StageCount(jobs, parts, recipients)


class _StageInputs(NamedTuple):
    """All that decides about the stages of a job's parts. The jobs of a mailing have only a few different values."""

    counters: tuple[int, ...]
    """The number of parts in each state, in the order of `COUNTER_NAMES`."""
    in_flight: int
    is_recalled: bool
    is_corrected: bool

    @property
    def parts(self) -> int:
        return sum(self.counters)

    def stage_of(self, state: PartState) -> MailingStage:
        """Returns the stage of one part of the job."""
        match state:
            case PartState.QUEUED:
                return MailingStage.WAITING
            case PartState.SENDING:
                return MailingStage.IN_FLIGHT
            case PartState.REJECTED | PartState.EXHAUSTED:
                return MailingStage.REFUSED
            case PartState.EXPIRED:
                return MailingStage.NEVER_SENT
            case PartState.CANCELLED:
                return MailingStage.CORRECTED if self.is_corrected else MailingStage.NEVER_SENT
            case PartState.ACCEPTED | PartState.PARTIAL | PartState.UNKNOWN:
                if self.is_corrected:
                    return MailingStage.CORRECTED
                if self.is_recalled:
                    return MailingStage.RECALLED
                return MailingStage.UNKNOWN if state is PartState.UNKNOWN else MailingStage.SENT


@lru_cache(maxsize=1_000)
def _stages(inputs: _StageInputs) -> tuple[MailingStage, tuple[tuple[MailingStage, int], ...]]:
    """Returns the stage in which a job counts, and how many of its parts are in each stage."""
    states = dict(zip(COUNTER_NAMES, inputs.counters, strict=True))
    waiting = states["n_open"] - inputs.in_flight
    counts = Counter({MailingStage.IN_FLIGHT: inputs.in_flight, MailingStage.WAITING: waiting})
    for state in PartState:
        if state not in OPEN_STATES:
            counts[inputs.stage_of(state)] += states[f"n_{state.label}"]
    stages = +counts or Counter({MailingStage.WAITING: 0})
    return next(stage for stage in JOB_STAGE_ORDER if stage in stages), tuple(stages.items())


JOB_STAGE_ORDER = (
    MailingStage.IN_FLIGHT,
    MailingStage.WAITING,
    MailingStage.UNKNOWN,
    MailingStage.CORRECTED,
    MailingStage.RECALLED,
    MailingStage.SENT,
    MailingStage.REFUSED,
    MailingStage.NEVER_SENT,
)
"""The stages in order of precedence: a job counts in the first one that any of its parts has."""


def _count(
    connection: Connection, tally: _Tally, rows: Sequence[Mapping[str, Any]], in_flight: Mapping[str, int]
) -> None:
    """Adds some jobs to the tally."""
    followers = _followers(connection, tally, rows)
    if span := (*tally.span, *(row["created_at"] for row in rows)):
        tally.span = min(span), max(span)
    divided: dict[str, _DividedJob] = {}
    for row in rows:
        id, counters = row["id"], tuple(row[name] for name in COUNTER_NAMES)
        withdrawn = _withdrawn(row, followers) if id in followers or row["replay_of"] in followers else (False, False)
        inputs = _StageInputs(counters, min(in_flight.get(id, 0), row["n_open"]), *withdrawn)
        job_stage, stages = _stages(inputs)
        tally.jobs[job_stage] += 1
        for stage, parts in stages:
            tally.parts[stage] += parts
        if len(stages) > 1 or row["n_partial"]:
            divided[id] = _DividedJob(inputs, job_stage, row["asked"])
        else:
            tally.recipients[job_stage] += row["asked"]
    _count_divided(connection, tally, divided)


def _followers(
    connection: Connection, tally: _Tally, rows: Iterable[Mapping[str, Any]]
) -> Mapping[str, list[Follower]]:
    """Returns the recalls and corrections of these jobs and of their originals, by target job. Counts the recalls."""
    job_ids = {row["id"] for row in rows}
    followers: dict[str, list[Follower]] = {}
    for follower in recalls_and_corrections(
        connection, job_ids | {row["replay_of"] for row in rows if row["replay_of"]}
    ):
        followers.setdefault(follower.target, []).append(follower)
        if (
            follower.kind == JobKind.RECALL
            and follower.target in job_ids
            and (recall_field := _recall_field(follower.state))
        ):
            tally.recalls[recall_field] += 1
    return followers


def _recall_field(state: JobState) -> str | None:
    """Returns the field of `RecallCount` for a recall in this state, or None if the recall was given up."""
    if state in (JobState.OPEN, JobState.UNKNOWN):
        return "under_way"
    if state in (JobState.CANCELLED, JobState.EXPIRED):
        return None
    return "accepted" if state is JobState.ACCEPTED else "refused"


def _withdrawn(row: Mapping[str, Any], followers: Mapping[str, list[Follower]]) -> tuple[bool, bool]:
    """Returns whether a job is recalled, and whether it is corrected."""
    own_followers, original_followers = followers.get(row["id"], []), followers.get(row["replay_of"], [])
    # The recall of an original also takes back the replays that exist by then.
    recalled = any(
        follower.kind == JobKind.RECALL
        and follower.state is JobState.ACCEPTED
        and follower.created_at >= row["created_at"]
        for follower in (*own_followers, *original_followers)
    )
    return recalled, any(follower.kind != JobKind.RECALL and follower.meant_anybody for follower in own_followers)


class _DividedJob(NamedTuple):
    """A job whose recipients are in several stages."""

    inputs: _StageInputs
    stage: MailingStage
    asked: int


def _count_divided(connection: Connection, tally: _Tally, jobs: Mapping[str, _DividedJob]) -> None:
    """Counts the recipients of jobs that are in several stages, by the recipients of each part."""
    counts_by_job = dict[str, Counter[MailingStage]]()
    overlap = set[str]()
    for parts in part_shares(connection, {id: job.inputs.parts for id, job in jobs.items()}):
        refused = refused_by_list(connection, [part.id for part in parts])
        for part in parts:
            spec = stored_spec(part.spec)
            if spec is None or OVERLAPPING & spec.keys():
                overlap.add(part.job_id)
            if spec is None:
                continue
            total, counts = recipient_count(spec), counts_by_job.setdefault(part.job_id, Counter())
            refused_count = min(total, sum(refused.get(part.id, {}).values()))
            counts[jobs[part.job_id].inputs.stage_of(part.state)] += total - refused_count
            counts[MailingStage.REFUSED] += refused_count
    overlap |= {id for id, job in jobs.items() if counts_by_job.get(id, Counter()).total() != job.asked}
    for id in jobs.keys() - overlap:
        tally.recipients.update(counts_by_job[id])
    for lot in batched_by_size(sorted(overlap), lambda id: jobs[id].inputs.parts * jobs[id].asked, RECIPIENTS):
        rows_by_job = recipient_rows(connection, lot, RECIPIENT_COLUMNS)
        for id in lot:
            tally.recipients.update(_count_overlapping(jobs[id], rows_by_job.get(id)))


def _count_overlapping(job: _DividedJob, rows: RecipientRows | None) -> Counter[MailingStage]:
    """Counts the recipients of a job of which one can be in several parts, such as the pieces of a text.

    Each counts in the stage of a part with the recipient's own status.
    """
    counts = Counter[MailingStage]()
    if rows is not None:
        stages: dict[RecipientStatus, MailingStage] = {}
        for part in rows.parts:
            stage, status = job.inputs.stage_of(PartState(part["state"])), status_of(part)
            stages[status] = min(stage, stages.get(status, stage), key=JOB_STAGE_ORDER.index)
        stages[RecipientStatus.REFUSED] = MailingStage.REFUSED
        asked = stored_recipients(rows.job["recipients"]) or Recipients()
        for status, ids in group_by_status(asked, bool(rows.job["n_open"]), rows.parts, rows.failures).items():
            counts[stages.get(status, job.stage)] += len(ids)
    # A job that was deleted since its counts were read.
    counts[job.stage] += job.asked - counts.total()
    return counts
