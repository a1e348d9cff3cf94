"""Explains a job: what its parts wait for now, its history, and what to do about it. Reads only."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from worker.channels import registry
from worker.domain.errors import JobNotFound
from worker.domain.job import JobId, id_of
from worker.domain.job_filter import JobFilter
from worker.domain.pacing.lane import account_of, with_accounts
from worker.domain.settle import FOREVER
from worker.domain.state import PartState
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.clock import instant, now_in
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.order_queue import parts_in_orders
from worker.outbox.jobs.reading import JobRows, find_jobs_by_name, first_in_orders, jobs_waiting_for, replays_of
from worker.outbox.lanes.lanes import LaneHistory, lane_history, list_lanes
from worker.outbox.lanes.pauses import active_pauses
from worker.outbox.lanes.processes import alive_processes, unusable_account_counts
from worker.outbox.lanes.waits import MAX_REASON
from worker.reporting.code_stock import CardCodes, codes_of
from worker.reporting.find_job import rows_of
from worker.reporting.job_list import find_jobs
from worker.reporting.next_step import NextStep, next_step
from worker.reporting.recipient_status import RecipientStatus, recipients
from worker.reporting.report import JobReport, get_job
from worker.reporting.standstill import Standstill, standstills_by_lane
from worker.reporting.timeline import TimelineEvent, timeline_of
from worker.reporting.wait import PartWait, WaitContext, waits

DAY_US = 86_400_000_000
REFUSED = 20
_PART_ID = re.compile(r"([0-9a-f]{32})-\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """An open job about another one."""

    job: str
    """Id of the job."""
    kind: str
    """`send`, `recall`, `update_card`, ..., see `Kind`."""
    until: datetime | None
    """How long it waits for the other job at the latest. None if it does not wait, or waits as long as that job may be
    sent."""


@dataclass(frozen=True, slots=True)
class JobExplanation:
    """What a job waits for, and what happened to it."""

    job: JobReport
    """The state of the job."""
    waits: tuple[PartWait, ...]
    """What each part that has not ended waits for, the nearest thing first; empty if the job has ended."""
    meanings: Mapping[int, tuple[str, ...]]
    """Errcodes of the newest calls of parts that are not accepted -> what they mean, in English."""
    refused: tuple[str, ...] = field(repr=False)
    """The first recipients that were refused, at most 20. `recipients` lists all."""
    next: NextStep
    """The one thing to do."""
    codes_left: tuple[CardCodes, ...]
    """How many unused response_codes each card has."""
    follow_ups: tuple[FollowUp, ...]
    """The recalls, updates and other jobs about it that have not ended."""
    timeline: tuple[TimelineEvent, ...]
    """What happened to the job, its lanes and its account, oldest first."""


@on_callers_connection
def why(
    connection: Connection,
    name: JobId,
    *,
    accounts: Iterable[str] = (),
    numbers: range | None = None,
) -> JobExplanation:
    """Explains why a job is in its state.

    `name` is its id, the beginning of one (8 characters or more), one of its parts, or a dedupe key or task_id of one
    of the `accounts`, or a msgid. `numbers`, counted from 0, limits the report to these parts, for a job may have
    thousands. Raises JobNotFound if there is no such job, or several.
    """
    job_id = find_by_name(connection, name, accounts)
    rows = rows_of(connection, job_id, numbers)
    now = now_in(connection)
    now_us = read_now(connection, now)
    account, lanes = _sender(rows), with_accounts(part["lane"] for part in rows.parts)
    lane_rows, lane_events = _lanes(connection, now, rows, account, lanes)
    processes = alive_processes(connection, now)
    context = WaitContext(
        now_us,
        rows.job,
        lane_rows,
        first_in_orders(connection, {part["order_id"] for part in rows.parts if part["order_id"]}),
        {process.id: process.queues for process in processes},
        [pause for pause in active_pauses(connection, [job_id]) if pause.covers({**rows.job, "account": account})],
        parts_in_orders(connection, [part["id"] for part in rows.parts if part["order_id"]]),
        _waits_since(rows),
        unusable_account_counts(processes).get(account),
        _standstills(connection, now, rows),
    )
    report, part_waits = get_job(connection, job_id, numbers=numbers), tuple(waits(rows.parts, context))
    codes, original = _codes(rows), rows.job["replay_of"]
    # Of a replay with the later ones, which are listed with the original.
    chain = report if original is None else replace(report, replays=replays_of(connection, original))
    return JobExplanation(
        report,
        part_waits,
        _meanings(rows.job["channel"], codes),
        tuple(recipients(connection, job_id, RecipientStatus.REFUSED, limit=REFUSED) if report.counts.refused else ()),
        _next_step(chain, part_waits, codes, cancelled_by_person=rows.job["cancelled_at"] is not None),
        tuple(codes_of(connection, job_id, now)),
        tuple(_open_follow_ups(connection, rows)),
        # The person who pressed a card is no reason why a job waits, and this text is pasted into tickets.
        tuple(replace(event, person=None) for event in _history(timeline_of(rows), account, lane_events)),
    )


def _standstills(connection: Connection, now: str, rows: JobRows) -> dict[str, Standstill]:
    """Returns what keeps the queued parts' lanes from moving, by lane."""
    lanes = {part["lane"] for part in rows.parts if part["state"] == PartState.QUEUED}
    return standstills_by_lane(connection, now, lanes) if lanes else {}


