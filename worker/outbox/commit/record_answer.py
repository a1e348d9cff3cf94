"""Records the answer of a call: attempt, receipt, failures, a fresh code, a recalled receipt, a media_id."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection

from worker.domain import settle
from worker.domain.call import AnswerFacts
from worker.domain.job import job_of
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
from worker.domain.pacing.lane import Success
from worker.domain.settle import PartFacts
from worker.domain.state import PartState
from worker.outbox.commit.commands import End
from worker.outbox.engine.sql import run
from worker.outbox.jobs import chats, codes, confirmations
from worker.outbox.jobs.media_cache import invalidate_media, keep_media
from worker.outbox.jobs.rows import Batch, failure_rows

PAGES_KEPT = 50
"""The newest attempts of a track that are kept: it reads for weeks, and its results are in `worker_confirmations`."""
URL_VALID_S = 365 * 86_400
"""Seconds for which the URL of a permanent picture is used; the vendor sets no end."""
OF_ANSWER = tuple(fact.name for fact in fields(AnswerFacts))
OF_VERDICT = tuple(fact.name for fact in fields(Verdict) if fact.name != "outcome")
"""Columns of an attempt that hold facts of its HTTP answer, and of the vendor's words in it."""
_NOT_TAKEN = (Wait, Retry, Progress, StaleToken, Parked)
"""Outcomes that say that the vendor did not take the message and may take it later."""


def keep_answer(connection: Connection, batch: Batch, end: End, part: PartFacts, started_at: int) -> None:
    """Records the end of a call: its attempt, receipt, failures, and what else follows from the answer."""
    outcome, effects, feedback = end.verdict.outcome, end.effects, end.feedback
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
    batch.lane_changes += [Success(lane, started_at, *_meaning(outcome)) for lane in feedback.successes]
    if feedback.block:
        batch.lane_changes.append(replace(feedback.block, hint=end.verdict.hint, marked_at=started_at))
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


def _meaning(outcome: Outcome) -> tuple[bool, bool]:
    """Whether the vendor carried the call out, and whether it judged it (carried it out or refused it for good)."""
    taken = isinstance(outcome, (Accepted, Partial, Progress))
    return taken, taken or isinstance(outcome, Rejected)


def _wait_s(end: End) -> float:
    """Seconds for which the part, or its whole lane, waits now."""
    block = end.feedback.block
    blocked_s = block.delay if block else 0.0
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
        **{name: getattr(end.answer, name) for name in OF_ANSWER},
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
