"""A vendor's access token, or why there is none. The token never shows itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.domain.outcome import Penalty


@dataclass(frozen=True, slots=True)
class Token:
    """An access token; `generation` and `fingerprint` name it without showing it."""

    value: str = field(repr=False)
    generation: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class TokenWait:
    """No token now; ask again after `delay` seconds."""

    delay: float
    reason: str
    penalty: Penalty | None = None
    """What the vendor's refusal means for the account; set only for the caller that received it."""


@dataclass(frozen=True, slots=True)
class TokenParked:
    """The vendor refuses the credentials; a person must act. One process probes again in `probe_in_s` seconds."""

    reason: str
    remedy: str
    probe_in_s: float
    hint: str | None = None
    """The vendor's trace number of its refusal."""


TokenState = Token | TokenWait | TokenParked
