"""What a check of `worker doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The severity of a finding, the worst first, as they are printed."""

    PROBLEM = "problem"
    CAUTION = "caution"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of `worker doctor` found, which is a line."""

    what: str
    level: Level
    text: str
    command: str = ""
    """The command that mends it or says more; empty: what is wrong is mended elsewhere."""
