"""Records the end of a call: attempt, receipt, failures, a new response_code, a recalled receipt, a media_id.

It also counts the call for the metrics, in a row that the same commit writes.
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
    CallReceipt,
    Outcome,
    Parked,
    Partial,
    Progress,
    Rejected,
    Retry,
    StaleToken,
    Unknown,
    Verdict,
    Wait,
)
from worker.domain.pacing.lane import LaneBlock, account_of
from worker.domain.settle import PartFacts
from worker.domain.state import FINAL_STATES, PartState
from worker.domain.trace import SpanRef
from worker.outbox.commit.commands import CallEnd
from worker.outbox.engine.counting import SEPARATOR, Exemplar
from worker.outbox.engine.sql import fetch, run
from worker.outbox.jobs import chats, codes, confirmations
from worker.outbox.jobs.media_cache import invalidate_media, store_media
from worker.outbox.jobs.rows import CommitBatch, JobFacts, failure_rows

MAX_TRACK_ATTEMPTS = 50
"""How many attempts of a track are kept. It reads for weeks, and its results are in `worker_confirmations`."""
URL_VALID_S = 365 * 86_400
"""Seconds for which the URL of a permanent picture is used. The vendor sets no end."""
VERDICT_COLUMNS = tuple(fact.name for fact in fields(Verdict) if fact.name not in ("outcome", "contradictions"))
"""The columns of an attempt that hold what the vendor answered."""
_AGES = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0)
BUCKET_BOUNDS: Mapping[str, tuple[float, ...]] = {
    "first_call_seconds": _AGES,
    "end_seconds": _AGES,
    "call_seconds": (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0),
    "commit_items": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0),
}
"""The histograms with the upper bounds of their buckets, in seconds or in items of one commit."""
_NOT_ACCEPTED = (Wait, Retry, Progress, StaleToken, Parked)
"""Outcomes that say that the vendor has not accepted the message and may accept it later."""


def record_answer(connection: Connection, batch: CommitBatch, end: CallEnd, part: PartFacts, started_at: int) -> None:
    """Records the end of a call: its attempt, receipt and failures, and what else follows from the answer."""
    outcome, effects = end.verdict.outcome, end.effects
    batch.attempts[end.part_id, end.claim] = attempt_row(batch, end, started_at)
    match outcome:
        case Accepted() | Partial():
            batch.receipts.append(receipt_row(batch, end.part_id, end.claim, outcome.receipt))
            _store_for_follow_ups(connection, batch, end, outcome)
        # A late answer with an older page must not replace the spec of a newer call.
        case Progress() if part.claim == end.claim:
            batch.specs.append({"id": end.part_id, "spec": to_json(outcome.spec).decode()})
            batch.failures += failure_rows(end.part_id, outcome.refusals, batch.now, end.verdict.errcode)
            confirmations.store_confirmations(connection, effects.confirms, outcome.confirmations, batch.now)
            _delete_old_attempts(connection, end)
        case Retry(spec=spec) if spec is not None and part.claim == end.claim:
            batch.specs.append({"id": end.part_id, "spec": to_json(spec).decode()})
        case _:
            pass
    # Another call may have reached, or may yet reach, the recipients that are refused now.
    is_only_this_call = isinstance(outcome, Rejected) and part.state is not PartState.REJECTED
    if isinstance(outcome, (Partial, Unknown, Rejected)) and not is_only_this_call:
        batch.failures += failure_rows(end.part_id, outcome.refusals, batch.now, end.verdict.errcode)
    if effects.code_id:
        codes.end_lease(connection, effects.code_id, end.part_id, outcome, end.verdict.errcode)
    if effects.invalidated:
        invalidate_media(connection, effects.invalidated)
    if effects.allowance_use is not None and (end.nothing_sent or isinstance(outcome, _NOT_ACCEPTED)):
        # Before the changes by the answer: it opens the lane, and the answer may block it.
        batch.lane_changes += chats.return_to_allowance(connection, effects.allowance_use, started_at)
    batch.lane_changes += [replace(change, marked_at=started_at) for change in end.lane_changes]
    if part.state is PartState.QUEUED:
        batch.wait_reports[part.job_id] = f"{_wait_s(end):.0f} s: {getattr(outcome, 'reason', '')}"


def _delete_old_attempts(connection: Connection, end: CallEnd) -> None:
    """Deletes all but the newest attempts of a track."""
    if end.effects.confirms and end.claim > MAX_TRACK_ATTEMPTS:
        # Attempts in doubt stay. Their answer may still come and is matched with the row.
        delete = "delete from worker_attempts where part_id = :part and claim <= :claim and doubtful = false"
        run(connection, delete, {"part": end.part_id, "claim": end.claim - MAX_TRACK_ATTEMPTS})


def _wait_s(end: CallEnd) -> float:
    """Returns the seconds for which the part or its whole lane waits now."""
    blocked_s = max((change.delay for change in end.lane_changes if isinstance(change, LaneBlock)), default=0.0)
    if isinstance(end.verdict.outcome, (Wait, Progress)):
        return max(blocked_s, end.verdict.outcome.delay)
    return blocked_s or end.delay_s


def _store_for_follow_ups(
    connection: Connection, batch: CommitBatch, end: CallEnd, outcome: Accepted | Partial
) -> None:
    """Stores what later jobs need from an accepted call: a response_code, the recalled receipt, a media_id or URL."""
    receipt, effects = outcome.receipt, end.effects
    if receipt.response_code and effects.code_ttl_s is not None:
        codes.store_code(connection, effects.app, end.part_id, receipt.response_code, batch.now, effects.code_ttl_s)
    if receipt.msgid and effects.claims_msgid:
        codes.store_msgid(connection, effects.account, receipt.msgid, end.part_id)
    if effects.recalled:
        mark_recalled(connection, *effects.recalled, batch.now)
    url = receipt.extra.get("url")
    media_id = receipt.media_id or url
    if effects.media_valid_s is not None and media_id:
        valid_s = effects.media_valid_s if receipt.media_id else URL_VALID_S
        store_media(connection, job_of(end.part_id), media_id, batch.now + valid_s * settle.SECOND)


def mark_recalled(connection: Connection, part_id: str, claim: int, now: int) -> None:
    """Stores in a receipt that its message was recalled."""
    # The instant of the first recall stays. A second recall finds the message recalled already.
    recall = "update worker_receipts set recalled_at = :now where part_id = :part and claim = :claim"
    run(connection, f"{recall} and recalled_at is null", {"now": now, "part": part_id, "claim": claim})


def complete_receipt(connection: Connection, end: CallEnd) -> None:
    """Adds the msgid of a late answer to the receipt that was written when a person decided that the call arrived."""
    outcome = end.verdict.outcome
    if isinstance(outcome, (Accepted, Partial)) and outcome.receipt.msgid:
        values = {"msgid": outcome.receipt.msgid, "part": end.part_id, "claim": end.claim}
        update = "update worker_receipts set msgid = :msgid where part_id = :part and claim = :claim"
        run(connection, update, values)


def may_be_swallowed(connection: Connection, batch: CommitBatch, part_id: str, claim: int) -> bool:
    """Returns whether the vendor may have dropped this call as a repeat of one that it refused.

    The call requests the duplicate check because all calls before it were in doubt. Their late answers tell: after a
    refusal an acceptance proves nothing, unless a call before that refusal was accepted.
    """
    if claim == 1:
        return False
    query = (
        "select a.claim, a.doubtful, a.http_status, r.claim from worker_attempts a left join worker_receipts r"
        " on r.part_id = a.part_id and r.claim = a.claim"
        " where a.part_id = :part and a.claim < :claim and a.unseen = false"
    )
    rows = fetch(connection, query, {"part": part_id, "claim": claim})
    in_batch = {call: row for (part, call), row in batch.attempts.items() if part == part_id and not row["unseen"]}
    taken = {call for *_, call in rows if call is not None}
    taken |= {row["claim"] for row in batch.receipts if row["part_id"] == part_id}
    # A call of which nothing was sent has no HTTP status.
    answered = {call for call, doubtful, http_status, _ in rows if not doubtful and http_status is not None}
    answered |= {call for call, row in in_batch.items() if not row["doubtful"] and row["http_status"] is not None}
    earlier = {call for call in answered | taken if call < claim}
    return bool(earlier) and min(earlier) not in taken


def warn_of_swallowed(connection: Connection, batch: CommitBatch, part_id: str, claim: int) -> None:
    """Adds a warning to the receipts of the repeats that the vendor may have dropped, as this call was refused."""
    query = (
        "select r.claim, r.warning from worker_receipts r"
        " join worker_attempts a on a.part_id = r.part_id and a.claim = r.claim"
        " where r.part_id = :part and r.claim > :claim and a.flagged = true and a.doubtful = false"
    )
    update = "update worker_receipts set warning = :warning where part_id = :part and claim = :claim"
    for repeat, warning in fetch(connection, query, {"part": part_id, "claim": claim}):
        if may_be_swallowed(connection, batch, part_id, repeat):
            warning = with_warning(warning, settle.SWALLOWED)
            run(connection, update, {"warning": warning, "part": part_id, "claim": repeat})


def with_warning(warning: str | None, more: str) -> str:
    """Returns a receipt's warning with one more in it, once."""
    return warning if warning and more in warning else "; ".join(filter(None, (warning, more)))


