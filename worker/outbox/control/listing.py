"""Pages of jobs by a filter, newest or oldest first. Each field uses an index, and a page reads few rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from worker.domain.job import job_of, part_id
from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState, PartState
from worker.outbox.control.candidates import broad_terms, fresh_ids, ids_named_in_filter, indexed_ids, narrow_terms
from worker.outbox.control.matching import created_since, id_bounds, job_conditions, matching_jobs
from worker.outbox.engine.bulk import ids_json, rows_by_id
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs.rows import COUNTER_NAMES

MAX_WALKED = 5_000
"""How many jobs are read one after another before the index of the account is used or the page ends."""
MAX_CANDIDATES = 50_000
"""How many candidates from the index are checked for a page."""
_LOT = 2_000
MAX_PARTS = 50
"""How many of a job's first parts are read for their calls."""
MAX_TEXT = 600
"""How many characters of a job's recipients and message are read for a list. Either may have megabytes."""


@dataclass(frozen=True, slots=True)
class JobRowsPage:
    """A page of jobs."""

    rows: list[dict[str, Any]]
    cursor: str | None
    """The id after which the next page begins, or None if this is the last page."""
    is_cut_short: bool = False
    """Whether the page ended because it has checked as many jobs as it may. More jobs may match."""
    leaves_fresh_out: bool = False
    """Whether more jobs are missing in the index than are checked, because they are open or have just ended."""


@dataclass(frozen=True, slots=True)
class _Query:
    filter: JobFilter | None
    states: Sequence[JobState] | None
    columns: Sequence[str]
    """Of the jobs; the first is the id."""
    newest_first: bool

    def bounds(self, cursor: str | None) -> dict[str, str]:
        """Returns the ids, both excluded, between which the jobs after the cursor are."""
        bounds = id_bounds(self.filter)
        if self.newest_first:
            return {**bounds, "high": min(bounds["high"], cursor or "g")}
        return {**bounds, "after": max(bounds["after"], cursor or "")}

    def is_behind(self, id: str, cursor: str | None) -> bool:
        """Returns whether a job comes after the cursor in the order of the list."""
        return cursor is None or (id < cursor if self.newest_first else id > cursor)

    @property
    def may_be_open(self) -> bool:
        return self.states is None or JobState.OPEN in self.states

    @property
    def may_have_ended(self) -> bool:
        return self.states is None or any(state is not JobState.OPEN for state in self.states)


def job_page(
    connection: Connection,
    filter: JobFilter | None,
    states: Sequence[JobState] | None,
    columns: Sequence[str],
    *,
    cursor: str | None,
    newest_first: bool,
    limit: int,
    now: int,
    among: Collection[str] | None = None,
) -> JobRowsPage:
    """Returns columns of the first matching jobs in these states (None: any) after the id `cursor`.

    They are sorted by id, as in every index that is used here. With `among`, only jobs with these ids.
    """
    query = _Query(filter, states, columns, newest_first)
    if states is not None and not states:
        return JobRowsPage([], None)
    # One more tells a full page from the last one.
    page = _find_page(connection, query, cursor, limit + 1, now, among)
    if len(page.rows) <= limit:
        return page
    return replace(page, rows=page.rows[:limit], cursor=page.rows[limit - 1]["id"], is_cut_short=False)


