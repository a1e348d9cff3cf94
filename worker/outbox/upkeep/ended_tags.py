"""The tags of jobs that ended lately: noted as the jobs are indexed, looked at later, told of once.

Nothing is noted unless a worker process has a hook for the tag, and no commit of results takes part in it. A tag is
looked at when none of its jobs has ended for a while; that it has ended is written by compare-and-set in one
transaction with the event, so however many processes look, each end is told once.
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
from worker.outbox.engine.bulk import ids_json, in_lots, insert_rows, rows_by_id
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import each, execute, fetch

QUIET_US = 10 * SECOND
"""A tag is looked at when for so long none of its jobs was indexed: one that is being sent costs no look."""
PAGE = 200
"""Tags that are looked at together."""
TOGETHER = 5_000
"""Open parts whose jobs are read with one statement."""
TAG = 100
"""Characters of a tag."""


def note_ended(connection: Connection, now: int, ended: Mapping[str, int]) -> None:
    """Notes tags of jobs that ended, each with when the last of them did, unless an event has told of that end."""
    tags = sorted(ended)
    only = dialect_of(connection).in_order("tag")
    rows = rows_by_id(connection, "tag, ended_at, told_at", "worker_ended_tags", tags, "tag", only=only)
    known = {tag: (at, told_at) for tag, at, told_at in rows}
    noted = list[dict[str, Any]]()
    for tag in tags:
        ended_at, told_at = known.get(tag, (0, None))
        # A job that was indexed late, though it had ended when all of the tag were found to have ended.
        if told_at is None or ended[tag] > told_at:
            row = {"tag": tag, "note": uuid7().hex, "ended_at": max(ended_at, ended[tag]), "look_at": now + QUIET_US}
            noted.append(row)
    insert_rows(connection, tables.ended_tags, noted, conflict="replace")


def tags_that_ended(jobs: Iterable[Any], patterns: Collection[str]) -> dict[str, int]:
    """The tags that hooks ask for of jobs that have ended, each with when the last of them did."""
    found: dict[str, int] = {}
    for job in jobs if patterns else ():
        if job.finished_at is not None:
            for tag in tags_of(job.tags):
                if len(tag) <= TAG and matches_tag(patterns, tag):
                    found[tag] = max(found.get(tag, 0), job.finished_at)
    return found


class EndedTag(NamedTuple):
    """A tag of which a job ended."""

    tag: str
    note: str
    """Another one with each note of it."""
    witness: str | None
    """A job with this tag that was open when it was looked at last; None: it was not yet."""


def tags_to_look_at(connection: Connection, now: int) -> list[EndedTag]:
    """Some of the tags whose look is due, the longest due first."""
    query = f"select tag, note, witness from worker_ended_tags where look_at <= :now order by look_at limit {PAGE}"
    return [EndedTag(*row) for row in fetch(connection, query, {"now": now})]


def open_jobs_of(connection: Connection, tags: Collection[EndedTag]) -> dict[str, str]:
    """Of these tags those of which a job is open, or ended and is not indexed; and such a job of each.

    A tag costs one look-up while the job that was found for it is open; then one reading of the parts that are open.
    """
    witnesses = {one.witness: one.tag for one in tags if one.witness}
    rows = rows_by_id(connection, "id", "worker_jobs", witnesses, only="and n_open > 0")
    found = {witnesses[row[0]]: row[0] for row in rows}
    left = {one.tag for one in tags} - found.keys()
    source = f"worker_parts{dialect_of(connection).force_index('worker_parts_due_by_state')}"
    selects = [f"select job_id from {source} where state = {int(state)}" for state in sorted(OPEN_STATES)]
    # One statement, which sees all of them at one moment: between two a job could move from one to the other. A job
    # that is not indexed yet notes its tag once more, so until then its end cannot be told.
    jobs = each(connection, " union all ".join([*selects, "select job_id from worker_unindexed"])) if left else iter(())
    for few in in_lots(jobs, TOGETHER):
        ids = {row[0] for row in few}
        for id, written in rows_by_id(connection, "id, tags", "worker_jobs", ids, only="and tags is not null"):
            for tag in left.intersection(tags_of(written)):
                found[tag] = max(id, found.get(tag, ""))
        left -= found.keys()
        if not left:
            break
    return found


def look_later(connection: Connection, at: int, witnesses: Mapping[EndedTag, str]) -> None:
    """Looks at these tags again at an instant, unless they are noted anew until then."""
    update = "update worker_ended_tags set look_at = :at, witness = :witness where tag = :tag and note = :note"
    for one, witness in witnesses.items():
        execute(connection, update, {"at": at, "witness": witness, "tag": one.tag, "note": one.note})


def tell_end(connection: Connection, ended: EndedTag, at: int, event: Mapping[str, Any]) -> bool:
    """Writes the event of a tag of which nothing was open at an instant; False: another process did, or more ended."""
    update = (
        "update worker_ended_tags set look_at = null, witness = null, told_at = :at"
        " where tag = :tag and note = :note and look_at is not null"
    )
    if not execute(connection, update, {"at": at, "tag": ended.tag, "note": ended.note}).rowcount:
        return False
    insert_rows(connection, tables.events, [event])
    return True


def purge_ended_tags(connection: Connection, before: int, most: int) -> int:
    """Deletes tags that events told of before an instant, or whose look is so long overdue; how many."""
    over = ("look_at is null and told_at < :before", "look_at < :before")
    query = f"select tag from worker_ended_tags where {{}} limit {most}"
    tags = [row[0] for one in over for row in fetch(connection, query.format(one), {"before": before})]
    delete = dialect_of(connection).delete_chosen("worker_ended_tags", "tag")
    # Asked again: one may have been noted anew.
    only = f"{delete} and (({over[0]}) or {over[1]})"
    return execute(connection, only, {"ids": ids_json(tags), "before": before}).rowcount if tags else 0
