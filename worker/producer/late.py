"""Compares the `expires_at` of new jobs with the forecast of their accounts, where their producer asked for it.

Reads what a producer may read: the queue, limits, blocks and heartbeats. Knows no secret, and writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection

from worker.config.accounts import FixedAccounts
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import Part
from worker.outbox.engine.clock import SqlClock, instant, now_in
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.jobs import only_part
from worker.producer.plan import Asked, Planned, dump
from worker.reporting.backlog_lines import Example, NewParts
from worker.reporting.forecast import Expected, expected

MOST = 50_000
"""Queued parts of an account that are counted; behind more of them a job counts as late only by these."""
EXAMPLES = 20
"""Parts of one job whose cost is worked out."""

Numbered = tuple[int, Planned]


def judge_lateness(connection: Connection, planned: Sequence[Numbered], clock: SqlClock, path: str) -> None:
    """Warns of jobs that would expire before they can be sent; CheckFailed for those that are to be refused then.

    The jobs are given with their places; those of one account are judged in their order, each behind the ones before.
    """
    now_sql = now_in(connection, clock)
    now = read_now(connection, now_sql)
    by_account: dict[str, list[Numbered]] = {}
    for n, one in planned:
        by_account.setdefault(one.job["account"], []).append((n, one))
    problems = []
    for name, its in by_account.items():
        asked = [_asked(one) for _, one in its]
        jobs = [_parts(one, now) for _, one in its]
        found = expected(connection, now_sql, name, FixedAccounts([asked[0].account]), jobs, most=MOST)
        for (n, one), what, when in zip(its, asked, found or (), strict=False):
            expires_at = one.job.get("expires_at", now + one.job.get("expires_in", 0))
            if when.at is not None and when.at < expires_at:
                continue
            if what.options.if_late == "warn":
                one.warnings = (*one.warnings, f"expires_at: {_told(expires_at, when)}")
                one.job["warnings"] = dump(one.warnings)
            else:
                remedy = "give a later expires_at, or leave if_late out"
                problems.append(Problem(f"{path.format(n)}expires_at", _told(expires_at, when), remedy))
    if problems:
        raise CheckFailed(problems)


def _asked(one: Planned) -> Asked:
    assert one.unless_late is not None
    return one.unless_late


def _told(expires_at: int, when: Expected) -> str:
    """Both instants, to the second."""
    begin = f"is {instant(expires_at):%Y-%m-%d %H:%M:%S} UTC, and"
    if when.at is None:
        return f"{begin} it is not sent by itself: {when.why}"
    return f"{begin} the forecast is {instant(when.at):%Y-%m-%d %H:%M:%S} UTC ({when.why})"


def _parts(one: Planned, now: int) -> list[tuple[tuple[str, int], NewParts]]:
    """The job's parts by the place in which they will be queued."""
    asked, job = _asked(one), one.job
    due_at = max(now, job.get("due_at", now + job.get("due_in", 0)))
    places: dict[str, list[Example]] = {}
    counts: dict[str, int] = {}
    for row in one.parts or [only_part(job)]:
        counts[row["lane"]] = counts.get(row["lane"], 0) + 1
        examples = places.setdefault(row["lane"], [])
        if len(examples) < EXAMPLES:
            spec = json.loads(row.get("spec", job["recipients"]))
            part = Part(row["id"], row["job_id"], row["n"], asked.kind, asked.document, spec)
            examples.append(Example(part, job.get("tenant"), row.get("order_id")))
    return [
        ((lane, job["priority"]), NewParts(due_at, counts[lane], tuple(examples))) for lane, examples in places.items()
    ]
