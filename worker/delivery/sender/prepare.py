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
from worker.delivery.resolver.receiving import called, quiet_of
from worker.delivery.sender.in_flight import InFlight
from worker.delivery.sender.lane_blocks import block_of
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.set_aside import our_error
from worker.delivery.sender.writer import WriterClosed
from worker.domain import settle
from worker.domain.account import Account, Token, TokenParked, TokenState, TokenWait
from worker.domain.call import Access, Request
from worker.domain.content.recipient import GROUPS
from worker.domain.content.staging import DRY_RUN, LIVE
from worker.domain.errors import ConfigurationError, FileGone
from worker.domain.job import PAYLOAD, Kind, RepeatRule, is_read, part_id
from worker.domain.outcome import Accepted, Held, Rejected, Retry, Taken
from worker.domain.pacing.lane import account_of
from worker.domain.pacing.quiet import NONE, QuietHours
from worker.domain.state import PartState
from worker.outbox.commit.commands import Change
from worker.outbox.engine.database import is_about_the_row
from worker.outbox.jobs.loading import JobPart, moves_until, read_documents
from worker.outbox.jobs.rows import leave_out
from worker.outbox.lanes.pauses import paused_among
from worker.transport.token_source import secret_of

log = structlog.get_logger()
Then = Callable[[Connection, int], None]

ACCOUNT_RECHECK_S = 5.0
"""Seconds until a process tries an account again that it cannot use as it is configured."""
AFTER_ANOTHER_S = 0.2
"""Seconds until a part checks again whether the part before it has ended."""
AFTER_ANOTHER_MAX_S = 60.0
"""The longest that it waits before it checks, however late the part before it is due."""
NEWER_FIRST_S, NEWER_MOST_S = 1.0, 60.0
"""The shortest and the longest time in seconds that a part with a newer release's documents is put off. Between them it
is put off by its age, so that it comes to a process of that release soon in an upgrade, and rarely comes back where
there is none.
"""
UNPREPARED_S = 60.0
"""Seconds a part waits that an error of ours kept from being prepared; doubled with every further try."""


# -- resolve ----------------------------------------------------------------------------------------------------------


def resolve(runtime: Runtime, flight: InFlight) -> bool:
    """Finds what the part needs before it can be rendered; False: it waits for that, or has ended."""
    due = flight.due
    if not is_read(due.payload):
        _leave_to_newer(runtime, due)
        return False
    if due.is_unread:
        # Large documents are read only now, when it is the part's turn: fifty at once could fill the memory.
        with runtime.database.reading() as connection:
            read_documents(connection, due)
    if due.fault is not None:
        fail(runtime, due, f"our own error: its documents cannot be read: {type(due.fault).__name__}")
        return False
    account = usable(runtime.accounts, due.account)
    channel = runtime.channel(account.channel)
    if account.quiet_hours != NONE or due.quiet_hours is not None:
        flight.quiet = quiet_of(due, account, channel)
    if not _find(runtime, due, channel, account, flight.quiet):
        return False
    flight.share = due.spec
    if due.claim or account.staging != LIVE:
        whom = called(runtime.database, due, channel, account)
        if (why := whom.obstacle) is not None:
            change(
                runtime,
                due,
                lambda part, now: settle.refuse(part, why),
                then=lambda connection, now: leave_out(connection, now, due.id, whom.left_out),
            )
            return False
        flight.left_out, flight.instead, due.spec = whom.left_out, whom.instead, whom.spec
    flight.account, flight.channel = account, channel
    due.members = _members(runtime, due, channel, account)
    flight.incarnation = runtime.lease.incarnation
    return True


def _leave_to_newer(runtime: Runtime, due: JobPart) -> None:
    """Puts off a part whose documents a newer release wrote: carried out by this one it could be half of what is meant.

    It goes behind the others of its lane, which go on.
    """
    runtime.set_aside.tell(
        "release",
        f"has documents of version {due.payload}, and this release reads up to {PAYLOAD}",
        account=due.account,
        remedy="start processes of the newer release; `worker db check` tells which runs where",
    )

    def put_off(part: settle.PartFacts, now: int) -> None:
        age_s = (now - due.due_at) / settle.SECOND
        delay_s = min(max(age_s, NEWER_FIRST_S), NEWER_MOST_S)
        settle.wait_until(part, now + int(delay_s * settle.SECOND), settle.NEWER_RELEASE)

    change(runtime, due, put_off)


def _do_not_call(runtime: Runtime, due: JobPart) -> None:
    """Ends the part of an account that makes no calls: a dry run, in which nothing is asked of a vendor."""
    with runtime.database.reading() as connection:
        pause = paused_among(connection, [due.id]).get(due.id)
    if pause is not None:
        change(runtime, due, lambda part, now: settle.pause(part, pause.parked_until))
        return
    log.info("dry_run", job=due.job_id, part=due.id, account=due.account, kind=due.kind)
    change(runtime, due, lambda part, now: settle.cancel(part, DRY_RUN))


