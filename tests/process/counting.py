"""What real processes counted, as a reader of the tables finds it."""

from __future__ import annotations

from collections import Counter, defaultdict

from rig.stack import Stack
from worker.outbox.engine.counting import SEPARATOR, totals


def counted(stack: Stack) -> defaultdict[str, Counter[tuple[str, ...]]]:
    """Each counter, by the values of its labels."""
    found: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    with stack.database.reading() as connection:
        for name, value in totals(connection).items():
            metric, *labels = name.split(SEPARATOR)
            found[metric][tuple(labels)] = value
    return found
