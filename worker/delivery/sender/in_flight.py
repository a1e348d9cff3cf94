"""One part on its way through the steps, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.channels.base import Channel
from worker.delivery.sender.admission import Permit
from worker.delivery.sender.writer import Ticket
from worker.domain.account import Account
from worker.domain.call import Access, Request
from worker.domain.job import Part, RepeatRule
from worker.domain.limit import Charge, Unit
from worker.domain.resolution import Ready
from worker.domain.token import Token
from worker.outbox.jobs.chats import Spending
from worker.outbox.jobs.loading import DuePart
from worker.outbox.lanes import chat_blocks


@dataclass(slots=True)
class InFlight:
    """One part on its way, with what the steps found."""

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
    """What the call costs."""
    permit: Permit | None = None

    @property
    def access(self) -> Access:
        """What its call proves itself with."""
        return Access(self.token.value if self.token else None, self.secret)

    @property
    def alone(self) -> str | None:
        """What no other call may have in the air meanwhile."""
        return next((one.subject for one in self.charges if one.limit.unit is Unit.IN_THE_AIR), None)

    @property
    def spending(self) -> Spending | None:
        """What it uses up of what a chat's person allowed."""
        chat = next((one.subject for one in self.charges if one.limit.unit is Unit.ALLOWANCE), None)
        name = self.account.name
        return None if chat is None else Spending(name, chat, chat_blocks.waiting(self.due.lane, name))


@dataclass(frozen=True, slots=True)
class Delivered:
    """A call was made, or its mark was taken back: the end is on its way into SQL."""

    ticket: Ticket
    called: bool
    """Bytes may have left."""
    heard: tuple[str, ...] = ()
    """The lane and its account, as far as the vendor's answer proves that nothing is in their way."""
