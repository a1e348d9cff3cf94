"""Builds a call's mark, reads its result, and records what that means for the part, its lane, limits and token."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import structlog

from worker.channels.registry import alike
from worker.config.settings import DeliverySettings
from worker.delivery.sender.admit import return_permit
from worker.delivery.sender.in_flight import InFlight
from worker.delivery.sender.lane_blocks import block_of
from worker.delivery.sender.prepare import backoff_s, fault_delay_s
from worker.delivery.sender.runtime import Runtime
from worker.domain import settle
from worker.domain.call import CallResult, NoAnswer, NotSent, Reply, Unsent
from worker.domain.content.left_out import outcome_for_all
from worker.domain.job import JobKind, RepeatRule
from worker.domain.job_terms import tag_fields
from worker.domain.outcome import (
    Accepted,
    Held,
    Parked,
    Partial,
    Progress,
    Rejected,
    Retry,
    Scope,
    StaleToken,
    Unknown,
    Verdict,
    Wait,
)
from worker.domain.pacing.lane import SECOND, Feedback, LaneBlock, account_of
from worker.domain.pacing.limit import Charge, Unit
from worker.domain.trace import Attributes, SpanRef, trace_id_of
from worker.outbox.commit.commands import CallEnd, Effects, Mark
from worker.outbox.commit.record_answer import outcome_name
from worker.outbox.jobs import chats
from worker.outbox.jobs.codes import SPENT_BY_VENDOR
from worker.outbox.jobs.loading import JobPart

log = structlog.get_logger()

AFTER_OUR_ERROR_S = 5.0
"""Seconds that a part waits after an error of ours between mark and call; doubled with every further try."""
MEDIA_RENEWED = "media_renewed"
"""The spec's key that says that the part's files were uploaded again, because the vendor had lost a media_id."""

# -- mark -------------------------------------------------------------------------------------------------------------


def mark_for(flight: InFlight, settings: DeliverySettings) -> Mark:
    """Returns the mark of the flight's call. The mark's effects happen with the end of the call."""
    part, rule, body = flight.part, flight.rule, flight.request.body
    flight.effects, exclusive = _effects_of(flight, settings), _charge(flight, Unit.IN_FLIGHT)
    # A repeat is safe only with exactly the bytes of the call in doubt, so they are stored with the mark.
    stores_body = rule in (RepeatRule.DUPLICATE_CHECK, RepeatRule.TASK_ID) and isinstance(body, bytes)
    # With the duplicate check it is the longest window, not this call's: a later equal body may need a longer one.
    window_s = int(settings.duplicate_window_s) if flight.window_id else flight.rule_window_s
    on_unknown = part.on_unknown if part.on_unknown != "default" else flight.account.on_unknown
    return Mark(
        part.id,
        part.claim,
        flight.incarnation,
        int(flight.request.deadline_s * settle.SECOND),
        flight.window_id,
        window_s * settle.SECOND,
        flight.rule_window_s * settle.SECOND,
        body.decode() if stores_body and isinstance(body, bytes) else None,
        needs_clean_doubt=stores_body,
        may_resend=on_unknown == "resend",
        has_duplicate_check=rule is RepeatRule.DUPLICATE_CHECK,
        effects=flight.effects,
        is_search=rule is RepeatRule.LOOK_UP and flight.part.in_doubt,
        quiet=flight.quiet,
        omitted=flight.left_out,
        exclusive_key=None if exclusive is None else exclusive.subject,
    )


def _effects_of(flight: InFlight, settings: DeliverySettings) -> Effects:
    """Returns the effects of the call beyond the end of its part."""
    part, account = flight.part, flight.account
    return Effects(
        part.code_id,
        _spending(flight),
        account.name,
        flight.channel.app_scope(account),
        code_ttl_s=int(settings.response_code_ttl_s) if flight.rule is RepeatRule.TASK_ID else None,
        media_valid_s=int(settings.media_valid_s) if part.kind == JobKind.UPLOAD else None,
        claims_msgid=flight.rule is RepeatRule.LOOK_UP,
        recalled=part.recalled,
        confirms=str(flight.part.spec.get("target", "")) if part.kind == JobKind.TRACK else "",
    )


def _spending(flight: InFlight) -> chats.AllowanceUse | None:
    """Returns the message that the call takes from a single chat's allowance, or None if it takes none."""
    if (charge := _charge(flight, Unit.ALLOWANCE)) is None:
        return None
    account, lane = flight.account.name, flight.part.lane
    return chats.AllowanceUse(account, charge.subject, chats.allowance_block(lane), charge.recipient is not None)


