"""Resolves, authorises and renders a part, before anything is reserved or marked for it.

A part that cannot be prepared waits or ends, and its row says why. It never holds up the other parts of its doorbell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from worker.channels.base import Channel
from worker.channels.registry import usable
from worker.config.policy import policy_of
from worker.delivery.resolver import Resolved
from worker.delivery.resolver.call_recipients import call_recipients, quiet_of
from worker.delivery.sender.fault_reports import program_error
from worker.delivery.sender.in_flight import InFlight
from worker.delivery.sender.lane_blocks import block_of
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.writer import WriterClosed
from worker.domain import settle
from worker.domain.account import Account, Token, TokenParked, TokenState, TokenWait
from worker.domain.call import Access, Request
from worker.domain.content.recipient import GROUPS
from worker.domain.content.staging import DRY_RUN, LIVE
from worker.domain.errors import ConfigurationError, FileGone
from worker.domain.job import NEWEST_PAYLOAD, JobKind, RepeatRule, is_read, part_id
from worker.domain.outcome import Accepted, CallReceipt, Held, Rejected, Retry
from worker.domain.pacing.lane import LaneEventKind, account_of
from worker.domain.pacing.quiet import NONE, QuietHours
from worker.outbox.commit.commands import unless_changed
from worker.outbox.engine.database import error_name, is_data_error
from worker.outbox.jobs.loading import JobPart, next_move_at, read_documents
from worker.outbox.jobs.rows import store_omitted
from worker.outbox.lanes.pauses import paused_parts
from worker.transport.token_source import secret_of

log = structlog.get_logger()
Then = Callable[[Connection, int], None]

ACCOUNT_RECHECK_S = 5.0
"""Seconds until a process tries an account again whose settings are wrong here."""
RECHECK_S = 0.2
"""Seconds until a part checks again whether the part before it has ended."""
MAX_RECHECK_S = 60.0
"""The longest time in seconds until it checks, however late the part before it is due."""
NEWER_MIN_S, NEWER_MAX_S = 1.0, 60.0
"""The shortest and the longest time in seconds for which a part with a newer release's documents is put off.

