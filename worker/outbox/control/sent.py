"""Finds sent jobs by a filter: jobs whose messages may be recalled, corrected or replayed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection

from worker.domain.job import JobKind, job_of, part_id
from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState, PartState
from worker.outbox.control.cancels import without_default_kinds
from worker.outbox.control.candidates import candidates
from worker.outbox.control.matching import (
    BYTES,
    MatchingJob,
    created_jobs,
    created_since,
    job_conditions,
    jobs_of,
    matching_jobs,
)
from worker.outbox.engine.bulk import batched, ids_json, rows_by_id
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs.reading import IS_CORRECTION, batches_by_bytes
from worker.outbox.jobs.rows import ADDRESSED_COUNTERS, COUNTER_NAMES

_SENT = " and j.n_accepted + j.n_partial + j.n_open + j.n_unknown > 0"
_RECALLED = (
    f"where r.target_job_id = j.id and r.kind = '{JobKind.RECALL}'"
    f" and r.state in ({int(JobState.OPEN)}, {int(JobState.ACCEPTED)})"
)
_WAITS = "j.n_open > 0 and j.cancelled_at is null"


def sent_jobs(connection: Connection, filter: JobFilter, now: int) -> Iterator[MatchingJob]:
    """Yields jobs of which something was or may be sent.

    Those that are being recalled or were recalled are left out, unless something of them still waits.
    If the filter names no ended jobs, only jobs that were created since `created_from`.
    """
    # For an `exists` without an index MariaDB would read all jobs.
    source = f"worker_jobs r{dialect_of(connection).force_index('worker_jobs_target')}"
    # What waits, also behind a recall that an application enqueued: that stops it only when its own turn comes.
    to_recall = f"{_SENT} and (not exists (select 1 from {source} {_RECALLED}) or {_WAITS})"
    if not filter.names_ended:
        yield from created_jobs(connection, filter, to_recall)
        return
    for ids in candidates(connection, filter, now, is_open_too=True):
        yield from jobs_of(connection, filter, ids, to_recall)


class TakenBack(NamedTuple):
    """What taking back a job would do."""

    is_open: bool
    """Something of it waits or is in flight, and it is not cancelled."""
    has_waiting: bool
    """Something of it waits, which is cancelled."""
    has_sent: bool
    """Something of it was sent, or may have been, which is recalled."""
    is_correction: bool
    """It is a message in place of another one."""


def take_back_effects(connection: Connection, ids: Sequence[str]) -> dict[str, TakenBack]:
    """Returns job -> what taking it back would do, for jobs that exist."""
    correction = f"case when target_job_id is not null and {IS_CORRECTION} then 1 else 0 end"
    columns = f"id, cancelled_at, n_open, n_accepted + n_partial + n_unknown, {' + '.join(COUNTER_NAMES)}, {correction}"
    rows = rows_by_id(connection, columns, "worker_jobs", ids)
    parts = [part_id(row[0], n) for row in rows if row[2] for n in range(row[4])]
    in_state: dict[int, set[str]] = {}
    for id, state in rows_by_id(connection, "id, state", "worker_parts", parts):
        in_state.setdefault(state, set()).add(job_of(id))
    waiting, calling = (in_state.get(state, set()) for state in (PartState.QUEUED, PartState.SENDING))
    return {
        id: TakenBack(
            cancelled_at is None and n_open > 0,
            cancelled_at is None and id in waiting,
            sent > 0 or id in calling,
            bool(is_correction),
        )
        for id, cancelled_at, n_open, sent, _, is_correction in rows
    }


_WAS_ADDRESSED = f" and {' + '.join(f'j.{name}' for name in ADDRESSED_COUNTERS)} > 0"
_WAS_ADDRESSED_OR_REFUSED = f" and {' + '.join(f'j.{name}' for name in (*ADDRESSED_COUNTERS, 'n_rejected'))} > 0"
_IS_CORRECTION = f"and {IS_CORRECTION} and {' + '.join(ADDRESSED_COUNTERS)} > 0"


def addressed_jobs(connection: Connection, filter: JobFilter, now: int) -> Iterator[tuple[MatchingJob, bool]]:
    """Yields jobs whose message has reached a person, may have or was to, and whether they are corrected already.

    If the filter names no ended jobs, only jobs that were created since `created_from`. If it names ids, also jobs
    whose message was refused.
    """
    more = (_WAS_ADDRESSED if filter.ids is None else _WAS_ADDRESSED_OR_REFUSED) + without_default_kinds(filter)
    if filter.names_ended:
        lots = candidates(connection, filter, now, is_open_too=True)
        matches: Iterator[MatchingJob] = (job for ids in lots for job in jobs_of(connection, filter, ids, more))
    else:
        matches = created_jobs(connection, filter, more)
    for jobs in batched(matches, PAGE):
        corrected = corrected_jobs(connection, [job.id for job in jobs])
        yield from ((job, job.id in corrected) for job in jobs)


def corrected_jobs(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Returns those of the jobs whose correction has reached a person, may have, or is still to."""
    only, index = _IS_CORRECTION, "worker_jobs_target"
    rows = rows_by_id(connection, "target_job_id", "worker_jobs", ids, "target_job_id", only=only, index=index)
    return {row[0] for row in rows}


