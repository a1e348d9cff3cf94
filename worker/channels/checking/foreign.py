"""Fields that other SDKs write into bodies and the vendor's pages do not list, or do not list any more.

A value that says nothing is dropped with a warning; an obsolete field is refused with what replaced it. Knows no field
by name: each channel has a table of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.channels.checking import rules
from worker.domain.errors import CheckFailed, Problem


@dataclass(frozen=True, slots=True)
class Foreign:
    """One row: a field, and what is done about it."""

    path: str
    """The field's path below the body, with `[]` after a list."""
    neutral: tuple[Any, ...] = ()
    """Values without effect, besides None, which never has one."""
    instead: str = ""
    """What replaced an obsolete field; empty: any other value is left for the typed message to judge."""


OFF = (0, "0", False, "")
"""A switch that is off, as SDKs write it."""


def without_foreign(body: Mapping[str, Any], rows: Iterable[Foreign]) -> dict[str, Any]:
    """The body without the fields that say nothing.

    Each such field is a `UserWarning` at the caller of `message_from_json`. A CheckFailed names every obsolete field
    that says something.
    """
    kept: dict[str, Any] = _copy(body)
    obsolete: list[Problem] = []
    for row in rows:
        for path, holder, name in rules.places("", kept, row.path):
            if name not in holder:
                continue
            value = holder[name]
            if value is None or any(type(value) is type(one) and value == one for one in row.neutral):
                del holder[name]  # type: ignore[attr-defined]  # all of the copy are dicts
                warnings.warn(f"{path}: says nothing here, and is left out", stacklevel=3)
            elif row.instead:
                obsolete.append(Problem(path, "is not among the vendor's fields (any more)", row.instead))
    if obsolete:
        raise CheckFailed(obsolete)
    return kept


def _copy(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {name: _copy(value) for name, value in tree.items()}
    return [_copy(entry) for entry in tree] if isinstance(tree, list) else tree
