"""A `JobFilter` in SQL: conditions on jobs (`j`) and their parts (`p`), and the ids of the parts that it names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import Connection

from worker.domain.job import first_id, job_of, part_range
from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState
from worker.outbox.engine.bulk import ids_json
from worker.outbox.engine.clock import micros_of
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import each, fetch

Conditions = tuple[list[str], dict[str, Any]]


def part_ids(connection: Connection, wanted: JobFilter) -> list[str]:
    """The given parts, and all parts of the given jobs."""
    query = "select id from worker_parts where id > :low and id < :high"
    given = wanted.part_or_job_ids()
    of_jobs = [row[0] for id in given if "-" not in id for row in fetch(connection, query, part_range(id))]
    return [*of_jobs, *(id for id in given if "-" in id)]


def job_conditions(wanted: JobFilter) -> Conditions:
    """What has to hold for a job beside the ids, and the values in it. Of a tag it is only a first sieve: `has_tag`."""
    equal = {name: getattr(wanted, name) for name in ("account", "channel", "kind")}
    given: dict[str, Any] = {name: value for name, value in equal.items() if value is not None}
    conditions = [f"j.{name} = :{name}" for name in given]
    if wanted.state is not None:
        conditions.append(f"j.state = {int(JobState[wanted.state.upper()])}")
    for name, sign in (("created_from", ">="), ("created_before", "<")):
        if (at := getattr(wanted, name)) is not None:
            conditions.append(f"j.created_at {sign} :{name}")
            given[name] = micros_of(at)
    if wanted.tag is not None:
        conditions.append("j.tags like :tag escape '!'")
        written = to_json(wanted.tag).decode()
        given["tag"] = "%" + written.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
    return conditions, given


def part_conditions(wanted: JobFilter) -> Conditions:
    """What has to hold for a part beside the ids, and the values in it."""
    instants = {"called_from": wanted.called_from, "called_before": wanted.called_before}
    given: dict[str, Any] = {name: micros_of(at) for name, at in instants.items() if at is not None}
    signs = {"called_from": ">=", "called_before": "<"}
    return [f"p.marked_at {signs[name]} :{name}" for name in given], given


SKEW_US = 10 * 60 * 1_000_000
"""How far a producer's clock, which is in the ids, may be from the database's."""


class FoundJob(NamedTuple):
    """A job of a filter."""

    id: str
    channel: str
    account: str
    kind: str


def created_since(dialect: Dialect, wanted: JobFilter) -> tuple[str, dict[str, Any]]:
    """Where the jobs are that a filter with `created_from` may mean, and the bounds of their ids.

    A page begins behind `after`, the last id of the one before.
    """
    assert wanted.created_from is not None
    high = "g" if wanted.created_before is None else first_id(micros_of(wanted.created_before) + SKEW_US)
    # By their ids, which begin with the time: however many jobs are older or younger.
    source = f"worker_jobs j{dialect.force_index('primary')} where j.id > :after and j.id < :high"
    return source, {"after": first_id(micros_of(wanted.created_from) - SKEW_US), "high": high}


def created_jobs(connection: Connection, wanted: JobFilter, more: str = "") -> Iterator[FoundJob]:
    """The jobs of a filter that says since when they were created, ended or not; `more` is a condition on `j`."""
    source, bounds = created_since(dialect_of(connection), wanted)
    return _matching(connection, wanted, source, bounds, more)


def jobs_of(connection: Connection, wanted: JobFilter, ids: Iterable[str], more: str = "") -> Iterator[FoundJob]:
    """The jobs of a filter among these; `more` is a condition on `j`."""
    source = dialect_of(connection).chosen("worker_jobs", alias="j")
    return _matching(connection, wanted, source, {"ids": ids_json(ids)}, more)


def missing_jobs(connection: Connection, ids: Iterable[str]) -> list[str]:
    """The ids among these, of jobs or parts, that are no job's; in their order."""
    jobs = {id: job_of(id) if "-" in id else id for id in ids}
    query = f"select id from {dialect_of(connection).chosen('worker_jobs')}"
    known = {row[0] for row in fetch(connection, query, {"ids": ids_json(set(jobs.values()))})}
    return [id for id, job in jobs.items() if job not in known]


def _matching(
    connection: Connection, wanted: JobFilter, source: str, bounds: Mapping[str, Any], more: str
) -> Iterator[FoundJob]:
    conditions, given = job_conditions(wanted)
    query = " and ".join([f"select j.id, j.channel, j.account, j.kind, j.tags from {source}", *conditions]) + more
    for *found, tags in each(connection, query, {**given, **bounds}):
        if has_tag(wanted, tags):
            yield FoundJob(*found)


def has_tag(wanted: JobFilter, tags: str | None) -> bool:
    """Whether a job with these tags (JSON) fits: `like` also finds a tag inside another, or on SQLite in capitals."""
    return wanted.tag is None or wanted.tag in json.loads(tags or "[]")