def message_rows(connection: Connection, ids: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yields id, account, recipients and message of each of the jobs, some megabytes at a time, sorted by id."""
    columns = ("id", "account", "recipients", "message")
    for lot in batches_by_bytes(connection, ids, BYTES):
        rows = rows_by_id(connection, ", ".join(columns), "worker_jobs", lot)
        yield from (dict(zip(columns, row, strict=True)) for row in sorted(rows))


PAGE = 2_000
"""Jobs that are read together."""
FAILED = ("n_rejected", "n_exhausted", "n_expired", "n_cancelled", "n_partial")
"""The counters of parts that may not have reached all recipients."""


_STANDS = f"{int(JobState.OPEN)}, {int(JobState.ACCEPTED)}"


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that may be replayed."""

    id: str
    account: str
    state: JobState


def ended_jobs(
    connection: Connection, filter: JobFilter, now: int, *, accepted: bool, unknown: bool, since: int | None
) -> Iterator[EndedJob]:
    """Yields ended jobs of a filter that did not reach all recipients, by their counters. If it names ids, all ended.

    With `accepted` and `unknown`, also jobs that did reach all, or that are in doubt. With `since`, leaves out jobs
    that were replayed since that instant, for example by a command that was interrupted.
    """
    counters = [*FAILED, *(["n_accepted"] if accepted else []), *(["n_unknown"] if unknown else [])]
    conditions, values = job_conditions(filter)
    replays = f"worker_jobs r{dialect_of(connection).force_index('worker_jobs_replay')}"
    again = f"select 1 from {replays} where r.replay_of = coalesce(j.replay_of, j.id)"
    if filter.ids is None:
        conditions += ["j.n_open = 0", f"{' + '.join(f'j.{name}' for name in counters)} > 0"]
    if filter.ids is None and not (accepted or unknown):
        # A later replay to as many recipients replaces it. If some were reached, the counts cannot tell that.
        later = f"r.created_at >= j.created_at and r.id <> j.id and r.asked >= j.asked and r.state in ({_STANDS})"
        conditions.append(
            f"(j.replay_of is not null or j.n_accepted + j.n_partial > 0 or not exists ({again} and {later}))"
        )
    if since is not None:
        conditions.append(f"j.created_at < :since and not exists ({again} and r.created_at >= :since)")
        values["since"] = since
    for source, bounds in _sources(connection, filter, now):
        query = " and ".join([f"select j.id, j.account, j.state from {source}", *conditions]) + without_default_kinds(
            filter
        )
        while rows := fetch(connection, f"{query} order by j.id limit {PAGE}", {**values, **bounds}):
            fit = matching_jobs(connection, filter, [row[0] for row in rows])
            yield from (EndedJob(id, account, JobState(state)) for id, account, state in rows if id in fit)
            bounds["after"] = rows[-1][0]


def _sources(connection: Connection, filter: JobFilter, now: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the FROM clauses in which the jobs of the filter are, with their bounds."""
    dialect = dialect_of(connection)
    if not filter.names_ended:
        yield created_since(dialect, filter)
        return
    for ids in candidates(connection, filter, now, is_open_too=False):
        yield f"{dialect.by_ids('worker_jobs', alias='j')} and j.id > :after", {"ids": ids_json(ids), "after": ""}


def may_have_been_sent_since(connection: Connection, ids: Sequence[str], since: int, *, accepted: bool) -> int:
    """Counts the jobs whose first part had a call after an instant that may have reached a recipient of a replay.

    `accepted` says that a replay is also for those who got it. A refusal of the only call is certain.
    """
    first = [part_id(job, 0) for job in ids]
    refused = f"{PartState.REJECTED:d}" if accepted else f"{PartState.REJECTED:d}, {PartState.PARTIAL:d}"
    called = f"and marked_at > :since and not (state in ({refused}) and marked_at = first_marked_at)"
    return int(rows_by_id(connection, "count(*)", "worker_parts", first, only=called, since=since)[0][0])


def lock_recalled(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Locks these jobs, so that no other command recalls them. Returns those with an open or an accepted recall."""
    lock_with_originals(connection, ids)
    only, index = f"and kind = '{JobKind.RECALL}' and state in ({_STANDS})", "worker_jobs_target"
    recalls = rows_by_id(connection, "target_job_id", "worker_jobs", ids, "target_job_id", only=only, index=index)
    return {row[0] for row in recalls}


def lock_with_originals(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Locks these jobs and their originals, so that no other command replays them. Returns those that exist."""
    jobs = rows_by_id(connection, "id, replay_of", "worker_jobs", ids)
    # All at once, in the order of the workers' commits.
    both = {id for row in jobs for id in row if id is not None}
    rows_by_id(connection, "id", "worker_jobs", both, only=dialect_of(connection).lock_in_order())
    return sorted(id for id, _ in jobs)
