"""The findings of `worker doctor`."""

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
    """The result of one check of `worker doctor`, printed as a line."""

    what: str
    level: Level
    text: str
    command: str = ""
    """The command that repairs it or says more; empty if there is none."""
    chinese: str = ""
    """The text in Chinese, where it was put together of sentences that were translated each."""
