"""Figures for drawings: where bars and spans of time stand, in whole units. Draws nothing, and knows no page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.domain.pacing.lane import Step
from worker.outbox.engine.clock import SECOND, instant
from worker.reporting.limit_usage import Usage

COLUMNS = 60
"""Bars on each side of now."""
HEIGHT = 100
"""The height of the tallest bar."""
DAY_S = 86_400
MINUTES = 1_440
MOST_LANES = 20
"""Lanes whose steps are drawn, those with the newest ones."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart."""

    x: int
    height: int
    units: int
    at: datetime
    """The beginning of its time."""
    is_ahead: bool
    """True for units that become free then; False for units that were taken then."""


def bars(usage: Usage, now: int) -> list[Bar]:
    """What of a limit was taken over its last window, and what of that becomes free over the next one."""
    window = usage.counted.limit.window_s * SECOND
    if not window or not usage.spans:
        return []
    found: dict[tuple[bool, int], int] = {}
    for since, units, until in usage.spans:
        for is_ahead, place in ((False, since - now + window), (True, until - now)):
            column = min(COLUMNS - 1, max(0, place * COLUMNS // window))
            found[is_ahead, column] = found.get((is_ahead, column), 0) + units
    tallest = max(found.values())
    return [
        Bar(
            column + (COLUMNS if is_ahead else 0),
            max(2, units * HEIGHT // tallest),
            units,
            instant(now + (0 if is_ahead else -window) + column * window // COLUMNS),
            is_ahead,
        )
        for (is_ahead, column), units in sorted(found.items())
    ]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which calls of a lane were stopped or slowed down."""

    x: int
    """Minutes since a day ago."""
    width: int
    what: str
    tone: str
    since: datetime


@dataclass(frozen=True, slots=True)
class LaneHistory:
    """The last day of one lane."""

    account: str
    label: str
    stretches: tuple[Stretch, ...]


TONES: Mapping[str, str] = {
    Step.PARKED: "bad",
    Step.OPENED: "doubt",
    Step.STRUCK: "mixed",
    Step.NARROWED: "mixed",
    Step.ALARM: "bad",
    Step.SET_ASIDE: "doubt",
}
"""What the colour of a step says; a step that is missing ends what stood before it."""


def histories(steps: Iterable[Mapping[str, Any]], now: int) -> list[LaneHistory]:
    """The last day of the lanes that had steps, out of these steps, newest first."""
    begin = now - DAY_S * SECOND
    lanes: dict[str, list[Mapping[str, Any]]] = {}
    for step in steps:
        if step["lane"] and (step["lane"] in lanes or len(lanes) < MOST_LANES):
            lanes.setdefault(step["lane"], []).append(step)
    found = [
        LaneHistory(its[0]["account"], its[0]["label"], tuple(_stretches(its[::-1], begin, now)))
        for its in lanes.values()
    ]
    return [one for one in found if one.stretches]


def _stretches(steps: Sequence[Mapping[str, Any]], begin: int, now: int) -> Iterator[Stretch]:
    ends = [step["happened_at"] for step in steps[1:]] + [now]
    for step, next_at in zip(steps, ends, strict=True):
        if step["what"] not in TONES:
            continue
        end = min(next_at, now, step["until"] or now) if step["what"] != Step.PARKED else min(next_at, now)
        if end <= begin:
            continue
        x = max(0, step["happened_at"] - begin) // SECOND // 60
        width = max(3, (end - max(step["happened_at"], begin)) // SECOND // 60)
        yield Stretch(x, min(width, MINUTES - x), step["what"], TONES[step["what"]], instant(step["happened_at"]))
