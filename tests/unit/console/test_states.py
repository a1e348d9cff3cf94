"""The states that pages show are the states there are."""

from __future__ import annotations

from worker.console.rendering import TONES, badge
from worker.domain.state import JobState, PartState
from worker.language import term


def test_every_state_of_a_job_and_a_part_has_its_colour_and_word() -> None:
    """No two states share a word: one seen anywhere is one state."""
    states = {*(one.label for one in (*JobState, *PartState)), "recalled"}

    assert states == set(TONES)
    assert len(states) == len({term("state", one, "zh") for one in states} - states)


def test_a_badge_has_the_word_and_the_colour_of_its_state() -> None:
    """One that an old page does not know is its own word, escaped."""
    assert badge("accepted", "zh") == '<span class="badge state tone-good" data-state="accepted">已受理</span>'
    assert badge("rejected", "en") == '<span class="badge state tone-bad" data-state="rejected">rejected</span>'
    assert badge("a<b", "zh") == '<span class="badge state tone-calm" data-state="a&lt;b">a&lt;b</span>'
