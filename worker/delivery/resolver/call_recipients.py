"""The recipients of one call, after the staging switches, and the quiet hours in which a part waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.channels.base import Channel
from worker.domain.account import Account
from worker.domain.content.left_out import ALL_LEFT_OUT, is_empty, without
from worker.domain.content.recipient import INSTEAD_OF
from worker.domain.content.staging import NOT_LET_THROUGH, Named, redirected
from worker.domain.job import JobKind, Priority
from worker.domain.outcome import Refusal
from worker.domain.pacing.quiet import NONE, QuietHours, quiet_hours
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import JobPart
from worker.outbox.jobs.rows import omitted_recipients

_SILENT_KINDS = frozenset({JobKind.RECALL, JobKind.UPDATE_CARD, JobKind.TRACK, JobKind.UPLOAD})
"""Kinds of calls that concern an earlier message, or show nothing to people."""
IN_DOUBT = "staging: the call in doubt went to other recipients"


def quiet_of(part: JobPart, account: Account, channel: Channel) -> QuietHours | None:
    """Returns the hours in which the part waits, its job's or its account's, or None if it may go at any time."""
    written = account.quiet_hours if part.quiet_hours is None else part.quiet_hours
    if written == NONE or not _reaches_people(part, channel):
        return None
    hours = quiet_hours(written)
    return None if hours is None or (hours.urgent_passes and part.priority == Priority.URGENT) else hours


@dataclass(frozen=True, slots=True)
class CallRecipients:
    """The recipients of one call of a part."""

    spec: Mapping[str, Any]
    """The part's spec without the recipients that are left out."""
    left_out: tuple[Refusal, ...] = ()
    """Recipients that are not called. The mark records them as failures."""
    substitutes: tuple[Named, ...] = ()
    """Recipients that are called in their place."""
    obstacle: str | None = None
    """Why no call is made, or None if one is made."""


def call_recipients(database: Database, part: JobPart, channel: Channel, account: Account) -> CallRecipients:
    """Returns the recipients of the next call of a part.

    Once a call of the part may have been sent, no further recipients are left out: a repeat has the bytes of that call.
    """
    chooses = account.staging.chooses and part.kind not in _SILENT_KINDS
    if not chooses and not (part.claim and _reaches_people(part, channel)):
        return CallRecipients(part.spec)
    earlier = []
    if part.claim:
        with database.reading() as connection:
            earlier = omitted_recipients(connection, part.id)
    before = {(refusal.kind, refusal.recipient) for refusal in earlier}
    now = account.staging.left_out(part.spec) if chooses and INSTEAD_OF not in part.spec else ()
    added = [refusal for refusal in now if (refusal.kind, refusal.recipient) not in before]
    if part.in_doubt and added:
        return CallRecipients(part.spec, obstacle=IN_DOUBT)
    return _with_staging(account, part.spec, (*earlier, *added), chooses=chooses)


def _with_staging(
    account: Account, spec: Mapping[str, Any], left_out: tuple[Refusal, ...], *, chooses: bool
) -> CallRecipients:
    remaining = without(spec, left_out) if left_out else spec
    if not chooses:
        return CallRecipients(remaining, left_out, obstacle=ALL_LEFT_OUT if left_out and is_empty(remaining) else None)
    substitutes = account.staging.substitutes(spec)
    if account.staging.refuses(spec) or (not substitutes and is_empty(remaining)):
        return CallRecipients(remaining, left_out, obstacle=NOT_LET_THROUGH)
    return CallRecipients(redirected(remaining, substitutes) if substitutes else remaining, left_out, substitutes)


def _reaches_people(part: JobPart, channel: Channel) -> bool:
    """Returns True if the part's call shows something new to people."""
    return part.kind in channel.sends or part.kind == JobKind.REMIND
