"""Parts in doubt, by a filter, and the calls that left them so.

Costs what the parts in doubt cost, however many others there are: these have an index of their own, and each of their
jobs is looked up by its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.domain.job import job_of
from worker.domain.job_filter import JobFilter
from worker.domain.state import PartState
from worker.outbox.control.matching import TOGETHER, fitting, job_conditions, part_conditions, part_ids
from worker.outbox.engine.bulk import ids_json, in_lots
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs.loading import COLUMNS, JobPart, part_of

_UNKNOWN = f"state = {int(PartState.UNKNOWN)}"


@dataclass(frozen=True, slots=True)
class UnknownPart:
    """A part in doubt, and what is shown of it before a person decides."""

    id: str
    account: str
    kind: str
    ordered: bool
    """It has an order_key."""
    claim: int
    """The number of its last mark: with another one it has been repeated."""


def count_unknown(connection: Connection, most: int) -> int:
    """How many parts are in doubt in all, counted up to `most`."""
    query = f"select count(*) from (select id from worker_parts where {_UNKNOWN} limit :most) unknown"
    return int(fetch(connection, query, {"most": most})[0][0])


def unknown_parts(connection: Connection, wanted: JobFilter, most: int) -> list[UnknownPart]:
    """The parts in doubt of a filter, sorted by id; without ids it looks at `most` parts in doubt, and no further."""
    dialect = dialect_of(connection)
    (of_jobs, given), (of_parts, instants) = job_conditions(wanted), part_conditions(wanted)
    given |= instants
    joined = f"{dialect.join('worker_jobs j')} on j.id = p.job_id"
    if wanted.ids is not None:
        source = f"{dialect.chosen('worker_parts', alias='p', joins=joined)} and p.{_UNKNOWN}"
        given["ids"] = ids_json(part_ids(connection, wanted))
    else:
        # The limit inside makes it a step of its own: no plan may begin with all jobs of an account.
        columns = "id, job_id, order_id, marked_at, claim"
        unknown = f"(select {columns} from worker_parts where {_UNKNOWN} limit {most}) p"
        source = f"{unknown}{joined} where true"
    query = " and ".join(
        [
            f"select p.id, j.account, j.kind, p.order_id, p.claim from {source}",
            *of_jobs,
            *of_parts,
        ]
    )
    found = fetch(connection, query, given)
    fit = set[str]()
    for lot in in_lots(sorted({job_of(row[0]) for row in found}), TOGETHER):
        fit |= fitting(connection, wanted, lot)
    return sorted(
        (
            UnknownPart(id, account, kind, order is not None, claim)
            for id, account, kind, order, claim in found
            if job_of(id) in fit
        ),
        key=lambda part: part.id,
    )


@dataclass(frozen=True, slots=True)
class DoubtfulCall:
    """The first call of a part that has no readable answer so far."""

    part: JobPart
    claim: int
    """The number of its mark."""
    channel: str
    refused_some: bool
    """The vendor named recipients that it refused; of the others nothing is known."""


def doubtful_calls(connection: Connection, ids: Sequence[str]) -> dict[str, DoubtfulCall]:
    """The calls in doubt of those of these parts that are in doubt; a part without such a call is missing."""
    dialect = dialect_of(connection)
    joined = (
        f"{dialect.join('worker_jobs j')} on j.id = p.job_id"
        f"{dialect.join('worker_attempts a')} on a.part_id = p.id and a.doubtful = true"
    )
    source = dialect.chosen("worker_parts", alias="p", joins=joined)
    refused = "case when exists (select 1 from worker_failures f where f.part_id = p.id) then 1 else 0 end"
    query = f"select p.id, a.claim, j.channel, {refused}, {COLUMNS} from {source} and p.{_UNKNOWN}"
    # The first call of each part comes last, and so stays.
    rows = sorted(fetch(connection, query, {"ids": ids_json(ids)}), key=lambda row: row[:2], reverse=True)
    return {id: DoubtfulCall(part_of(row), claim, channel, bool(some)) for id, claim, channel, some, *row in rows}
