"""Explores seeds in one process: what is made once for all of them, and the sums of what they reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.explore.backup import RESTORED
from bench.explore.broker import MESSAGE_PAIRS
from bench.explore.database import Databases, Store
from bench.explore.doubts import Doubts
from bench.explore.fates import CALL_PAIRS, CALLS, Fate
from bench.explore.faults import PROCESS_PAIRS
from bench.explore.process import explorable
from bench.explore.sqlite import SqliteStore
from bench.explore.universe import QUIET, STRANGE, Told, Universe
from worker.domain.state import PartState

OTHER_PAIRS = (*CALL_PAIRS, *MESSAGE_PAIRS, RESTORED, QUIET, STRANGE)
PAIRS = (*PROCESS_PAIRS, *OTHER_PAIRS)
"""Every fault at every step at which it can be met."""
OFTEN = 50 / 100_000
"""So often each of them is to be met in a universe."""
STEPS_TOLD = 200
"""Lines of a story that are shown, the last ones."""


class Explorer:
    """Runs one universe after the other on the same database and engines."""

    def __init__(self, store: Store | None = None) -> None:
        """`store`: SQLite in memory by default."""
        self._store = store or SqliteStore()
        self._databases = Databases(self._store)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Universes run inside of this."""
        with explorable():
            yield

    def explore(
        self, seed: int, without: Collection[str] = (), turn: int = 0, watch: Callable[[Universe], None] | None = None
    ) -> Told:
        """Runs the universe of a seed. See `Universe` for `without` and `turn`; `watch` gets it before it begins."""
        universe = Universe(seed, self._store, self._databases, without, turn)
        if watch:
            watch(universe)
        return universe.run()


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
    states: Counter[int] = field(default_factory=Counter)
    doubts: Doubts = field(default_factory=Doubts)
    broken: list[Told] = field(default_factory=list)
    """Those in which a promise was broken."""

    def add(self, told: Told) -> None:
        """Adds one universe."""
        self.universes += 1
        self.statements += told.statements
        self.virtual_s += told.virtual_s
        self.reached += told.reached
        self.states += told.states
        self.doubts.add(told.doubts)
        if told.problems:
            self.broken.append(told)

    def lines(self) -> Iterator[str]:
        """How often each fault was met at each step, which were met too seldom, and how parts ended."""
        yield f"{self.universes} universes, {self.statements} statements, {self.virtual_s / 3600:.1f} virtual hours"
        for pairs in (PROCESS_PAIRS, OTHER_PAIRS):
            yield from self._table(pairs)
        seldom = [f"{step} {fault}" for step, fault in PAIRS if self.reached[step, fault] < OFTEN * self.universes]
        yield f"met less often than in {OFTEN:.2%} of the universes: {', '.join(seldom) or 'none'}"
        answered = ", ".join(f"{self.reached[call, Fate.ANSWERED]} {call}" for call in CALLS)
        yield f"answered at once: {answered}"
        ends = ((PartState(state).label, count) for state, count in sorted(self.states.items()))
        yield from self.doubts.lines()
        yield "ends: " + ", ".join(f"{count} {label}" for label, count in ends)

    def _table(self, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
        """A line for each fault, a column for each step; a dot where a fault cannot be met."""
        steps = list(dict.fromkeys(step for step, _ in pairs))
        yield " ".join([f"{'':31}", *(f"{step:>13}" for step in steps)])
        for fault in dict.fromkeys(fault for _, fault in pairs):
            counts = (self.reached[step, fault] if (step, fault) in pairs else "." for step in steps)
            yield " ".join([f"{fault:31}", *(f"{count:>13}" for count in counts)])


def story_of(told: Told) -> Iterator[str]:
    """What a person reads of a universe in which a promise was broken."""
    yield f"seed {told.seed} broke {len(told.problems)} promises:"
    yield from (f"  {problem}" for problem in told.problems)
    yield from (f"    {line}" for line in told.story[-STEPS_TOLD:])
