"""An account: one set of credentials of one channel, with its secret read only when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


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
    proxy: str | None = field(default=None, repr=False)
    limits: Mapping[str, int] = field(default_factory=dict)
    """Amounts that override the channel's profile, by limit name; 0 switches a limit off."""
    on_unknown: str = "default"
    """`default`, `hold` or `resend` (design: unknown outcomes)."""
    allow_everyone: bool = False
