"""What the answer of a call leaves: attempt, receipt, failures, a fresh code, a receipt taken back, a media_id."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection

from worker.domain import settle
from worker.domain.job import job_of
from worker.domain.lane import Success
from worker.domain.outcome import (
    Accepted,
    Outcome,
    Parked,
    Partial,
    Progress,
    Rejected,
    Retry,
    StaleToken,
    Unknown,
    Wait,
)
from worker.domain.settle import PartFacts
from worker.domain.state import PartState
from worker.outbox.commit.batch import Batch
from worker.outbox.commit.commands import End
from worker.outbox.engine.sql import run
from worker.outbox.jobs import chats, codes, confirmations
from worker.outbox.jobs.media_cache import invalidate_media, keep_media

PAGES_KEPT = 50
"""Attempts of a track that stay: it reads for weeks, and what its pages told stands elsewhere."""
URL_VALID_S = 365 * 86_400
"""How long the URL of a permanent picture is used; the vendor knows no end of it."""
_NOT_TAKEN = (Wait, Retry, Progress, StaleToken, Parked)
"""Readable refusals after which the message goes again."""


def keep_answer(connection: Connection, batch: Batch, end: End, part: PartFacts, started_at: int) -> None:
    """Writes down what a call came to: its attempt, receipt, failures, and what else the answer told."""
    outcome = end.verdict.outcome
    batch.attempts[end.part_id, end.claim] = _attempt_row(batch, end, started_at)
    match outcome:
        case Accepted() | Partial():
            batch.receipts.append(_receipt_row(batch, end, outcome))
            _follow(connection, batch, end, outcome)
        case Progress() if part.claim == end.claim:
            batch.specs.append({"id": end.part_id, "spec": to_json(outcome.spec).decode()})
            confirmations.keep(connection, end.confirms, outcome.found, batch.now)
            _forget_pages(connection, end)
        case _:
            pass
    if isinstance(outcome, (Partial, Unknown)) or (isinstance(outcome, Rejected) and not _stays_in_doubt(part)):
        batch.failures += _failure_rows(batch, end, outcome)
    if end.code_id:
        codes.end_lease(connection, end.code_id, end.part_id, outcome, end.verdict.errcode)
    invalidate_media(connection, end.invalidated)
    batch.news += [Success(lane, started_at, *_meaning(outcome)) for lane in end.successes]
    if end.block:
        batch.news.append(replace(end.block, hint=end.verdict.hint, marked_at=started_at))
    if end.spending is not None and (end.never_left or isinstance(outcome, _NOT_TAKEN)):
        chats.give_back(connection, end.spending, started_at)
    if part.state is PartState.QUEUED:
        batch.said[part.job_id] = f"{_wait_s(end):.0f} s: {getattr(outcome, 'reason', '')}"


def _forget_pages(connection: Connection, end: End) -> None:
    """The attempts before a track's last ones; those in doubt stay, for their answer may come yet."""
    if end.confirms and end.claim > PAGES_KEPT:
        run(
            connection,
            "delete from worker_attempts where part_id = :part and claim <= :claim and doubtful = false",
            {"part": end.part_id, "claim": end.claim - PAGES_KEPT},
        )


def _stays_in_doubt(part: PartFacts) -> bool:
    """An earlier call may have reached those whom this one was refused for: they do not count as refused."""
    return part.state is PartState.UNKNOWN


def _meaning(outcome: Outcome) -> tuple[bool, bool]:
    """For the lane: whether the vendor carried the call out, and whether it judged it at all."""
    taken = isinstance(outcome, (Accepted, Partial, Progress))
    return taken, taken or isinstance(outcome, Rejected)


def _wait_s(end: End) -> float:
    """How long the part, or everything of its lane, waits now."""
    blocked_s = end.block.delay if end.block else 0.0
    if isinstance(end.verdict.outcome, (Wait, Progress)):
        return max(blocked_s, end.verdict.outcome.delay)
    return blocked_s or end.delay_s


