"""Parts in doubt, by a filter, and the calls that left them so.

Costs what the parts in doubt cost, however many others there are: these have an index of their own, and each of their
jobs is looked up by its id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from worker.domain.job import part_range
from worker.domain.job_filter import JobFilter
from worker.domain.state import PartState
from worker.outbox.engine.bulk import ids_json
from worker.outbox.engine.clock import micros_of
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch

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
    conditions, given = _conditions(wanted)
    joined = f"{dialect.join('worker_jobs j')} on j.id = p.job_id"
    if wanted.ids is not None:
        source = f"{dialect.chosen('worker_parts', alias='p', joins=joined)} and p.{_UNKNOWN}"
        given["ids"] = _ids(connection, wanted)
    else:
        # The limit inside makes it a step of its own: no plan may begin with all jobs of an account.
        columns = "id, job_id, order_id, marked_at, claim"
        unknown = f"(select {columns} from worker_parts where {_UNKNOWN} limit {most}) p"
        source = f"{unknown}{joined} where true"
    query = " and ".join([f"select p.id, j.account, j.kind, p.order_id, p.claim, j.tags from {source}", *conditions])
    return sorted(
        (
            UnknownPart(id, account, kind, order is not None, claim)
            for id, account, kind, order, claim, tags in fetch(connection, query, given)
            if wanted.tag is None or wanted.tag in json.loads(tags or "[]")
        ),
        key=lambda part: part.id,
    )


def _ids(connection: Connection, wanted: JobFilter) -> str:
    """The given parts, and all parts of the given jobs."""
    query = "select id from worker_parts where id > :low and id < :high"
    given = wanted.part_or_job_ids()
    of_jobs = [row[0] for id in given if "-" not in id for row in fetch(connection, query, part_range(id))]
    return ids_json([*of_jobs, *(id for id in given if "-" in id)])


def _conditions(wanted: JobFilter) -> tuple[list[str], dict[str, Any]]:
    equal = {name: getattr(wanted, name) for name in ("account", "channel", "kind")}
    equal = {name: value for name, value in equal.items() if value is not None}
    conditions = [f"j.{name} = :{name}" for name in equal]
    given: dict[str, Any] = dict(equal)
    for name, at, sign in (("called_from", wanted.called_from, ">="), ("called_before", wanted.called_before, "<")):
        if at is not None:
            conditions.append(f"p.marked_at {sign} :{name}")
            given[name] = micros_of(at)
    return conditions, given


@dataclass(frozen=True, slots=True)
class DoubtfulCall:
    """The first call of a part that has no readable answer so far."""

    part_id: str
    claim: int
    channel: str
    account: str
    kind: str
    refused_some: bool
    """The vendor named recipients that it refused; of the others nothing is known."""
    spec: str = field(repr=False)
    """The part's, as JSON."""
    message: str = field(repr=False)
    """The job's, as JSON."""


def doubtful_calls(connection: Connection, ids: Sequence[str]) -> dict[str, DoubtfulCall]:
    """The calls in doubt of those of these parts that are in doubt; a part without such a call is missing."""
    dialect = dialect_of(connection)
    joined = (
        f"{dialect.join('worker_jobs j')} on j.id = p.job_id"
        f"{dialect.join('worker_attempts a')} on a.part_id = p.id and a.doubtful = true"
    )
    source = dialect.chosen("worker_parts", alias="p", joins=joined)
    refused = "case when exists (select 1 from worker_failures f where f.part_id = p.id) then 1 else 0 end"
    columns = f"p.id, a.claim, j.channel, j.account, j.kind, {refused}, p.spec, j.message"
    rows = fetch(connection, f"select {columns} from {source} and p.{_UNKNOWN}", {"ids": ids_json(ids)})
    # The first call of each part comes last, and so stays.
    rows.sort(key=lambda row: row[:2], reverse=True)
    return {
        id: DoubtfulCall(id, claim, channel, account, kind, bool(some), spec, message)
        for id, claim, channel, account, kind, some, spec, message in rows
    }