def _find_page(
    connection: Connection,
    query: _Query,
    cursor: str | None,
    limit: int,
    now: int,
    among: Collection[str] | None,
) -> JobRowsPage:
    filter, states, newest_first = query.filter, query.states, query.newest_first
    named = among if filter is None else ids_named_in_filter(connection, filter)
    if among is not None:
        named = among if named is None else {*among} & {*named}
    if named is not None:
        ids = (id for id in sorted(named, reverse=newest_first) if query.is_behind(id, cursor))
        return _page(*_rows(connection, query, ids, limit), limit)
    terms = narrow_terms(connection, filter, states, now)
    if terms is not None:
        return _by_index(connection, query, terms, cursor, limit)
    if not query.may_have_ended and not (page := _by_index(connection, query, (), cursor, limit)).leaves_fresh_out:
        return page
    rows, last = _walk(connection, query, cursor, limit)
    if last is None or len(rows) == limit:
        return _page(rows, None, limit)
    terms = None if filter is None else broad_terms(connection, filter)
    if terms is None:
        return JobRowsPage(rows, last, is_cut_short=True)
    more = _by_index(connection, query, terms, last, limit - len(rows))
    if more.leaves_fresh_out:
        # The next page goes on from here, so nothing is left out.
        return JobRowsPage(rows, last, is_cut_short=True)
    return JobRowsPage([*rows, *more.rows], more.cursor, more.is_cut_short)


def _page(rows: list[dict[str, Any]], last: str | None, limit: int) -> JobRowsPage:
    """Returns a page that is full, or ends at `last` because of the limit of checked jobs, or is the last one."""
    if len(rows) >= limit:
        return JobRowsPage(rows[:limit], rows[limit - 1]["id"])
    return JobRowsPage(rows, last, is_cut_short=last is not None)


def _by_index(
    connection: Connection, query: _Query, terms: Sequence[str], cursor: str | None, limit: int
) -> JobRowsPage:
    bounds, newest_first = query.bounds(cursor), query.newest_first
    fresh, are_all = fresh_ids(connection, bounds, is_open=query.may_be_open, has_ended=query.may_have_ended)
    new, _ = _rows(connection, query, sorted(fresh, reverse=newest_first), limit, most=None)
    old: list[dict[str, Any]] = []
    last = None
    if query.may_have_ended:
        old, last = _rows(connection, query, indexed_ids(connection, terms, bounds, newest_first=newest_first), limit)
    by_id = {row["id"]: row for row in (*new, *old)}
    rows = [by_id[id] for id in sorted(by_id, reverse=newest_first) if last is None or not query.is_behind(id, last)]
    page = _page(rows, last, limit)
    return JobRowsPage(page.rows, page.cursor, page.is_cut_short, not are_all)


