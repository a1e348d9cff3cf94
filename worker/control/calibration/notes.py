"""What the runs of one calibration know, as it is kept in the audit; and what the ages of a window say. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.channels.calibration.questions import FoundFact, TimeWindow
from worker.domain.account import Account


@dataclass(slots=True)
class LeftBehind:
    """A thing that was left behind, to be asked about when it is old enough."""

    fact: str
    n: int
    left_at: int
    """Microseconds, by the database's clock."""
    data: Mapping[str, str] = field(repr=False)


@dataclass(slots=True)
class Notes:
    """What all runs of one calibration know."""

    account: str
    recipient: str = field(repr=False)
    run: str
    calls: int = 0
    messages: int = 0
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By fact: value, and the settings that follow."""
    left: list[LeftBehind] = field(default_factory=list)
    seen: dict[str, list[tuple[int, bool]]] = field(default_factory=dict)
    """By window: ages in seconds, and whether the vendor remembered."""

    def note(self, finding: FoundFact) -> None:
        """Takes a finding over."""
        self.found[finding.fact] = {"value": finding.value, "settings": dict(finding.settings)}

    def known(self) -> dict[str, str]:
        """Value by fact."""
        return {fact: one["value"] for fact, one in self.found.items()}


def notes_of(asked: Mapping[str, Any]) -> Notes:
    """The notes out of a row of the audit."""
    left = [LeftBehind(**one) for one in asked["left"]]
    seen = {fact: [(int(age), bool(held)) for age, held in ages] for fact, ages in asked["seen"].items()}
    return Notes(**{**asked, "left": left, "seen": seen})


def concluded(
    window: TimeWindow, seen: Sequence[tuple[int, bool]], account: Account, *, is_open: bool
) -> FoundFact | None:
    """What the ages say of a window; None: nothing yet.

    Less than what the worker relies on becomes the account's setting: the longest age at which it held.
    """
    if not seen:
        return None
    gone = min((age for age, held in seen if not held), default=math.inf)
    held = max((age for age, holds in seen if holds and age < gone), default=0)
    if gone <= window.default_s:
        return FoundFact(window.fact, f"at least {held} s, less than {gone} s", {window.setting: held})
    told = f"at least {held} s" if gone == math.inf else f"at least {held} s, at most {gone} s"
    lifted = not is_open and held >= window.ages[-1] and window.setting in account.settings
    return FoundFact(window.fact, told, {window.setting: window.default_s} if lifted else {})
