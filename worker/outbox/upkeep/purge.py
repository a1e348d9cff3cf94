"""Deletes old rows in small batches. Each batch is one transaction and continues where the last one ended.

Ids begin with the time of their creation, so a table is read only up to the first id that is too young. Rows that can
still change, or that are still needed, stay: `REASONS` are checked while the jobs are locked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from worker.domain.job import first_id, job_of, part_range
from worker.domain.state import FINAL_STATES, JobState, PartState
from worker.outbox.engine.bulk import delete_by_id, ids_json, rows_by_id
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, fetch, read_now, run
from worker.outbox.jobs.blobs import delete_unnamed, files_of, locked_blobs
from worker.outbox.jobs.confirmations import count_confirmations
from worker.outbox.jobs.order_queue import parts_in_orders
from worker.outbox.upkeep.indexing import count_terms, delete_terms

JOBS = 100
"""Jobs that one batch reads."""
ROWS = 500
"""Rows that one batch reads of most other tables."""
WINDOWS = 5_000
"""Rows that one batch reads of tables that are read from end to end."""
PARTS = 2_000
"""A batch of jobs ends with the job that brings it to this many parts."""
FILES = 8
"""A batch of jobs ends with the job that brings it to this many files."""
TERMS = 20_000
"""A batch of jobs ends with the job that brings it to this many terms."""
CONFIRMATIONS = 20_000
"""A batch of jobs ends with the job that brings it to this many rows about members and customers."""


PartsOfJobs = Mapping[str, Sequence[str]]
"""Jobs, each with the ids of its parts."""

Reason = Callable[[Connection, PartsOfJobs, Mapping[str, int]], set[str]]
"""Returns which of these jobs must stay. The mapping has two instants: jobs that ended earlier than `before` are old,
and `now` is the database's clock."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of one batch."""

    deleted: int
    after: str | None
    """The id after which the next batch begins, or None if the table is done."""


# -- jobs -------------------------------------------------------------------------------------------------------------


def purge_jobs(database: Database, before: int, after: str) -> BatchResult:
    """Deletes jobs that ended before an instant, with all of their rows; `deleted` counts jobs."""

    def batch(connection: Connection) -> BatchResult:
        rows = fetch(connection, _JOBS, {"after": after, "young": first_id(before), "limit": JOBS})
        # An original and its replays are deleted together: a replay that stays would refer to a deleted job.
        families = _families(connection, [row[0] for row in rows if row[1] is not None and row[1] < before])
        instants = {"before": before, "now": read_now(connection, database.now)}
        deletable = _lock_deletable(connection, set[str]().union(*families), instants) if families else {}
        families = [family for family in families if family <= deletable.keys()]
        jobs = _bounded(connection, families, deletable)
        _delete_jobs(connection, {job: deletable[job] for job in jobs})
        if len(jobs) < sum(map(len, families)):
            # The next batch reads the same jobs again and deletes those that remain.
            return BatchResult(len(jobs), after)
        return BatchResult(len(jobs), rows[-1][0] if len(rows) == JOBS else None)

    return database.run(batch)


_JOBS = "select id, finished_at from worker_jobs where id > :after and id < :young order by id limit :limit"


def _families(connection: Connection, ids: Sequence[str]) -> list[set[str]]:
    """Returns the jobs with their originals and all replays of the originals: one set of ids for each original."""
    if not ids:
        return []
    dialect = dialect_of(connection)
    jobs = dialect.by_ids("worker_jobs")
    originals = {row[0] for row in rows_by_id(connection, "coalesce(replay_of, id)", "worker_jobs", ids)}
    replays = dialect.by_ids("worker_jobs", "replay_of", index="worker_jobs_replay")
    query = f"select id, coalesce(replay_of, id) from {jobs} union select id, replay_of from {replays}"
    families: dict[str, set[str]] = {}
    for job, original in fetch(connection, query, {"ids": ids_json(originals)}):
        families.setdefault(original, set()).add(job)
    return [families[original] for original in sorted(families)]


def _lock_deletable(connection: Connection, ids: Iterable[str], instants: Mapping[str, int]) -> PartsOfJobs:
    """Locks those of the jobs that are old. Returns the ones without a reason to stay, with their parts."""
    dialect = dialect_of(connection)
    source = dialect.by_ids("worker_jobs", alias="j")
    # A job that another transaction has locked is left for a later round. Housekeeping does not wait for it.
    lock = dialect.lock_in_order("j.id") + dialect.skip_locked
    query = f"select j.id from {source} and j.n_open = 0 and j.finished_at < :before{lock}"
    rows = fetch(connection, query, {"ids": ids_json(ids), **instants})
    deletable = {row[0]: _parts_of(connection, row[0]) for row in rows}
    for reason in REASONS:
        needed = reason(connection, deletable, instants) if deletable else set()
        deletable = {job: parts for job, parts in deletable.items() if job not in needed}
    return deletable


