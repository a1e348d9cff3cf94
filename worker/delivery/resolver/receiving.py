"""What holds for the people who receive: quiet hours and staging switches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.channels.base import Channel
from worker.domain.account import Account
from worker.domain.content.left_out import ALL_LEFT_OUT, is_empty, without
from worker.domain.content.recipient import INSTEAD_OF
from worker.domain.content.staging import NOT_LET_THROUGH, Named, redirected
from worker.domain.job import Kind, Priority
from worker.domain.outcome import Refusal
from worker.domain.pacing.quiet import NONE, QuietHours, quiet_hours
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import JobPart
from worker.outbox.jobs.rows import left_out_of

_ABOUT_THE_SENT = frozenset({Kind.RECALL, Kind.UPDATE_CARD, Kind.TRACK, Kind.UPLOAD})
"""Kinds of calls that are about what was sent, or put nothing before people."""
IN_DOUBT = "staging: its call in doubt was made to others"


def quiet_of(due: JobPart, account: Account, channel: Channel) -> QuietHours | None:
    """The hours in which the part waits: its job's, or its account's; None: it may go at any time."""
    written = account.quiet_hours if due.quiet_hours is None else due.quiet_hours
    if written == NONE or not _is_in_front(due, channel):
        return None
    hours = quiet_hours(written)
    return None if hours is None or (hours.urgent_passes and due.priority == Priority.URGENT) else hours


@dataclass(frozen=True, slots=True)
class Called:
    """The recipients of one call of a part."""

    spec: Mapping[str, Any]
    """The share without those who are left out."""
    left_out: tuple[Refusal, ...] = ()
    """Recipients who are not called; its mark notes them as failures."""
    instead: tuple[Named, ...] = ()
    """The recipients that are called in place of those who are left out."""
    obstacle: str | None = None
    """Why no call is made for it; None: one is."""


def called(database: Database, due: JobPart, channel: Channel, account: Account) -> Called:
    """The recipients of the next call of a part.

    Once a call of the part may have left, no more are left out: a repeat has the bytes of that call.
    """
    chooses = account.staging.chooses and due.kind not in _ABOUT_THE_SENT
    if not (chooses or _is_in_front(due, channel)):
        return Called(due.spec)
    with database.reading() as connection:
        earlier = left_out_of(connection, due.id) if due.claim else []
    before = {(refusal.kind, refusal.recipient) for refusal in earlier}
    now = account.staging.left_out(due.spec) if chooses and INSTEAD_OF not in due.spec else ()
    more = [refusal for refusal in now if (refusal.kind, refusal.recipient) not in before]
    if due.in_doubt and more:
        return Called(due.spec, obstacle=IN_DOUBT)
    return _called(account, due.spec, (*earlier, *more), chooses=chooses)


def _called(account: Account, spec: Mapping[str, Any], left_out: tuple[Refusal, ...], *, chooses: bool) -> Called:
    rest = without(spec, left_out) if left_out else spec
    if not chooses:
        return Called(rest, left_out, obstacle=ALL_LEFT_OUT if left_out and is_empty(rest) else None)
    instead = account.staging.instead(spec)
    if account.staging.refuses(spec) or (not instead and is_empty(rest)):
        return Called(rest, left_out, obstacle=NOT_LET_THROUGH)
    return Called(redirected(rest, instead) if instead else rest, left_out, instead)


def _is_in_front(due: JobPart, channel: Channel) -> bool:
    """True where its call puts something new before people."""
    return due.kind in channel.sends or due.kind == Kind.REMIND
