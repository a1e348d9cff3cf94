"""One part on its way through the steps of an attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.channels.base import Channel
from worker.delivery.sender.writer import PendingWrite
from worker.domain.account import Account, Token
from worker.domain.call import Access, CallResult, Request
from worker.domain.content.staging import Named
from worker.domain.job import RepeatRule
from worker.domain.outcome import Refusal, Verdict
from worker.domain.pacing.limit import Charge, Permit
from worker.domain.pacing.quiet import QuietHours
from worker.outbox.commit.commands import Effects
from worker.outbox.jobs.loading import JobPart
from worker.transport.http import Connection
from worker.transport.pending_call import PendingCall


@dataclass(slots=True, eq=False)
class InFlight:
    """One part on its way. Each step sets its fields; a field without a default cannot be read before its step ran."""

    part: JobPart

    # resolve
    account: Account = field(init=False, repr=False)
    channel: Channel = field(init=False, repr=False)
    quiet: QuietHours | None = field(init=False, repr=False, default=None)
    """The hours in which the part waits, or None if it may go at any time."""
    row_spec: Mapping[str, Any] = field(init=False, repr=False)
    """The spec of the part's row. The spec of `part` lacks the recipients that are left out."""
    left_out: tuple[Refusal, ...] = field(init=False, repr=False, default=())
    """Recipients that the call leaves out, with the reason."""
    substitutes: tuple[Named, ...] = field(init=False, repr=False, default=())
    """Recipients that the call has in their place."""
    incarnation: str = field(init=False, repr=False)

    # authorise
    token: Token | None = field(init=False, repr=False)
    access: Access = field(init=False, repr=False)
    """The token and the secret of the call."""

    # render
    rule: RepeatRule = field(init=False, repr=False)
    rule_window_s: int = field(init=False, repr=False)
    window_id: str | None = field(init=False, repr=False)
    request: Request = field(init=False, repr=False)
    charges: Sequence[Charge] = field(init=False, repr=False)
    """What the call costs of each limit."""

    # connect
    connection: Connection | None = field(init=False, repr=False, default=None)
    began_at: float = field(init=False, repr=False)
    """When the slot of its call became free, by the monotonic clock."""

    # admit
    permit: Permit | None = field(init=False, repr=False, default=None)
    """The reserved limits, or None if nothing is reserved, or no longer."""

    # mark
    effects: Effects = field(init=False, repr=False)
    """The effects of the call beyond the end of its part."""
    claim: int = field(init=False, repr=False, default=0)
    """The number of its mark and so of its attempt, or 0 if it is not marked."""
    flagged: bool = field(init=False, repr=False, default=False)
    """True when its call may use the vendor's duplicate check."""
    marked_at: float = field(init=False, repr=False)

    # call
    is_called: bool = field(init=False, repr=False, default=False)
    """True from the moment on when bytes may be sent."""
    called_at: float = field(init=False, repr=False)
    """When the call began, by the monotonic clock."""
    pending: PendingCall | None = field(init=False, repr=False, default=None)
    """The call in flight, or None if it has not begun."""

    # read
    result: CallResult = field(init=False, repr=False)
    http_status: int | None = field(init=False, repr=False, default=None)
    """The HTTP status of the answer, or None if no answer was read."""
    verdict: Verdict = field(init=False, repr=False)

    # record
    pending_write: PendingWrite | None = field(init=False, repr=False, default=None)
    """The end that is queued for the writer, or None if no end is queued."""
    proved_open: tuple[str, ...] = field(init=False, repr=False, default=())
    """The lane, its account, or both, if the vendor's answer proves that they are not blocked."""


Flights = list[InFlight]