def _follow(connection: Connection, batch: Batch, end: End, outcome: Accepted | Partial) -> None:
    """What an accepted call leaves for later jobs: a fresh code, a receipt taken back, a media_id in the vault."""
    taken = outcome.taken
    if taken.response_code and end.is_card:
        codes.file_code(connection, end.app, end.part_id, taken.response_code, batch.now, end.code_ttl_s)
    if taken.msgid and end.named:
        codes.name_part(connection, end.account, taken.msgid, end.part_id)
    if end.recalled:
        part_id, claim = end.recalled
        run(
            connection,
            "update worker_receipts set recalled_at = :now where part_id = :part and claim = :claim"
            " and recalled_at is null",  # a second recall takes back what is gone already
            {"now": batch.now, "part": part_id, "claim": claim},
        )
    url = taken.extra.get("url")
    media_id = taken.media_id or url
    if end.vault_valid_s is not None and media_id:
        valid_s = end.vault_valid_s if taken.media_id else URL_VALID_S
        keep_media(connection, job_of(end.part_id), media_id, batch.now + valid_s * settle.SECOND)


def _attempt_row(batch: Batch, end: End, started_at: int) -> dict[str, Any]:
    verdict = end.verdict
    return {
        "part_id": end.part_id,
        "claim": end.claim,
        "incarnation": end.incarnation,
        "outcome": outcome_name(verdict.outcome),
        "doubtful": isinstance(verdict.outcome, Unknown),
        "reason": getattr(verdict.outcome, "reason", None),
        "http_status": verdict.http_status,
        "errcode": verdict.errcode,
        "errmsg": verdict.errmsg,
        "hint": verdict.hint,
        "caller_ip": verdict.caller_ip,
        "flagged": end.flagged,
        "duration_ms": end.duration_ms,
        "started_at": started_at,
        "ended_at": batch.now,
    }


def outcome_name(outcome: Outcome) -> str:
    """`Accepted` -> accepted, `StaleToken` -> stale_token."""
    name = type(outcome).__name__
    return "stale_token" if name == "StaleToken" else name.lower()


def _receipt_row(batch: Batch, end: End, outcome: Accepted | Partial) -> dict[str, Any]:
    taken = outcome.taken
    return {
        "part_id": end.part_id,
        "claim": end.claim,
        "msgid": taken.msgid,
        "media_id": taken.media_id,
        "extra": to_json(taken.extra).decode() if taken.extra else None,
        "accepted_at": batch.now,
        "recalled_at": None,
        "from_repeat": taken.from_repeat,
        "not_sent": taken.not_sent,
        "warning": taken.warning,
    }


def _failure_rows(batch: Batch, end: End, outcome: Partial | Rejected | Unknown) -> list[dict[str, Any]]:
    return [
        {
            "part_id": end.part_id,
            "kind": refusal.kind,
            "recipient_key": refusal.recipient.lower(),
            "recipient": refusal.recipient,
            "field": refusal.field,
            "errcode": end.verdict.errcode or 0,
            "failed_at": batch.now,
        }
        for refusal in outcome.refusals
    ]


def lost_attempt(
    batch: Batch, part_id: str, claim: int, incarnation: str | None, marked_at: int | None, reason: str
) -> dict[str, Any]:
    """The row of a call whose process died before it could be recorded."""
    row: dict[str, Any] = dict.fromkeys(("http_status", "errcode", "errmsg", "hint", "caller_ip"))
    return {
        "part_id": part_id,
        "claim": claim,
        "incarnation": incarnation or "",
        "outcome": "unknown",
        "doubtful": True,
        "reason": reason,
        **row,
        "flagged": False,
        "duration_ms": None,
        "started_at": marked_at or batch.now,
        "ended_at": batch.now,
    }


def unsent_receipt(batch: Batch, part_id: str, claim: int) -> dict[str, Any]:
    """The row that says a part was accepted without a call."""
    return {
        "part_id": part_id,
        "claim": claim,
        "msgid": None,
        "media_id": None,
        "extra": None,
        "accepted_at": batch.now,
        "recalled_at": None,
        "from_repeat": False,
        "not_sent": True,
        "warning": None,
    }
