"""A `JobFilter` in SQL: conditions on jobs (`j`) and their parts (`p`), and the ids of the parts that it names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import Connection

from worker.domain.content.recipient import same_person
from worker.domain.job import first_id, job_of, part_id, part_range
from worker.domain.job_filter import JobFilter
from worker.domain.job_terms import persons, tags_of, text_hash
from worker.domain.state import states_of
from worker.outbox.engine.bulk import batched, ids_json, rows_by_id
from worker.outbox.engine.clock import SKEW_US, micros_of
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import fetch, iterate
from worker.outbox.jobs.reading import batches_by_bytes
from worker.outbox.jobs.rows import COUNTER_NAMES

Conditions = tuple[list[str], dict[str, Any]]


def part_ids(connection: Connection, filter: JobFilter) -> list[str]:
    """Returns the parts that the filter names, and all parts of the jobs that it names."""
    query = "select id from worker_parts where id > :low and id < :high"
    ids = filter.part_or_job_ids()
    of_jobs = [row[0] for id in ids if "-" not in id for row in fetch(connection, query, part_range(id))]
    return [*of_jobs, *(id for id in ids if "-" in id)]


def job_conditions(filter: JobFilter) -> Conditions:
    """Returns the filter's conditions on jobs, without ids, and their values. `matching_jobs` checks the rest."""
    equal = {name: getattr(filter, name) for name in _EQUAL}
    values: dict[str, Any] = {name: value for name, value in equal.items() if value is not None}
    conditions = [f"j.{name} = :{name}" for name in values]
    if filter.state is not None:
        [state] = states_of("state", filter.state)
        conditions.append(f"j.state = {int(state)}")
    for name, (column, sign) in _BOUNDS.items():
        if (at := getattr(filter, name)) is not None:
            conditions.append(f"j.{column} {sign} :{name}")
            values[name] = micros_of(at)
    if filter.ended_from is not None or filter.ended_before is not None:
        conditions.append("j.n_open = 0")
    if filter.tag is not None:
        conditions.append("j.tags like :tag escape '!'")
        tag = to_json(filter.tag).decode()
        values["tag"] = "%" + tag.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
    return conditions, values


_EQUAL = ("account", "channel", "kind", "dedupe_key", "order_key", "replay_of")
_BOUNDS = {
    "created_from": ("created_at", ">="),
    "created_before": ("created_at", "<"),
    "ended_from": ("finished_at", ">="),
    "ended_before": ("finished_at", "<"),
}


TOGETHER = 500
"""How many jobs are checked at once."""
BYTES = 8 * 1024 * 1024
"""How many bytes of messages and recipients are read at once. A job with more is read alone."""


def matching_jobs(
    connection: Connection, filter: JobFilter, ids: Collection[str], tags: Mapping[str, str | None] | None = None
) -> set[str]:
    """Returns those of the jobs that match the filter. All pass `job_conditions`. For some thousand jobs.

    `tags` has each job's tags, as in its column, if they have been read already.
    """
    fit = set(ids)
    if filter.tag is not None and fit:
        # `like` also finds a tag inside another tag, or on SQLite in other case.
        columns = tags or dict(rows_by_id(connection, "id, tags", "worker_jobs", fit))
        # All jobs of a mailing have the same tags.
        having = {text for text in {*columns.values()} if filter.tag in tags_of(text)}
        fit = {id for id, text in columns.items() if text in having}
    for table, name in (("worker_receipts", "msgid"), ("worker_attempts", "errcode")):
        if fit and (value := getattr(filter, name)) is not None:
            fit &= _having(connection, table, name, value, fit)
    if fit and (filter.text_hash is not None or filter.recipient is not None):
        for lot in batches_by_bytes(connection, fit, BYTES):
            for id, recipients, message in rows_by_id(connection, "id, recipients, message", "worker_jobs", lot):
                if not _says(filter, recipients, message):
                    fit.discard(id)
    return fit


