"""Records the answer of a call: attempt, receipt, failures, a fresh code, a recalled receipt, a media_id.

And counts it for the metrics, in a row that the same commit writes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.domain import settle
from worker.domain.job import Priority, job_of
from worker.domain.outcome import (
    Accepted,
    Outcome,
    Parked,
    Partial,
    Progress,
    Rejected,
    Retry,
    StaleToken,
    Taken,
    Unknown,
    Verdict,
    Wait,
)
from worker.domain.pacing.lane import LaneBlock, account_of
from worker.domain.settle import PartFacts
from worker.domain.state import FINAL_STATES, PartState
from worker.domain.trace import SpanRef
from worker.outbox.commit.commands import End
from worker.outbox.engine.counting import BETWEEN, Exemplar
from worker.outbox.engine.sql import run
from worker.outbox.jobs import chats, codes, confirmations
from worker.outbox.jobs.media_cache import invalidate_media, keep_media
from worker.outbox.jobs.rows import Batch, JobFacts, failure_rows

PAGES_KEPT = 50
"""The newest attempts of a track that are kept: it reads for weeks, and its results are in `worker_confirmations`."""
URL_VALID_S = 365 * 86_400
"""Seconds for which the URL of a permanent picture is used; the vendor sets no end."""
OF_VERDICT = tuple(fact.name for fact in fields(Verdict) if fact.name not in ("outcome", "contradictions"))
"""Columns of an attempt that hold facts of the vendor's words."""
_AGES = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0)
BOUNDS: Mapping[str, tuple[float, ...]] = {
    "first_call_seconds": _AGES,
    "end_seconds": _AGES,
    "call_seconds": (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0),
    "commit_items": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0),
}
"""The histograms, and the upper ends of their buckets: seconds, or items of one commit."""
_NOT_TAKEN = (Wait, Retry, Progress, StaleToken, Parked)
"""Outcomes that say that the vendor did not take the message and may take it later."""


def keep_answer(connection: Connection, batch: Batch, end: End, part: PartFacts, started_at: int) -> None:
    """Records the end of a call: its attempt, receipt, failures, and what else follows from the answer."""
    outcome, effects = end.verdict.outcome, end.effects
    batch.attempts[end.part_id, end.claim] = attempt_row(batch, end, started_at)
    match outcome:
        case Accepted() | Partial():
            batch.receipts.append(receipt_row(batch, end.part_id, end.claim, outcome.taken))
            _follow(connection, batch, end, outcome)
        # A page that is answered late must not replace the spec of a newer call.
        case Progress() if part.claim == end.claim:
            batch.specs.append({"id": end.part_id, "spec": to_json(outcome.spec).decode()})
            confirmations.keep(connection, effects.confirms, outcome.found, batch.now)
            _forget_pages(connection, end)
        case _:
            pass
    # While the part stays in doubt an earlier call may have reached the recipients that were refused now.
    stays_in_doubt = isinstance(outcome, Rejected) and part.state is PartState.UNKNOWN
    if isinstance(outcome, (Partial, Unknown, Rejected)) and not stays_in_doubt:
        batch.failures += failure_rows(end.part_id, outcome.refusals, batch.now, end.verdict.errcode)
    if effects.code_id:
        codes.end_lease(connection, effects.code_id, end.part_id, outcome, end.verdict.errcode)
    if effects.invalidated:
        invalidate_media(connection, effects.invalidated)
    batch.lane_changes += [replace(change, marked_at=started_at) for change in end.lane_changes]
    if effects.spending is not None and (end.never_left or isinstance(outcome, _NOT_TAKEN)):
        chats.give_back(connection, effects.spending, started_at)
    if part.state is PartState.QUEUED:
        batch.waits_told[part.job_id] = f"{_wait_s(end):.0f} s: {getattr(outcome, 'reason', '')}"


def _forget_pages(connection: Connection, end: End) -> None:
    """Deletes all but a track's newest attempts."""
    if end.effects.confirms and end.claim > PAGES_KEPT:
        # Attempts in doubt stay: their answer may still come, and is matched with the row.
        delete = "delete from worker_attempts where part_id = :part and claim <= :claim and doubtful = false"
        run(connection, delete, {"part": end.part_id, "claim": end.claim - PAGES_KEPT})


def _wait_s(end: End) -> float:
    """Seconds for which the part, or its whole lane, waits now."""
    blocked_s = max((change.delay for change in end.lane_changes if isinstance(change, LaneBlock)), default=0.0)
    if isinstance(end.verdict.outcome, (Wait, Progress)):
        return max(blocked_s, end.verdict.outcome.delay)
    return blocked_s or end.delay_s


def _follow(connection: Connection, batch: Batch, end: End, outcome: Accepted | Partial) -> None:
    """Stores what later jobs need of an accepted call: a code, a recalled receipt, a media_id or URL in the cache."""
    taken, effects = outcome.taken, end.effects
    if taken.response_code and effects.code_ttl_s is not None:
        codes.file_code(connection, effects.app, end.part_id, taken.response_code, batch.now, effects.code_ttl_s)
    if taken.msgid and effects.named:
        codes.name_part(connection, effects.account, taken.msgid, end.part_id)
    if effects.recalled:
        mark_recalled(connection, *effects.recalled, batch.now)
    url = taken.extra.get("url")
    media_id = taken.media_id or url
    if effects.media_valid_s is not None and media_id:
        valid_s = effects.media_valid_s if taken.media_id else URL_VALID_S
        keep_media(connection, job_of(end.part_id), media_id, batch.now + valid_s * settle.SECOND)


