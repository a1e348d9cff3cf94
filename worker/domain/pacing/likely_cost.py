"""What a line of parts takes of the limits, told by a sample of its parts. Pure; knows no table and no vendor.

A limit that all parts share has one count. Of limits that each recipient has for itself, those of many alike recipients
are taken together, as one limit of as many times the amount; a recipient with far more messages than the others gets a
line of its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from worker.domain.pacing.limit import Charge, Limit

MOST_ALONE = 20
"""Recipients that get a line of their own, at most."""
_AT_LEAST = 5
_SEEN_ALL = 10
"""Where a sample names each of its recipients so often on average, there are no others."""

Key = tuple[str, int]
"""A limit's name and window."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The counts that a line's parts take units of, for one limit."""

    limit: Limit
    subjects: tuple[str, ...]
    """The subjects that the sample names; more than one: they are taken together."""
    count: float
    """How many there are, as far as the sample tells; infinite: too many for any to fill."""
    units: float
    """Units that one part takes of all of them together, on average."""


@dataclass(frozen=True, slots=True)
class LikelyCost:
    """One line's share of the sample, and what one of its parts costs."""

    share: float
    """The fraction of the place's parts."""
    shared: tuple[Shared, ...]
    parts: tuple[int, ...] = field(repr=False)
    """Which parts of the sample it is made of."""


def likely_costs(sample: Sequence[Sequence[Charge]], *, whole: bool) -> list[LikelyCost]:
    """Divides a sample, given by what each part costs, into lines of alike parts; `whole`: it is all there is."""
    by_line: dict[str, list[int]] = {}
    alone = _alone(sample)
    for n, charges in enumerate(sample):
        subject = next((one.subject for one in charges if one.subject in alone), "")
        by_line.setdefault(subject, []).append(n)
    return [
        LikelyCost(len(parts) / len(sample), tuple(_shared([sample[n] for n in parts], whole=whole)), tuple(parts))
        for _, parts in sorted(by_line.items())
    ]


def _alone(sample: Sequence[Sequence[Charge]]) -> set[str]:
    """The subjects that stand out: with many more parts than chance would give one of them."""
    found: dict[Key, Counter[str]] = {}
    for charges in sample:
        for one in charges:
            found.setdefault((one.limit.name, one.limit.window_s), Counter())[one.subject] += 1
    outstanding: Counter[str] = Counter()
    for counts in found.values():
        mean = counts.total() / len(counts)
        bound = max(_AT_LEAST, mean + 4 * math.sqrt(mean))
        outstanding.update({subject: count for subject, count in counts.items() if count > bound})
    return {subject for subject, _ in outstanding.most_common(MOST_ALONE)}


def _shared(sample: Sequence[Sequence[Charge]], *, whole: bool) -> list[Shared]:
    limits: dict[Key, Limit] = {}
    units: dict[Key, Counter[str]] = {}
    named: dict[Key, Counter[str]] = {}
    for charges in sample:
        for one in charges:
            if one.limit.window_s and one.limit.amount > 0 and one.units > 0:
                key = (one.limit.name, one.limit.window_s)
                limits[key] = one.limit
                units.setdefault(key, Counter())[one.subject] += one.units
                named.setdefault(key, Counter())[one.subject] += 1
    return [
        Shared(limit, tuple(units[key]), _how_many(named[key], whole=whole), units[key].total() / len(sample))
        for key, limit in limits.items()
    ]


def _how_many(named: Mapping[str, int], *, whole: bool) -> float:
    """How many subjects there are, by how often two draws of the sample met the same one."""
    if whole or len(named) == 1:
        return len(named)
    draws = sum(named.values())
    if draws >= _SEEN_ALL * len(named):
        return len(named)
    pairs = sum(count * (count - 1) for count in named.values())
    return math.inf if not pairs else max(len(named), draws * (draws - 1) / pairs)