def _says(filter: JobFilter, recipients: str, message: str) -> bool:
    if filter.text_hash is not None and text_hash(message) != filter.text_hash:
        return False
    return filter.recipient is None or same_person(filter.recipient) in persons(recipients, message)


def _having(connection: Connection, table: str, column: str, value: object, ids: Collection[str]) -> set[str]:
    """Returns those of the jobs with such a receipt or attempt."""
    counts = rows_by_id(connection, f"id, {' + '.join(COUNTER_NAMES)}", "worker_jobs", ids)
    # By the parts' ids: for a range of them MariaDB would read the whole table.
    parts = [part_id(job, n) for job, count in counts for n in range(count)]
    rows = rows_by_id(connection, "part_id", table, parts, "part_id", only=f"and {column} = :value", value=value)
    return {job_of(row[0]) for row in rows}


def part_conditions(filter: JobFilter) -> Conditions:
    """Returns the filter's conditions on parts, without ids, and their values."""
    instants = {"called_from": filter.called_from, "called_before": filter.called_before}
    values: dict[str, Any] = {name: micros_of(at) for name, at in instants.items() if at is not None}
    signs = {"called_from": ">=", "called_before": "<"}
    return [f"p.marked_at {signs[name]} :{name}" for name in values], values


class MatchingJob(NamedTuple):
    """A job of a filter."""

    id: str
    channel: str
    account: str
    kind: str


def id_bounds(filter: JobFilter | None) -> dict[str, str]:
    """Returns bounds, both excluded, for the ids of jobs that may match. Ids begin with the producer's time."""
    if filter is None:
        return {"after": "", "high": "g"}
    low = "" if filter.created_from is None else first_id(micros_of(filter.created_from) - SKEW_US)
    before = [at for at in (filter.created_before, filter.ended_before) if at is not None]
    return {"after": low, "high": first_id(micros_of(min(before)) + SKEW_US) if before else "g"}


def created_since(dialect: Dialect, filter: JobFilter) -> tuple[str, dict[str, Any]]:
    """Returns the FROM and bounds of ids for jobs that may match a filter with `created_from`.

    A page begins after `after`, the last id of the page before.
    """
    # By ids, which begin with the time. So older and younger jobs cost nothing.
    return f"worker_jobs j{dialect.force_index('primary')} where j.id > :after and j.id < :high", {**id_bounds(filter)}


def created_jobs(connection: Connection, filter: JobFilter, more: str = "") -> Iterator[MatchingJob]:
    """Yields the jobs of a filter with `created_from`, open or ended. `more` is a condition on `j`."""
    source, bounds = created_since(dialect_of(connection), filter)
    return _matching(connection, filter, source, bounds, more)


def jobs_of(connection: Connection, filter: JobFilter, ids: Iterable[str], more: str = "") -> Iterator[MatchingJob]:
    """Yields those of the jobs that match the filter. `more` is a condition on `j`."""
    source = dialect_of(connection).by_ids("worker_jobs", alias="j")
    return _matching(connection, filter, source, {"ids": ids_json(ids)}, more)


def missing_jobs(connection: Connection, ids: Iterable[str]) -> list[str]:
    """Returns those of the ids, of jobs or parts, whose job does not exist, in their order."""
    jobs = {id: job_of(id) if "-" in id else id for id in ids}
    existing = {row[0] for row in rows_by_id(connection, "id", "worker_jobs", jobs.values())}
    return [id for id, job in jobs.items() if job not in existing]


def _matching(
    connection: Connection, filter: JobFilter, source: str, bounds: Mapping[str, Any], more: str
) -> Iterator[MatchingJob]:
    conditions, values = job_conditions(filter)
    columns = "j.id, j.channel, j.account, j.kind"
    query = " and ".join([f"select {columns} from {source}", *conditions]) + more
    rows = iterate(connection, query, {**values, **bounds})
    for lot in batched(rows, TOGETHER):
        fit = matching_jobs(connection, filter, [row[0] for row in lot])
        yield from (MatchingJob(*row) for row in lot if row[0] in fit)
