"""Explores seeds in one process: what is made once for all of them, and the sums of what they reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.explore.database import Databases, Store
from bench.explore.process import explorable
from bench.explore.universe import Told, Universe

STEPS_TOLD = 200
"""Lines of a story that are shown, the last ones."""


class Explorer:
    """Runs one universe after the other on the same database and engines."""

    def __init__(self) -> None:
        self._store = Store()
        self._databases = Databases(self._store)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Universes run inside of this."""
        with explorable():
            yield

    def explore(self, seed: int) -> Told:
        """Runs the universe of a seed."""
        return Universe(seed, self._store, self._databases).run()


def explore(seeds: Iterable[int]) -> list[Told]:
    """Runs the universes of these seeds, one after the other."""
    explorer = Explorer()
    with explorer.ready():
        return [explorer.explore(seed) for seed in seeds]


@dataclass
class Sums:
    """What many universes reached."""

    universes: int = 0
    statements: int = 0
    virtual_s: float = 0.0
    reached: Counter[tuple[str, str]] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    broken: list[Told] = field(default_factory=list)
    """Those in which a promise was broken."""

    def add(self, told: Told) -> None:
        """Adds one universe."""
        self.universes += 1
        self.statements += told.statements
        self.virtual_s += told.virtual_s
        self.reached += told.reached
        self.fates += told.fates
        self.states += told.states
        if told.problems:
            self.broken.append(told)

    def lines(self) -> Iterator[str]:
        """What was reached, as a table of steps and faults, and the fates of calls."""
        faults = sorted({fault for _, fault in self.reached})
        yield f"{self.universes} universes, {self.statements} statements, {self.virtual_s / 3600:.1f} virtual hours"
        yield " ".join([f"{'step':14}", *(f"{fault[:24]:>24}" for fault in faults)])
        for step in sorted({step for step, _ in self.reached}):
            yield " ".join([f"{step:14}", *(f"{self.reached[step, fault]:>24}" for fault in faults)])
        yield "calls: " + ", ".join(f"{count} {fate}" for fate, count in sorted(self.fates.items()))
        yield "ends: " + ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))


def story_of(told: Told) -> Iterator[str]:
    """What a person reads of a universe in which a promise was broken."""
    yield f"seed {told.seed} broke {len(told.problems)} promises:"
    yield from (f"  {problem}" for problem in told.problems)
    yield from (f"    {line}" for line in told.story[-STEPS_TOLD:])
