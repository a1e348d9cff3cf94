"""What holds for the people who receive: quiet hours, the list of those to whom nothing is sent, staging switches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from worker.channels.base import Channel
from worker.domain.account import Account
from worker.domain.content.left_out import (
    ALL_LEFT_OUT,
    ALL_SUPPRESSED,
    STAGING,
    SUPPRESSED,
    Named,
    is_empty,
    named,
    without,
)
from worker.domain.content.recipient import GROUPS, INSTEAD_OF, same_person
from worker.domain.content.staging import NOT_LET_THROUGH, redirected
from worker.domain.job import Kind, Part, Priority
from worker.domain.outcome import Refusal
from worker.domain.pacing.limit import Charge, person_day
from worker.domain.pacing.quiet import NONE, QuietHours, quiet_hours
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import DuePart, called_shares
from worker.outbox.jobs.suppressions import left_out_of, suppressed_among

_ABOUT_THE_SENT = frozenset({Kind.RECALL, Kind.UPDATE_CARD, Kind.TRACK, Kind.UPLOAD})
"""Kinds of calls that are about what was sent, or put nothing before people."""
IN_DOUBT = "staging: its call in doubt was made to others"


def quiet_of(due: DuePart, account: Account, channel: Channel) -> QuietHours | None:
    """The hours in which the part waits: its job's, or its account's; None: it may go at any time."""
    written = account.quiet_hours if due.quiet_hours is None else due.quiet_hours
    if written == NONE or not _is_in_front(due, channel):
        return None
    found = quiet_hours(written)
    return None if found is None or (found.urgent_passes and due.priority == Priority.URGENT) else found


@dataclass(frozen=True, slots=True)
class Called:
    """The recipients of one call of a part."""

    spec: dict[str, Any]
    """The share without those who are left out."""
    left_out: tuple[Refusal, ...] = ()
    """Recipients who are not called; its mark notes them as failures."""
    instead: tuple[Named, ...] = ()
    """The recipients that are called in place of those who are left out."""
    obstacle: str | None = None
    """Why no call is made for it; None: one is."""


def called(database: Database, due: DuePart, channel: Channel, account: Account, spec: dict[str, Any]) -> Called:
    """The recipients of the next call of a part, whose share is `spec`.

    Once a call of the part may have left, no more are left out: a repeat has the bytes of that call.
    """
    chooses = account.staging.chooses and due.kind not in _ABOUT_THE_SENT
    if not (chooses or _is_in_front(due, channel)):
        return Called(spec)
    listed = named(due.spec)
    with database.reading() as connection:
        known = left_out_of(connection, due.id) if due.claim else []
        suppressed = suppressed_among(connection, [one for _, one in listed]) if due.some_suppressed else set()
    new = [Refusal(one, kind, SUPPRESSED) for kind, one in listed if one in suppressed]
    if chooses:
        new += [] if INSTEAD_OF in due.spec else account.staging.left_out(due.spec)
    before = {(one.kind, one.recipient) for one in known}
    unknown = {(one.kind, one.recipient): one for one in reversed(new) if (one.kind, one.recipient) not in before}
    if due.doubts:
        if any(one.field == STAGING for one in unknown.values()):
            return Called(spec, obstacle=IN_DOUBT)
        unknown = {}
    return _called(account, spec, due.spec, (*known, *unknown.values()), chooses=chooses)


def _called(
    account: Account, spec: dict[str, Any], share: Mapping[str, Any], left_out: tuple[Refusal, ...], *, chooses: bool
) -> Called:
    rest = without(spec, left_out) if left_out else spec
    if not chooses:
        why = ALL_LEFT_OUT if any(one.field == STAGING for one in left_out) else ALL_SUPPRESSED
        return Called(rest, left_out, obstacle=why if left_out and is_empty(rest) else None)
    instead = account.staging.instead(share)
    if account.staging.refuses(share) or (not instead and is_empty(rest)):
        return Called(rest, left_out, obstacle=NOT_LET_THROUGH)
    return Called(redirected(rest, instead) if instead else rest, left_out, instead)


def caps_of_day(due: DuePart, account: Account, channel: Channel, part: Part, most: int) -> list[Charge]:
    """What a message takes of the day of its persons, with the first of its calls that may have left.

    `most`: messages to one person in any 24 hours; 0: no such cap.
    """
    if not most or due.claim > due.unheard or part.kind not in channel.sends:
        return []
    return list(_charges_of_persons(part, most))


def counted_before(
    database: Database, due: DuePart, account: Account, channel: Channel, part: Part, most: int
) -> frozenset[str]:
    """The subjects of these caps that a call of another part of the same message counts for already."""
    if not caps_of_day(due, account, channel, part, most):
        return frozenset()
    with database.reading() as connection:
        shares = called_shares(connection, due.job_id)
    earlier = (caps_of_day(due, account, channel, replace(part, spec=share), most) for share in shares)
    return frozenset(charge.subject for caps in earlier for charge in caps)


def _charges_of_persons(part: Part, most: int) -> Iterator[Charge]:
    """What a send costs of the messages that a person may get in any 24 hours, by all accounts together."""
    limit = person_day(most)
    members = part.members if part.members and part.spec.keys() & GROUPS else ()
    listed = [(kind, one) for kind, one in named(part.spec) if kind in ("user", "email")]
    once = {same_person(one): one for _, one in (*(("user", user) for user in members), *listed)}
    yield from (Charge(limit, key, recipient=one) for key, one in once.items())


def _is_in_front(due: DuePart, channel: Channel) -> bool:
    """True where its call puts something new before people."""
    return due.kind in channel.sends or due.kind == Kind.REMIND