Between them it is put off by its age. So in an upgrade it soon comes to a process of that release, and without such a
process it rarely comes back.
"""
UNPREPARED_S = 60.0
"""Seconds that a part waits after an error of ours in its preparation; doubled with every further try."""


# -- resolve ----------------------------------------------------------------------------------------------------------


def resolve(runtime: Runtime, flight: InFlight) -> bool:
    """Finds what the part needs before it can be rendered. Returns False if it waits or has ended."""
    part = flight.part
    if not is_read(part.payload):
        _defer_to_newer_release(runtime, part)
        return False
    if part.is_unread:
        # Large documents are read only now, one part at a time: fifty at once could fill the memory.
        with runtime.database.reading() as connection:
            read_documents(connection, part)
    if part.fault is not None:
        fail(runtime, part, f"error in this program: the stored content cannot be read: {error_name(part.fault)}")
        return False
    account = usable(runtime.accounts, part.account)
    channel = runtime.channel(account.channel)
    if account.quiet_hours != NONE or part.quiet_hours is not None:
        flight.quiet = quiet_of(part, account, channel)
    if not _find_needs(runtime, part, channel, account, flight.quiet):
        return False
    flight.row_spec = part.spec
    if part.claim or account.staging != LIVE:
        recipients = call_recipients(runtime.database, part, channel, account)
        if (reason := recipients.obstacle) is not None:
            change(
                runtime,
                part,
                lambda row, now: settle.refuse(row, reason),
                then=lambda connection, now: store_omitted(connection, now, part.id, recipients.left_out),
            )
            return False
        flight.left_out, flight.substitutes, part.spec = recipients.left_out, recipients.substitutes, recipients.spec
    flight.account, flight.channel = account, channel
    part.members = _members(runtime, part, channel, account)
    flight.incarnation = runtime.lease.incarnation
    return True


def _defer_to_newer_release(runtime: Runtime, part: JobPart) -> None:
    """Puts off a part whose documents a newer release wrote, because this release could send it incompletely.

    It goes behind the other parts of its lane, which go on.
    """
    runtime.fault_reports.report(
        "release",
        f"is stored in format version {part.payload}, and this release reads up to {NEWEST_PAYLOAD}",
        account=part.account,
        remedy="start processes of the newer release; `worker db check` shows which release runs where",
        what=LaneEventKind.TOO_NEW,
    )

    def put_off(row: settle.PartFacts, now: int) -> None:
        age_s = (now - part.due_at) / settle.SECOND
        delay_s = min(max(age_s, NEWER_MIN_S), NEWER_MAX_S)
        settle.wait_until(row, now + int(delay_s * settle.SECOND), settle.NEWER_RELEASE)

    change(runtime, part, put_off)


def _end_dry_run(runtime: Runtime, part: JobPart) -> None:
    """Ends a part of an account in dry run, which makes no calls."""
    with runtime.database.reading() as connection:
        pause = paused_parts(connection, [part.id]).get(part.id)
    if pause is not None:
        change(runtime, part, lambda row, now: settle.pause(row, pause.parked_until))
        return
    log.info("dry_run", job=part.job_id, part=part.id, account=part.account, kind=part.kind)
    change(runtime, part, lambda row, now: settle.cancel(row, DRY_RUN))


def _find_needs(runtime: Runtime, part: JobPart, channel: Channel, account: Account, quiet: QuietHours | None) -> bool:
    """Finds what the part's call needs. Returns False if the part waits or has ended."""
    # If the next call of a part in doubt is a search, it sends nothing, so the search goes on.
    if part.cancelled_at is not None and not (part.in_doubt and channel.is_looked_up(part.kind, part.message)):
        change(runtime, part, lambda row, now: settle.cancel(row, settle.CANCELLED))
        return False
    if _waits_for_quiet_hours(runtime, part, quiet) or not _is_next_in_job(runtime, part):
        return False
    if account.staging.dry_run:
        _end_dry_run(runtime, part)
        return False
    match _find_dependencies(runtime, part, channel, account):
        case JobPart():
            return True
        case Rejected(reason=reason):
            change(runtime, part, lambda row, now: settle.refuse(row, reason))
        case Accepted(receipt=receipt):
            change(runtime, part, lambda row, now: settle.finish(row), receipt=receipt)
        case Held(reason=reason):
            change(runtime, part, lambda row, now: settle.hold(row, reason))
        case Retry(reason=reason):
            _try_again(runtime, part, reason, backoff_s(runtime, part.tries))
        case None:
            pass
    return False


def _waits_for_quiet_hours(runtime: Runtime, part: JobPart, quiet: QuietHours | None) -> bool:
    """Puts the part off to the end of its quiet hours and returns True, or returns False outside of them.

    Without it a part would be prepared at night: files fetched and uploaded, and a fourth reminder within a day refused
    that may go in the morning. The mark decides, by its own instant.
    """
    if quiet is None or part.in_doubt or quiet.ends_at(runtime.database.read_now()) is None:
        return False
    change(runtime, part, lambda row, now: settle.wait_for_quiet_end(row, quiet, now))
    return True


def _is_next_in_job(runtime: Runtime, part: JobPart) -> bool:
    """Returns False if the part waits for another part of its job, until that has ended or is held for a person."""
    if "after" not in part.spec:
        return True
    with runtime.database.reading() as connection:
        ended_by = next_move_at(connection, part_id(part.job_id, part.spec["after"]))
    if ended_by is None:
        return True
    soon_us, late_us = int(RECHECK_S * settle.SECOND), int(MAX_RECHECK_S * settle.SECOND)
    reason = settle.BEHIND_A_PART
    # Checked again after a while: nothing wakes this part when the part before it is woken early.
    change(
        runtime,
        part,
        lambda row, now: settle.wait_until(row, min(max(ended_by, now) + soon_us, now + late_us), reason),
    )
    return False