def _parts_of(connection: Connection, job: str) -> list[str]:
    rows = fetch(connection, "select id from worker_parts where id > :low and id < :high", part_range(job))
    return [row[0] for row in rows]


def _reason_if_exists(query: str) -> Reason:
    """Returns a reason for which a job `j` stays: the query about it returns a row."""

    def reason(connection: Connection, jobs: PartsOfJobs, instants: Mapping[str, int]) -> set[str]:
        source = dialect_of(connection).by_ids("worker_jobs", alias="j")
        statement = f"select j.id from {source} and exists ({query})"
        return {row[0] for row in fetch(connection, statement, {"ids": ids_json(jobs), **instants})}

    return reason


def _has_doubtful_part(connection: Connection, jobs: PartsOfJobs, instants: Mapping[str, int]) -> set[str]:
    """Returns jobs with a part in doubt that recovery has yet to repeat or to hold."""
    condition = f"and state = {int(PartState.UNKNOWN)} and not_before is not null"
    return {job_of(row[0]) for row in rows_by_id(connection, "id", "worker_parts", _all_parts(jobs), only=condition)}


def _has_valid_code(connection: Connection, jobs: PartsOfJobs, instants: Mapping[str, int]) -> set[str]:
    """Returns jobs with a response_code that has not expired, used or not, or that a part has leased."""
    # If a used code were deleted here, an application could pass it again, and it would be used twice.
    table, valid = "worker_response_codes", "and (ends_at >= :now or state = 'leased')"
    rows = rows_by_id(
        connection,
        "part_id",
        table,
        _all_parts(jobs),
        "part_id",
        only=valid,
        index=f"{table}_part",
        now=instants["now"],
    )
    return {job_of(row[0]) for row in rows}


def _blocks_an_order(connection: Connection, jobs: PartsOfJobs, instants: Mapping[str, int]) -> set[str]:
    """Returns jobs with an exhausted or held part that keeps the parts behind it in its order waiting."""
    return {job_of(part) for part in parts_in_orders(connection, _all_parts(jobs))}


def _is_being_replayed(connection: Connection, jobs: PartsOfJobs, instants: Mapping[str, int]) -> set[str]:
    """Returns jobs with files that a replay uses whose transaction is not committed yet."""
    uses = rows_by_id(connection, "job_id, blob_id", "worker_blob_uses", jobs, "job_id")
    locked = locked_blobs(connection, [blob for _, blob in uses]) if uses else set()
    return {job for job, blob in uses if blob in locked}


def _all_parts(jobs: PartsOfJobs) -> list[str]:
    return [part for parts in jobs.values() for part in parts]


REASONS: tuple[Reason, ...] = (
    # A follow-up that is open, in doubt or young needs the target's receipts and codes.
    _reason_if_exists(
        "select 1 from worker_jobs f where f.target_job_id = j.id"
        " and (f.n_open > 0 or f.n_unknown > 0 or f.finished_at >= :before)"
    ),
    # An event whose hook has not run yet.
    _reason_if_exists("select 1 from worker_events e where e.job_id = j.id and e.ended_at is null"),
    _has_doubtful_part,
    _has_valid_code,
    _blocks_an_order,
    _is_being_replayed,
)
"""The reasons for which an old job stays."""


def _bounded(connection: Connection, families: Sequence[set[str]], deletable: PartsOfJobs) -> list[str]:
    """Returns the jobs of the first families, as many as one transaction may delete, but at least one family."""
    jobs: list[str] = []
    parts, files, confirmations, terms = 0, 0, 0, 0
    for family in families:
        jobs += sorted(family)
        parts += sum(len(deletable[job]) for job in family)
        files += len(files_of(connection, family))
        confirmations += sum(count_confirmations(connection, job) for job in family)
        terms += count_terms(connection, family)
        if parts >= PARTS or files >= FILES or confirmations >= CONFIRMATIONS or terms >= TERMS:
            break
    return jobs


def _delete_jobs(connection: Connection, jobs: PartsOfJobs) -> None:
    ids = list(jobs)
    if not ids:
        return
    parts, files = _all_parts(jobs), files_of(connection, ids)
    delete_by_id(connection, "worker_task_ids", parts, "part_id", index="worker_task_ids_part")
    for table in ("attempts", "waits", "receipts", "failures", "bodies", "confirmations"):
        delete_by_id(connection, f"worker_{table}", parts, "part_id")
    # The primary keys of these tables do not begin with the part or the job.
    for job in ids:
        execute(connection, _CODES, part_range(job))
        execute(connection, "delete from worker_events where job_id = :id and ended_at is not null", {"id": job})
    delete_by_id(connection, "worker_parts", parts)
    delete_by_id(connection, "worker_blob_uses", ids, "job_id")
    delete_unnamed(connection, files)
    delete_terms(connection, ids)
    delete_by_id(connection, "worker_jobs", ids)


