"""Deletes old rows that are over, in small batches, each one transaction; a batch goes on where the last one ended.

Ids are made by time, so reading a table stops before the first job that was made too late to be old. Rows that can
still change, or that are still needed, stay: the reasons are `REASONS`, asked while the jobs are locked.
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
from worker.outbox.upkeep.indexing import count_terms, forget_terms

JOBS = 100
ROWS = 500
WINDOWS = 5_000
PARTS = 2_000
"""A batch of jobs ends with the job that brings it to so many parts."""
FILES = 8
"""A batch of jobs ends with the job that brings it to so many files."""
TERMS = 20_000
"""A batch of jobs ends with the job that brings it to so many terms."""
CONFIRMATIONS = 20_000
"""A batch of jobs ends with the job that brings it to so many rows about members and customers."""


Parts = Mapping[str, Sequence[str]]
"""Jobs, with the ids of their parts."""

Reason = Callable[[Connection, Parts, Mapping[str, int]], set[str]]
"""Returns which of these jobs must stay; `before`: jobs that ended earlier are old, `now`: the database's clock."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of one batch of reading through a table."""

    deleted: int
    after: str | None
    """The id after which the next batch begins; None: the table is done."""


# -- jobs -------------------------------------------------------------------------------------------------------------


def purge_jobs(database: Database, before: int, after: str) -> BatchResult:
    """Deletes jobs that ended before an instant, with all their rows; `deleted` counts jobs."""

    def batch(connection: Connection) -> BatchResult:
        rows = fetch(connection, _JOBS, {"after": after, "young": first_id(before), "limit": JOBS})
        # An original and its replays go together: a replay that is left would name a job that is gone.
        families = _families(connection, [row[0] for row in rows if row[1] is not None and row[1] < before])
        when = {"before": before, "now": read_now(connection, database.now)}
        free = _free(connection, set[str]().union(*families), when) if families else {}
        families = [family for family in families if family <= free.keys()]
        going = _bounded(connection, families, free)
        _delete_jobs(connection, {job: free[job] for job in going})
        if len(going) < sum(map(len, families)):
            # The next batch reads the same jobs again and deletes the others.
            return BatchResult(len(going), after)
        return BatchResult(len(going), rows[-1][0] if len(rows) == JOBS else None)

    return database.run(batch)


_JOBS = "select id, finished_at from worker_jobs where id > :after and id < :young order by id limit :limit"


def _families(connection: Connection, ids: Sequence[str]) -> list[set[str]]:
    """The jobs of these ids with their originals and all replays of these: one set of ids for each original."""
    if not ids:
        return []
    dialect = dialect_of(connection)
    mine = dialect.chosen("worker_jobs")
    originals = {row[0] for row in rows_by_id(connection, "coalesce(replay_of, id)", "worker_jobs", ids)}
    replays = dialect.chosen("worker_jobs", "replay_of", index="worker_jobs_replay")
    query = f"select id, coalesce(replay_of, id) from {mine} union select id, replay_of from {replays}"
    families: dict[str, set[str]] = {}
    for job, original in fetch(connection, query, {"ids": ids_json(originals)}):
        families.setdefault(original, set()).add(job)
    return [families[original] for original in sorted(families)]


def _free(connection: Connection, ids: Iterable[str], when: Mapping[str, int]) -> Parts:
    """Locks the jobs that are over, and returns those without a reason to stay, with their parts."""
    dialect = dialect_of(connection)
    source = dialect.chosen("worker_jobs", alias="j")
    # A job that another transaction has locked is left for a later round: housekeeping waits for none.
    locked = dialect.in_order("j.id") + dialect.skip_locked
    query = f"select j.id from {source} and j.n_open = 0 and j.finished_at < :before{locked}"
    rows = fetch(connection, query, {"ids": ids_json(ids), **when})
    free = {row[0]: _parts_of(connection, row[0]) for row in rows}
    for reason in REASONS:
        held = reason(connection, free, when) if free else set()
        free = {job: parts for job, parts in free.items() if job not in held}
    return free


