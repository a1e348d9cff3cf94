"""The states of parts and jobs, and the one table of moves between them.

Values are stored as small integers. People see the names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

from worker.domain.errors import CheckFailed, Problem


class Labelled(IntEnum):
    """A state, stored as its number."""

    @property
    def label(self) -> str:
        """The word that people see."""
        return self.name.lower()


class PartState(Labelled):
    """State of one part of a job."""

    QUEUED = 0
    """It waits: for its turn, its time, its lane, or another job."""
    SENDING = 1
    """Its call is marked: the first byte may have been sent."""
    ACCEPTED = 2
    """The vendor accepted it for every recipient."""
    PARTIAL = 3
    """The vendor accepted it, and refused some recipients."""
    REJECTED = 4
    """It was refused for good, by the vendor or by the worker."""
    EXHAUSTED = 5
    """It was tried as often, or for as long, as it may be."""
    UNKNOWN = 6
    """It may have been sent, but no readable answer came."""
    EXPIRED = 7
    """Its `expires_at` passed before it was sent."""
    CANCELLED = 8
    """It was cancelled, or recalled, before it was sent."""


class JobState(Labelled):
    """State of a job: a pure function of its parts (`job_state`)."""

    OPEN = 0
    """Some parts are queued or sending."""
    ACCEPTED = 2
    """All parts are accepted."""
    PARTIAL = 3
    """Some recipients or parts were accepted, others not."""
    REJECTED = 4
    """No part was accepted, and some were rejected."""
    EXHAUSTED = 5
    """No part was accepted or rejected, and some are exhausted."""
    UNKNOWN = 6
    """No part is open, and some are unknown."""
    EXPIRED = 7
    """Every part expired or was cancelled, and some expired."""
    CANCELLED = 8
    """All parts were cancelled."""


Q, S, A, P, R, X, U, E, C = PartState

MOVES: Mapping[PartState, frozenset[PartState]] = {
    # Queued -> unknown, accepted, partial or rejected: an older attempt is in doubt, or its late answer came.
    Q: frozenset({S, C, E, X, R, U, A, P}),
    # Sending -> queued: certainly nothing was sent, or a readable answer allows another call.
    S: frozenset({A, P, R, X, U, Q}),
    # Unknown -> queued: a safe repeat. Unknown to other states: a late answer, a search, a person.
    U: frozenset({Q, A, P, R}),
    # An ended part stays as it is.
    **dict.fromkeys((A, P, R, X, E, C), frozenset[PartState]()),
}
"""Every change of state that a part can make. No state changes outside this table."""

OPEN_STATES = frozenset({Q, S})
ACCEPTED_STATES = frozenset({A, P})
FINAL_STATES = frozenset({A, P, R, X, E, C})


def job_state(counts: Mapping[PartState, int]) -> JobState:
    """Returns the job's state from the number of its parts in each state."""
    present = {state for state, count in counts.items() if count > 0}
    if not present or present & OPEN_STATES:
        return JobState.OPEN
    if U in present:
        return JobState.UNKNOWN
    if len(present) == 1:
        return JobState[present.pop().name]
    if present & ACCEPTED_STATES:
        return JobState.PARTIAL
    return JobState[next(state for state in (R, X, E, C) if state in present).name]


State = JobState | str
"""A job's state, or its word, such as `"open"`."""


_BY_WORD = {state.label: state for state in JobState}


def states_of(name: str, values: object) -> list[JobState]:
    """Returns one or several states, each given as a JobState or its word. Raises CheckFailed for anything else."""
    states: list[Any] = list(values) if isinstance(values, Iterable) and not isinstance(values, str) else [values]
    if not all(isinstance(state, JobState) or (isinstance(state, str) and state in _BY_WORD) for state in states):
        remedy = f"use a member of JobState, such as JobState.OPEN, or one of {', '.join(_BY_WORD)}"
        raise CheckFailed([Problem(name, "is not a state of a job", remedy)])
    return [state if isinstance(state, JobState) else _BY_WORD[state] for state in states]