def _charge(flight: InFlight, unit: Unit) -> Charge | None:
    """Returns the call's charge in this unit, or None if it has none."""
    return next((charge for charge in flight.charges if charge.limit.unit is unit), None)


# -- read -------------------------------------------------------------------------------------------------------------


def read(runtime: Runtime, flight: InFlight) -> None:
    """Reads the result and decides what it means. Bytes may have been sent without a readable answer: `Unknown`."""
    flight.result = _result(runtime, flight)
    flight.verdict = _verdict(runtime, flight)


def _result(runtime: Runtime, flight: InFlight) -> CallResult:
    """Returns the result of the call, which is no longer in flight."""
    assert flight.pending is not None
    lane = flight.part.lane
    try:
        result = flight.pending.result()
    finally:
        runtime.lane_states.end_call(lane)
    if not isinstance(result, NotSent):
        runtime.lane_states.record_call(lane, result.duration_s)
    if isinstance(result, Reply):
        runtime.lane_states.record_reached(flight.account.name)
        flight.http_status = result.status
    return result


def _verdict(runtime: Runtime, flight: InFlight) -> Verdict:
    match flight.result:
        case Reply() as reply:
            verdict = flight.channel.outcome(flight.part, flight.account, reply, flight.access)
            if not flight.left_out:
                return verdict
            return replace(verdict, outcome=outcome_for_all(verdict.outcome, flight.left_out, flight.substitutes))
        case NotSent(reason=reason, cause=Unsent.CLOSED_AT_ONCE, remedy=remedy):
            block = runtime.lane_blocks.block_unreachable(flight.part, f"no connection: {reason}", remedy)
            # If the account is blocked already, only the part waits.
            return Verdict(
                Wait(Scope.ACCOUNT, block.delay, block.reason, remedy=remedy)
                if block
                else Wait(Scope.PART, 0.0, reason)
            )
        case NotSent(reason=reason, cause=Unsent.DROPPED | Unsent.DEADLINE):
            return Verdict(Wait(Scope.PART, 0.0, reason))
        case NotSent(reason=reason):
            return Verdict(Retry(reason))
        case NoAnswer(reason=reason):
            return Verdict(Unknown(reason))


# -- record -----------------------------------------------------------------------------------------------------------


def record(runtime: Runtime, flight: InFlight) -> None:
    """Queues the end of the call, with the consequences for its lane, limits and token."""
    part, result = flight.part, flight.result
    verdict, invalidated = _retry_with_fresh_ids(runtime, flight)
    delay = backoff_s(runtime, part.tries) if isinstance(verdict.outcome, Retry) else 0.0
    is_accepted = isinstance(verdict.outcome, Accepted | Partial | Progress)
    runtime.checkpoint("before_record")
    failures_in_a_row = runtime.lane_states.failures_in_a_row(part.lane)  # before this call counts
    span = _write_span(runtime, flight, verdict, result.duration_s)
    # The end is queued before anything below can fail: an exception after it cannot lose the answer.
    _end(
        runtime,
        flight,
        verdict,
        int(result.duration_s * 1000),
        nothing_sent=isinstance(result, NotSent),
        delay_s=delay,
        effects=_effects(runtime, flight, verdict, invalidated),
        lane_changes=_lane_changes(runtime, flight, verdict),
        failures_in_a_row=failures_in_a_row,
        span=span,
    )
    log_attempt(flight, flight.claim, verdict, delay, result.duration_s, span)
    if isinstance(result, NotSent):
        return_permit(runtime, flight)
    if isinstance(verdict.outcome, StaleToken) and flight.token is not None:
        runtime.tokens.invalidate(flight.account, flight.token)
    # A badge or pop-up of Youdu carries no token, so its success says nothing about one.
    elif is_accepted and flight.token is not None and flight.token.value in flight.request.query.values():
        runtime.tokens.record_success(flight.account, flight.token)
    flight.proved_open = _proved_open(part.lane, result, verdict)


