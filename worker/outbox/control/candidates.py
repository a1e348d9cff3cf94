"""Finds ids of jobs that may match a filter, each by an index. Whether they match is checked afterwards.

Ended jobs are found by their terms, except those that have just ended and are not indexed yet. Open jobs have no terms.
They are found by their parts, at a cost that depends only on how many are open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import merge
from itertools import groupby
from typing import Any

from sqlalchemy import Connection

from worker.domain.content.recipient import same_person
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import JobKind, job_of
from worker.domain.job_filter import JobFilter
from worker.domain.job_terms import MAX_HOURS, hours_between, term
from worker.domain.state import OPEN_STATES, JobState, states_of
from worker.outbox.control.matching import id_bounds
from worker.outbox.engine.bulk import batched
from worker.outbox.engine.clock import instant
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import fetch

PAGE = 500
"""How many ids are read at once."""
MAX_UNINDEXED = 50_000
"""How many jobs that wait to be indexed are read, the newest first."""
MAX_OPEN = 100_000
"""How many open parts are read for their jobs."""
MAX_COUNTED = 1_000
"""How many rows of a term are counted at most, to choose the term with the fewest jobs."""
_ONE = ("msgid", "text_hash", "order_key", "errcode", "tag")


def ids_named_in_filter(connection: Connection, filter: JobFilter) -> list[str] | None:
    """Returns the jobs that a filter names by id, sorted, or None if it names none."""
    if filter.ids is not None:
        return sorted({job_of(id) for id in filter.part_or_job_ids()})
    if filter.dedupe_key is not None:
        query = "select id from worker_jobs where account = :account and dedupe_key = :value"
        values: dict[str, Any] = {"account": filter.account, "value": filter.dedupe_key}
    elif filter.replay_of is not None:
        query, values = "select id from worker_jobs where replay_of = :value", {"value": filter.replay_of}
    else:
        return None
    return sorted(row[0] for row in fetch(connection, query, values))


def narrow_terms(
    connection: Connection, filter: JobFilter | None, states: Sequence[JobState] | None, now: int
) -> list[str] | None:
    """Returns terms of which each ended job of the filter has one, or None if no field of the filter is selective.

    Of several fields it uses the one with the fewest jobs. Raises CheckFailed if the only one is a too long period.
    """
    key = lane_key(connection)
    choices = [[term(key, name, str(value))] for name in _ONE if (value := getattr(filter, name, None)) is not None]
    if filter is not None and filter.recipient is not None:
        choices.append([term(key, "recipient", same_person(filter.recipient))])
    # Open jobs have no terms and are found without, see `fresh_ids`.
    ended = [state for state in states or () if state is not JobState.OPEN]
    if ended and JobState.ACCEPTED not in ended:
        choices.append([term(key, "state", state.label) for state in ended])
    if len(choices) > 1:
        return min(choices, key=lambda terms: sum(_count(connection, term) for term in terms))
    if choices:
        return choices[0]
    if filter is not None and filter.ended_from is not None:
        return [term(key, "ended", hour) for hour in _hours(filter.ended_from, filter.ended_before, instant(now))]
    return None


def _count(connection: Connection, term: str) -> int:
    query = f"select count(*) from (select term from worker_terms where term = :term limit {MAX_COUNTED}) probed"
    return int(fetch(connection, query, {"term": term})[0][0])


def broad_terms(connection: Connection, filter: JobFilter) -> list[str] | None:
    """Returns terms of a field that very many jobs may share, or None if the filter has no such field."""
    key = lane_key(connection)
    if filter.kind is not None and filter.kind != JobKind.SEND:
        return [term(key, "kind", filter.kind)]
    return None if filter.account is None else [term(key, "account", filter.account)]


def _hours(begin: datetime, end: datetime | None, now: datetime) -> list[str]:
    hours = hours_between(begin, now if end is None else min(end, now))
    if len(hours) > MAX_HOURS:
        remedy = "give ended_before too, at most 31 days later, or another field"
        raise CheckFailed([Problem("ended_from", "is too long ago", remedy, MAX_HOURS, "hours", len(hours))])
    return hours


def fresh_ids(
    connection: Connection, bounds: Mapping[str, str], *, is_open: bool, has_ended: bool
) -> tuple[set[str], bool]:
    """Returns the jobs between two ids that are open, and those that have ended and are not indexed yet.

    The index does not have them, or not as they are now. Returns also whether these are all: False if there are more
    than are read.
    """
    # Open jobs are read first, then unindexed ones, because a job goes from the first to the second.
    ids, are_all = set[str](), True
    # One select for each index, see `cancels`; the bounds would make a database choose the index of the ids.
    source = f"worker_parts p{dialect_of(connection).force_index('worker_parts_due_by_state')}"
    if is_open:
        # One statement: between two a part could go from the state of the later one to that of the earlier.
        selects = " union all ".join(
            f"select state, job_id from (select state, job_id from {source} where state = {int(state)}"
            f" limit {MAX_OPEN}) s{int(state)}"
            for state in sorted(OPEN_STATES)
        )
        rows = fetch(connection, selects)
        are_all = max(Counter(row[0] for row in rows).values(), default=0) < MAX_OPEN
        ids.update(row[1] for row in rows if bounds["after"] < row[1] < bounds["high"])
    if has_ended:
        query = "select job_id from worker_unindexed where job_id > :after and job_id < :high order by job_id desc"
        rows = fetch(connection, f"{query} limit {MAX_UNINDEXED}", bounds)
        are_all = are_all and len(rows) < MAX_UNINDEXED
        ids.update(row[0] for row in rows)
    return ids, are_all


def indexed_ids(
    connection: Connection, terms: Iterable[str], bounds: Mapping[str, str], *, newest_first: bool = False
) -> Iterator[str]:
    """Yields the jobs between two ids that have one of the terms, each once, in order."""
    terms = list(terms)
    size = max(PAGE // 25, PAGE // max(1, len(terms)))
    jobs = (_of_term(connection, term, dict(bounds), newest_first, size) for term in terms)
    return (id for id, _ in groupby(merge(*jobs, reverse=newest_first)))


def _of_term(connection: Connection, term: str, bounds: dict[str, str], newest_first: bool, size: int) -> Iterator[str]:
    order, moving = ("desc", "high") if newest_first else ("asc", "after")
    query = (
        "select job_id from worker_terms where term = :term and job_id > :after and job_id < :high"
        f" order by job_id {order} limit {size}"
    )
    while rows := fetch(connection, query, {"term": term, **bounds}):
        yield from (row[0] for row in rows)
        if len(rows) < size:
            return
        bounds[moving] = rows[-1][0]


def candidates(connection: Connection, filter: JobFilter, now: int, *, is_open_too: bool) -> Iterator[list[str]]:
    """Yields batches of jobs that may match a filter for ended jobs, oldest first. CheckFailed if too many wait.

    With `is_open_too`, also jobs of which something is open.
    """
    ids: Iterable[str] | None = ids_named_in_filter(connection, filter)
    if ids is None:
        bounds = id_bounds(filter)
        fresh, are_all = fresh_ids(connection, bounds, is_open=is_open_too, has_ended=True)
        if not are_all:
            remedy = "give only ids or created_from, or wait until fewer jobs are open or wait to be indexed"
            raise CheckFailed([Problem("filter", "would read too many jobs that are not indexed yet", remedy)])
        states = None if filter.state is None else states_of("state", filter.state)
        terms = narrow_terms(connection, filter, states, now) or []
        ids = (id for id, _ in groupby(merge(sorted(fresh), indexed_ids(connection, terms, bounds))))
    return batched(ids, PAGE)
