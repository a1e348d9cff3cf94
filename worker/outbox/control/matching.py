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
from worker.outbox.engine.bulk import ids_json, in_lots, rows_by_id
from worker.outbox.engine.clock import SKEW_US, micros_of
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import each, fetch
from worker.outbox.jobs.reading import batches_by_bytes
from worker.outbox.jobs.rows import COUNTER_NAMES

Conditions = tuple[list[str], dict[str, Any]]


def part_ids(connection: Connection, wanted: JobFilter) -> list[str]:
    """Returns the parts that the filter names, and all parts of the jobs that it names."""
    query = "select id from worker_parts where id > :low and id < :high"
    given = wanted.part_or_job_ids()
    of_jobs = [row[0] for id in given if "-" not in id for row in fetch(connection, query, part_range(id))]
    return [*of_jobs, *(id for id in given if "-" in id)]


def job_conditions(wanted: JobFilter) -> Conditions:
    """Returns the filter's conditions on jobs, without ids, and their values. `matching_jobs` checks the rest."""
    equal = {name: getattr(wanted, name) for name in _EQUAL}
    given: dict[str, Any] = {name: value for name, value in equal.items() if value is not None}
    conditions = [f"j.{name} = :{name}" for name in given]
    if wanted.state is not None:
        [state] = states_of("state", wanted.state)
        conditions.append(f"j.state = {int(state)}")
    for name, (column, sign) in _BOUNDS.items():
        if (at := getattr(wanted, name)) is not None:
            conditions.append(f"j.{column} {sign} :{name}")
            given[name] = micros_of(at)
    if wanted.ended_from is not None or wanted.ended_before is not None:
        conditions.append("j.n_open = 0")
    if wanted.tag is not None:
        conditions.append("j.tags like :tag escape '!'")
        written = to_json(wanted.tag).decode()
        given["tag"] = "%" + written.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
    return conditions, given


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
    connection: Connection, wanted: JobFilter, ids: Collection[str], tags: Mapping[str, str | None] | None = None
) -> set[str]:
    """Returns those of the jobs that match the filter. All pass `job_conditions`. For some thousand jobs.

    `tags` has each job's tags, as in its column, if they have been read already.
    """
    fit = set(ids)
    if wanted.tag is not None and fit:
        # `like` also finds a tag inside another tag, or on SQLite in other case.
        columns = tags or dict(rows_by_id(connection, "id, tags", "worker_jobs", fit))
        # All jobs of a mailing have the same tags.
        having = {text for text in {*columns.values()} if wanted.tag in tags_of(text)}
        fit = {id for id, text in columns.items() if text in having}
    for table, name in (("worker_receipts", "msgid"), ("worker_attempts", "errcode")):
        if fit and (value := getattr(wanted, name)) is not None:
            fit &= _having(connection, table, name, value, fit)
    if fit and (wanted.text_hash is not None or wanted.recipient is not None):
        for lot in batches_by_bytes(connection, fit, BYTES):
            for id, recipients, message in rows_by_id(connection, "id, recipients, message", "worker_jobs", lot):
                if not _says(wanted, recipients, message):
                    fit.discard(id)
    return fit


def _says(wanted: JobFilter, recipients: str, message: str) -> bool:
    if wanted.text_hash is not None and text_hash(message) != wanted.text_hash:
        return False
    return wanted.recipient is None or same_person(wanted.recipient) in persons(recipients, message)


def _having(connection: Connection, table: str, column: str, value: object, ids: Collection[str]) -> set[str]:
    """Returns those of the jobs with such a receipt or attempt."""
    counts = rows_by_id(connection, f"id, {' + '.join(COUNTER_NAMES)}", "worker_jobs", ids)
    # By the parts' ids: for a range of them MariaDB would read the whole table.
    parts = [part_id(job, n) for job, count in counts for n in range(count)]
    rows = rows_by_id(connection, "part_id", table, parts, "part_id", only=f"and {column} = :value", value=value)
    return {job_of(row[0]) for row in rows}


def part_conditions(wanted: JobFilter) -> Conditions:
    """Returns the filter's conditions on parts, without ids, and their values."""
    instants = {"called_from": wanted.called_from, "called_before": wanted.called_before}
    given: dict[str, Any] = {name: micros_of(at) for name, at in instants.items() if at is not None}
    signs = {"called_from": ">=", "called_before": "<"}
    return [f"p.marked_at {signs[name]} :{name}" for name in given], given


class MatchingJob(NamedTuple):
    """A job of a filter."""

    id: str
    channel: str
    account: str
    kind: str


def id_bounds(wanted: JobFilter | None) -> dict[str, str]:
    """Returns bounds, both excluded, for the ids of jobs that may match. Ids begin with the producer's time."""
    if wanted is None:
        return {"after": "", "high": "g"}
    low = "" if wanted.created_from is None else first_id(micros_of(wanted.created_from) - SKEW_US)
    before = [at for at in (wanted.created_before, wanted.ended_before) if at is not None]
    return {"after": low, "high": first_id(micros_of(min(before)) + SKEW_US) if before else "g"}


def created_since(dialect: Dialect, wanted: JobFilter) -> tuple[str, dict[str, Any]]:
    """Returns the FROM and bounds of ids for jobs that may match a filter with `created_from`.

    A page begins after `after`, the last id of the page before.
    """
    # By ids, which begin with the time. So older and younger jobs cost nothing.
    return f"worker_jobs j{dialect.force_index('primary')} where j.id > :after and j.id < :high", {**id_bounds(wanted)}


def created_jobs(connection: Connection, wanted: JobFilter, more: str = "") -> Iterator[MatchingJob]:
    """Yields the jobs of a filter with `created_from`, open or ended. `more` is a condition on `j`."""
    source, bounds = created_since(dialect_of(connection), wanted)
    return _matching(connection, wanted, source, bounds, more)


def jobs_of(connection: Connection, wanted: JobFilter, ids: Iterable[str], more: str = "") -> Iterator[MatchingJob]:
    """Yields those of the jobs that match the filter. `more` is a condition on `j`."""
    source = dialect_of(connection).chosen("worker_jobs", alias="j")
    return _matching(connection, wanted, source, {"ids": ids_json(ids)}, more)


def missing_jobs(connection: Connection, ids: Iterable[str]) -> list[str]:
    """Returns those of the ids, of jobs or parts, whose job does not exist, in their order."""
    jobs = {id: job_of(id) if "-" in id else id for id in ids}
    known = {row[0] for row in rows_by_id(connection, "id", "worker_jobs", jobs.values())}
    return [id for id, job in jobs.items() if job not in known]


def _matching(
    connection: Connection, wanted: JobFilter, source: str, bounds: Mapping[str, Any], more: str
) -> Iterator[MatchingJob]:
    conditions, given = job_conditions(wanted)
    columns = "j.id, j.channel, j.account, j.kind"
    query = " and ".join([f"select {columns} from {source}", *conditions]) + more
    rows = each(connection, query, {**given, **bounds})
    for lot in in_lots(rows, TOGETHER):
        fit = matching_jobs(connection, wanted, [row[0] for row in lot])
        yield from (MatchingJob(*row) for row in lot if row[0] in fit)
