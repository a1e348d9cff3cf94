"""Tags whose jobs have ended, for the application's hooks about the end of a tag.

When jobs are indexed, their tags are stored here if a worker process has a hook for them; the commits of results do not
take part. A tag is checked once none of its jobs has ended for a while. If all of its jobs have ended, one transaction
writes the event and marks the tag by compare-and-set, so several processes may check, and each end causes one event.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.domain.job_terms import tags_of
from worker.domain.mailing import matches_tag
from worker.domain.state import OPEN_STATES
from worker.outbox import tables
from worker.outbox.engine.bulk import batched, ids_json, insert_rows, rows_by_id
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, fetch, iterate

QUIET_US = 10 * SECOND
"""A tag is checked when none of its jobs has been indexed for this long (microseconds), so not while they are sent."""
PAGE = 200
"""The largest number of tags that are checked together."""
JOBS_PER_READ = 5_000
"""Open parts whose jobs are read with one statement."""
MAX_TAG_LENGTH = 100
"""In characters. Longer tags do not fit into the table and cause no event."""


def store_ended_tags(connection: Connection, now: int, ended: Mapping[str, int]) -> None:
    """Stores tags whose jobs ended, so that they are checked later, unless an event has reported that end.

    `ended` has each tag with the instant when its last job ended, in microseconds like `now`.
    """
    tags = sorted(ended)
    lock = dialect_of(connection).lock_in_order("tag")
    rows_before = rows_by_id(connection, "tag, ended_at, reported_at", "worker_ended_tags", tags, "tag", only=lock)
    instants = {tag: (ended_at, reported_at) for tag, ended_at, reported_at in rows_before}
    rows = list[dict[str, Any]]()
    for tag in tags:
        ended_at, reported_at = instants.get(tag, (0, None))
        # A job that ended before the event may be indexed after it: the event covers that job too. A report in the
        # future shows that the clock was set back since: then the instants cannot be compared, and it is checked again.
        if reported_at is None or ended[tag] > reported_at or reported_at > now:
            row = {"tag": tag, "note": uuid7().hex, "ended_at": max(ended_at, ended[tag]), "check_at": now + QUIET_US}
            rows.append(row)
    insert_rows(connection, tables.ended_tags, rows, conflict="replace")


def hooked_tags_of(jobs: Iterable[Any], patterns: Collection[str]) -> dict[str, int]:
    """Returns the tags of ended jobs that match a hook's pattern, each with the instant when its last job ended."""
    ended: dict[str, int] = {}
    for job in jobs if patterns else ():
        if job.finished_at is not None:
            for tag in tags_of(job.tags):
                # A blank tag was accepted once. No filter takes it, so its jobs cannot be counted.
                if tag.strip() and len(tag) <= MAX_TAG_LENGTH and matches_tag(patterns, tag):
                    ended[tag] = max(ended.get(tag, 0), job.finished_at)
    return ended


class EndedTag(NamedTuple):
    """A tag of which at least one job has ended."""

    tag: str
    note: str
    """Changes each time the row is stored again."""
    witness: str | None
    """A job with this tag that was open at the last check, or None before the first check."""


def due_tags(connection: Connection, now: int) -> list[EndedTag]:
    """Returns up to 200 tags whose check is due, the longest overdue first."""
    query = f"select tag, note, witness from worker_ended_tags where check_at <= :now order by check_at limit {PAGE}"
    return [EndedTag(*row) for row in fetch(connection, query, {"now": now})]


def find_open_jobs(connection: Connection, tags: Collection[EndedTag]) -> dict[str, str]:
    """Returns those of the tags that have a job which is open, or has ended and is not indexed; and one such job each.

    While the job from the last check is open, a tag costs one look-up. For the other tags it reads all open parts once.
    """
    witnesses = {ended.witness: ended.tag for ended in tags if ended.witness}
    rows = rows_by_id(connection, "id", "worker_jobs", witnesses, only="and n_open > 0")
    open_jobs = {witnesses[row[0]]: row[0] for row in rows}
    remaining = {ended.tag for ended in tags} - open_jobs.keys()
    source = f"worker_parts{dialect_of(connection).force_index('worker_parts_due_by_state')}"
    selects = [f"select job_id from {source} where state = {int(state)}" for state in sorted(OPEN_STATES)]
    # One statement, which sees all tables at one moment: between two statements a job could move from one to the other.
    # A job that is not indexed yet will store its tag again, so the tag's end cannot be reported before.
    query = " union all ".join([*selects, "select job_id from worker_unindexed"])
    for batch in batched(iterate(connection, query), JOBS_PER_READ) if remaining else ():
        ids = {row[0] for row in batch}
        for id, job_tags in rows_by_id(connection, "id, tags", "worker_jobs", ids, only="and tags is not null"):
            for tag in remaining.intersection(tags_of(job_tags)):
                open_jobs[tag] = max(id, open_jobs.get(tag, ""))
        remaining -= open_jobs.keys()
        if not remaining:
            break
    return open_jobs


def postpone_check(connection: Connection, at: int, witnesses: Mapping[EndedTag, str | None]) -> None:
    """Postpones the check of these tags to `at`, and stores an open job of each, if one is given.

    Skips tags that were stored anew.
    """
    update = "update worker_ended_tags set check_at = :at, witness = :witness where tag = :tag and note = :note"
    for ended, witness in witnesses.items():
        execute(connection, update, {"at": at, "witness": witness, "tag": ended.tag, "note": ended.note})


def write_end(connection: Connection, ended: EndedTag, at: int, event: Mapping[str, Any]) -> bool:
    """Writes the event that all jobs of a tag had ended at `at`.

    Returns False without writing if another process wrote it, or if another job of the tag has ended since.
    """
    update = (
        "update worker_ended_tags set check_at = null, witness = null, reported_at = :at"
        " where tag = :tag and note = :note and check_at is not null"
    )
    if not execute(connection, update, {"at": at, "tag": ended.tag, "note": ended.note}).rowcount:
        return False
    insert_rows(connection, tables.events, [event])
    return True


def purge_ended_tags(connection: Connection, before: int, limit: int) -> int:
    """Deletes tags whose end was reported before an instant, or whose check is overdue since then. Returns how many."""
    conditions = ("check_at is null and reported_at < :before", "check_at < :before")
    query = f"select tag from worker_ended_tags where {{}} limit {limit}"
    tags = [row[0] for where in conditions for row in fetch(connection, query.format(where), {"before": before})]
    delete = dialect_of(connection).delete_by_ids("worker_ended_tags", "tag")
    # The conditions are repeated, because a tag may have been stored anew since it was read.
    statement = f"{delete} and (({conditions[0]}) or {conditions[1]})"
    return execute(connection, statement, {"ids": ids_json(tags), "before": before}).rowcount if tags else 0
