"""Searches all states of a model, breadth first, for a broken promise and for parts that may never end."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.model.actions import Broken, Model, is_end
from bench.model.state import State
from worker.domain.settle import IllegalMove


@dataclass(slots=True)
class Finding:
    """What a search has found."""

    states: int = 0
    transitions: int = 0
    seconds: float = 0.0
    problem: str = ""
    """The promise that is broken, or empty."""
    trace: Sequence[str] = ()
    """The actions that lead there, each in words."""
    depth: int = 0
    """The number of actions on the longest of the shortest ways to a state."""


@dataclass(slots=True)
class _Reached:
    """The states that were reached, in the order in which they were, and how."""

    numbers: dict[State, int] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    parents: array[int] = field(default_factory=lambda: array("q"))
    texts: list[str] = field(default_factory=list)
    """The action by which each state was reached first."""
    without_faults: list[array[int]] = field(default_factory=list)
    """The states that each state leads to if no further fault happens."""
    _same: dict[Any, Any] = field(default_factory=dict)
    """One object for equal values, which saves most of the memory."""

    def add(self, state: State, parent: int, text: str) -> int:
        """Returns the number of a state, which is a new one if it was not reached before."""
        number = self.numbers.get(state)
        if number is None:
            number = len(self.states)
            state = State._make(self._same.setdefault(part, part) for part in state)
            self.numbers[state] = number
            self.states.append(state)
            self.parents.append(parent)
            self.texts.append(self._same.setdefault(text, text))
        return number

    def trace(self, number: int) -> list[str]:
        """Returns the actions that lead to a state from the first."""
        texts = list[str]()
        while self.parents[number] >= 0:
            texts.append(self.texts[number])
            number = self.parents[number]
        return texts[::-1]


def search(model: Model) -> Finding:
    """Searches all states, or until a promise is broken."""
    began, reached, finding = time.monotonic(), _Reached(), Finding()
    reached.add(model.first, -1, "")
    number = 0
    while number < len(reached.states) and not finding.problem:
        _expand(model, reached, number, finding)
        number += 1
    if not finding.problem:
        finding.depth = len(reached.trace(number - 1))
        _find_standstill(reached, finding)
    finding.states, finding.seconds = len(reached.states), time.monotonic() - began
    return finding


def _expand(model: Model, reached: _Reached, number: int, finding: Finding) -> None:
    """Carries out all actions of one state."""
    state, ways = reached.states[number], array("q")
    reached.without_faults.append(ways)
    for action in model.actions(state):
        try:
            after = action.act()
            problem = model.problem(after)
            after = after.reduced()
        except Broken as error:
            problem = str(error)
        except IllegalMove as error:
            problem = f"a change that the table of moves does not have: {error}"
        if problem:
            finding.problem, finding.trace = problem, [*reached.trace(number), action.text]
            return
        if action.is_fault:
            after = after._replace(faults=after.faults - 1)
        finding.transitions += 1
        known = reached.add(after, number, action.text)
        if not action.is_fault:
            ways.append(known)


def _find_standstill(reached: _Reached, finding: Finding) -> None:
    """Looks for a state from which the parts may never end although no further fault happens.

    Takes away the states whose every way leads to an end, from the ends on. What is left stands still or goes in
    circles.
    """
    waiting = array("q", (len(ways) for ways in reached.without_faults))
    befores = [array("q") for _ in waiting]
    for number, ways in enumerate(reached.without_faults):
        for way in ways:
            befores[way].append(number)
    last = [number for number, ways in enumerate(waiting) if not ways]
    stuck = next((number for number in last if not is_end(reached.states[number])), None)
    ending, done = [number for number in last if is_end(reached.states[number])], 0
    while ending:
        done += 1
        for before in befores[ending.pop()]:
            waiting[before] -= 1
            if not waiting[before]:
                ending.append(before)
    if done < len(waiting):
        circling = next((number for number, ways in enumerate(waiting) if ways), 0)
        finding.problem = "a part may go in circles for ever" if stuck is None else "a part never ends"
        finding.trace = reached.trace(circling if stuck is None else stuck)
