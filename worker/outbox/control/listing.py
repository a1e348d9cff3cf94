"""A page of jobs, newest first, by a filter: each field from an index, and never more rows than a page can cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState
from worker.outbox.control.candidates import broad_terms, fresh_ids, indexed_ids, named_ids, narrow_terms
from worker.outbox.control.matching import created_since, fitting, id_bounds, job_conditions
from worker.outbox.engine.bulk import ids_json
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch

WALKED = 5_000
"""Jobs that are read one after another, before the index of the account is asked, or the page ends."""
LOOKED_AT = 50_000
"""Candidates of the index that are looked at for a page."""
_LOT = 2_000


@dataclass(frozen=True, slots=True)
class JobRowsPage:
    """Jobs, newest first."""

    rows: list[dict[str, Any]]
    before: str | None
    """Where the next page begins; None: there is none."""
    is_cut_short: bool = False
    """Older jobs may fit: the page ends because it looked at as many as it may."""
    leaves_fresh_out: bool = False
    """There are more jobs that the index lacks, because they are open or ended a moment ago, than are looked at."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    filter: JobFilter | None
    states: Sequence[JobState] | None
    columns: Sequence[str]
    """Of the jobs; the first is the id."""

    def bounds(self, before: str | None) -> dict[str, str]:
        found = id_bounds(self.filter)
        return {**found, "high": min(found["high"], before or "g")}

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
    before: str | None,
    limit: int,
    now: int,
) -> JobRowsPage:
    """The newest jobs of a filter in one of these states, below the id `before`; None: any. Of each these columns."""
    given = _Wanted(wanted, states, columns)
    if states is not None and not states:
        return JobRowsPage([], None)
    named = None if wanted is None else named_ids(connection, wanted)
    if named is not None:
        ids = (id for id in reversed(named) if before is None or id < before)
        return _page(*_rows(connection, given, ids, limit), limit)
    terms = narrow_terms(connection, wanted, states, now)
    if terms is not None:
        return _by_index(connection, given, terms, before, limit)
    if not given.may_have_ended and not (page := _by_index(connection, given, (), before, limit)).leaves_fresh_out:
        return page
    rows, last = _walk(connection, given, before, limit)
    if last is None or len(rows) == limit:
        return _page(rows, None, limit)
    terms = None if wanted is None else broad_terms(connection, wanted)
    if terms is None:
        return JobRowsPage(rows, last, is_cut_short=True)
    older = _by_index(connection, given, terms, last, limit - len(rows))
    if older.leaves_fresh_out:
        # The walk goes on with the next page, and leaves nothing out.
        return JobRowsPage(rows, last, is_cut_short=True)
    return JobRowsPage([*rows, *older.rows], older.before, older.is_cut_short)


def _page(rows: list[dict[str, Any]], last: str | None, limit: int) -> JobRowsPage:
    """A page that is full, ends at `last` because it looked at as many as it may, or is the last one."""
    if len(rows) >= limit:
        return JobRowsPage(rows[:limit], rows[limit - 1]["id"])
    return JobRowsPage(rows, last, is_cut_short=last is not None)


def _by_index(
    connection: Connection, wanted: _Wanted, terms: Sequence[str], before: str | None, limit: int
) -> JobRowsPage:
    bounds = wanted.bounds(before)
    fresh = fresh_ids(connection, bounds, is_open=wanted.may_be_open, has_ended=wanted.may_have_ended)
    new, _ = _rows(connection, wanted, sorted(fresh.ids, reverse=True), limit, most=None)
    old: list[dict[str, Any]] = []
    last = None
    if wanted.may_have_ended:
        old, last = _rows(connection, wanted, indexed_ids(connection, terms, bounds, newest_first=True), limit)
    by_id = {row["id"]: row for row in (*new, *old)}
    rows = [by_id[id] for id in sorted(by_id, reverse=True) if last is None or id >= last]
    page = _page(rows, last, limit)
    return JobRowsPage(page.rows, page.before, page.is_cut_short, not fresh.are_all)


def _walk(
    connection: Connection, wanted: _Wanted, before: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """The newest jobs that fit among the newest there are; the last id that was read, None: there are no older ones."""
    bounds = wanted.bounds(before)
    query = (
        f"select id from worker_jobs{dialect_of(connection).force_index('primary')}"
        " where id > :after and id < :high order by id desc limit :most"
    )
    rows: list[dict[str, Any]] = []
    # Few at first: mostly the newest are asked for.
    most, read = limit, 0
    while ids := [row[0] for row in fetch(connection, query, {**bounds, "most": most})]:
        rows += _rows(connection, wanted, ids, limit - len(rows))[0]
        bounds["high"], read = ids[-1], read + len(ids)
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