def _sender(rows: JobRows) -> str:
    """Returns the account that sends what is left of the job."""
    return account_of(rows.parts[-1]["lane"]) if rows.parts else str(rows.job["account"])


def _lanes(
    connection: Connection, now: str, rows: JobRows, account: str, lanes: Collection[str]
) -> tuple[dict[str, dict[str, Any]], LaneHistory]:
    """Returns the rows of the account's lanes, and the events of `lanes` while the job was on its way."""
    lane_events = lane_history(connection, account, lanes, _since(rows), rows.job["finished_at"])
    return {row["lane"]: row for row in list_lanes(connection, now, account)}, lane_events


def _open_follow_ups(connection: Connection, rows: JobRows) -> Iterator[FollowUp]:
    open_ones = [row for row in rows.followers if row["finished_at"] is None]
    parked = jobs_waiting_for(connection, rows.job["id"]) if open_ones else {}
    for row in open_ones:
        at = parked.get(row["id"], FOREVER)
        yield FollowUp(row["id"], row["kind"], None if at >= FOREVER else instant(at))


def _since(rows: JobRows) -> int:
    """Returns the time from which the job's lanes matter."""
    return int(max(rows.job["created_at"], rows.job["due_at"] - DAY_US))


def _waits_since(rows: JobRows) -> dict[str, int]:
    """Returns when each part began to wait for what its row says: by itself, or after the answer to its last call."""
    began = {(row["part_id"], row["reason"][:MAX_REASON]): row["ended_at"] for row in rows.attempts if row["reason"]}
    began |= {(row["part_id"], row["reason"]): row["began_at"] for row in rows.waits}
    keys = {part["id"]: (part["id"], (part["reason"] or "")[:MAX_REASON]) for part in rows.parts}
    return {part: began[key] for part, key in keys.items() if key in began}


def _history(events: list[TimelineEvent], account: str, lane_events: LaneHistory) -> list[TimelineEvent]:
    """Returns the job's events together with those of its lanes and its account, in order."""
    lane_lines = [
        TimelineEvent(
            instant(row["happened_at"]),
            f"{'account' if row['lane'] in ('', account) else 'lane'} {row['what']}",
            detail=f"{row['label']}: {row['reason']}",
        )
        for row in lane_events.rows
    ]
    if lane_events.has_more and lane_lines:
        text = "earlier changes: see worker lanes --history"
        lane_lines.insert(0, TimelineEvent(lane_lines[0].at, "lanes", detail=text))
    return sorted([*events, *lane_lines], key=lambda event: event.at)


def find_by_name(connection: Connection, reference: JobId, accounts: Iterable[str]) -> str:
    """Returns the id of the one job that a name stands for. Raises JobNotFound if there is none, or several."""
    name = id_of(reference).replace("\x00", "")
    part_match = _PART_ID.fullmatch(name)
    # A dedupe key may be a UUID, whose hyphens `id_of` removes.
    ids = (
        find_jobs_by_name(connection, (part_match[1] if part_match else name).lower(), ())
        or find_jobs_by_name(connection, name, accounts)
        or find_jobs_by_name(connection, str(reference).replace("\x00", ""), accounts)
        or _by_msgid(connection, str(reference).replace("\x00", ""))
    )
    if len(ids) == 1:
        return ids[0]
    if ids:
        first, second, *_ = ids
        raise JobNotFound(f"{name!r} matches several jobs, such as {first} and {second}: give an id", job=name)
    raise JobNotFound(f"no job {name!r}; was its transaction committed?", job=name)


def _by_msgid(connection: Connection, msgid: str) -> list[str]:
    jobs = find_jobs(connection, JobFilter(msgid=msgid), limit=2).jobs if msgid.strip() else ()
    return [job.id for job in jobs]


def _codes(rows: JobRows) -> list[int]:
    """Returns the errcodes that matter: of the newest answered call of each part that is not accepted, without 0."""
    newest = {row["part_id"]: row["errcode"] for row in rows.attempts if row["errcode"] is not None}
    codes = (newest.get(part["id"]) for part in rows.parts if part["state"] != PartState.ACCEPTED)
    return list(dict.fromkeys(code for code in codes if code))


def _next_step(
    report: JobReport, part_waits: Sequence[PartWait], codes: Sequence[int], *, cancelled_by_person: bool
) -> NextStep:
    vendor = registry.channel_if_there(report.channel)
    row = vendor.errcodes.find(codes[0]) if vendor and codes else None
    remedy, of_message = ("", False) if row is None else (row.remedy, row.of_message)
    return next_step(report, part_waits, remedy, of_message=of_message, cancelled_by_person=cancelled_by_person)


def _meanings(channel: str, codes: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Returns the meanings of errcodes."""
    vendor = registry.channel_if_there(channel)
    lines_by_code = {code: vendor.explain(code, "en") for code in codes} if vendor else {}
    return {code: tuple(lines) for code, lines in lines_by_code.items() if lines}