def mark_recalled(connection: Connection, part_id: str, claim: int, now: int) -> None:
    """Notes at a receipt that its message was taken back."""
    # The first recall's instant stays: a second one finds the message gone already.
    recall = "update worker_receipts set recalled_at = :now where part_id = :part and claim = :claim"
    run(connection, f"{recall} and recalled_at is null", {"now": now, "part": part_id, "claim": claim})


def complete_receipt(connection: Connection, end: End) -> None:
    """Puts the msgid of a late answer into the receipt that a person's word has left, if it has."""
    outcome = end.verdict.outcome
    if isinstance(outcome, (Accepted, Partial)) and outcome.taken.msgid:
        values = {"msgid": outcome.taken.msgid, "part": end.part_id, "claim": end.claim}
        update = "update worker_receipts set msgid = :msgid where part_id = :part and claim = :claim"
        run(connection, update, values)


def attempt_row(batch: Batch, end: End, started_at: int) -> dict[str, Any]:
    """The row of a call that ended now."""
    verdict = end.verdict
    return {
        "part_id": end.part_id,
        "claim": end.claim,
        "incarnation": end.incarnation,
        "outcome": outcome_name(verdict.outcome),
        "doubtful": isinstance(verdict.outcome, Unknown),
        "reason": getattr(verdict.outcome, "reason", None),
        "http_status": end.http_status,
        **{name: getattr(verdict, name) for name in OF_VERDICT},
        "flagged": end.flagged,
        "duration_ms": end.duration_ms,
        "started_at": started_at,
        "ended_at": batch.now,
    }


def outcome_name(outcome: Outcome) -> str:
    """`Accepted` -> accepted, `StaleToken` -> stale_token."""
    name = type(outcome).__name__
    return "stale_token" if name == "StaleToken" else name.lower()


def receipt_row(batch: Batch, part_id: str, claim: int, taken: Taken) -> dict[str, Any]:
    """The row of what the vendor gave for a call, or of a part that was accepted without one."""
    return {
        "part_id": part_id,
        "claim": claim,
        "msgid": taken.msgid,
        "media_id": taken.media_id,
        "extra": to_json(taken.extra).decode() if taken.extra else None,
        "accepted_at": batch.now,
        "recalled_at": None,
        "from_repeat": taken.from_repeat,
        "not_sent": taken.not_sent,
        "warning": taken.warning,
    }


# -- counts -----------------------------------------------------------------------------------------------------------


def is_first_call(part: PartFacts) -> bool:
    """True while the part's first call has not ended."""
    # A track reads page after page, each of which begins its age anew.
    return part.marked_at is not None and part.marked_at == part.first_marked_at and settle.may_have_left(part) == 1


def count_call(batch: Batch, end: End, lane: str, job: JobFacts, *, first: int | None, late: bool) -> None:
    """Counts the end of a call. `first`: the mark, of a part's first call; `late`: its attempt was in doubt before."""
    account, outcome = account_of(lane), outcome_name(end.verdict.outcome)
    if late:
        _count(batch, "late_answers", job.channel, account, outcome)
        return
    _count(batch, "attempts", job.channel, account, job.kind, outcome, end.counted_as)
    for odd in end.verdict.contradictions:
        _count(batch, "drift", job.channel, odd.sort)
    if end.duration_ms is not None and not end.never_left:
        _observe(batch, "call_seconds", end.duration_ms * 1_000, job.channel, span=end.span)
    if first is not None:
        priority = Priority(job.priority).name.lower()
        _observe(batch, "first_call_seconds", max(0, first - job.due_at), priority, span=end.span)
    if end.span is not None:
        batch.spans[end.part_id] = end.span


def count_rows(batch: Batch, jobs: Mapping[str, JobFacts], items: int) -> list[dict[str, Any]]:
    """The row of what this commit counts: with the calls, the parts that ended or are in doubt now, and its size."""
    for part in batch.touched.values():
        if part.state is batch.before[part.id] or part.job_id not in jobs:
            continue
        job, account = jobs[part.job_id], account_of(part.lane)
        if part.state in FINAL_STATES:
            _count(batch, "parts_ended", job.channel, account, job.kind, part.state.label)
            if part.first_marked_at is not None:
                priority, span = Priority(job.priority).name.lower(), batch.spans.get(part.id)
                _observe(batch, "end_seconds", max(0, batch.now - job.due_at), priority, span=span)
        elif part.state is PartState.UNKNOWN:
            _count(batch, "unknowns", job.channel, account, job.kind)
    if not batch.touched:
        return []
    _observe(batch, "commit_items", items)
    traced = to_json(batch.traced).decode() if batch.traced else None
    return [{"id": uuid7().hex, "counts": to_json(batch.counts).decode(), "exemplars": traced}]


def _count(batch: Batch, name: str, *labels: str, times: int = 1) -> None:
    batch.counts[BETWEEN.join((name, *labels))] += times


def _observe(batch: Batch, name: str, value: int, *labels: str, span: SpanRef | None = None) -> None:
    """Counts a value, of seconds in microseconds, in its bucket and in the sum."""
    bounds = BOUNDS[name]
    place = bisect_left(bounds, value / settle.SECOND if name.endswith("_seconds") else value)
    bound = str(bounds[place]) if place < len(bounds) else "+Inf"
    _count(batch, name, *labels, bound)
    if span is not None:
        batch.traced[BETWEEN.join((name, *labels, bound))] = Exemplar(*span, value, batch.now)
    _count(batch, name, *labels, "sum", times=value)
