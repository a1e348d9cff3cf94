"""What a soak has to show: no series grows, no job is lost and none is seen twice. Knows no process and no server."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from statistics import median

from worker import JobState

TOLERANCE: Mapping[str, tuple[float, float]] = {
    "MiB": (0.05, 4.0),
    "bytes": (0.15, 512 * 1024),
    "rows": (0.15, 100),
    "": (0.1, 3),
}
"""By unit: how far a line may rise from the end of the warm-up to the end of the run, as a share of where it begins,
or in all, whichever is more. An allocator takes some MiB whatever the program does. What is purged round by round saws
up and down, and so do the pages that a vacuum frees. A kept row or page a thousand jobs is more in any long run.
"""
POINTS = 120
"""A line is fitted through so many points at most: each pair of them has a slope."""


@dataclass
class Series:
    """One reading over the run, by the number of jobs that had ended: a machine that stands still adds no length."""

    name: str
    unit: str
    judged: bool = True
    points: list[tuple[int, float]] = field(default_factory=list)

    def line(self, warm_up: int) -> tuple[float, float] | None:
        """Where the line through the points after the warm-up begins and ends, or None with fewer than ten of them.

        Its slope is the median of those of all pairs, so that a pause or a fault bends it little.
        """
        after = [point for point in self.points if point[0] >= warm_up]
        after = after[:: len(after) // POINTS + 1]
        slopes = [(later - value) / (end - at) for (at, value), (end, later) in combinations(after, 2) if end > at]
        if len(after) < 10 or not slopes:
            return None
        slope = median(slopes)
        level = median(value - slope * at for at, value in after)
        return level + slope * after[0][0], level + slope * after[-1][0]

    def grows(self, warm_up: int) -> str:
        """What to say of a line that rises by more than its tolerance; empty if it does not."""
        line = self.line(warm_up)
        if not self.judged or line is None:
            return ""
        first, last = line
        share, floor = TOLERANCE[self.unit]
        if last - first <= max(floor, share * first):
            return ""
        return f"{self.name} grows from {first:,.1f} to {last:,.1f} {self.unit}".rstrip()


class Ledger:
    """Every job of the run by its number: its end, as the hook was called, and its messages, as the vendor saw them."""

    def __init__(self, jobs: int):
        self.asked = self.ended = 0
        self._states = bytearray(jobs)
        """State of the last end plus 1, or 0 before any end."""
        self._first = array("q", bytes(8 * jobs))
        """Hash of the first msgid; a suppressed repeat has the same."""
        self._seen = bytearray(jobs)
        self._again: list[str] = []

    def end(self, number: int, state: int) -> None:
        """A hook ran for the end of a job. Only one in doubt ends once more."""
        before, self._states[number] = self._states[number], state + 1
        self.ended += not before
        if before and (before != JobState.UNKNOWN + 1 or before == state + 1):
            self._again.append(f"job {number} ended as {JobState(before - 1).name} and as {JobState(state).name}")

    def arrive(self, number: int, msgid: str) -> None:
        """The vendor took a message of a job."""
        if not self._seen[number] or self._first[number] != hash(msgid):
            self._seen[number] = min(255, self._seen[number] + 1)
            self._first[number] = hash(msgid)

    def ends(self) -> dict[str, int]:
        """Jobs by the state in which they ended."""
        return {JobState(state - 1).name: n for state, n in sorted(Counter(self._states).items()) if state}

    def lost(self) -> list[str]:
        """Jobs that never ended, and those that count as accepted although the vendor saw nothing."""
        return [
            f"job {n}: {'no end' if not state else 'accepted, and never seen'}"
            for n, state in enumerate(self._states[: self.asked])
            if not state or (state == JobState.ACCEPTED + 1 and not self._seen[n])
        ]

    def doubled(self) -> list[str]:
        """Jobs whose message was seen twice, or seen although it counts as never sent, and ends that came twice."""
        may_be_seen = (JobState.ACCEPTED + 1, JobState.UNKNOWN + 1)
        return self._again + [
            f"job {n}: seen {seen} times, state {state - 1}"
            for n, (seen, state) in enumerate(zip(self._seen, self._states, strict=True))
            if seen > 1 or (seen and state not in may_be_seen)
        ]


WIDTH, HEIGHT, COLUMNS = 230, 64, 5


def drawn(series: Iterable[Series], warm_up: int, title: str) -> str:
    """An SVG with a tile a series: its points, and the line after the warm-up, red where it grows."""
    shown = [one for one in series if one.points]
    tiles = "".join(_tile(one, warm_up, n) for n, one in enumerate(shown))
    width, height = COLUMNS * (WIDTH + 20) + 20, (len(shown) // COLUMNS + 1) * (HEIGHT + 40) + 40
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
        f' font-size="10" fill="none"><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="20" y="20" font-size="14" fill="#000">{title}</text>{tiles}</svg>\n'
    )


def _tile(one: Series, warm_up: int, number: int) -> str:
    longest = max(1, one.points[-1][0])
    highest = max(1.0, *(value for _, value in one.points))
    color = "#c00" if one.grows(warm_up) else "#080" if one.judged else "#888"
    points = [_place(at / longest, value / highest) for at, value in one.points]
    line = one.line(warm_up)
    ends = (
        [_place(at, value / highest) for at, value in zip((warm_up / longest, 1.0), line, strict=True)] if line else []
    )
    row, column = divmod(number, COLUMNS)
    return (
        f'<g transform="translate({20 + column * (WIDTH + 20)} {50 + row * (HEIGHT + 40)})">'
        f'<text y="-4" fill="#000">{one.name}: {one.points[-1][1]:,.4g} {one.unit}, at most {highest:,.4g}</text>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" stroke="#ddd"/>'
        f'<polyline points="{" ".join(points)}" stroke="#48c"/>'
        f'<polyline points="{" ".join(ends)}" stroke="{color}" stroke-width="2"/></g>'
    )


def _place(across: float, up: float) -> str:
    return f"{WIDTH * across:.1f},{HEIGHT * (1 - up):.1f}"
