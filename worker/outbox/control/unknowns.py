"""Finds parts in doubt by a filter, and their unanswered calls.

The cost depends only on the parts in doubt. They have an index of their own, and each of their jobs is read by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.domain.job import job_of
from worker.domain.job_filter import JobFilter
from worker.domain.state import PartState
from worker.outbox.control.matching import TOGETHER, job_conditions, matching_jobs, part_conditions, part_ids
from worker.outbox.engine.bulk import batched, ids_json
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs.loading import COLUMNS, JobPart, part_of
from worker.outbox.jobs.rows import HELD, SETTLING

_UNKNOWN = f"state = {int(PartState.UNKNOWN)}"


@dataclass(frozen=True, slots=True)
class UnknownPart:
    """A part in doubt, as a person sees it before deciding about it."""

    id: str
    account: str
    kind: str
    ordered: bool
    """Whether it has an order_key."""
    is_held: bool
    """Whether it waits for a person. False if it will be repeated or looked up by itself."""
    claim: int
    """The number of its last mark. If the row has another number, the part was repeated meanwhile."""


def count_unknown(connection: Connection, most: int) -> int:
    """Counts the parts in doubt, up to `most`."""
    query = f"select count(*) from (select id from worker_parts where {_UNKNOWN} limit :most) unknown"
    return int(fetch(connection, query, {"most": most})[0][0])


def jobs_in_doubt(connection: Connection, most: int, *, held: bool) -> set[str]:
    """Returns the jobs of which a part waits for a person, or those in doubt of which none does.

    Reads at most `most` parts of either sort.
    """
    waiting, settling = (
        {row[0] for row in fetch(connection, f"select job_id from worker_parts where {which} limit {most}")}
        for which in (HELD, SETTLING)
    )
    return waiting if held else settling - waiting


def unknown_parts(connection: Connection, filter: JobFilter, most: int) -> list[UnknownPart]:
    """Returns the parts in doubt of a filter, sorted by id. Without ids, reads at most `most` parts in doubt."""
    dialect = dialect_of(connection)
    (of_jobs, values), (of_parts, instants) = job_conditions(filter), part_conditions(filter)
    values |= instants
    joined = f"{dialect.join('worker_jobs j')} on j.id = p.job_id"
    if filter.ids is not None:
        source = f"{dialect.by_ids('worker_parts', alias='p', joins=joined)} and p.{_UNKNOWN}"
        values["ids"] = ids_json(part_ids(connection, filter))
    else:
        # The limit inside makes it a step of its own: no plan may begin with all jobs of an account.
        columns = "id, job_id, order_id, not_before, marked_at, claim"
        unknown = f"(select {columns} from worker_parts where {_UNKNOWN} limit {most}) p"
        source = f"{unknown}{joined} where true"
    query = " and ".join(
        [
            f"select p.id, j.account, j.kind, p.order_id, p.not_before, p.claim from {source}",
            *of_jobs,
            *of_parts,
        ]
    )
    rows = fetch(connection, query, values)
    fit = set[str]()
    for lot in batched(sorted({job_of(row[0]) for row in rows}), TOGETHER):
        fit |= matching_jobs(connection, filter, lot)
    return sorted(
        (
            UnknownPart(id, account, kind, order is not None, not_before is None, claim)
            for id, account, kind, order, not_before, claim in rows
            if job_of(id) in fit
        ),
        key=lambda part: part.id,
    )


@dataclass(frozen=True, slots=True)
class DoubtfulCall:
    """The first call of a part that has no readable answer yet."""

    part: JobPart
    claim: int
    """The number of its mark."""
    channel: str
    refused_some: bool
    """Whether the vendor has named recipients that it refused. Nothing is known of the other recipients."""


def doubtful_calls(connection: Connection, ids: Sequence[str]) -> dict[str, DoubtfulCall]:
    """Returns part -> its call in doubt, for those of the parts that have one."""
    dialect = dialect_of(connection)
    joined = (
        f"{dialect.join('worker_jobs j')} on j.id = p.job_id"
        f"{dialect.join('worker_attempts a')} on a.part_id = p.id and a.doubtful = true"
    )
    source = dialect.by_ids("worker_parts", alias="p", joins=joined)
    refused = "case when exists (select 1 from worker_failures f where f.part_id = p.id) then 1 else 0 end"
    query = f"select p.id, a.claim, j.channel, {refused}, {COLUMNS} from {source} and p.{_UNKNOWN}"
    # The first call of each part comes last, so it stays in the dict.
    rows = sorted(fetch(connection, query, {"ids": ids_json(ids)}), key=lambda row: row[:2], reverse=True)
    return {id: DoubtfulCall(part_of(row), claim, channel, bool(some)) for id, claim, channel, some, *row in rows}