# A code that was leased, or an event that was added, after the reasons were checked stays without its job.
_CODES = "delete from worker_response_codes where part_id > :low and part_id < :high and state <> 'leased'"


# -- parts of jobs that stay ------------------------------------------------------------------------------------------


def _purge_rows_of_parts(
    table: str, age_column: str, needed: str, database: Database, before: int, after: str
) -> BatchResult:
    """Deletes a table's old rows of parts, except parts that meet the condition `needed`; `deleted` counts parts."""
    page = (
        f"select part_id, max({age_column}) from {table} where part_id > :after and part_id < :young"
        " group by part_id order by part_id limit :limit"
    )

    def batch(connection: Connection) -> BatchResult:
        rows = fetch(connection, page, {"after": after, "young": first_id(before), "limit": ROWS})
        old = [row[0] for row in rows if row[1] < before]
        # Also rows of deleted jobs: a process of an older release may not delete from all of these tables.
        needed_parts = {row[0] for row in rows_by_id(connection, "id", "worker_parts", old, only=f"and ({needed})")}
        ids = [id for id in old if id not in needed_parts]
        delete_by_id(connection, table, ids, "part_id")
        return BatchResult(len(ids), rows[-1][0] if len(rows) == ROWS else None)

    return database.run(batch)


_HAS_NOT_ENDED = f"state not in ({', '.join(str(int(state)) for state in sorted(FINAL_STATES))})"
# A held part is not repeated. Any other part in doubt needs its frozen bytes for the repeat.
_MAY_BE_CALLED = f"{_HAS_NOT_ENDED} and not (state = {int(PartState.UNKNOWN)} and not_before is null)"

purge_bodies = partial(_purge_rows_of_parts, "worker_bodies", "frozen_at", _MAY_BE_CALLED)
"""Deletes the frozen request bodies of parts that have ended or are held."""
purge_attempts = partial(_purge_rows_of_parts, "worker_attempts", "ended_at", _HAS_NOT_ENDED)
"""Deletes the attempts of parts that have ended and are not in doubt; `deleted` counts parts."""
purge_waits = partial(_purge_rows_of_parts, "worker_waits", "began_at", _HAS_NOT_ENDED)
"""Deletes what parts that have ended waited for."""


# -- what belongs to no job -------------------------------------------------------------------------------------------

_MEDIA_END = (
    "case when valid_until is null and exists (select 1 from worker_jobs j where j.id = worker_media.job_id"
    " and (j.n_open > 0 or j.n_unknown > 0)) then null else coalesce(valid_until, created_at) end"
)
"""SQL for when a file was last useful. NULL while its upload is open or in doubt: it may run long after the row was
written."""

_CALLBACKS = (
    "select i.id, i.stored_by from worker_inbound i left join worker_events e on e.id = i.stored_by"
    " where i.received_at < :before and (e.id is null or e.ended_at is not null) order by i.received_at limit :limit"
)
_HAS_ENDED = "ended_at is not null"
_PROCESSES = (
    "select p.id from worker_processes p where p.ended_at < :before"
    " and not exists (select 1 from worker_parts s where s.state = 1 and s.incarnation = p.id)"
    " and not exists (select 1 from worker_events e where e.holder = p.id) limit :limit"
)
# A lane with a penalty step, a lowered concurrency or failures stays, because only an answer may reset these.
_IS_QUIET = (
    "blocked_until < :before and blocked_at < :before and changed_at < :before"
    " and parked = false and rest_s = 0 and step = 0 and failures = 0"
)
_LANES = f"select lane from worker_lanes where {_IS_QUIET} limit :limit"
_LANE_EVENTS = "select id from worker_lane_events where happened_at < :before order by id limit :limit"


_SESSIONS = "select id from worker_sessions where ends_at < :before limit :limit"
_SIGN_INS = "select id from worker_sign_ins where tried_at < :before limit :limit"
ACCESS = ("console.view", "console.sign_in", "console.sign_out", "console.refused")
"""The actions of the audit that read or sign in, and change nothing."""
# By the ids, which begin with the time of their creation, so that rows that are too young are not read.
_ACCESS_ROWS = f"select id from worker_audit where id < :young and action in {ACCESS!r} order by id limit :limit"