def _find(runtime: Runtime, due: JobPart, channel: Channel, account: Account, quiet: QuietHours | None) -> bool:
    """Finds what the part's call needs; False: it waits, or has ended."""
    # A part in doubt whose next call is a search sends nothing, so that search goes on.
    if due.cancelled_at is not None and not (due.in_doubt and channel.is_looked_up(due.kind, due.message)):
        change(runtime, due, lambda part, now: settle.cancel(part, settle.CANCELLED))
        return False
    if _is_quiet(runtime, due, quiet) or not _is_its_turn(runtime, due):
        return False
    if account.staging.dry_run:
        _do_not_call(runtime, due)
        return False
    match _look(runtime, due, channel, account):
        case JobPart():
            return True
        case Rejected(reason=reason):
            change(runtime, due, lambda part, now: settle.refuse(part, reason))
        case Accepted(taken=taken):
            change(runtime, due, lambda part, now: settle.finish(part), receipt=taken)
        case Held(reason=reason):
            change(runtime, due, lambda part, now: settle.hold(part, reason))
        case Retry(reason=reason):
            _try_again(runtime, due, reason, backoff_s(runtime, due.tries))
        case None:
            pass
    return False


def _is_quiet(runtime: Runtime, due: JobPart, quiet: QuietHours | None) -> bool:
    """True: the part waits for the end of its quiet hours. Asked early: its mark decides, by its own instant."""
    if quiet is None or due.in_doubt:
        return False
    ends_at = quiet.ends_at(runtime.database.read_now())
    if ends_at is None:
        return False
    change(runtime, due, lambda part, now: settle.wait_quietly(part, ends_at))
    return True


def _is_its_turn(runtime: Runtime, due: JobPart) -> bool:
    """False: the part waits for another part of its job, until that one has ended or is held for a person."""
    if "after" not in due.spec:
        return True
    with runtime.database.reading() as connection:
        moves_at = moves_until(connection, part_id(due.job_id, due.spec["after"]))
    if moves_at is None:
        return True
    soon_us, late_us = int(AFTER_ANOTHER_S * settle.SECOND), int(AFTER_ANOTHER_MAX_S * settle.SECOND)
    reason = settle.BEHIND_A_PART
    # That one may be parked until something wakes it, which this one would not hear of.
    change(
        runtime,
        due,
        lambda part, now: settle.wait_until(part, min(max(moves_at, now) + soon_us, now + late_us), reason),
    )
    return False


def _look(runtime: Runtime, due: JobPart, channel: Channel, account: Account) -> Resolved:
    """Asks the resolver of the part's kind; the first case that fits decides."""
    match due.kind:
        case Kind.RECALL:
            return runtime.follow_ups.recall(due, channel, account)
        case Kind.UPDATE_CARD:
            return runtime.follow_ups.update_card(due, channel, account)
        case Kind.UPLOAD:
            return runtime.media.upload(due, channel, account)
        case Kind.TRACK:
            return runtime.group_sends.track(due)
        case Kind.REMIND:
            return runtime.group_sends.remind(due)
        case _ if due.in_doubt and channel.is_looked_up(due.kind, due.message):
            return _look_up(runtime, due, channel, account)
        # Not for a repeat: it sends the frozen bytes of the call in doubt, which name their media_ids.
        case _ if due.message.get("files") and due.frozen is None:
            return runtime.media.attached(due, channel, account)
        case _:
            return due


def _look_up(runtime: Runtime, due: JobPart, channel: Channel, account: Account) -> Resolved:
    """Finds what the search for a group send in doubt needs, and the media_ids of its files."""
    # Two tasks may have the same text; then only their files tell them apart.
    search = runtime.group_sends.look_up(due, channel, account)
    if not isinstance(search, JobPart) or not due.message.get("files"):
        return search
    return runtime.media.attached(due, channel, account)


def _members(runtime: Runtime, due: JobPart, channel: Channel, account: Account) -> tuple[str, ...] | None:
    """The members of a send's departments and tags, as the application names them; None: not known, or not counted.

    Waits for the application no longer than `delivery.members_deadline_s`.
    """
    if not channel.counts_members or due.kind != Kind.SEND or not due.spec.keys() & GROUPS:
        return None
    return runtime.members.of(account.name, due.spec)


# -- authorise --------------------------------------------------------------------------------------------------------


def authorise(runtime: Runtime, flight: InFlight) -> bool:
    """Finds the secret or token of the call; False: there is no token now, and the account waits."""
    channel, account = flight.channel, flight.account
    token: TokenState | None = None
    if channel.uses_token:
        token, account = runtime.tokens.of_either(account, channel)
    secret = secret_of(account) if channel.calls_with_secret else None
    match token:
        case None:
            flight.token, flight.access = None, Access(None, secret)
            return True
        case Token():
            flight.token, flight.access = token, Access(token.value, secret)
            return True
        case TokenWait(alone=True):
            runtime.lane_blocks.apply(runtime.lane_blocks.no_token(flight.due, token))
        case TokenWait() | TokenParked():
            runtime.lane_blocks.apply(block_of(flight.due, token, runtime.settings))
    return False


