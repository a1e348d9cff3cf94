"""Curves of calls over time, as the points of an SVG that the server draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Literal

from worker.outbox.engine.clock import instant, micros_of
from worker.outbox.upkeep.rates import MINUTE, QUARTER, SLOTS, CallRates, Calls

WIDTH, HEIGHT = 240, 48
"""The size of the drawing's coordinates; the browser stretches it."""
MAX_ACCOUNTS = 12
"""Largest number of accounts with curves: those with the most calls of the day."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The calls of an hour or a day."""

    of: Literal["hour", "day"]
    accepted: str
    """The points of the calls that the vendor accepted."""
    failed: str
    """The points of the calls that it refused or did not answer; empty if there were none."""
    total: Calls
    peak: int
    """The most calls of either curve in one slot, which is the height of the drawing."""
    values: str
    """The numbers behind the points, such as `12 0,7 1`: accepted and not, of each slot."""


@dataclass(frozen=True, slots=True)
class AccountCurves:
    """The curves of one account, or of several."""

    account: str | None
    """None for all accounts together."""
    curves: tuple[Curve, ...]


def curves_of(
    rates: CallRates, other_accounts: Iterable[str], limit: int = MAX_ACCOUNTS
) -> tuple[list[AccountCurves], int]:
    """Returns the curves of all accounts together if there are several, then of the busiest; and how many are omitted.

    `other_accounts` get curves even if they made no call.
    """
    names = sorted({*rates.day, *other_accounts}, key=lambda name: (-_sum(rates.day.get(name, ())), name))
    busiest = [AccountCurves(name, _both(rates, [name])) for name in names[:limit]]
    together = [AccountCurves(None, _both(rates, names))] if len(names) > 1 else []
    return [*together, *busiest], max(0, len(names) - limit)


def _both(rates: CallRates, names: Sequence[str]) -> tuple[Curve, ...]:
    hour, day = ([of[name] for name in names if name in of] for of in (rates.hour, rates.day))
    return _curve("hour", hour), _curve("day", day)


def _curve(of: Literal["hour", "day"], series: Iterable[Sequence[Calls]]) -> Curve:
    slots = list[Calls]()
    for account_slots in series:
        slots = slots or [Calls() for _ in account_slots]
        for slot, calls in zip(slots, account_slots, strict=True):
            slot.add(calls)
    total = Calls()
    for slot in slots:
        total.add(slot)
    peak = max((max(slot.accepted, _failed(slot)) for slot in slots), default=0)
    failed = _points(slots, _failed, peak) if _failed(total) else ""
    values = ",".join(f"{slot.accepted} {_failed(slot)}" for slot in slots)
    return Curve(of, _points(slots, lambda slot: slot.accepted, peak), failed, total, peak, values)


def time_axes(read_at: datetime, zone: tzinfo) -> dict[str, tuple[str, str, int]]:
    """Returns hour and day -> the times of day at which the first and the last slot begin, and a slot's minutes."""
    axes = dict[str, tuple[str, str, int]]()
    for of, length in (("hour", MINUTE), ("day", QUARTER)):
        last = micros_of(read_at) // length * length
        ends = (instant(at).astimezone(zone) for at in (last - (SLOTS[length] - 1) * length, last))
        first, newest = (f"{end:%H:%M}" for end in ends)
        axes[of] = first, newest, length // MINUTE
    return axes


def _points(slots: Sequence[Calls], value: Callable[[Calls], int], peak: int) -> str:
    step = WIDTH / max(1, len(slots) - 1)
    heights = (HEIGHT - HEIGHT * value(slot) / max(1, peak) for slot in slots)
    return " ".join(f"{n * step:.1f},{height:.1f}" for n, height in enumerate(heights))


def _failed(calls: Calls) -> int:
    return calls.refused + calls.unanswered


def _sum(slots: Iterable[Calls]) -> int:
    return sum(slot.accepted + _failed(slot) for slot in slots)
