"""The words a state has, the one table of moves, and a job's state out of its parts' counters."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from worker.domain.state import ACCEPTED_STATES, FINAL_STATES, MOVES, OPEN_STATES, JobState, PartState, job_state

DOCS = Path(__file__).parents[2] / "docs" / "states.md"
EVERY_COMBINATION = list(product((0, 1, 2), repeat=len(PartState)))


def described(counts: dict[PartState, int]) -> JobState:
    """The job's state as the design says it, sentence by sentence, written without the code."""
    there = [state.label for state, count in counts.items() if count]
    if "queued" in there or "sending" in there or not there:
        return JobState.OPEN
    if "unknown" in there:
        return JobState.UNKNOWN
    if len(there) == 1:
        return JobState[there[0].upper()]
    if "accepted" in there or "partial" in there:
        return JobState.PARTIAL
    for first in ("rejected", "exhausted", "expired", "cancelled"):
        if first in there:
            return JobState[first.upper()]
    raise AssertionError(there)


def test_every_combination_of_counters_gives_the_state_the_design_says() -> None:
    """A job's state follows from its parts alone, for all 19,683 combinations of none, one and several."""
    wrong = []
    for combination in EVERY_COMBINATION:
        counts = dict(zip(PartState, combination, strict=True))
        if described(counts) is not job_state(counts):
            wrong.append(counts)

    assert wrong == []


def test_the_moves_are_those_of_the_design() -> None:
    """No move is added or lost without this table being changed with it."""
    labels = {state.label: {target.label for target in targets} for state, targets in MOVES.items()}

    assert labels == {
        "queued": {"sending", "cancelled", "expired", "exhausted", "rejected", "unknown", "accepted", "partial"},
        "sending": {"accepted", "partial", "rejected", "exhausted", "unknown", "queued"},
        "unknown": {"queued", "accepted", "partial", "rejected"},
        "accepted": set(),
        "partial": set(),
        "rejected": set(),
        "exhausted": set(),
        "expired": set(),
        "cancelled": set(),
    }


def test_nothing_leaves_a_final_state() -> None:
    """Final is final: replay and resend make a new job."""
    final = {state for state, targets in MOVES.items() if not targets}

    assert final == FINAL_STATES
    assert ACCEPTED_STATES < FINAL_STATES
    assert not OPEN_STATES & FINAL_STATES


def test_a_part_in_flight_can_neither_be_cancelled_nor_expire() -> None:
    """Who is sending may have been heard: neither cancelled nor expired can be said of it."""
    assert not MOVES[PartState.SENDING] & {PartState.CANCELLED, PartState.EXPIRED}
    assert not MOVES[PartState.UNKNOWN] & {PartState.CANCELLED, PartState.EXPIRED, PartState.EXHAUSTED}


def test_job_and_part_states_share_numbers_and_words() -> None:
    """What is stored as one number reads as the same word for a job and for a part."""
    shared = {state.label: int(state) for state in PartState if state not in OPEN_STATES}

    assert shared == {state.label: int(state) for state in JobState if state is not JobState.OPEN}


def test_the_docs_have_the_moves_of_the_table() -> None:
    """docs/states.md shows exactly the moves the code allows."""
    section = DOCS.read_text(encoding="utf-8").partition("## Moves")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE))

    shown = {source: set(re.findall(r"`(\w+)`", targets)) for source, targets in rows.items()}

    assert shown == {source.label: {target.label for target in targets} for source, targets in MOVES.items() if targets}


@pytest.mark.parametrize("state", list(PartState), ids=lambda state: state.label)
def test_the_docs_describe_every_state(state: PartState) -> None:
    """docs/states.md has a row for each part state."""
    page = DOCS.read_text(encoding="utf-8")

    assert f"| `{state.label}` |" in page
