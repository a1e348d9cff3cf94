"""Jobs about other jobs: reads the target's parts and receipts, lets a part wait for its target, adds parts to a job.

No wake-up is lost. A follow-up locks its target's row and then begins to wait, in one transaction. The group commit
writes that row and then wakes the waiting parts, in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection

from worker.domain.job import Priority, job_of, part_id, part_range
from worker.domain.pacing.lane import account_of, tenants_range
from worker.domain.settle import PartFacts, wait_for_job
from worker.domain.state import PartState
from worker.domain.stored import object_or_empty
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows, rows_by_id
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, fetch, mappings
from worker.outbox.jobs.loading import COLUMNS, JobPart, part_of
from worker.outbox.jobs.rows import lock_parts, save_parts
from worker.outbox.lanes.offering import by_lane
from worker.outbox.lanes.waits import record_waits


@dataclass(frozen=True, slots=True)
class TargetPart:
    """A part of the job that a recall or a card update is about."""

    id: str
    n: int
    lane: str
    state: PartState
    doubts: int
    not_before: int | None
    """When an unknown part is repeated or searched for, or None if it is held for a person."""
    first_marked_at: int | None
    marked_at: int | None
    flagged: bool | None
    """Whether its last call asked for the duplicate check."""
    spec: Mapping[str, Any]
    claim: int | None
    """The claim of its receipt, or None if it has none."""
    msgid: str | None
    accepted_at: int | None
    recalled_at: int | None


def lock_job_row(connection: Connection, job_id: str) -> bool:
    """Locks a job's row, so that commits which change its parts wait for this transaction. False: no such job."""
    query = f"select id from worker_jobs where id = :id{dialect_of(connection).lock}"
    return execute(connection, query, {"id": job_id}).first() is not None


@dataclass(frozen=True, slots=True)
class Replays:
    """The later replays of a job, or of its original if the job is a replay itself."""

    ids: tuple[str, ...]
    """Oldest first. An original has all of its replays here."""
    first: str | None
    """The original if the job is a replay that has later replays, else None."""


def later_replays(connection: Connection, job_id: str) -> Replays:
    """Returns the replays that were enqueued after the job, of the job or of its original."""
    query = (
        "select r.id, t.replay_of from worker_jobs t join worker_jobs r on r.replay_of = coalesce(t.replay_of, t.id)"
        " where t.id = :id and (t.replay_of is null or r.created_at > t.created_at) order by r.created_at, r.id"
    )
    rows = execute(connection, query, {"id": job_id})
    return Replays(tuple(row[0] for row in rows), rows[0][1] if rows else None)


def jobs_reached(connection: Connection, job_id: str) -> list[str]:
    """Returns the jobs that a recall or update of a job reaches, oldest first: the job, and its replays if original."""
    replays = later_replays(connection, job_id)
    return [job_id, *(replays.ids if replays.first is None else ())]