def _lane_changes(runtime: Runtime, flight: InFlight, verdict: Verdict) -> tuple[LaneBlock | Feedback, ...]:
    """Returns what the call changes for its lane and account, usually nothing.

    In this process the changes count at once, for all processes when the end is committed.
    """
    states, lane, outcome = runtime.lane_states, flight.part.lane, verdict.outcome
    answered, changes = isinstance(flight.result, Reply), list[LaneBlock | Feedback]()
    block = block_of(flight.part, verdict, runtime.settings, answered=answered)
    marked_at = int(flight.marked_at * SECOND)
    if answered and not (block and block.failed):
        accepted = isinstance(outcome, Accepted | Partial | Progress)
        is_final = accepted or isinstance(outcome, Rejected)
        changes += [
            Feedback(name, marked_at, accepted=accepted, final=is_final) for name in states.needs_feedback(lane)
        ]
        if accepted:
            states.record_success(lane)
    if block:
        changes.append(replace(block, hint=verdict.hint, marked_at=marked_at))
    for change in changes:
        states.apply(change)
    return tuple(changes)


def _retry_with_fresh_ids(runtime: Runtime, flight: InFlight) -> tuple[Verdict, tuple[tuple[str, str], ...]]:
    """Turns a refusal into a retry if a fresh media_id or response_code can help.

    40007: the media_id has expired, and its file is uploaded again, once. 60140: the response_code has expired, and the
    card has another one. Returns the verdict, and the rows of the media cache with the invalid media_id.
    """
    verdict, outcome = flight.verdict, flight.verdict.outcome
    # The vendor has changed the lifetime of codes before, so it may refuse a code that our rows call fresh.
    if isinstance(outcome, Rejected) and verdict.errcode == SPENT_BY_VENDOR and flight.part.another_code:
        return replace(verdict, outcome=Retry(outcome.reason)), ()
    # With an earlier call in doubt another media_id means another body, which could be a second message.
    if not isinstance(outcome, Rejected) or outcome.retry_with != "media" or flight.part.in_doubt:
        return verdict, ()
    if not flight.part.message.get("files"):
        return verdict, ()
    media_ids = flight.part.facts.get("media", {})
    used = runtime.media.used_media(flight.part, flight.channel, flight.account, media_ids)
    if flight.row_spec.get(MEDIA_RENEWED):
        # A vendor that refuses a new media_id would refuse the next ones too, each after another upload.
        return verdict, used
    return replace(verdict, outcome=Retry(outcome.reason, spec={**flight.row_spec, MEDIA_RENEWED: True})), used


def _effects(runtime: Runtime, flight: InFlight, verdict: Verdict, invalidated: tuple[tuple[str, str], ...]) -> Effects:
    """Returns the effects of the mark, and those that this answer adds, usually none."""
    outcome, accounts = verdict.outcome, tuple[str, ...]()
    if isinstance(outcome, Accepted | Partial) and outcome.receipt.task_id is not None:
        # A task_id alone proves this call, and parts of all accounts of the app may have used it too.
        accounts = tuple(alike(runtime.accounts, flight.account, flight.channel.app_scope))
    if not invalidated and not accounts:
        return flight.effects
    return replace(flight.effects, invalidated=invalidated, accounts=accounts)


def _proved_open(lane: str, result: CallResult, verdict: Verdict) -> tuple[str, ...]:
    """Returns the lane, its account, or both, if this answer proves that they are not blocked.

    The account is not blocked unless it or its token was refused. The lane is not blocked if the vendor judged the call
    itself.
    """
    if not isinstance(result, Reply):
        return ()
    account = account_of(lane)
    match verdict.outcome:
        case Accepted() | Partial() | Rejected() | Retry() | Held() | Unknown(held=True):
            return lane, account
        case Progress():
            return (lane, account) if verdict.errcode == 0 else (account,)
        case Wait(scope=Scope.PART | Scope.LANE) | Parked(scope=Scope.PART | Scope.LANE):
            # Without an errcode the answer came from a proxy and proves nothing about the vendor.
            return () if verdict.errcode is None else (account,)
        case Wait() | Parked() | StaleToken() | Unknown():
            return ()


def log_attempt(
    flight: InFlight,
    attempt: int,
    verdict: Verdict,
    delay: float,
    duration_s: float,
    span: SpanRef | None = None,
) -> None:
    """Logs the attempt in one line, always with the same fields, and with the producer's request id, tags and trace."""
    log.info(
        "attempt",
        job=flight.part.job_id,
        part=flight.part.id,
        channel=flight.channel.name,
        account=flight.account.name,
        kind=flight.part.kind,
        attempt=attempt,
        outcome=outcome_name(verdict.outcome),
        errcode=verdict.errcode,
        reason=None if isinstance(verdict.outcome, Accepted | Partial) else verdict.outcome.reason,
        delay=round(delay, 3),
        duration=round(duration_s, 4),
        **_producer_fields(flight.part, span),
    )


