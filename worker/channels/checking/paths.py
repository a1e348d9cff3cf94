"""Places in a message document."""

from __future__ import annotations

from typing import Any


def put(tree: Any, steps: list[str], value: str | None) -> Any:
    """A copy of `tree`, shallow beside the path, with `value` at its end."""
    if not steps:
        return value
    if isinstance(tree, list):
        place = int(steps[0])
        return [*tree[:place], put(tree[place], steps[1:], value), *tree[place + 1 :]]
    return {**tree, steps[0]: put(tree.get(steps[0]), steps[1:], value)}