def senders(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """Returns job -> the account that sends it, or the newest of its replays, for jobs that exist."""
    columns, index = "replay_of, created_at, id", "worker_jobs_replay"
    replays = sorted(rows_by_id(connection, columns, "worker_jobs", ids, "replay_of", index=index))
    newest = {id: id for id in ids} | {original: id for original, _, id in replays}
    lanes = dict(rows_by_id(connection, "job_id, lane", "worker_parts", [part_id(id, 0) for id in newest.values()]))
    return {id: account_of(lanes[last]) for id, last in newest.items() if last in lanes}


def refused_users(connection: Connection, job_id: str) -> dict[str, set[str]]:
    """Returns part of the job -> users, in lower case, whom the vendor refused."""
    query = (
        "select part_id, recipient_key from worker_failures where part_id > :low and part_id < :high and kind = 'user'"
    )
    refused: dict[str, set[str]] = {}
    for part, user in execute(connection, query, part_range(job_id)):
        refused.setdefault(part, set()).add(user)
    return refused


def target_parts(connection: Connection, job_id: str) -> list[TargetPart]:
    """Returns the parts of a job with their receipts, in order. Of two receipts with one msgid it returns the later."""
    query = (
        "select p.id, p.n, p.lane, p.state, p.doubts, p.not_before, p.first_marked_at, p.marked_at, p.flagged, p.spec,"
        " r.claim, r.msgid, r.accepted_at, r.recalled_at from worker_parts p left join worker_receipts r"
        " on r.part_id = p.id and r.not_sent = false where p.id > :low and p.id < :high order by p.n, r.claim"
    )
    rows = mappings(connection, query, part_range(job_id))
    parts = [
        TargetPart(**row | {"state": PartState(row["state"]), "spec": object_or_empty(row["spec"])}) for row in rows
    ]
    return list({(part.id, part.msgid): part for part in parts}.values())


def kind_and_message(connection: Connection, job_id: str) -> tuple[str, dict[str, Any]]:
    """Returns a job's kind and message."""
    kind, message = execute(connection, "select kind, message from worker_jobs where id = :id", {"id": job_id}).one()
    return kind, json.loads(message)


def other_unanswered_parts(connection: Connection, account: str, kind: str, lane: str, own_id: str) -> list[JobPart]:
    """Returns the other parts of an account and kind, of all tenants, that are in doubt or in flight."""
    of_lane = "lane >= :from_lane and lane < :to_lane"
    query = (
        f"select {COLUMNS} from"
        # One select for each index: with a single condition MariaDB would read every part of the table.
        " (select id from worker_parts where state = 6 and doubts > 0"
        f" union all select id from {by_lane(dialect_of(connection))} where state = 0 and {of_lane} and doubts > 0"
        f" union all select id from worker_parts where state = 1 and {of_lane}) unanswered"
        " join worker_parts p on p.id = unanswered.id join worker_jobs j on j.id = p.job_id"
        " where p.id <> :own and j.account = :account and j.kind = :kind"
    )
    values = {"account": account, "kind": kind, "own": own_id, **tenants_range(lane)}
    return [part_of(row) for row in fetch(connection, query, values)]


def is_recalled(connection: Connection, part: str) -> bool:
    """Returns whether a message or task of the part was recalled or cancelled."""
    query = "select 1 from worker_receipts where part_id = :part and recalled_at is not null"
    return execute(connection, query, {"part": part}).first() is not None


def follow_ups_of(connection: Connection, job_id: str) -> list[dict[str, Any]]:
    """Returns kind, state and spec of the parts of every job about this job."""
    jobs = execute(connection, "select id, kind from worker_jobs where target_job_id = :job", {"job": job_id})
    # By a range of ids, because parts have no index by job.
    query = "select state, spec from worker_parts where id > :low and id < :high order by n"
    return [
        {"kind": kind, **row}
        for follower, kind in sorted(tuple(job) for job in jobs)
        for row in mappings(connection, query, part_range(follower))
    ]


def may_repeat(connection: Connection, job_id: str) -> bool:
    """Returns whether a part of the job is in doubt and not held, so that a repeat or a search is still to come."""
    # State 6 is `unknown`; 0 and 1 are `queued` and `sending`.
    query = (
        "select 1 from worker_parts where id > :low and id < :high and ((state = 6 and not_before is not null)"
        " or (state in (0, 1) and doubts > 0)) limit 1"
    )
    return execute(connection, query, part_range(job_id)).first() is not None


def reminders(connection: Connection, target: str, since: int) -> list[int]:
    """Returns when reminders of a part's task were accepted since an instant, oldest first, in microseconds."""
    jobs = "select id from worker_jobs where target_job_id = :job and kind = 'remind'"
    query = (
        "select p.spec, r.accepted_at from worker_parts p join worker_receipts r on r.part_id = p.id"
        " where p.id > :low and p.id < :high and r.not_sent = false and r.accepted_at > :since"
    )
    ids = execute(connection, jobs, {"job": job_of(target)}).scalars()
    rows = [row for id in ids for row in execute(connection, query, {**part_range(id), "since": since})]
    return sorted(row[1] for row in rows if object_or_empty(row[0]).get("target") == target)


def wait_for_target(connection: Connection, part: PartFacts, job_id: str, now: int, until: int, reason: str) -> None:
    """Lets a part wait for a job whose row this transaction has locked."""
    wait_for_job(part, job_id, until, reason)
    save_parts(connection, [part])
    record_waits(connection, [(part.id, reason)], now)
    execute(connection, "update worker_jobs set awaited = true where id = :id", {"id": job_id})


def wake_overdue(connection: Connection, now: str) -> None:
    """Lets waiting parts check their target again if their time is over."""
    # Few parts wait and many are due. A plan that began with the due parts would read the whole backlog.
    waiting = dialect_of(connection).by_index("worker_parts_waiting")
    wake = (
        f"update worker_parts{waiting} set waits_on = null, offered_until = null"
        f" where waits_on is not null and state = 0 and not_before <= {now}"
    )
    execute(connection, wake)


def lock_part(connection: Connection, own_id: str, claim: int) -> tuple[PartFacts, dict[str, Any]] | None:
    """Locks the part and reads its spec. None if it is not queued any more, was resolved or is cancelled.

    None also if its claim is another one: then it was called or rescheduled since it was loaded.
    """
    part = lock_parts(connection, [own_id]).get(own_id)
    if part is None or part.state is not PartState.QUEUED or part.waits_on is not None or part.claim != claim:
        return None
    query = "select p.spec from worker_parts p join worker_jobs j on j.id = p.job_id where p.id = :id"
    # In a cancelled job only the search for a part in doubt goes on.
    spec = execute(connection, f"{query} and (j.cancelled_at is null or p.doubts > 0)", {"id": own_id}).scalar()
    return None if spec is None else (part, json.loads(spec))


def make_urgent(connection: Connection, part_id: str) -> None:
    """Gives a queued part the priority urgent. It counts the next time the part is offered."""
    update = "update worker_parts set priority = :urgent where id = :id and state = 0"
    execute(connection, update, {"urgent": int(Priority.URGENT), "id": part_id})


def plan_parts(
    connection: Connection, own: PartFacts, specs: Sequence[Mapping[str, Any]], lanes: Sequence[str]
) -> None:
    """Writes the first spec to the follow-up's own part, and adds a part to its job for each further spec.

    `lanes` has the lane of each. If the first is not the own part's, the part is offered again there.
    """
    first, *rest = (to_json(spec).decode() for spec in specs)
    sets, values = "spec = :spec", {"spec": first, "id": own.id}
    if lanes[0] != own.lane:
        # The claim changes, so that a sender which has read the part cannot mark it.
        sets += ", lane = :lane, claim = claim + 1, unheard = unheard + 1, offered_until = null"
        values["lane"] = lanes[0]
    execute(connection, f"update worker_parts set {sets} where id = :id", values)
    if not rest:
        return
    query = "select priority, not_before, expires_at from worker_parts where id = :id"
    priority, due_at, expires_at = execute(connection, query, {"id": own.id}).one()
    rows = [
        new_part(own.job_id, n, lane, priority=priority, not_before=due_at, spec=spec) | {"expires_at": expires_at}
        for n, (spec, lane) in enumerate(zip(rest, lanes[1:], strict=True), start=1)
    ]
    insert_rows(connection, tables.parts, rows)
    more = "update worker_jobs set n_open = n_open + :more where id = :id"
    execute(connection, more, {"more": len(rows), "id": own.job_id})


def new_part(job_id: str, n: int, lane: str, *, priority: int, not_before: int, spec: str) -> dict[str, Any]:
    """Returns the row of a new queued part. Its counters get the columns' default of 0."""
    return {
        "id": part_id(job_id, n),
        "job_id": job_id,
        "n": n,
        "lane": lane,
        "priority": priority,
        "state": int(PartState.QUEUED),
        "not_before": not_before,
        "spec": spec,
    }