def _producer_fields(part: JobPart, span: SpanRef | None) -> dict[str, Any]:
    """Returns the request id, the tags and the trace id of a job that has them."""
    trace = {"trace_id": span.trace_id if span else trace_id_of(part.trace)} if span or part.trace else {}
    return {**tag_fields(part.tags), **trace} if part.tags else trace


def _write_span(runtime: Runtime, flight: InFlight, verdict: Verdict, duration_s: float | None) -> SpanRef | None:
    """Writes the span of a call, or returns None without tracing. A call of unknown duration counts as ended now."""
    if runtime.tracing is None:
        return None
    part, so_far_s = flight.part, runtime.monotonic() - flight.called_at
    duration = so_far_s if duration_s is None else duration_s
    ended_ago_s = max(0.0, so_far_s - duration)
    name = f"{part.kind} {flight.channel.name}"
    return runtime.tracing.call(
        name, part.trace, ended_ago_s + duration, ended_ago_s, lambda: _attributes(flight, verdict)
    )


def _attributes(flight: InFlight, verdict: Verdict) -> Attributes:
    part, outcome = flight.part, outcome_name(verdict.outcome)
    is_error = not isinstance(verdict.outcome, Accepted | Partial | Progress)
    # Without the password that the URL may have.
    url = urlsplit(flight.request.base_url)
    return {
        "worker.job": part.job_id,
        "worker.part": part.id,
        "worker.channel": flight.channel.name,
        "worker.account": flight.account.name,
        "worker.kind": part.kind,
        "worker.attempt": flight.claim,
        "worker.outcome": outcome,
        "worker.errcode": verdict.errcode,
        "error.type": (str(verdict.errcode) if verdict.errcode else outcome) if is_error else None,
        "http.request.method": flight.request.method,
        "http.response.status_code": flight.http_status,
        "server.address": url.hostname,
        "server.port": url.port or {"https": 443, "http": 80}.get(url.scheme),
    }


# -- ends without an answer -------------------------------------------------------------------------------------------


def requeue_unsent(runtime: Runtime, flight: InFlight, verdict: Verdict, delay_s: float = 0.0) -> None:
    """Queues a marked part again of which certainly nothing was sent. Only an error of ours counts as an attempt."""
    _end(runtime, flight, verdict, nothing_sent=True, delay_s=delay_s)
    # The end first: the permit is returned to the database, and an outage must not keep the part marked.
    return_permit(runtime, flight)


def end_in_error(runtime: Runtime, flight: InFlight, reason: str) -> None:
    """Ends a marked part after an error of ours. Does nothing if its end is queued already or it has no mark."""
    if flight.pending_write is not None or not flight.claim:
        return
    if flight.is_called:
        verdict = Verdict(Unknown(reason))
        _end(runtime, flight, verdict, span=_write_span(runtime, flight, verdict, None))
    else:
        requeue_unsent(
            runtime, flight, Verdict(Retry(reason)), fault_delay_s(runtime, flight.part.tries, AFTER_OUR_ERROR_S)
        )


def _end(
    runtime: Runtime,
    flight: InFlight,
    verdict: Verdict,
    duration_ms: int | None = None,
    *,
    nothing_sent: bool = False,
    delay_s: float = 0.0,
    effects: Effects | None = None,
    lane_changes: tuple[LaneBlock | Feedback, ...] = (),
    failures_in_a_row: int = 0,
    span: SpanRef | None = None,
) -> None:
    if verdict.contradictions:
        runtime.unexpected_answers.report(
            flight.channel.name, flight.part.account, flight.part.id, verdict.contradictions
        )
    flight.pending_write = runtime.writer.end(
        CallEnd(
            flight.part.id,
            flight.claim,
            flight.incarnation,
            verdict,
            duration_ms,
            http_status=flight.http_status,
            flagged=flight.flagged,
            nothing_sent=nothing_sent,
            errcode_label=_errcode_label(flight, verdict.errcode, nothing_sent),
            span=span,
            delay_s=delay_s,
            effects=effects or flight.effects,
            lane_changes=lane_changes,
            failures_in_a_row=failures_in_a_row,
            is_search=flight.rule is RepeatRule.LOOK_UP and flight.part.in_doubt,
        )
    )


def _errcode_label(flight: InFlight, errcode: int | None, nothing_sent: bool) -> str:
    """Returns the errcode as the metrics label it: one that the channel knows, or a general word."""
    if errcode is None:
        return "unsent" if nothing_sent else ""
    return str(errcode) if not errcode or flight.channel.explain(errcode, "en") else "other"