def _purge_selected(
    query: str, table: str, database: Database, before: int, after: str, *, key: str = "id", only: str = ""
) -> BatchResult:
    """Deletes the rows whose ids a query selects. `only` repeats what another process may have changed meanwhile."""

    def batch(connection: Connection) -> BatchResult:
        rows = fetch(connection, query, {"before": before, "young": first_id(before), "limit": ROWS})
        delete_by_id(connection, table, [row[0] for row in rows], key, only=only, before=before)
        return BatchResult(len(rows), "" if len(rows) == ROWS else None)

    return database.run(batch)


def purge_callbacks(database: Database, before: int, after: str) -> BatchResult:
    """Deletes callbacks with their events, unless a hook has yet to run for them."""

    def batch(connection: Connection) -> BatchResult:
        rows = fetch(connection, _CALLBACKS, {"before": before, "limit": ROWS})
        # A person may have made an event due again since it was read. The event stays, and its callback with it.
        delete_by_id(connection, "worker_events", [event for _, event in rows], only=f"and {_HAS_ENDED}")
        has_event = "exists (select 1 from worker_events e where e.id = worker_inbound.stored_by)"
        delete_by_id(connection, "worker_inbound", [callback for callback, _ in rows], only=f"and not {has_event}")
        return BatchResult(len(rows), "" if len(rows) == ROWS else None)

    return database.run(batch)


def purge_tag_events(database: Database, before: int, after: str) -> BatchResult:
    """Deletes events about the end of tags, unless a hook has yet to run for them."""
    source = f"worker_events{database.dialect.force_index('worker_events_tag')}"
    query = f"select id from {source} where tag is not null and id < :young and {_HAS_ENDED} limit :limit"
    return _purge_selected(query, "worker_events", database, before, after, only=f"and {_HAS_ENDED}")


purge_processes = partial(_purge_selected, _PROCESSES, "worker_processes")
"""Deletes the rows of ended processes, unless a part that they marked or a hook that they ran is still open."""
purge_lanes = partial(_purge_selected, _LANES, "worker_lanes", key="lane", only=f"and {_IS_QUIET}")
"""Deletes the rows of lanes that were not blocked, and whose state did not change, since an instant."""
purge_sessions = partial(_purge_selected, _SESSIONS, "worker_sessions")
"""Deletes sessions of the console that ended before an instant."""
purge_sign_ins = partial(_purge_selected, _SIGN_INS, "worker_sign_ins")
"""Deletes attempts to sign in that were made before an instant."""
purge_access_rows = partial(_purge_selected, _ACCESS_ROWS, "worker_audit")
"""Deletes the audit's rows about people who read a text in the console, or signed in or out. Rows of commands stay."""
purge_lane_events = partial(_purge_selected, _LANE_EVENTS, "worker_lane_events")
"""Deletes events of lanes that happened before an instant."""


def purge_pauses(database: Database, before: int, after: str) -> BatchResult:
    """Ends the holds of jobs that have ended themselves, and deletes pauses that ended before an instant."""
    is_open = f"j.state in ({int(JobState.OPEN)}, {int(JobState.UNKNOWN)})"
    ends = (
        f"update worker_pauses set ended_at = {database.now} where ended_at is null and job_id is not null"
        f" and not exists (select 1 from worker_jobs j where j.id = worker_pauses.job_id and {is_open})"
    )
    # Not while a part still waits for the pause to end: recovery finds these parts by the pause's row.
    delete = (
        "delete from worker_pauses where ended_at < :before and not exists"
        " (select 1 from worker_parts p where p.state = 0 and p.not_before = worker_pauses.parked_until)"
    )

    def batch(connection: Connection) -> BatchResult:
        run(connection, ends)
        return BatchResult(execute(connection, delete, {"before": before}).rowcount, None)

    return database.run(batch)


def _purge_pages(table: str, end: str, database: Database, before: int, after: str) -> BatchResult:
    """Deletes rows that ended before an instant. Reads the whole table page by page; `end` is SQL for a row's end."""
    # The condition is repeated in the delete, because a row may have come into use again since it was read.
    page = f"select id, {end} from {table} where id > :after order by id limit :limit"
    delete = f"{database.dialect.delete_by_ids(table)} and {end} < :before"

    def batch(connection: Connection) -> BatchResult:
        rows = fetch(connection, page, {"after": after, "limit": WINDOWS})
        old = [row[0] for row in rows if row[1] is not None and row[1] < before]
        if old:
            execute(connection, delete, {"ids": ids_json(old), "before": before})
        return BatchResult(len(old), rows[-1][0] if len(rows) == WINDOWS else None)

    return database.run(batch)


purge_windows = partial(_purge_pages, "worker_duplicates", "until")
"""Deletes windows of the duplicate check that ended before an instant. Reads all of them, as their ids are hashes."""
purge_media = partial(_purge_pages, "worker_media", _MEDIA_END)
"""Deletes media_ids that expired before an instant, and the rows of uploads that failed before it.

A later send of such a file uploads it again. Reads all rows.
"""
