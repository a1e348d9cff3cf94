"""The results of resolving a part: ready for its call, refused, or waiting for something else."""

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
    """True when another code can be tried should the vendor refuse this one."""
    recalled: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """No call can ever be made; `reason` says what cannot be done and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class NothingSent:
    """The earlier message never left, so this part is accepted without a call."""


@dataclass(frozen=True, slots=True)
class Awaiting:
    """The part waits for another job, or another sender has taken it."""


@dataclass(frozen=True, slots=True)
class Again:
    """Something the call needs could not be fetched this time; tried again later, as often as a call would be."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """The doubt about the part cannot be cleared without a person."""

    reason: str


Resolved = Ready | Refuse | NothingSent | Awaiting | Again | Hold
