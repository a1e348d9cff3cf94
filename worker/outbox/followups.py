"""Jobs that depend on jobs: what a target's parts brought, parking on it, and adding parts to an open job.

A wake-up is never lost: who depends on a job locks its row first and parks only then, in one transaction; the group
commit writes that row first and wakes the parked second, in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from worker.domain.job import job_of, part_id, part_range
from worker.domain.settle import FOREVER, PartFacts, park_on
from worker.domain.state import PartState
from worker.outbox import tables
from worker.outbox.blobs import note_uses
from worker.outbox.bulk import insert_rows
from worker.outbox.rows import for_update, lock_parts, save_parts
from worker.outbox.sql import run


@dataclass(frozen=True, slots=True)
class TargetPart:
    """One part of the job that a recall or a card update is about."""

    id: str
    n: int
    state: PartState
    doubts: int
    not_before: int | None
    """Of an unknown: when its policy acts; null: held for a person."""
    first_marked_at: int | None
    spec: Mapping[str, Any]
    claim: int | None
    """Of its receipt; null without one."""
    msgid: str | None
    accepted_at: int | None
    recalled_at: int | None


def lock_job_row(connection: Connection, job_id: str) -> bool:
    """Locks a job's row; whatever moves its parts waits until this transaction ends. False: no such job."""
    found = connection.execute(
        text(f"select id from worker_jobs where id = :id{for_update(connection.dialect.name)}"), {"id": job_id}
    )
    return found.first() is not None


def target_parts(connection: Connection, job_id: str) -> list[TargetPart]:
    """The parts of a job with the receipt each brought, in order; what two calls brought alike stands there once."""
    rows = connection.execute(
        text(
            "select p.id, p.n, p.state, p.doubts, p.not_before, p.first_marked_at, p.spec, r.claim, r.msgid,"
            " r.accepted_at, r.recalled_at from worker_parts p left join worker_receipts r on r.part_id = p.id"
            " and r.not_sent = false where p.id > :low and p.id < :high order by p.n, r.claim"
        ),
        part_range(job_id),
    )
    parts = [
        TargetPart(row[0], row[1], PartState(row[2]), row[3], row[4], row[5], json.loads(row[6]), *row[7:])
        for row in rows
    ]
    return list({(part.id, part.msgid): part for part in parts}.values())


def content_of(connection: Connection, job_id: str) -> tuple[str, dict[str, Any]]:
    """A job's kind and message."""
    kind, message = connection.execute(
        text("select kind, message from worker_jobs where id = :id"), {"id": job_id}
    ).one()
    return kind, json.loads(message)


@dataclass(frozen=True, slots=True)
class Beside:
    """A part whose call may have reached the vendor and has no answer yet, and what it was to send."""

    id: str
    job_id: str
    in_the_air: bool
    """Its first call is being made: nothing of it is in doubt yet."""
    marked_at: int
    """Its last call."""
    kind: str
    message: Mapping[str, Any] = field(repr=False)
    spec: Mapping[str, Any] = field(repr=False)


def others_unanswered(connection: Connection, account: str, kind: str, lane: str, own_id: str) -> list[Beside]:
    """The other parts of an account and kind that are in doubt, whatever becomes of them next, or in the air."""
    rows = connection.execute(
        text(
            "select p.id, p.job_id, p.doubts = 0, p.marked_at, j.kind, j.message, p.spec from worker_parts p"
            " join worker_jobs j on j.id = p.job_id"
            " where ((p.state = 6 and p.doubts > 0) or (p.state = 0 and p.lane = :lane and p.doubts > 0)"
            " or (p.state = 1 and p.lane = :lane)) and p.id <> :own and j.account = :account and j.kind = :kind"
        ),
        {"account": account, "kind": kind, "lane": lane, "own": own_id},
    )
    return [
        Beside(row[0], row[1], bool(row[2]), row[3] or 0, row[4], json.loads(row[5]), json.loads(row[6]))
        for row in rows
    ]


def is_recalled(connection: Connection, part: str) -> bool:
    """Whether what a part brought was taken back, or cancelled."""
    query = text("select 1 from worker_receipts where part_id = :part and recalled_at is not null")
    return connection.execute(query, {"part": part}).first() is not None


def follow_ups_of(connection: Connection, job_id: str) -> list[dict[str, Any]]:
    """The parts of every job about this one: their kind, state and spec."""
    jobs = connection.execute(text("select id, kind from worker_jobs where target_job_id = :job"), {"job": job_id})
    return [
        {"kind": kind, "state": row[0], "spec": row[1]}
        for follower, kind in sorted(tuple(job) for job in jobs)
        for row in connection.execute(_STATE_AND_SPEC, part_range(follower))
    ]


# The ids of a job's parts are looked for, never its id: parts have no index by job.
_STATE_AND_SPEC = text("select state, spec from worker_parts where id > :low and id < :high order by n")


def reminders(connection: Connection, target: str, since: int) -> list[int]:
    """When reminders of a part's task were accepted, oldest first."""
    jobs = connection.execute(
        text("select id from worker_jobs where target_job_id = :job and kind = 'remind'"), {"job": job_of(target)}
    )
    rows = [row for job in list(jobs) for row in connection.execute(_GIVEN, {**part_range(job[0]), "since": since})]
    return sorted(row[1] for row in rows if json.loads(row[0]).get("target") == target)


_GIVEN = text(
    "select p.spec, r.accepted_at from worker_parts p join worker_receipts r on r.part_id = p.id"
    " where p.id > :low and p.id < :high and r.not_sent = false and r.accepted_at > :since"
)