def _parts_of(connection: Connection, job: str) -> list[str]:
    rows = fetch(connection, "select id from worker_parts where id > :low and id < :high", part_range(job))
    return [row[0] for row in rows]


def _of_jobs(query: str) -> Reason:
    """A reason to stay, made from a query about a job j that finds a row."""

    def reason(connection: Connection, jobs: Parts, when: Mapping[str, int]) -> set[str]:
        source = dialect_of(connection).chosen("worker_jobs", alias="j")
        statement = f"select j.id from {source} and exists ({query})"
        return {row[0] for row in fetch(connection, statement, {"ids": ids_json(jobs), **when})}

    return reason


def _waits_to_repeat(connection: Connection, jobs: Parts, when: Mapping[str, int]) -> set[str]:
    """Jobs with an unknown part whose policy has not acted yet."""
    waits = f"and state = {int(PartState.UNKNOWN)} and not_before is not null"
    return {job_of(row[0]) for row in rows_by_id(connection, "id", "worker_parts", _all(jobs), only=waits)}


def _code_is_good(connection: Connection, jobs: Parts, when: Mapping[str, int]) -> set[str]:
    """Jobs with a response_code that the vendor still knows, used or not, or that a part has leased."""
    # A used code that is forgotten here could be given by an application and would be spent twice.
    table, good = "worker_response_codes", "and (ends_at >= :now or state = 'leased')"
    rows = rows_by_id(
        connection, "part_id", table, _all(jobs), "part_id", only=good, index=f"{table}_part", now=when["now"]
    )
    return {job_of(row[0]) for row in rows}


def _keeps_others_waiting(connection: Connection, jobs: Parts, when: Mapping[str, int]) -> set[str]:
    """Jobs with an exhausted or held part that keeps the parts behind it in its order waiting."""
    return {job_of(part) for part in parts_in_orders(connection, _all(jobs))}


def _is_replayed_now(connection: Connection, jobs: Parts, when: Mapping[str, int]) -> set[str]:
    """Jobs with files that an uncommitted replay keeps."""
    uses = rows_by_id(connection, "job_id, blob_id", "worker_blob_uses", jobs, "job_id")
    held = locked_blobs(connection, [blob for _, blob in uses]) if uses else set()
    return {job for job, blob in uses if blob in held}


def _all(jobs: Parts) -> list[str]:
    return [part for parts in jobs.values() for part in parts]


REASONS: tuple[Reason, ...] = (
    # A follow-up that is open, in doubt or young needs the target's receipts and codes.
    _of_jobs(
        "select 1 from worker_jobs f where f.target_job_id = j.id"
        " and (f.n_open > 0 or f.n_unknown > 0 or f.finished_at >= :before)"
    ),
    # An event whose hook has not run yet.
    _of_jobs("select 1 from worker_events e where e.job_id = j.id and e.ended_at is null"),
    _waits_to_repeat,
    _code_is_good,
    _keeps_others_waiting,
    _is_replayed_now,
)
"""The reasons for which a job that is over stays; each returns the ids of such jobs."""


def _bounded(connection: Connection, families: Sequence[set[str]], free: Parts) -> list[str]:
    """The jobs of the first families, as many as one transaction may delete; at least one family."""
    going: list[str] = []
    parts, files, read, terms = 0, 0, 0, 0
    for family in families:
        going += sorted(family)
        parts += sum(len(free[job]) for job in family)
        files += len(files_of(connection, family))
        read += sum(count_confirmations(connection, job) for job in family)
        terms += count_terms(connection, family)
        if parts >= PARTS or files >= FILES or read >= CONFIRMATIONS or terms >= TERMS:
            break
    return going


def _delete_jobs(connection: Connection, jobs: Parts) -> None:
    ids = list(jobs)
    if not ids:
        return
    parts, files = _all(jobs), files_of(connection, ids)
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
    forget_terms(connection, ids)
    delete_by_id(connection, "worker_jobs", ids)


