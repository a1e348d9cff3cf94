"""Which jobs were cancelled or recalled, when, and by which command of the audit."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from worker.domain.job import Kind
from worker.domain.job_terms import tags_of
from worker.domain.state import JobState
from worker.outbox.engine.bulk import rows_by_id
from worker.outbox.engine.clock import SECOND, instant
from worker.outbox.engine.sql import mappings

CANCELLED, RECALLED = "cancelled", "recalled"
_COLUMNS = "id, replay_of, created_at, cancelled_at, account, channel, kind, tags"
_GIVEN_UP = f"{int(JobState.CANCELLED)}, {int(JobState.EXPIRED)}"
_COMMANDS = ("cancel", "recall", "correct")
_ACTIONS = ", ".join(f"'{through}{name}'" for name in _COMMANDS for through in ("", "console."))
_SLACK_US = SECOND
"""How far the row of a command may be from what it does, where both are written in one transaction."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Jobs that one command cancelled or recalled, or that applications did."""

    how: str
    """`cancelled` or `recalled`."""
    at: datetime
    """When the first of them was."""
    jobs: int = 1
    """How many they are."""
    person: str | None = None
    """The name of the person who gave the command; None: an application did it, without a command."""
    why: str = ""
    """The person's reason."""
    audit: str | None = None
    """Id of the command's row in the audit."""

    def by(self) -> str:
        """The person or the application, as it is told to people."""
        return "an application" if self.person is None else f"{self.person} (audit {self.audit})"


@dataclass(frozen=True, slots=True)
class WithdrawnJob:
    """A job that was cancelled or recalled."""

    how: str
    at: int
    row: Mapping[str, Any]
    """Its columns by name, of `_COLUMNS`."""


def withdrawn_jobs(connection: Connection, ids: Collection[str]) -> dict[str, WithdrawnJob]:
    """The jobs among these that were cancelled or recalled, by id; recalled where both is so.

    A recall counts whatever came of it, unless it was itself cancelled or expired: the message was wanted back.
    """
    names = _COLUMNS.split(", ")
    jobs = [dict(zip(names, row, strict=True)) for row in rows_by_id(connection, _COLUMNS, "worker_jobs", ids)]
    recalls = _recalls(connection, jobs, f"state not in ({_GIVEN_UP})")
    found: dict[str, WithdrawnJob] = {}
    for job in jobs:
        if job["id"] in recalls:
            found[job["id"]] = WithdrawnJob(RECALLED, recalls[job["id"]], job)
        elif job["cancelled_at"] is not None:
            found[job["id"]] = WithdrawnJob(CANCELLED, job["cancelled_at"], job)
    return found


def recalled_jobs(connection: Connection, ids: Collection[str]) -> frozenset[str]:
    """The jobs among these whose messages were taken back: a recall of them was accepted."""
    rows = rows_by_id(connection, "id, replay_of, created_at", "worker_jobs", ids)
    jobs = [dict(zip(("id", "replay_of", "created_at"), row, strict=True)) for row in rows]
    return frozenset(_recalls(connection, jobs, f"state = {int(JobState.ACCEPTED)}"))


def _recalls(connection: Connection, jobs: Sequence[Mapping[str, Any]], which: str) -> dict[str, int]:
    """When the first recall of each of these jobs was enqueued, as far as there is one that fits."""
    ids = {id for job in jobs for id in (job["id"], job["replay_of"]) if id is not None}
    only, index = f"and kind = '{Kind.RECALL}' and {which}", "worker_jobs_target"
    columns, at_of = "target_job_id, created_at", dict[str, list[int]]()
    for job, at in rows_by_id(connection, columns, "worker_jobs", ids, "target_job_id", only=only, index=index):
        at_of.setdefault(job, []).append(at)
    # The recall of an original takes back the replays that there are by then.
    found = {
        job["id"]: [at for name in ("id", "replay_of") for at in at_of.get(job[name], ()) if at >= job["created_at"]]
        for job in jobs
    }
    return {job: min(recalls) for job, recalls in found.items() if recalls}


def withdrawals(connection: Connection, jobs: Collection[WithdrawnJob]) -> tuple[Withdrawal, ...]:
    """What was cancelled or recalled by the commands that did it, the earliest first."""
    if not jobs:
        return ()
    commands = _commands(connection, min(job.at for job in jobs), max(job.at for job in jobs))
    found: dict[tuple[str, str | None], Withdrawal] = {}
    for job in sorted(jobs, key=lambda job: job.at):
        # The newest that fits: one that was cut short has no end.
        command = next((one for one in commands if _did(one, job)), None)
        key = job.how, None if command is None else str(command["id"])
        if key in found:
            found[key] = replace(found[key], jobs=found[key].jobs + 1)
        else:
            by = {} if command is None else {name: command[name] for name in ("person", "why")}
            found[key] = Withdrawal(job.how, instant(job.at), audit=key[1], **by)
    return tuple(found.values())


def _commands(connection: Connection, first: int, last: int) -> list[dict[str, Any]]:
    """The commands that may have cancelled or recalled between two instants, newest first."""
    query = (
        "select id, action, person, why, asked, began_at, ended_at from worker_audit"
        f" where action in ({_ACTIONS}) and began_at <= :last and (ended_at is null or ended_at >= :first)"
        " order by id desc"
    )
    rows = mappings(connection, query, {"first": first - _SLACK_US, "last": last + _SLACK_US})
    return [{**row, "filter": json.loads(row["asked"]).get("filter")} for row in rows]


def _did(command: Mapping[str, Any], job: WithdrawnJob) -> bool:
    """Whether a command did this: by its action, its time, and what its filter says of the job."""
    action, wanted, row = command["action"].removeprefix("console."), command["filter"], job.row
    if wanted is None or action == {CANCELLED: "recall", RECALLED: "cancel"}[job.how]:
        return False
    ended = command["ended_at"]
    if job.at < command["began_at"] - _SLACK_US or (ended is not None and job.at > ended + _SLACK_US):
        return False
    if any(name in wanted and wanted[name] != row[name] for name in ("account", "channel", "kind")):
        return False
    if "ids" in wanted and not {row["id"], row["replay_of"]}.intersection(wanted["ids"]):
        return False
    return "tag" not in wanted or wanted["tag"] in tags_of(row["tags"])
