"""Makes a story of a seed that breaks a promise: leaves out what it does not need, and tells the rest in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import count

from bench.explore.explorer import Explorer
from bench.explore.universe import Told, Universe
from worker.domain.state import PartState

TURNS = 4
"""How many orders of threads are tried with the same things left out."""
_PARTS = (
    "select p.id, p.state, p.claim, p.reason, j.message, j.kind from worker_parts p"
    " join worker_jobs j on j.id = p.job_id order by p.id"
)
_WHEN = {
    "begin": "as a transaction begins",
    "statement": "before a statement",
    "commit": "before a commit",
    "committed": "after a commit, before it knows of it",
    "connect": "before it connects to the vendor",
    "taken": "after it has taken a doorbell",
    "before_mark": "before it marks a part",
    "after_mark": "after its mark, before its call",
    "before_record": "after the answer, before it is recorded",
    "after_record": "after the answer is recorded",
    "before_ack": "before it acknowledges a doorbell",
}
_WHO = {"outside/producer": "the application", "outside/people": "people", "outside/judge": "people"}
Without = frozenset[str]
Explore = Callable[[int, Without, int], Told]


def tell(explorer: Explorer, seed: int) -> Iterator[str]:
    """The lines of a story: what is broken, what was left out, and the numbered steps that lead there."""
    before = explorer.explore(seed)
    if not before.problems:
        yield f"seed {seed} breaks no promise"
        return
    without, turn, universes = shrink(explorer.explore, before)
    told = explorer.explore(seed, without, turn, watch)
    problem = next(problem for problem in told.problems if gist(problem) == gist(before.problems[0]))
    yield f"Seed {seed}: {problem}"
    kept = [thing for thing in before.things if thing not in without]
    yield f"After {universes} universes {len(kept)} of {len(before.things)} things are left: {', '.join(kept)}"
    yield from (f"{n:4}. {line}" for n, line in enumerate(map(_in_words, told.story), 1))


def shrink(explore: Explore, before: Told) -> tuple[Without, int, int]:
    """Leaves out one kind of thing after the other, then single things, while the same promise is broken.

    Returns what is left out, the order of threads, and the number of universes that it took.
    """
    broken, without, turn, tried = gist(before.problems[0]), Without(), 0, count(1)
    kinds = [[thing for thing in before.things if thing.startswith(kind)] for kind in ("command", "fault", "illness")]
    again = True
    while again:
        again = False
        for group in [*kinds, *([thing] for thing in reversed(before.things))]:
            more = without.union(group)
            if more == without or not any(thing.startswith("host") and thing not in more for thing in before.things):
                continue
            for other in dict.fromkeys((turn, *range(TURNS))):
                next(tried)
                if broken in map(gist, explore(before.seed, more, other).problems):
                    without, turn, again = more, other, True
                    break
    return without, turn, next(tried)


def gist(problem: str) -> str:
    """A sentence of the judge without its numbers: another job may break the same promise."""
    return re.sub(r"[\d.]*\d", "#", problem)


def watch(universe: Universe) -> None:
    """Adds a line to the universe's story for each part that a commit changes."""
    store, step, states = universe.store, universe.store.step, dict[str, PartState]()

    def stepped(label: str) -> None:
        for row in store.rows(_PARTS) if label == "committed" else ():
            state, content = PartState(row["state"]), re.search(r"(job|update) \d+", row["message"])
            name = content[0] if content else f"a {row['kind']}"
            if (before := states.get(row["id"])) is None:
                universe.say(f"commits {name}")
            elif before is not state:
                universe.say(_change(name, state, row["claim"], row["reason"]))
            states[row["id"]] = state
        step(label)

    store.step = stepped


def _change(name: str, state: PartState, claim: int, reason: str | None) -> str:
    because = f": {reason}" if reason else ""
    match state:
        case PartState.SENDING:
            return f"marks {name}, call {claim}"
        case PartState.QUEUED:
            return f"queues {name} again{because}"
        case PartState.UNKNOWN:
            return f"notes that call {claim} of {name} is in doubt{because}"
        case _:
            return f"records that {name} is {state.label}{because}"


def _in_words(line: str) -> str:
    """A line of a universe's story without names of threads and steps."""
    at, _, what = line.strip().partition(":")
    instant, _, who = at.partition(" ")
    who = _WHO.get(who, "" if who.startswith("outside") else who.partition("/")[0])
    what = re.sub(r" at (\w+)$", lambda found: f" {_WHEN.get(found[1], found[0].strip())}", what.strip())
    return f"{float(instant):6.2f} s  {who + ': ' if who else ''}{what}"