def _find_dependencies(runtime: Runtime, part: JobPart, channel: Channel, account: Account) -> Resolved:
    """Resolves the part by its kind. The first case that applies decides."""
    match part.kind:
        case JobKind.RECALL:
            return runtime.follow_ups.recall(part, channel, account)
        case JobKind.UPDATE_CARD:
            return runtime.follow_ups.update_card(part, channel, account)
        case JobKind.UPLOAD:
            return runtime.media.upload(part, channel, account)
        case JobKind.TRACK:
            return runtime.group_sends.track(part)
        case JobKind.REMIND:
            return runtime.group_sends.remind(part)
        case _ if part.in_doubt and channel.is_looked_up(part.kind, part.message):
            return _find_search(runtime, part, channel, account)
        # Not for a repeat: it sends the stored bytes of the call in doubt, with their media_ids.
        case _ if part.message.get("files") and part.frozen is None:
            return runtime.media.send_with_files(part, channel, account)
        case _:
            return part


def _find_search(runtime: Runtime, part: JobPart, channel: Channel, account: Account) -> Resolved:
    """Finds what the search for a group send in doubt needs, and the media_ids of its files."""
    # Two tasks may have the same text. Then only their files distinguish them.
    search = runtime.group_sends.look_up(part, channel, account)
    if not isinstance(search, JobPart) or not part.message.get("files"):
        return search
    return runtime.media.send_with_files(part, channel, account)


def _members(runtime: Runtime, part: JobPart, channel: Channel, account: Account) -> tuple[str, ...] | None:
    """Returns the members of a send's departments and tags, or None if the application does not name them in time.

    Returns None also if the channel has no limits by member. Waits for the application no longer than
    `delivery.members_deadline_s`.
    """
    if not channel.counts_members or part.kind != JobKind.SEND or not part.spec.keys() & GROUPS:
        return None
    return runtime.members.of(account.name, part.spec)


# -- authorise --------------------------------------------------------------------------------------------------------


def authorise(runtime: Runtime, flight: InFlight) -> bool:
    """Finds the secret or token of the call. Returns False if there is no token now, and the account waits."""
    channel, account = flight.channel, flight.account
    token: TokenState | None = None
    if channel.uses_token:
        token, account = runtime.tokens.get_current_or_previous(account, channel)
    secret = secret_of(account) if channel.calls_with_secret else None
    match token:
        case None:
            flight.token, flight.access = None, Access(None, secret)
            return True
        case Token():
            flight.token, flight.access = token, Access(token.value, secret)
            return True
        case TokenWait(is_local=True):
            runtime.lane_blocks.apply(runtime.lane_blocks.block_without_token(flight.part, token))
        case TokenWait() | TokenParked():
            runtime.lane_blocks.apply(block_of(flight.part, token, runtime.settings))
    return False


# -- render -----------------------------------------------------------------------------------------------------------


def render(runtime: Runtime, flight: InFlight) -> None:
    """Renders the call, and decides what makes its repeat safe and how many units it takes of each limit."""
    render_again(runtime, flight)
    flight.charges = flight.channel.limits(flight.part, flight.account)


WINDOWS = {RepeatRule.DUPLICATE_CHECK: "duplicate", RepeatRule.TASK_ID: "task_id"}
"""Rules -> the key in the account's `windows_s` for how long they make a repeat safe, if less than published."""


