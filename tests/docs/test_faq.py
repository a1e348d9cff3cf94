"""docs/faq.md: every question is answered with a command that there is, or with one of Python's functions."""

from __future__ import annotations

import re

import pytest
import typer.main

from tests.docs.page import Page
from worker.cli.commands import app

SECTIONS = Page("docs/faq.md").text.split("\n## ")[1:]
COMMANDS = typer.main.get_command(app)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.partition("\n")[0])
def test_a_question_is_answered_with_a_command(section: str) -> None:
    """Each command that a section names exists, with each of its options."""
    named = [words.split() for words in re.findall(r"`worker ([a-z-]+[^`]*)`", section)]

    assert named
    for name, *words in named:
        command = COMMANDS.commands[name]  # type: ignore[attr-defined]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert [] == [word for word in words if word.startswith("--") and word not in options]


def test_there_are_twenty_questions() -> None:
    """The ones that people really ask."""
    assert len(SECTIONS) >= 20
