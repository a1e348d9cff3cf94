"""Whether marks, leases, recovery and the ledger of response_codes keep their promises in every state of a small model.

It searches all states of two hosts and two parts with up to two faults: a process dies or sleeps past its lease, a
commit's answer is lost, or a vendor's. Then it takes away one guard after the other, and prints the shortest way to the
promise that breaks. The search is a page of Python and no TLA+, because that needs nothing installed and lets the
model decide by the worker's own `settle.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from functools import partial
from typing import Protocol

from bench import Figure
from bench.model.actions import Model
from bench.model.guards import Guard
from bench.model.search import Finding, search
from worker.domain.job import RepeatRule

UPDATE, MESSAGE = RepeatRule.FRESH_CODE, RepeatRule.HOLD


class Size(Protocol):
    """A model of some size, without these guards."""

    def __call__(self, *, without: Collection[Guard] = ()) -> Model:
        """Returns it."""


FULL: dict[str, Size] = {
    "one message and two threads of one process": partial(Model, (MESSAGE,), hosts=1, threads=2, faults=2),
    "one update of a card with two response_codes": partial(Model, (UPDATE,), codes=2, faults=2),
    "two updates of a card with one response_code": partial(Model, (UPDATE, UPDATE), codes=1, faults=2),
    "two messages of a webhook": partial(Model, (MESSAGE, MESSAGE), faults=2),
}
SMALL: dict[str, Size] = {
    "one message": partial(Model, (MESSAGE,), faults=1),
    "one update of a card with two response_codes": partial(Model, (UPDATE,), codes=2, faults=1),
    "one message and two threads of one process": partial(Model, (MESSAGE,), hosts=1, threads=2, faults=1),
    "two updates of a card with one response_code": partial(Model, (UPDATE, UPDATE), codes=1, faults=1),
}


def main(argv: list[str]) -> Figure:
    """Searches the whole model, then the model without each guard."""
    parser = argparse.ArgumentParser(prog="python -m bench model", description=__doc__)
    parser.add_argument("--small", action="store_true", help="only the sizes that the tests search")
    options = parser.parse_args(argv)
    findings = list[Finding]()
    for name, size in (SMALL if options.small else FULL).items():
        finding = search(size())
        findings.append(finding)
        print(f"{name}: {figures(finding)}", flush=True)
        print("\n".join(trace_lines(finding)), end="")
    missed = 0
    for guard in Guard:
        finding = without(guard)
        missed += not finding.problem
        print(
            f"without: {guard}\n  {finding.problem or 'NOTHING FOUND'}\n" + "\n".join(trace_lines(finding)), flush=True
        )
    states, broken = sum(finding.states for finding in findings), sum(bool(finding.problem) for finding in findings)
    figure = (
        f"{broken} promises broken in {states} states, {len(Guard) - missed} of {len(Guard)} missing guards noticed"
    )
    return Figure("model", figure, "0, all", not broken and not missed)


def without(guard: Guard) -> Finding:
    """Returns the shortest way to a promise that breaks without this guard, in the first small model that has one."""
    finding = Finding()
    for size in SMALL.values():
        finding = search(size(without=(guard,)))
        if finding.problem:
            break
    return finding


def figures(finding: Finding) -> str:
    """Returns what a search has cost."""
    size = f"{finding.states} states, {finding.transitions} transitions, {finding.seconds:.1f} s"
    return f"{size}: {finding.problem}" if finding.problem else f"{size}, at most {finding.depth} actions deep"


def trace_lines(finding: Finding) -> Sequence[str]:
    """Returns the actions of a trace, numbered."""
    return [f"  {number:2}. {text}" for number, text in enumerate(finding.trace, 1)]
