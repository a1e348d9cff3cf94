"""What acted on each call beside the answer it got: limits, repeats, ids that do not exist, later recalls and updates.

Does not know calls, but for their numbers, and decides nothing. Only the newest are kept.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

from worker_simulator.clock import Clock

Rule = Literal["limit", "drop", "blocked", "duplicate", "unknown", "recall", "recalled", "update", "updated"]
MOST = 100_000
"""Rulings that are kept in all, at some 300 bytes each."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """One rule that acted on one call."""

    rule: Rule
    time: float
    """Virtual Unix time."""
    about: dict[str, Any]
    """What the rule looked at: a limit's key, amount and window, ids, the number of another call."""


class Rulings:
    """Rulings by the number of their call; beyond `MOST` those of the oldest calls are forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_call: OrderedDict[int, list[Ruling]] = OrderedDict()
        self._kept = 0
        self.noted = 0
        """How many there ever were, so that a look can tell whether there are new ones."""

    def note(self, seq: int, rule: Rule, /, **about: Any) -> None:
        """Note that a rule acted on a call."""
        self._by_call.setdefault(seq, []).append(Ruling(rule, self._clock.now(), about))
        self.noted += 1
        self._kept += 1
        while self._kept > MOST:
            _, oldest = self._by_call.popitem(last=False)
            self._kept -= len(oldest)

    def of(self, seq: int) -> list[Ruling]:
        """What acted on one call, in its order."""
        return self._by_call.get(seq, [])