def render_again(runtime: Runtime, flight: InFlight) -> None:
    """Renders the call again for the part's present spec. Its charges stay."""
    channel = flight.channel
    flight.rule, window_s = channel.repeat_rule(flight.part.kind, flight.part.message)
    flight.window_id = None
    if flight.rule is RepeatRule.DUPLICATE_CHECK or (flight.rule is RepeatRule.HOLD and window_s):
        # Also for a call without the duplicate check: the vendor may compare a later call, which has it, with all calls
        # before. A repeat uses the window of its first call, because another release may render the body differently.
        flight.window_id = flight.part.window_id or channel.body_hash(flight.part, flight.account)
    if flight.rule in WINDOWS:
        window_s = flight.account.relied_on_s(WINDOWS[flight.rule], window_s)
    flight.rule_window_s = window_s
    flight.request = make_request(flight, flagged=flight.rule is RepeatRule.DUPLICATE_CHECK)


def make_request(flight: InFlight, *, flagged: bool) -> Request:
    """Returns the HTTP request of the call, through the account's egress. A repeat has the earlier call's bytes."""
    request = flight.channel.request(flight.part, flight.account, flight.access, flagged=flagged)
    return request if flight.account.egress == request.egress else replace(request, egress=flight.account.egress)


# -- parts that cannot be prepared ------------------------------------------------------------------------------------


def end_unprepared(runtime: Runtime, part: JobPart, error: Exception) -> None:
    """Ends a part, or lets it wait, after an error in its preparation.

    Raises the error again if it is not about this part alone.
    """
    if isinstance(error, WriterClosed):
        raise error
    if isinstance(error, ConfigurationError):
        _avoid_account(runtime, part, str(error))
    elif isinstance(error, FileGone):
        reason = str(error)
        change(runtime, part, lambda row, now: settle.refuse(row, reason))
    elif isinstance(error, SQLAlchemyError) and not is_data_error(error):
        raise error
    else:
        fail(runtime, part, program_error(error))


def _avoid_account(runtime: Runtime, part: JobPart, problem: str) -> None:
    """Avoids an account whose settings are wrong here, and reports that as an event."""
    # In this process only: while a new configuration is rolled out, other processes know the account already.
    runtime.lane_states.mark_unusable(account_of(part.lane), ACCOUNT_RECHECK_S, problem)
    remedy = "correct the account's settings here"
    runtime.fault_reports.report("account", problem, account=part.account, remedy=remedy, what=LaneEventKind.UNUSABLE)


def fail(runtime: Runtime, part: JobPart, reason: str) -> None:
    """Counts an error of ours as a failed attempt and reports it. After the last attempt the part ends."""
    log.warning("not_prepared", part=part.id, reason=reason)
    runtime.fault_reports.report(
        f"{part.kind} to be prepared", reason, lane=part.lane, account=part.account, part=part.id
    )
    _try_again(runtime, part, reason, fault_delay_s(runtime, part.tries, UNPREPARED_S))


def _try_again(runtime: Runtime, part: JobPart, reason: str, delay_s: float) -> None:
    policy = policy_of(runtime.settings)
    change(runtime, part, lambda row, now: settle.try_again(row, reason, now, delay_s, policy, due_at=part.due_at))


def change(
    runtime: Runtime, part: JobPart, apply: Any, *, receipt: CallReceipt | None = None, then: Then | None = None
) -> None:
    """Changes the part's state, unless it changed since the part was loaded. `then` runs in the same transaction."""
    runtime.writer.change([replace(unless_changed(part, apply, receipt=receipt), on_changed=then)])


def backoff_s(runtime: Runtime, tries: int) -> float:
    """Returns the seconds to the next try, with full jitter: between 0 and base x 2^tries, at most `backoff_max_s`."""
    settings = runtime.settings
    return runtime.rng.uniform(0, min(settings.backoff_max_s, settings.backoff_base_s * 2**tries))


def fault_delay_s(runtime: Runtime, tries: int, first_s: float) -> float:
    """Returns the seconds to the next try after an error of ours: doubled each time, at most `max_age_s / attempts`."""
    settings = runtime.settings
    # Long enough for a corrected release to arrive, and short enough that all tries fit into the age of a part.
    return min(first_s * 2.0**tries, settings.max_age_s / settings.attempts)
