"""What holds for the people who receive: their quiet hours, and the list of those to whom nothing is sent."""

from __future__ import annotations

from worker.channels.base import Channel
from worker.domain.account import Account
from worker.domain.content.suppression import SUPPRESSED, named
from worker.domain.job import Kind, Priority
from worker.domain.outcome import Refusal
from worker.domain.pacing.quiet import NONE, QuietHours, quiet_hours
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import DuePart
from worker.outbox.jobs.suppressions import left_out_of, suppressed_among


def quiet_of(due: DuePart, account: Account, channel: Channel) -> QuietHours | None:
    """The hours in which the part waits: its job's, or its account's; None: it may go at any time."""
    written = account.quiet_hours if due.quiet_hours is None else due.quiet_hours
    if written == NONE or not _is_in_front(due, channel):
        return None
    found = quiet_hours(written)
    return None if found is None or (found.urgent_passes and due.priority == Priority.URGENT) else found


def left_out(database: Database, due: DuePart, channel: Channel) -> tuple[Refusal, ...]:
    """The recipients of the part to whom nothing is sent; its mark notes them as failures.

    Once a call of the part may have left, none is added: a repeat has the bytes of that call.
    """
    if not _is_in_front(due, channel):
        return ()
    recipients = named(due.spec)
    with database.reading() as connection:
        known = left_out_of(connection, due.id) if due.claim else []
        listed = suppressed_among(connection, [one for _, one in recipients]) if due.some_suppressed else set()
    gone = {(one.kind, one.recipient) for one in known}
    new = [one for one in recipients if one[1] in listed and one not in gone] if not due.doubts else []
    return (*known, *(Refusal(recipient, kind, SUPPRESSED) for kind, recipient in new))


def _is_in_front(due: DuePart, channel: Channel) -> bool:
    """True where its call puts something new before people."""
    return due.kind in channel.sends or due.kind == Kind.REMIND