def _walk(
    connection: Connection, query: _Query, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Reads jobs in order until enough match. Returns them and the last id read, or None if there are no more."""
    bounds = query.bounds(cursor)
    order, moving = ("desc", "high") if query.newest_first else ("asc", "after")
    statement = (
        f"select id from worker_jobs{dialect_of(connection).force_index('primary')}"
        f" where id > :after and id < :high order by id {order} limit :most"
    )
    rows: list[dict[str, Any]] = []
    # Few at first, because mostly the newest jobs are needed.
    most, read = limit, 0
    while ids := [row[0] for row in fetch(connection, statement, {**bounds, "most": most})]:
        rows += _rows(connection, query, ids, limit - len(rows))[0]
        bounds[moving], read = ids[-1], read + len(ids)
        if len(ids) < most:
            return rows, None
        if len(rows) >= limit or read >= MAX_WALKED:
            return rows, ids[-1]
        most = _LOT
    return rows, None


def _rows(
    connection: Connection, query: _Query, ids: Iterable[str], limit: int, most: int | None = MAX_CANDIDATES
) -> tuple[list[dict[str, Any]], str | None]:
    """Returns the first of these jobs that match, in order, and the last checked id if there were too many to check."""
    matches: list[dict[str, Any]] = []
    candidates, seen = iter(ids), 0
    size = max(limit, 50)
    while len(matches) < limit and (lot := list(islice(candidates, size))):
        rows = _fitting(connection, query, lot)
        matches += [rows[id] for id in lot if id in rows]
        seen, size = seen + len(lot), _LOT
        if most is not None and seen >= most and len(matches) < limit:
            return matches, lot[-1]
    return matches[:limit], None


def _fitting(connection: Connection, query: _Query, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    conditions, values = job_conditions(query.filter) if query.filter else ([], {})
    if query.states is not None:
        conditions.append(f"j.state in ({', '.join(str(int(state)) for state in query.states)})")
    columns = ", ".join(f"j.{name}" for name in query.columns)
    source = dialect_of(connection).by_ids("worker_jobs", alias="j")
    statement = " and ".join([f"select {columns} from {source}", *conditions])
    rows = fetch(connection, statement, {**values, "ids": ids_json(ids)})
    own = query.columns.index("tags") if "tags" in query.columns else None
    tags = None if own is None else {row[0]: row[own] for row in rows}
    fit = matching_jobs(connection, query.filter, [row[0] for row in rows], tags) if query.filter else set(ids)
    return {row[0]: dict(zip(query.columns, row, strict=True)) for row in rows if row[0] in fit}


def job_counts(connection: Connection, filter: JobFilter) -> list[tuple[str, str, int, int, int]]:
    """Returns (account, kind, state, number of jobs, number of recipients) of the jobs between two ids."""
    conditions, values = job_conditions(filter)
    source, bounds = created_since(dialect_of(connection), filter)
    query = " and ".join([f"select j.account, j.kind, j.state, count(*), sum(j.asked) from {source}", *conditions])
    rows = fetch(connection, f"{query} group by j.account, j.kind, j.state", {**values, **bounds})
    return sorted((account, kind, int(state), int(jobs), int(asked)) for account, kind, state, jobs, asked in rows)


@dataclass(frozen=True, slots=True)
class JobExcerpt:
    """What a list shows of a job's recipients and message."""

    parts: int
    recipients: str
    """The beginning of its recipients in JSON; empty if they are not read."""
    message: str
    """The beginning of its message in JSON; empty if it is not read."""


def job_excerpts(connection: Connection, ids: Collection[str], *, texts: bool) -> dict[str, JobExcerpt]:
    """Returns job -> its excerpt, in one statement. Without `texts`, recipients and messages are not read."""
    beginnings = [f"substr({name}, 1, {MAX_TEXT})" if texts else "''" for name in ("recipients", "message")]
    columns = ", ".join(["id", " + ".join(COUNTER_NAMES), *beginnings])
    return {row[0]: JobExcerpt(*row[1:]) for row in rows_by_id(connection, columns, "worker_jobs", ids)}


def newest_errcodes(connection: Connection, parts: Mapping[str, int]) -> dict[str, int]:
    """Returns job -> errcode of the newest answered call of its first part that was answered but not accepted.

    `parts` has the number of parts of each job. Only the first `MAX_PARTS` are read.
    """
    ids = [part_id(job, n) for job, count in parts.items() for n in range(min(count, MAX_PARTS))]
    newest = errcodes_of_parts(connection, ids)
    by_number = sorted(newest, key=lambda part: int(part.rpartition("-")[2]), reverse=True)
    return {job_of(part): newest[part] for part in by_number}


def errcodes_of_parts(connection: Connection, ids: Collection[str]) -> dict[str, int]:
    """Returns part -> errcode of its newest answered call, for parts that are not accepted and have one."""
    if not ids:
        return {}
    left = rows_by_id(connection, "id", "worker_parts", ids, only=f"and state <> {int(PartState.ACCEPTED)}")
    return newest_errcodes_of(connection, [row[0] for row in left])


def newest_errcodes_of(connection: Connection, parts: Collection[str]) -> dict[str, int]:
    """Returns part -> errcode of its newest answered call that is still stored, for parts that have one."""
    columns = "part_id, claim, errcode"
    calls = rows_by_id(connection, columns, "worker_attempts", parts, "part_id", only="and errcode is not null")
    newest = {part: errcode for part, _, errcode in sorted(calls, key=lambda call: call[1])}
    return {part: errcode for part, errcode in newest.items() if errcode}
