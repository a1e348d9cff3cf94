"""Which jobs were cancelled, recalled or corrected, when, and by which command of the audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any

from sqlalchemy import Connection

from worker.domain.job import JobKind
from worker.domain.job_terms import tags_of
from worker.domain.state import JobState
from worker.domain.stored import object_or_empty
from worker.outbox.engine.bulk import rows_by_id
from worker.outbox.engine.clock import SECOND, instant
from worker.outbox.engine.sql import fetch, mappings
from worker.outbox.jobs.reading import IS_CORRECTION

CANCELLED, RECALLED, CORRECTED = "cancelled", "recalled", "corrected"
_COLUMNS = "id, replay_of, created_at, cancelled_at, account, channel, kind, tags"
_GIVEN_UP = f"{int(JobState.CANCELLED)}, {int(JobState.EXPIRED)}"
_COMMANDS = {CANCELLED: ("cancel", "recall", "correct"), RECALLED: ("recall", "correct"), CORRECTED: ("correct",)}
_ACTIONS = ", ".join(
    f"'{through}{name}'" for name in sorted({*chain(*_COMMANDS.values())}) for through in ("", "console.")
)
_IS_RECALL = f"kind = '{JobKind.RECALL}'"
_SLACK_US = SECOND
"""How far the row of a command may be from what it does, where both are written in one transaction."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Jobs that one command cancelled, recalled or corrected, or that applications did."""

    how: str
    """`cancelled`, `recalled` or `corrected`."""
    at: datetime
    """When the first of them was."""
    jobs: int = 1
    """How many jobs these are."""
    person: str | None = None
    """The name of the person who gave the command, or None if an application did it without one."""
    why: str = ""
    """The person's reason."""
    audit: str | None = None
    """Id of the command's row in the audit."""

    def by(self) -> str:
        """Returns who did it, as text for people."""
        return "an application" if self.person is None else f"{self.person} (audit {self.audit})"


@dataclass(frozen=True, slots=True)
class WithdrawnJob:
    """A job that was cancelled, recalled or corrected."""

    how: str
    at: int
    row: Mapping[str, Any]
    """Its columns by name, of `_COLUMNS`."""


def withdrawn_jobs(connection: Connection, ids: Collection[str]) -> dict[str, WithdrawnJob]:
    """Returns those of the jobs that were cancelled, recalled or corrected, by id.

    Each counts as one of these: as recalled before cancelled, and as corrected where its old message could not be taken
    back. A recall or correction counts whatever its result, unless it was itself cancelled or has expired.
    """
    names = _COLUMNS.split(", ")
    jobs = [dict(zip(names, row, strict=True)) for row in rows_by_id(connection, _COLUMNS, "worker_jobs", ids)]
    stands = f"state not in ({_GIVEN_UP})"
    times = {
        RECALLED: _first_follower(connection, jobs, f"{_IS_RECALL} and {stands}"),
        CANCELLED: {job["id"]: job["cancelled_at"] for job in jobs if job["cancelled_at"] is not None},
        CORRECTED: _first_follower(connection, jobs, f"{IS_CORRECTION} and {stands}"),
    }
    withdrawn = dict[str, WithdrawnJob]()
    for job in jobs:
        for how, at_of in times.items():
            if job["id"] in at_of:
                withdrawn.setdefault(job["id"], WithdrawnJob(how, at_of[job["id"]], job))
    return withdrawn


def recalled_jobs(connection: Connection, ids: Collection[str], *, or_open: bool = False) -> frozenset[str]:
    """Returns those of the jobs of which a recall was accepted, or with `or_open` may still be."""
    rows = rows_by_id(connection, "id, replay_of, created_at", "worker_jobs", ids)
    jobs = [dict(zip(("id", "replay_of", "created_at"), row, strict=True)) for row in rows]
    states = [JobState.ACCEPTED, *([JobState.OPEN] if or_open else [])]
    among = f"state in ({', '.join(str(int(state)) for state in states)})"
    return frozenset(_first_follower(connection, jobs, f"{_IS_RECALL} and {among}"))