def park(connection: Connection, part: PartFacts, job_id: str, until: int, reason: str) -> None:
    """Parks a part on a job whose row this transaction has locked."""
    park_on(part, job_id, until, reason)
    save_parts(connection, [part])
    connection.execute(text("update worker_jobs set awaited = true where id = :id"), {"id": job_id})


def wake_overdue(connection: Connection, now: str) -> None:
    """Parks that have ended by themselves: who waited looks again."""
    connection.execute(
        text(
            "update worker_parts set waits_on = null, offered_until = null"
            f" where waits_on is not null and state = 0 and not_before <= {now}"
        )
    )


def lock_own(connection: Connection, own_id: str) -> tuple[PartFacts, dict[str, Any]] | None:
    """Locks the follow-up's own part; None when it is no longer queued (somebody else resolved or moved it)."""
    part = lock_parts(connection, [own_id]).get(own_id)
    if part is None or part.state is not PartState.QUEUED or part.waits_on is not None:
        return None
    spec = connection.execute(text("select spec from worker_parts where id = :id"), {"id": own_id}).scalar_one()
    return part, json.loads(spec)


def plan_parts(connection: Connection, own: PartFacts, specs: Sequence[Mapping[str, Any]]) -> None:
    """The own part takes the first spec; further parts of the same open job take the others."""
    connection.execute(
        text("update worker_parts set spec = :spec where id = :id"), {"spec": _dump(specs[0]), "id": own.id}
    )
    if len(specs) == 1:
        return
    row = connection.execute(
        text("select priority, not_before, expires_at from worker_parts where id = :id"), {"id": own.id}
    ).one()
    rows = [
        {
            **new_part(own.job_id, n, own.lane, priority=row[0], not_before=row[1], spec=_dump(spec)),
            "expires_at": row[2],
        }
        for n, spec in enumerate(specs[1:], start=1)
    ]
    insert_rows(connection, tables.parts, rows)
    connection.execute(
        text("update worker_jobs set n_open = n_open + :more where id = :id"),
        {"more": len(rows), "id": own.job_id},
    )


def new_part(job_id: str, n: int, lane: str, *, priority: int, not_before: int, spec: str) -> dict[str, Any]:
    """A queued part's row; its counters start at the columns' own zero."""
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


def _dump(spec: Mapping[str, Any]) -> str:
    return json.dumps(spec, ensure_ascii=False, separators=(",", ":"))


# -- the vault --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VaultRow:
    """One file as one scope knows it at the vendor."""

    job_id: str
    media_id: str | None
    valid_until: int | None
    open: bool
    """The newest upload job for it may still bring a media_id without a person's help."""
    look_again_at: int
    """When who waits for it looks again unasked."""
    after_send: bool
    """It was made after the send that asks now: for it, or for one beside it."""
    reason: str | None
    """Why that upload ended without a media_id."""
    fetched: Mapping[str, Any] | None
    """The copy (blob, size, sha256) it made of what was behind its URL; null without one."""


def lock_vault(connection: Connection, row: Mapping[str, Any], send_job_id: str, now: int) -> VaultRow:
    """Locks the vault row of a file, making it (without an upload job) when this send is the first to need it."""
    fresh = {**row, "job_id": "", "media_id": None, "valid_until": None, "created_at": now}
    own = text(f"select job_id from worker_media where id = :id{for_update(connection.dialect.name)}")
    found = None
    while found is None:  # more than once only where an old row was taken out between the two statements
        insert_rows(connection, tables.media, [fresh], conflict="ignore")
        found = connection.execute(own, {"id": row["id"]}).scalar()
    if not found or not lock_job_row(connection, found):
        return VaultRow("", None, None, False, FOREVER, False, None, None)
    upload = connection.execute(
        text(
            "select p.state, p.not_before, p.reason, u.created_at >= s.created_at, p.spec from worker_parts p"
            " join worker_jobs u on u.id = p.job_id join worker_jobs s on s.id = :send where p.id = :id"
        ),
        {"id": part_id(found, 0), "send": send_job_id},
    ).one()
    acts = upload[0] == PartState.UNKNOWN and upload[1] is not None
    current = connection.execute(
        text("select media_id, valid_until from worker_media where id = :id"), {"id": row["id"]}
    ).one()
    return VaultRow(
        found,
        current[0],
        current[1],
        acts or upload[0] in (PartState.QUEUED, PartState.SENDING),
        max(upload[1], now) + 1_000_000 if acts else FOREVER,
        bool(upload[3]),
        upload[2],
        json.loads(upload[4]).get("fetched"),
    )


def add_upload(connection: Connection, media_row_id: str, job: Mapping[str, Any], part: Mapping[str, Any]) -> None:
    """An upload job made by the send that needs it."""
    insert_rows(connection, tables.jobs, [job])
    insert_rows(connection, tables.parts, [part])
    note_uses(connection, [(job["id"], file["blob"]) for file in json.loads(job["message"])["files"].values()])
    connection.execute(
        text("update worker_media set job_id = :job, media_id = null, valid_until = null where id = :id"),
        {"job": job["id"], "id": media_row_id},
    )


def spoil_media(connection: Connection, spoiled: Sequence[tuple[str, str]]) -> None:
    """The vendor no longer knows these media_ids: the next send uploads anew. A newer one in the row stays."""
    for row_id, media_id in spoiled:
        run(
            connection,
            "update worker_media set valid_until = 0 where id = :id and media_id = :media",
            {"id": row_id, "media": media_id},
        )
