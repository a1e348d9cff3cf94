"""One part on its way through the steps, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.channels.base import Channel
from worker.delivery.admission import Permit
from worker.delivery.followups import Ready
from worker.delivery.writer import Ticket
from worker.domain.account import Account
from worker.domain.call import Access, Request
from worker.domain.job import Part, RepeatRule
from worker.domain.token import Token
from worker.outbox.loading import Loaded


@dataclass(slots=True)
class Errand:
    """One part on its way, with what the steps found."""

    work: Loaded
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
    permit: Permit | None = None

    @property
    def access(self) -> Access:
        """What its call proves itself with."""
        return Access(self.token.value if self.token else None, self.secret)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A call was made, or its mark was taken back: the end is on its way into SQL."""

    ticket: Ticket
    called: bool
    """Bytes may have left."""
    heard: bool = False
    """The vendor answered, and neither the lane, the account nor the token was its reason to refuse."""