def _first_follower(connection: Connection, jobs: Sequence[Mapping[str, Any]], which: str) -> dict[str, int]:
    """Returns job -> when the first job about it was enqueued. `which` is a condition on the jobs about it."""
    ids = {id for job in jobs for id in (job["id"], job["replay_of"]) if id is not None}
    only, index = f"and {which}", "worker_jobs_target"
    columns, at_of = "target_job_id, created_at", dict[str, list[int]]()
    for job, at in rows_by_id(connection, columns, "worker_jobs", ids, "target_job_id", only=only, index=index):
        at_of.setdefault(job, []).append(at)
    # What is about an original is also about its replays that exist by then.
    times = {
        job["id"]: [at for name in ("id", "replay_of") for at in at_of.get(job[name], ()) if at >= job["created_at"]]
        for job in jobs
    }
    return {job: min(instants) for job, instants in times.items() if instants}


def follow_up_key(audit: str, kind: str, job_id: str) -> str:
    """Returns the dedupe key of a command's recall or correction of a job, by which the command's entry finds it."""
    return f"audit {audit} {kind} {job_id}"


def follow_up_states(connection: Connection, audit: str, accounts: Collection[str]) -> Counter[tuple[str, JobState]]:
    """Returns how many jobs of which kind and state a command enqueued about others, on these accounts."""
    query = (
        "select kind, state, count(*) from worker_jobs where account = :account"
        " and dedupe_key > :low and dedupe_key < :high group by kind, state"
    )
    counts, bounds = (
        Counter[tuple[str, JobState]](),
        {"low": f"audit {audit} ", "high": f"audit {audit} ~"},
    )
    for account in accounts:
        for kind, state, count in fetch(connection, query, {"account": account, **bounds}):
            counts[kind, JobState(state)] += int(count)
    return counts


def withdrawals(connection: Connection, jobs: Collection[WithdrawnJob]) -> tuple[Withdrawal, ...]:
    """Groups these jobs by the command that cancelled, recalled or corrected them, the earliest first."""
    if not jobs:
        return ()
    commands = _commands(connection, min(job.at for job in jobs), max(job.at for job in jobs))
    by_command: dict[tuple[str, str | None], Withdrawal] = {}
    for job in sorted(jobs, key=lambda job: job.at):
        # The newest that fits, because one that was cut short has no end.
        command = next((command for command in commands if _did(command, job)), None)
        key = job.how, None if command is None else str(command["id"])
        if key in by_command:
            by_command[key] = replace(by_command[key], jobs=by_command[key].jobs + 1)
        else:
            by = {} if command is None else {name: command[name] for name in ("person", "why")}
            by_command[key] = Withdrawal(job.how, instant(job.at), audit=key[1], **by)
    return tuple(by_command.values())


def _commands(connection: Connection, first: int, last: int) -> list[dict[str, Any]]:
    """Returns the commands that may have done so between two instants, newest first."""
    query = (
        "select id, action, person, why, asked, began_at, ended_at from worker_audit"
        f" where action in ({_ACTIONS}) and began_at <= :last and (ended_at is null or ended_at >= :first)"
        " order by id desc"
    )
    rows = mappings(connection, query, {"first": first - _SLACK_US, "last": last + _SLACK_US})
    return [{**row, "filter": object_or_empty(row["asked"]).get("filter")} for row in rows]


def _did(command: Mapping[str, Any], job: WithdrawnJob) -> bool:
    """Returns whether a command did this, by its action, its time and its filter."""
    action, filter, row = command["action"].removeprefix("console."), command["filter"], job.row
    if filter is None or action not in _COMMANDS[job.how]:
        return False
    ended = command["ended_at"]
    if job.at < command["began_at"] - _SLACK_US or (ended is not None and job.at > ended + _SLACK_US):
        return False
    if any(name in filter and filter[name] != row[name] for name in ("account", "channel", "kind")):
        return False
    if "ids" in filter and not {row["id"], row["replay_of"]}.intersection(filter["ids"]):
        return False
    return "tag" not in filter or filter["tag"] in tags_of(row["tags"])
