"""Recipients of a call as lists of ids: whether each is well-formed, and how they are divided among calls.

Knows no list by name: each channel has its own table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from worker.channels.checking.rules import vendor_code
from worker.domain.content.recipient import Recipients
from worker.domain.errors import Problem
from worker.domain.job import Draft

NUMBER = re.compile(r"[1-9][0-9]{0,18}")
"""The id of a department or tag. 0 would be everyone: one in a list by mistake would be a broadcast."""


@dataclass(frozen=True, slots=True)
class Target:
    """One list of recipients in a call."""

    name: str
    """Its key in a spec."""
    kind: str
    """The recipient kind of its entries in a refusal."""
    field: str
    """The vendor's name of the list in a send."""
    maximum: int
    """The maximum number of entries in one call."""
    fits: Callable[[str], object]
    """Returns something true for a well-formed entry, such as the match of a pattern."""
    form: str
    """The form of an entry, for people."""
    update_field: str = ""
    """The vendor's name of the list in a card update, if there is such a call."""


def ids(recipients: Recipients, target: Target) -> tuple[str, ...]:
    """Returns the ids of one list."""
    listed: tuple[str, ...] = getattr(recipients, target.name)
    return listed


def other_recipients(asked: Recipients, elsewhere: Mapping[str, str]) -> Iterator[Problem]:
    """Finds recipients that only other channels have, by their form; `elsewhere` says for each what to use."""
    for form in forms_of(asked):
        if form in elsewhere:
            yield Problem("to", f"{form} is of another channel", elsewhere[form])


def forms_of(asked: Recipients) -> Iterator[str]:
    """Yields how the recipients of a job are written, such as `To(tags=...)`: one form for each kind of them."""
    yield from (f"To({name}=...)" for name in ("users", "parties", "tags") if getattr(asked, name))
    is_customers = asked.customers or (asked.by_sender and not asked.chats and asked.audience != "groups")
    if asked.form:
        yield f"{asked.form}(...)"
    elif is_customers or asked.by_sender:
        yield "Customers(...)" if is_customers else "CustomerGroups(...)"
    if asked.emails and asked.form != "Emails":
        yield "Emails(...)"
    if asked.everyone and not asked.by_sender:
        yield f'Everyone("{asked.audience}")' if asked.audience else "Everyone()"


def unfit(target: Target, field: str, asked: Recipients) -> Iterator[Problem]:
    """Finds the malformed entries of one list."""
    yield from malformed(field, ids(asked, target), target.fits, f"use {target.form}; a broadcast is Everyone()")


def malformed(
    field: str, entries: Sequence[Any], fits: Callable[[str], object], remedy: str, code: int | None = None
) -> Iterator[Problem]:
    """Reports all malformed entries of a list as one problem, with the position of the first and no value."""
    wrong_places = [place for place, entry in enumerate(entries) if not isinstance(entry, str) or not fits(entry)]
    if wrong_places:
        count, first = len(wrong_places), wrong_places[0]
        if any(isinstance(entry, str) and ("," in entry or "，" in entry) for entry in entries):
            remedy = f"give several as a list, or separated by |; {remedy}"
        yield Problem(field, f"has malformed entries{vendor_code(code)}: {count}, the first at place {first}", remedy)


def no_targets(draft: Draft) -> Iterator[Problem]:
    """Refuses recipients of a job that has none of its own: an upload, or a job about a whole call."""
    if draft.recipients:
        yield Problem("recipients", f"a {draft.kind} has no recipients", "leave them out")


def calls_for(recipients: Recipients, targets: Iterable[Target]) -> int:
    """Returns how many calls reach all these recipients with one message, at least one."""
    return max(1, *(ceil(len(ids(recipients, target)) / target.maximum) for target in targets))


def slices(recipients: Recipients, targets: Iterable[Target], n: int) -> dict[str, Any]:
    """Returns the n-th slice of every list, without empty ones."""
    found = {one.name: list(ids(recipients, one)[n * one.maximum : (n + 1) * one.maximum]) for one in targets}
    return {name: part for name, part in found.items() if part}


def pieces(draft: Draft, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Repeats the spec for each piece of a split text, in reading order."""
    count = len(draft.message.get("pieces", ()))
    return [{**spec, "piece": piece} for piece in range(count)] if count else [spec]
