"""An account: one set of credentials of one channel, with its secret read only when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.domain.limit import Limit


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that never shows itself: reading it is a call, and its `repr` is a row of stars."""

    read: Callable[[], str] = field(repr=False)

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class Account:
    """One configured account. `settings` are the channel's own keys (`corpid`, `agentid`, `callback`, ...)."""

    name: str
    channel: str
    base_url: str
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    secret: Secret | None = None
    proxy: str | Secret | None = field(default=None, repr=False)
    """The `http://` proxy of its calls, which may hold a password; a Secret is read for each connection."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Amounts that override the channel's profile, by limit name; 0 switches a limit off."""
    share: float | Mapping[str, float] = 1.0
    """The part of every window that is left to us, above 0 to 1, where others send through the same app; or by name."""
    on_unknown: str = "default"
    """`default`, `hold` or `resend` (design: unknown outcomes)."""
    weight: float = 1.0
    """How much of the threads it gets beside other accounts with work."""
    allow_everyone: bool = False

    @property
    def has_own_amounts(self) -> bool:
        """False: the published amounts hold."""
        return bool(self.limits) or self.share != 1.0

    def amount_of(self, limit: Limit) -> int:
        """What we may use of a limit: our share of the account's own amount, or of the published one; 0: it is off."""
        amount = self.limits.get(limit.name, limit.amount)
        share = self.share.get(limit.name, 1.0) if isinstance(self.share, Mapping) else self.share
        if not amount or not limit.window_s or share == 1.0:
            return amount
        return max(1, int(amount * share + 1e-9))  # 0.29 of 100 is 29, whatever a float makes of it
