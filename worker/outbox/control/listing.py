"""Pages of jobs by a filter, newest or oldest first: each field from an index, few rows read for a page."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from worker.domain.job import job_of, part_id
from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState, PartState
from worker.outbox.control.candidates import broad_terms, fresh_ids, indexed_ids, named_ids, narrow_terms
from worker.outbox.control.matching import created_since, fitting, id_bounds, job_conditions
from worker.outbox.engine.bulk import ids_json, rows_by_id
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs.rows import COUNTER_NAMES

WALKED = 5_000
"""Jobs that are read one after another, before the index of the account is asked, or the page ends."""
LOOKED_AT = 50_000
"""Candidates of the index that are looked at for a page."""
_LOT = 2_000
PARTS = 50
"""Parts of a job, its first, whose calls are looked at for a list."""
BEGINNING = 600
"""Characters of a job's recipients and of its message that are read for a list: there may be megabytes of both."""


@dataclass(frozen=True, slots=True)
class JobRowsPage:
    """Jobs in the order that was asked for."""

    rows: list[dict[str, Any]]
    cursor: str | None
    """Where the next page begins: behind this id; None: there is none."""
    is_cut_short: bool = False
    """Further jobs may fit: the page ends because it looked at as many as it may."""
    leaves_fresh_out: bool = False
    """There are more jobs that the index lacks, because they are open or ended a moment ago, than are looked at."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    filter: JobFilter | None
    states: Sequence[JobState] | None
    columns: Sequence[str]
    """Of the jobs; the first is the id."""
    newest_first: bool

    def bounds(self, cursor: str | None) -> dict[str, str]:
        """The ids between which the jobs behind the cursor are, both excluded."""
        found = id_bounds(self.filter)
        if self.newest_first:
            return {**found, "high": min(found["high"], cursor or "g")}
        return {**found, "after": max(found["after"], cursor or "")}

    def is_behind(self, id: str, cursor: str | None) -> bool:
        """Whether a job comes after the cursor in the order of the list."""
        return cursor is None or (id < cursor if self.newest_first else id > cursor)

    @property
    def may_be_open(self) -> bool:
        return self.states is None or JobState.OPEN in self.states

    @property
    def may_have_ended(self) -> bool:
        return self.states is None or any(state is not JobState.OPEN for state in self.states)


def job_page(
    connection: Connection,
    wanted: JobFilter | None,
    states: Sequence[JobState] | None,
    columns: Sequence[str],
    *,
    cursor: str | None,
    newest_first: bool,
    limit: int,
    now: int,
) -> JobRowsPage:
    """The first jobs of a filter in one of these states behind the id `cursor`; None: any. Of each these columns.

    Their order is that of their ids, in which every index that is read here has them, too.
    """
    given = _Wanted(wanted, states, columns, newest_first)
    if states is not None and not states:
        return JobRowsPage([], None)
    named = None if wanted is None else named_ids(connection, wanted)
    if named is not None:
        ids = (id for id in sorted(named, reverse=newest_first) if given.is_behind(id, cursor))
        return _page(*_rows(connection, given, ids, limit), limit)
    terms = narrow_terms(connection, wanted, states, now)
    if terms is not None:
        return _by_index(connection, given, terms, cursor, limit)
    if not given.may_have_ended and not (page := _by_index(connection, given, (), cursor, limit)).leaves_fresh_out:
        return page
    rows, last = _walk(connection, given, cursor, limit)
    if last is None or len(rows) == limit:
        return _page(rows, None, limit)
    terms = None if wanted is None else broad_terms(connection, wanted)
    if terms is None:
        return JobRowsPage(rows, last, is_cut_short=True)
    more = _by_index(connection, given, terms, last, limit - len(rows))
    if more.leaves_fresh_out:
        # The walk goes on with the next page, and leaves nothing out.
        return JobRowsPage(rows, last, is_cut_short=True)
    return JobRowsPage([*rows, *more.rows], more.cursor, more.is_cut_short)


def _page(rows: list[dict[str, Any]], last: str | None, limit: int) -> JobRowsPage:
    """A page that is full, ends at `last` because it looked at as many as it may, or is the last one."""
    if len(rows) >= limit:
        return JobRowsPage(rows[:limit], rows[limit - 1]["id"])
    return JobRowsPage(rows, last, is_cut_short=last is not None)


def _by_index(
    connection: Connection, wanted: _Wanted, terms: Sequence[str], cursor: str | None, limit: int
) -> JobRowsPage:
    bounds, newest_first = wanted.bounds(cursor), wanted.newest_first
    fresh = fresh_ids(connection, bounds, is_open=wanted.may_be_open, has_ended=wanted.may_have_ended)
    new, _ = _rows(connection, wanted, sorted(fresh.ids, reverse=newest_first), limit, most=None)
    old: list[dict[str, Any]] = []
    last = None
    if wanted.may_have_ended:
        old, last = _rows(connection, wanted, indexed_ids(connection, terms, bounds, newest_first=newest_first), limit)
    by_id = {row["id"]: row for row in (*new, *old)}
    rows = [by_id[id] for id in sorted(by_id, reverse=newest_first) if last is None or not wanted.is_behind(id, last)]
    page = _page(rows, last, limit)
    return JobRowsPage(page.rows, page.cursor, page.is_cut_short, not fresh.are_all)


def _walk(
    connection: Connection, wanted: _Wanted, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """The first jobs that fit among the first there are; the last id that was read, None: there are no more."""
    bounds = wanted.bounds(cursor)
    order, moving = ("desc", "high") if wanted.newest_first else ("asc", "after")
    query = (
        f"select id from worker_jobs{dialect_of(connection).force_index('primary')}"
        f" where id > :after and id < :high order by id {order} limit :most"
    )
    rows: list[dict[str, Any]] = []
    # Few at first: mostly the newest are asked for.
    most, read = limit, 0
    while ids := [row[0] for row in fetch(connection, query, {**bounds, "most": most})]:
        rows += _rows(connection, wanted, ids, limit - len(rows))[0]
        bounds[moving], read = ids[-1], read + len(ids)
        if len(ids) < most:
            return rows, None
        if len(rows) >= limit or read >= WALKED:
            return rows, ids[-1]
        most = _LOT
    return rows, None


def _rows(
    connection: Connection, wanted: _Wanted, ids: Iterable[str], limit: int, most: int | None = LOOKED_AT
) -> tuple[list[dict[str, Any]], str | None]:
    """The first jobs that fit among these, in their order; the last that was looked at where these were too many."""
    found: list[dict[str, Any]] = []
    candidates, seen = iter(ids), 0
    size = max(limit, 50)
    while len(found) < limit and (lot := list(islice(candidates, size))):
        rows = _fitting(connection, wanted, lot)
        found += [rows[id] for id in lot if id in rows]
        seen, size = seen + len(lot), _LOT
        if most is not None and seen >= most and len(found) < limit:
            return found, lot[-1]
    return found[:limit], None


def _fitting(connection: Connection, wanted: _Wanted, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    conditions, given = job_conditions(wanted.filter) if wanted.filter else ([], {})
    if wanted.states is not None:
        conditions.append(f"j.state in ({', '.join(str(int(state)) for state in wanted.states)})")
    columns = ", ".join(f"j.{name}" for name in wanted.columns)
    source = dialect_of(connection).chosen("worker_jobs", alias="j")
    query = " and ".join([f"select {columns} from {source}", *conditions])
    rows = fetch(connection, query, {**given, "ids": ids_json(ids)})
    own = wanted.columns.index("tags") if "tags" in wanted.columns else None
    tags = None if own is None else {row[0]: row[own] for row in rows}
    fit = fitting(connection, wanted.filter, [row[0] for row in rows], tags) if wanted.filter else set(ids)
    return {row[0]: dict(zip(wanted.columns, row, strict=True)) for row in rows if row[0] in fit}


def job_counts(connection: Connection, wanted: JobFilter) -> list[tuple[str, str, int, int, int]]:
    """Account, kind and state with the number of jobs and of recipients asked for, of jobs between two ids."""
    conditions, given = job_conditions(wanted)
    source, bounds = created_since(dialect_of(connection), wanted)
    query = " and ".join([f"select j.account, j.kind, j.state, count(*), sum(j.asked) from {source}", *conditions])
    rows = fetch(connection, f"{query} group by j.account, j.kind, j.state", {**given, **bounds})
    return sorted((account, kind, int(state), int(jobs), int(asked)) for account, kind, state, jobs, asked in rows)


@dataclass(frozen=True, slots=True)
class JobHead:
    """What a list tells of a job out of its documents."""

    parts: int
    recipients: str
    """The beginning of its recipients in JSON; empty where they were not to be read."""
    message: str
    """The beginning of its message in JSON; empty where it was not to be read."""


def job_heads(connection: Connection, ids: Collection[str], *, texts: bool) -> dict[str, JobHead]:
    """The heads of these jobs in one statement; without `texts` their recipients and messages are not read."""
    beginnings = [f"substr({name}, 1, {BEGINNING})" if texts else "''" for name in ("recipients", "message")]
    columns = ", ".join(["id", " + ".join(COUNTER_NAMES), *beginnings])
    return {row[0]: JobHead(*row[1:]) for row in rows_by_id(connection, columns, "worker_jobs", ids)}


def standing_errcodes(connection: Connection, parts: Mapping[str, int]) -> dict[str, int]:
    """The errcode of the newest answered call of each job's first part that has one and was not accepted, by job.

    `parts`: how many parts each job has, of which the first `PARTS` are looked at.
    """
    ids = [part_id(job, n) for job, count in parts.items() for n in range(min(count, PARTS))]
    if not ids:
        return {}
    left = rows_by_id(connection, "id", "worker_parts", ids, only=f"and state <> {int(PartState.ACCEPTED)}")
    columns = "part_id, claim, errcode"
    calls = rows_by_id(
        connection, columns, "worker_attempts", [row[0] for row in left], "part_id", only="and errcode is not null"
    )
    newest = {part: errcode for part, _, errcode in sorted(calls, key=lambda call: call[1])}
    by_number = sorted(newest, key=lambda part: int(part.rpartition("-")[2]), reverse=True)
    return {job_of(part): newest[part] for part in by_number if newest[part]}
