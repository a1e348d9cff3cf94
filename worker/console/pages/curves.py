"""Curves of calls over time, as the points of an SVG that the server draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from worker.outbox.upkeep.rates import CallRates, Calls

WIDTH, HEIGHT = 240, 48
"""Of the drawing, which fills its place."""
SHOWN = 12
"""Accounts with curves, those with the most calls of the day; the rest are added up."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The calls of an hour or a day."""

    of: Literal["hour", "day"]
    accepted: str
    """The points of the calls that the vendor took."""
    failed: str
    """The points of those that it refused or left without an answer; empty: there were none."""
    total: Calls
    most: int
    """Most calls of either in one slot, which is the height of the drawing."""


@dataclass(frozen=True, slots=True)
class AccountCurves:
    """The curves of one account, or of several."""

    account: str | None
    """None: of all accounts together."""
    curves: tuple[Curve, ...]


def curves_of(rates: CallRates, others: Iterable[str], shown: int = SHOWN) -> tuple[list[AccountCurves], int]:
    """The curves of all accounts together where there are several, then of the busiest; and how many are left out.

    `others` are accounts that have something to tell although they may have made no call.
    """
    names = sorted({*rates.day, *others}, key=lambda name: (-_sum(rates.day.get(name, ())), name))
    some = [AccountCurves(name, _both(rates, [name])) for name in names[:shown]]
    everything = [AccountCurves(None, _both(rates, names))] if len(names) > 1 else []
    return [*everything, *some], max(0, len(names) - shown)


def _both(rates: CallRates, names: Sequence[str]) -> tuple[Curve, ...]:
    hour, day = ([of[name] for name in names if name in of] for of in (rates.hour, rates.day))
    return _curve("hour", hour), _curve("day", day)


def _curve(of: Literal["hour", "day"], series: Iterable[Sequence[Calls]]) -> Curve:
    slots = list[Calls]()
    for one in series:
        slots = slots or [Calls() for _ in one]
        for slot, calls in zip(slots, one, strict=True):
            slot.add(calls)
    total = Calls()
    for slot in slots:
        total.add(slot)
    most = max((max(slot.accepted, _failed(slot)) for slot in slots), default=0)
    failed = _points(slots, _failed, most) if _failed(total) else ""
    return Curve(of, _points(slots, lambda slot: slot.accepted, most), failed, total, most)


def _points(slots: Sequence[Calls], value: Callable[[Calls], int], most: int) -> str:
    step = WIDTH / max(1, len(slots) - 1)
    heights = (HEIGHT - HEIGHT * value(slot) / max(1, most) for slot in slots)
    return " ".join(f"{n * step:.1f},{height:.1f}" for n, height in enumerate(heights))


def _failed(calls: Calls) -> int:
    return calls.refused + calls.unanswered


def _sum(slots: Iterable[Calls]) -> int:
    return sum(slot.accepted + _failed(slot) for slot in slots)