def attempt_row(batch: CommitBatch, end: CallEnd, started_at: int) -> dict[str, Any]:
    """Returns the row of a call that has just ended."""
    verdict = end.verdict
    return {
        "part_id": end.part_id,
        "claim": end.claim,
        "incarnation": end.incarnation,
        "outcome": outcome_name(verdict.outcome),
        "doubtful": isinstance(verdict.outcome, Unknown),
        "reason": getattr(verdict.outcome, "reason", None),
        "http_status": end.http_status,
        **{name: getattr(verdict, name) for name in VERDICT_COLUMNS},
        "flagged": end.flagged,
        "duration_ms": end.duration_ms,
        "started_at": started_at,
        "ended_at": batch.now,
    }


def outcome_name(outcome: Outcome) -> str:
    """Returns the name of an outcome in columns and metrics: `accepted`, `stale_token`."""
    name = type(outcome).__name__
    return "stale_token" if name == "StaleToken" else name.lower()


def receipt_row(batch: CommitBatch, part_id: str, claim: int, receipt: CallReceipt) -> dict[str, Any]:
    """Returns the row of what the vendor gave for a call, or of a part that was accepted without a call."""
    return {
        "part_id": part_id,
        "claim": claim,
        "msgid": receipt.msgid,
        "media_id": receipt.media_id,
        "extra": to_json(receipt.extra).decode() if receipt.extra else None,
        "accepted_at": batch.now,
        "recalled_at": None,
        "from_repeat": receipt.from_repeat,
        "not_sent": receipt.not_sent,
        "warning": receipt.warning,
    }


