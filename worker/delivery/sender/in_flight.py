"""One part on its way through the steps of an attempt, and the attempt's outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.channels.base import Channel
from worker.delivery.sender.admission import Permit
from worker.delivery.sender.writer import Ticket
from worker.domain.account import Account
from worker.domain.call import Access, Request
from worker.domain.job import Part, RepeatRule
from worker.domain.pacing.limit import Charge, Unit
from worker.domain.resolution import Ready
from worker.domain.token import Token
from worker.outbox.commit.commands import NO_EFFECTS, Effects
from worker.outbox.jobs.chats import Spending
from worker.outbox.jobs.loading import DuePart
from worker.outbox.lanes import chat_blocks


@dataclass(slots=True)
class InFlight:
    """One part on its way, with what the steps found; a field is empty until its step has run."""

    due: DuePart
    channel: Channel
    account: Account
    ready: Ready
    part: Part
    incarnation: str
    rule: RepeatRule = RepeatRule.HOLD
    rule_window_s: int = 0
    token: Token | None = None
    secret: str | None = field(default=None, repr=False)
    request: Request | None = None
    window_id: str | None = None
    charges: Sequence[Charge] = ()
    """What the call costs of each limit."""
    permit: Permit | None = None
    effects: Effects = NO_EFFECTS
    """What the call does beside ending the part; known from the mark on."""

    @property
    def access(self) -> Access:
        """The token and the secret that the call is made with."""
        return Access(self.token.value if self.token else None, self.secret)

    @property
    def alone(self) -> str | None:
        """The subject of which no other call may be in the air at the same time; None: there is no such limit."""
        return next((one.subject for one in self.charges if one.limit.unit is Unit.IN_THE_AIR), None)

    @property
    def spending(self) -> Spending | None:
        """What the call uses up of a chat's allowance; None: no allowance is counted."""
        chat = next((one.subject for one in self.charges if one.limit.unit is Unit.ALLOWANCE), None)
        name = self.account.name
        return None if chat is None else Spending(name, chat, chat_blocks.waiting(self.due.lane, name))


@dataclass(frozen=True, slots=True)
class Delivered:
    """The end of an attempt that was marked; the end is queued for the writer."""

    ticket: Ticket
    called: bool
    """True when bytes may have left; False: the mark was taken back."""
    heard: tuple[str, ...] = ()
    """The lane and its account, as far as the vendor's answer proves them open."""