# -- render -----------------------------------------------------------------------------------------------------------


def render(runtime: Runtime, flight: InFlight) -> None:
    """Renders the call, and decides what makes a repeat of it safe and what it costs of each limit."""
    render_again(runtime, flight)
    flight.charges = flight.channel.limits(flight.due, flight.account)


WINDOWS = {RepeatRule.DUPLICATE_CHECK: "duplicate", RepeatRule.TASK_ID: "task_id"}
"""The account's `windows_s` of how long a rule makes a repeat safe, where that is less than is published."""


def render_again(runtime: Runtime, flight: InFlight) -> None:
    """Renders the call of the part as it is now; what it costs stays."""
    channel = flight.channel
    flight.rule, window_s = channel.repeat_rule(flight.due.kind, flight.due.message)
    flight.window_id = None
    if flight.rule is RepeatRule.DUPLICATE_CHECK or (flight.rule is RepeatRule.HOLD and window_s):
        # Without the check, too: the vendor may compare a later call that asks for it with every call before.
        # A repeat uses the duplicate window of its first call: another release may render the body differently.
        flight.window_id = flight.due.window_id or channel.body_hash(flight.due, flight.account)
    if flight.rule in WINDOWS:
        window_s = flight.account.relied_on_s(WINDOWS[flight.rule], window_s)
    flight.rule_window_s = window_s
    flight.request = make_request(flight, flagged=flight.rule is RepeatRule.DUPLICATE_CHECK)


def make_request(flight: InFlight, *, flagged: bool) -> Request:
    """The call, by the account's own way out; a repeat has the bytes of the call in doubt."""
    made = flight.channel.request(flight.due, flight.account, flight.access, flagged=flagged)
    return made if flight.account.egress == made.egress else replace(made, egress=flight.account.egress)


# -- parts that cannot be prepared ------------------------------------------------------------------------------------


def end_unprepared(runtime: Runtime, due: JobPart, error: Exception) -> None:
    """Ends a part that an error kept from being prepared, or lets it wait.

    Raises the error again when it is not about this part alone.
    """
    if isinstance(error, WriterClosed):
        raise error
    if isinstance(error, ConfigurationError):
        _do_without(runtime, due, str(error))
    elif isinstance(error, FileGone):
        reason = str(error)
        change(runtime, due, lambda part, now: settle.refuse(part, reason))
    elif isinstance(error, SQLAlchemyError) and not is_about_the_row(error):
        raise error
    else:
        fail(runtime, due, our_error(error))


def _do_without(runtime: Runtime, due: JobPart, why: str) -> None:
    """Blocks an account that is not usable as configured here, and writes an event that says so."""
    # In this process alone: while a new configuration is rolled out, other processes know the account already.
    runtime.lane_states.do_without(account_of(due.lane), ACCOUNT_RECHECK_S, why)
    runtime.set_aside.tell("account", why, account=due.account, remedy="correct the account's settings here")


def fail(runtime: Runtime, due: JobPart, reason: str) -> None:
    """Counts an error of ours as a failed attempt, and writes an event; after the last attempt the part ends."""
    log.warning("not_prepared", part=due.id, reason=reason)
    runtime.set_aside.tell(f"{due.kind} to be prepared", reason, lane=due.lane, account=due.account)
    _try_again(runtime, due, reason, fault_delay_s(runtime, due.tries, UNPREPARED_S))


def _try_again(runtime: Runtime, due: JobPart, reason: str, delay_s: float) -> None:
    policy = policy_of(runtime.settings)
    change(runtime, due, lambda part, now: settle.try_again(part, reason, now, delay_s, policy))


def change(
    runtime: Runtime, due: JobPart, apply: Any, *, receipt: Taken | None = None, then: Then | None = None
) -> None:
    """Moves the part, unless it was moved since it was loaded; `then` runs in the same transaction."""
    runtime.writer.change([replace(unless_moved(due, apply, receipt=receipt), on_changed=then)])


def unless_moved(due: JobPart, apply: Any, *, receipt: Taken | None = None) -> Change:
    """A change that leaves the part alone where it was moved since it was loaded."""
    claim = due.claim

    def unmoved(part: settle.PartFacts, now: int) -> None:
        if part.state is PartState.QUEUED and part.claim == claim:
            apply(part, now)

    return Change(due.id, unmoved, receipt=receipt)


def backoff_s(runtime: Runtime, tries: int) -> float:
    """Seconds to the next try, with full jitter: between 0 and base x 2^tries, at most `backoff_max_s`."""
    settings = runtime.settings
    return runtime.rng.uniform(0, min(settings.backoff_max_s, settings.backoff_base_s * 2**tries))


def fault_delay_s(runtime: Runtime, tries: int, first_s: float) -> float:
    """Seconds to the next try after an error of ours; doubled with every try, at most `max_age_s / attempts`."""
    settings = runtime.settings
    # Long enough for a corrected release to arrive, and short enough that all tries fit into the age of a part.
    return min(first_s * 2.0**tries, settings.max_age_s / settings.attempts)