# -- counts -----------------------------------------------------------------------------------------------------------


def is_first_call(part: PartFacts) -> bool:
    """Returns whether the part's first call has not ended yet."""
    # Compared by instant, because a track reads page after page and each page starts its age anew.
    return part.marked_at == part.first_marked_at and settle.calls_maybe_sent(part) == 1


def count_call(batch: CommitBatch, end: CallEnd, lane: str, job: JobFacts, *, first: int | None, late: bool) -> None:
    """Counts the end of a call.

    `first` is the instant of the mark if it is the part's first call. `late` says that its attempt was in doubt before.
    """
    account, outcome = account_of(lane), outcome_name(end.verdict.outcome)
    if late:
        _count(batch, "late_answers", job.channel, account, outcome)
        return
    _count(batch, "attempts", job.channel, account, job.kind, outcome, end.errcode_label)
    for contradiction in end.verdict.contradictions:
        _count(batch, "drift", job.channel, contradiction.sort)
    if end.duration_ms is not None and not end.nothing_sent:
        _observe(batch, "call_seconds", end.duration_ms * 1_000, job.channel, span=end.span)
    if first is not None:
        priority = Priority(job.priority).name.lower()
        _observe(batch, "first_call_seconds", max(0, first - job.due_since), priority, span=end.span)
    if end.span is not None:
        batch.spans[end.part_id] = end.span


def count_rows(batch: CommitBatch, jobs: Mapping[str, JobFacts], items: int) -> list[dict[str, Any]]:
    """Returns the row with all counts of this commit: its calls, its size, and parts that ended or came in doubt."""
    for part in batch.touched.values():
        if part.state is batch.before[part.id] or part.job_id not in jobs:
            continue
        job, account = jobs[part.job_id], account_of(part.lane)
        if part.state in FINAL_STATES:
            _count(batch, "parts_ended", job.channel, account, job.kind, part.state.label)
            if part.first_marked_at is not None:
                priority, span = Priority(job.priority).name.lower(), batch.spans.get(part.id)
                _observe(batch, "end_seconds", max(0, batch.now - job.due_since), priority, span=span)
        elif part.state is PartState.UNKNOWN:
            _count(batch, "unknowns", job.channel, account, job.kind)
    if not batch.touched:
        return []
    _observe(batch, "commit_items", items)
    traced = to_json(batch.exemplars).decode() if batch.exemplars else None
    return [{"id": uuid7().hex, "counts": to_json(batch.counts).decode(), "exemplars": traced}]


def _count(batch: CommitBatch, name: str, *labels: str, times: int = 1) -> None:
    batch.counts[SEPARATOR.join((name, *labels))] += times


def _observe(batch: CommitBatch, name: str, value: int, *labels: str, span: SpanRef | None = None) -> None:
    """Counts a value in its bucket and in the sum. Durations are in microseconds, the bounds in seconds."""
    bounds = BUCKET_BOUNDS[name]
    index = bisect_left(bounds, value / settle.SECOND if name.endswith("_seconds") else value)
    bound = str(bounds[index]) if index < len(bounds) else "+Inf"
    _count(batch, name, *labels, bound)
    if span is not None:
        batch.exemplars[SEPARATOR.join((name, *labels, bound))] = Exemplar(*span, value, batch.now)
    _count(batch, name, *labels, "sum", times=value)
