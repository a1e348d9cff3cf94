"""The arithmetic of the priorities bench: bulk's part of any window, and how late a call was for what a limit allowed.

Knows instants and priorities; refuses to know workers and vendors.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from worker.domain.job import Priority


@dataclass(slots=True)
class Story:
    """What was asked of one lane and what arrived, in seconds of one clock; a job is known by its number."""

    asked: dict[Priority, dict[int, float]] = field(default_factory=lambda: {one: {} for one in Priority})
    called: dict[Priority, dict[int, float]] = field(default_factory=lambda: {one: {} for one in Priority})

    def asked_since(self, priority: Priority, since: float) -> dict[int, float]:
        """Those of a priority that were asked for later."""
        return {n: at for n, at in self.asked[priority].items() if at >= since}

    def calls(self) -> list[tuple[float, Priority]]:
        """Every call, in order."""
        return sorted((at, one) for one, calls in self.called.items() for at in calls.values())


def least_share(calls: Sequence[tuple[float, bool]], window_s: float, within: tuple[float, float], least: int) -> float:
    """The least part that marked calls have in any window between the two instants; 1.0 when there is no such window.

    `calls` are in order. A window counts when it holds at least `least` calls.
    """
    since, until = within
    times = [at for at, _ in calls]
    marked = [0, *accumulate(mark for _, mark in calls)]
    found = 1.0
    for start in sorted({*times, *(at - window_s for at in times), since, until - window_s}):
        if not since <= start <= until - window_s:
            continue
        for cut in (bisect_left, bisect_right):  # with what arrives at its start, or with what arrives at its end
            first, end = cut(times, start), cut(times, start + window_s)
            if end - first >= least:
                found = min(found, (marked[end] - marked[first]) / (end - first))
    return found


def waits_since(asked: Mapping[int, float], called: Mapping[int, float], least: int) -> float:
    """From when on so many of `asked` wait all the time; infinite: they do not at the end."""
    moves = sorted([*((at, 1) for at in asked.values()), *((at, -1) for at in called.values())])
    waiting, found = 0, math.inf
    for at, move in moves:
        waiting += move
        found = math.inf if waiting < least else min(found, at)
    return found


def lateness(
    times: Sequence[float],
    asked: Mapping[int, float],
    called: Mapping[int, float],
    amount: int,
    window_s: float,
    notice_s: float = 0.0,
) -> list[float]:
    """Of every one asked for, the seconds between the limit's next room for it and its call, in the order of asking.

    The next room is that of `notice_s` after it was asked for, behind those of `asked` that wait already, and nobody
    else. `times` are all calls of the lane, in order; those not called yet are late until the last of them. An amount
    of 0 is no limit.
    """
    found = []
    ended = times[-1]
    for n, at in sorted(asked.items(), key=lambda entry: entry[1]):
        ahead = sum(other < at < called.get(one, ended) for one, other in asked.items())
        place = bisect_right(times, at + notice_s) + ahead
        room = max(at, times[place - amount] + window_s) if amount and amount <= place < amount + len(times) else at
        if n in called or room < ended:
            found.append(max(0.0, called.get(n, ended) - room))
    return found


def quantile(values: Sequence[float], part: float) -> float:
    """The value that this part of all is not above; 0 of none."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else 0.0
