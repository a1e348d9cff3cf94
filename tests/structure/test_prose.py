"""The check of docstrings, comments and pages finds each of the four habits, and leaves quotes and code alone."""

from __future__ import annotations

import pytest

from tools.prose import habits, people, share_of_comments


@pytest.mark.parametrize(
    "text",
    [
        "Those that an answer means something to.",
        "Whoever waits is woken.",
        "The row of the dead.",
        "Nobody takes it.",
        "and how long it lasts.",
        "An id, null without one.",
    ],
)
def test_a_habit_is_found(text: str) -> None:
    """In a docstring of a value, with its line."""
    assert {2} == {line for line, _ in habits(f'WAIT_S = 5\n"""{text}"""\n')}


@pytest.mark.parametrize("text", ["# somebody else's", "# the row is null"])
def test_a_comment_is_held_to_it_too(text: str) -> None:
    """Also behind a line of code."""
    assert [1] == [line for line, _ in habits(f"wait = 5  {text}\n")]


@pytest.mark.parametrize(
    "text", ["A body with `null`.", 'The vendor says "nobody".', "The parts that wait for a limit."]
)
def test_plain_sentences_code_and_quotes_pass(text: str) -> None:
    """What the vendor says is in quotes, what a program says in backticks."""
    assert [] == list(habits(f'"""{text}"""\n'))


def test_a_person_for_a_thing_is_found_in_a_page() -> None:
    """By its line, outside code blocks, code inside a line and quotes."""
    page = '# Somebody\n\n```\nnobody waits\n```\n\nThe part of `nobody`, "nobody" and nobody.\n'

    assert [1, 7] == [line for line, _ in people(page)]


def test_comments_are_counted_by_lines() -> None:
    """Blank lines and the rules between sections count for nothing."""
    sources = ["# why\nx = 1\n\n# -- a section ---\n", "# more\ny = 2\nz = 3\n"]

    assert 2 / 5 == share_of_comments(sources)
