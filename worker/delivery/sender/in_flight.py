"""One part on its way through the steps of an attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.channels.base import Channel
from worker.delivery.sender.writer import Ticket
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
    """One part on its way. Each step sets its fields; one without a default cannot be read before its step has run."""

    due: JobPart

    # resolve
    account: Account = field(init=False, repr=False)
    channel: Channel = field(init=False, repr=False)
    quiet: QuietHours | None = field(init=False, repr=False, default=None)
    """The hours in which it waits; None: it may go at any time."""
    share: Mapping[str, Any] = field(init=False, repr=False)
    """The spec of the part's row; that of `due` is without those who are left out."""
    left_out: tuple[Refusal, ...] = field(init=False, repr=False, default=())
    """Recipients without whom the call is made."""
    instead: tuple[Named, ...] = field(init=False, repr=False, default=())
    """The recipients that are called in their place."""
    incarnation: str = field(init=False, repr=False)

    # authorise
    token: Token | None = field(init=False, repr=False)
    access: Access = field(init=False, repr=False)
    """The token and the secret that the call is made with."""

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
    """When the slot of its call was free, by the monotonic clock."""

    # admit
    permit: Permit | None = field(init=False, repr=False, default=None)
    """The reserved limits; None: nothing is reserved, or no more."""

    # mark
    effects: Effects = field(init=False, repr=False)
    """What the call does beside ending the part."""
    claim: int = field(init=False, repr=False, default=0)
    """Number of its mark and so of its attempt; 0: it is not marked."""
    flagged: bool = field(init=False, repr=False, default=False)
    """True when its call may use the vendor's duplicate check."""
    marked_at: float = field(init=False, repr=False)

    # call
    is_called: bool = field(init=False, repr=False, default=False)
    """True from the moment on when bytes may leave."""
    called_at: float = field(init=False, repr=False)
    """When the call began, by the monotonic clock."""
    pending: PendingCall | None = field(init=False, repr=False, default=None)
    """The call in flight; None: not begun."""

    # read
    result: CallResult = field(init=False, repr=False)
    http_status: int | None = field(init=False, repr=False, default=None)
    """Of the answer that was read; None: none was."""
    verdict: Verdict = field(init=False, repr=False)

    # record
    ticket: Ticket | None = field(init=False, repr=False, default=None)
    """The end, queued for the writer; None: none is queued."""
    proved_open: tuple[str, ...] = field(init=False, repr=False, default=())
    """The lane and its account, as far as the vendor's answer proves them open."""


Flights = list[InFlight]
