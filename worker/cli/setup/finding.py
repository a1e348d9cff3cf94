"""What a check of `worker doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    CAUTION = "caution"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of `worker doctor` found, which is a line."""

    what: str
    level: Level
    text: str
