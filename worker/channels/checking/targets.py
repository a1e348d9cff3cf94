"""Recipients of a call as lists of ids: whether each is well-formed, and how they are divided among calls.

Knows no list by name: each channel has a table of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from worker.channels.checking.rules import vendor_code
from worker.domain.content.recipient import Recipients
from worker.domain.errors import Problem
from worker.domain.job import Draft


@dataclass(frozen=True, slots=True)
class Target:
    """One of the lists of recipients that a call has."""

    name: str
    """Its key in a spec."""
    kind: str
    """What its entries are, in a refusal."""
    field: str
    """The vendor's name of the list in a send."""
    maximum: int
    """The most entries of one call."""
    fits: Callable[[str], object]
    """Its answer is true for a well-formed entry, such as the match of a pattern."""
    wanted: str
    """What entries look like, for people."""
    update_field: str = ""
    """The vendor's name of the list in a card update, where there is such a call."""


def ids(recipients: Recipients, target: Target) -> tuple[str, ...]:
    """The ids of one list."""
    listed: tuple[str, ...] = getattr(recipients, target.name)
    return listed


def unfit(target: Target, field: str, asked: Recipients) -> Iterator[Problem]:
    """The malformed entries of one list."""
    yield from malformed(field, ids(asked, target), target.fits, f"use {target.wanted}; a broadcast is Everyone()")


def malformed(
    field: str, entries: Iterable[Any], fits: Callable[[str], object], remedy: str, code: int | None = None
) -> Iterator[Problem]:
    """One problem for all wrong entries of a list, with the place of the first and no value."""
    wrong = [place for place, entry in enumerate(entries) if not isinstance(entry, str) or not fits(entry)]
    if wrong:
        yield Problem(
            field, f"{len(wrong)} entries are malformed{vendor_code(code)}, the first at place {wrong[0]}", remedy
        )


def no_targets(draft: Draft) -> Iterator[Problem]:
    """A job that has no recipients of its own: an upload, or one about a whole call."""
    if draft.recipients:
        yield Problem("recipients", f"a {draft.kind} takes none", "leave them out")


def calls_for(recipients: Recipients, targets: Iterable[Target]) -> int:
    """How many calls reach all of these recipients with one message; at least one."""
    return max(1, *(-(-len(ids(recipients, target)) // target.maximum) for target in targets))


def slices(recipients: Recipients, targets: Iterable[Target], n: int) -> dict[str, Any]:
    """The n-th slice of every list, empty ones left out."""
    found = {one.name: list(ids(recipients, one)[n * one.maximum : (n + 1) * one.maximum]) for one in targets}
    return {name: part for name, part in found.items() if part}


def pieces(draft: Draft, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The spec once for each piece of a text that was split, in the order in which they should be read."""
    count = len(draft.message.get("pieces", ()))
    return [{**spec, "piece": piece} for piece in range(count)] if count else [spec]
