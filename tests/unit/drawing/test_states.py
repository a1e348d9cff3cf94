"""The states that pages show are the states there are."""

from __future__ import annotations

from worker.domain.state import JobState, PartState
from worker.drawing import STATES, state_badge, state_word


def test_every_state_of_a_job_and_a_part_has_its_word() -> None:
    """And no other word stands in the table: the room cannot import the states it names."""
    states = {one.label for one in (*JobState, *PartState)}

    assert states == set(STATES)


def test_no_two_states_share_a_word() -> None:
    """In neither language: a word seen anywhere is one state."""
    for lang in ("zh", "en"):
        assert len(STATES) == len({state_word(one, lang) for one in STATES})


def test_a_badge_has_the_word_and_the_colour_of_its_state() -> None:
    """One colour and one word in each language."""
    assert '<span class="badge state tone-good" data-state="accepted">已受理</span>' == state_badge("accepted")
    assert '<span class="badge state tone-bad" data-state="rejected">rejected</span>' == state_badge("rejected", "en")


def test_a_state_that_is_not_known_is_its_own_word() -> None:
    """An old page shows what a newer release writes, escaped."""
    assert '<span class="badge state tone-calm" data-state="a&lt;b">a&lt;b</span>' == state_badge("a<b")