# A code that was leased, or an event that was added, since the reasons were asked stays without its job.
_CODES = "delete from worker_response_codes where part_id > :low and part_id < :high and state <> 'leased'"


# -- parts of jobs that stay ------------------------------------------------------------------------------------------


def _purge_of_parts(table: str, made: str, stays: str, database: Database, before: int, after: str) -> BatchResult:
    """Deletes the old rows of ended parts; an ended part never moves again. `stays`: those whose rows are kept."""
    page = (
        f"select part_id, max({made}) from {table} where part_id > :after and part_id < :young"
        " group by part_id order by part_id limit :limit"
    )

    def batch(connection: Connection) -> BatchResult:
        rows = fetch(connection, page, {"after": after, "young": first_id(before), "limit": ROWS})
        old = [row[0] for row in rows if row[1] < before]
        # Also those of jobs that are gone: a process of an older release does not know all of these tables.
        kept = {row[0] for row in rows_by_id(connection, "id", "worker_parts", old, only=f"and ({stays})")}
        ids = [id for id in old if id not in kept]
        delete_by_id(connection, table, ids, "part_id")
        return BatchResult(len(ids), rows[-1][0] if len(rows) == ROWS else None)

    return database.run(batch)


_GOES_ON = f"state not in ({', '.join(str(int(state)) for state in sorted(FINAL_STATES))})"
# A held part is not repeated; any other part in doubt needs its frozen bytes for the repeat.
_IS_CALLED_AGAIN = f"{_GOES_ON} and not (state = {int(PartState.UNKNOWN)} and not_before is null)"

purge_bodies = partial(_purge_of_parts, "worker_bodies", "frozen_at", _IS_CALLED_AGAIN)
"""Deletes frozen bytes of parts that have ended or are held."""
purge_attempts = partial(_purge_of_parts, "worker_attempts", "ended_at", _GOES_ON)
"""Deletes attempts of parts that have ended without doubt; `deleted` counts parts."""
purge_waits = partial(_purge_of_parts, "worker_waits", "began_at", _GOES_ON)
"""Deletes what parts waited for that have ended."""


# -- what belongs to no job -------------------------------------------------------------------------------------------

_MEDIA_END = (
    "case when valid_until is null and exists (select 1 from worker_jobs j where j.id = worker_media.job_id"
    " and (j.n_open > 0 or j.n_unknown > 0)) then null else coalesce(valid_until, created_at) end"
)
"""SQL of the instant when a file was last of use; NULL while its upload, which may be much younger, is open or in
doubt."""

_CALLBACKS = (
    "select i.id, i.stored_by from worker_inbound i left join worker_events e on e.id = i.stored_by"
    " where i.received_at < :before and (e.id is null or e.ended_at is not null) order by i.received_at limit :limit"
)
_PROCESSES = (
    "select p.id from worker_processes p where p.ended_at < :before"
    " and not exists (select 1 from worker_parts s where s.state = 1 and s.incarnation = p.id)"
    " and not exists (select 1 from worker_events e where e.holder = p.id) limit :limit"
)
# A lane with a penalty step, a narrowed bound or failures stays: only an answer may end these.
_LANES = (
    "select lane from worker_lanes where blocked_until < :before and blocked_at < :before and changed_at < :before"
    " and parked = false and rest_s = 0 and step = 0 and failures = 0 limit :limit"
)
_LANE_EVENTS = "select id from worker_lane_events where happened_at < :before order by id limit :limit"


_SESSIONS = "select id from worker_sessions where ends_at < :before limit :limit"
_SIGN_INS = "select id from worker_sign_ins where tried_at < :before limit :limit"
_VISITS = ("console.look", "console.sign_in", "console.sign_out", "console.refused")
# By the ids, which are made by time, so that the rows of visits that are too young are not read.
_LOOKS = f"select id from worker_audit where id < :young and action in {_VISITS!r} order by id limit :limit"


