"""What resolving a part came to: ready for its call, refused, or waiting for something else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Ready:
    """Everything the call needs is known."""

    spec: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    code_id: str | None = None
    another_code: bool = False
    """Should the vendor know this code no longer, there is another one to try."""
    recalled: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """No call can be made, ever; `reason` says what cannot be done and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class NothingSent:
    """What this was about never left: accepted without a call."""


@dataclass(frozen=True, slots=True)
class Parked:
    """It waits on another job (or another sender has it)."""


@dataclass(frozen=True, slots=True)
class Again:
    """What the call needs could not be got this time; tried again later, as often as a call would be."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """What is in doubt cannot be cleared without a person."""

    reason: str


Resolved = Ready | Refuse | NothingSent | Parked | Again | Hold