def _purge_found(
    query: str, tables: Sequence[str], database: Database, before: int, after: str, *, key: str = "id"
) -> BatchResult:
    """Deletes the rows that a query finds, which returns one column of ids for each table."""
    asked = {"before": before, "young": first_id(before), "limit": ROWS}

    def batch(connection: Connection) -> BatchResult:
        rows = fetch(connection, query, asked)
        for column, table in enumerate(tables):
            delete_by_id(connection, table, [row[column] for row in rows], key)
        return BatchResult(len(rows), "" if len(rows) == ROWS else None)

    return database.run(batch)


purge_callbacks = partial(_purge_found, _CALLBACKS, ("worker_inbound", "worker_events"))
"""Deletes callbacks with their events, unless a hook has yet to run."""


def purge_tag_events(database: Database, before: int, after: str) -> BatchResult:
    """Deletes events about tags whose hooks have run."""
    source = f"worker_events{database.dialect.force_index('worker_events_tag')}"
    query = f"select id from {source} where tag is not null and id < :young and ended_at is not null limit :limit"
    return _purge_found(query, ("worker_events",), database, before, after)


purge_processes = partial(_purge_found, _PROCESSES, ("worker_processes",))
"""Deletes processes that ended and left no part marked and no hook running."""
purge_lanes = partial(_purge_found, _LANES, ("worker_lanes",), key="lane")
"""Deletes lanes without a block or a change of their bound since an instant."""
purge_sessions = partial(_purge_found, _SESSIONS, ("worker_sessions",))
"""Deletes sessions of the console that ended."""
purge_sign_ins = partial(_purge_found, _SIGN_INS, ("worker_sign_ins",))
"""Deletes sign-ins that were tried before an instant."""
purge_looks = partial(_purge_found, _LOOKS, ("worker_audit",))
"""Deletes the audit's rows of people who read a text in the console, or signed in or out there; commands stay."""
purge_lane_events = partial(_purge_found, _LANE_EVENTS, ("worker_lane_events",))
"""Deletes events of lanes."""


def purge_pauses(database: Database, before: int, after: str) -> BatchResult:
    """Ends the holds of jobs that have ended, and deletes pauses that ended before an instant."""
    is_open = f"j.state in ({int(JobState.OPEN)}, {int(JobState.UNKNOWN)})"
    ends = (
        f"update worker_pauses set ended_at = {database.now} where ended_at is null and job_id is not null"
        f" and not exists (select 1 from worker_jobs j where j.id = worker_pauses.job_id and {is_open})"
    )
    # Not while a part is parked on it: recovery finds its parts by the pause's row.
    delete = (
        "delete from worker_pauses where ended_at < :before and not exists"
        " (select 1 from worker_parts p where p.state = 0 and p.not_before = worker_pauses.parked_until)"
    )

    def batch(connection: Connection) -> BatchResult:
        run(connection, ends)
        return BatchResult(execute(connection, delete, {"before": before}).rowcount, None)

    return database.run(batch)


def _purge_through(table: str, ends: str, database: Database, before: int, after: str) -> BatchResult:
    """Deletes rows that ended before an instant, page by page through the table."""
    # The condition is repeated in the delete: a row may have come into use again since it was read.
    page = f"select id, {ends} from {table} where id > :after order by id limit :limit"
    delete = f"{database.dialect.delete_chosen(table)} and {ends} < :before"

    def batch(connection: Connection) -> BatchResult:
        rows = fetch(connection, page, {"after": after, "limit": WINDOWS})
        over = [row[0] for row in rows if row[1] is not None and row[1] < before]
        if over:
            execute(connection, delete, {"ids": ids_json(over), "before": before})
        return BatchResult(len(over), rows[-1][0] if len(rows) == WINDOWS else None)

    return database.run(batch)


purge_windows = partial(_purge_through, "worker_duplicates", "until")
"""Deletes windows of the duplicate check that are over; reads all of them, because their ids are hashes."""
purge_media = partial(_purge_through, "worker_media", _MEDIA_END)
"""Deletes media_ids that ended before an instant, and files whose upload failed so long ago; reads all rows.

A later send of such a file uploads it again.
"""
