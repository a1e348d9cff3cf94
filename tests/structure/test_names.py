"""The page of names that changed: the new ones are there, and no old one is."""

from __future__ import annotations

import inspect
import re

import pytest

import worker
from tests.docs.page import Page
from tools.reference.settings import account_keys, keys
from worker.cli.commands import every_command
from worker.config.settings import Settings

ROWS = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", Page("docs/names.md").text, flags=re.MULTILINE)[2:]


def _names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize(("old", "new"), [row[1:] for row in ROWS if row[0] == "Python"])
def test_a_python_name_has_no_alias(old: str, new: str) -> None:
    """What an application imported before is not there."""
    assert [name for name in _names(old) if name in worker.__all__] == []
    assert [name for name in _names(new) if name not in worker.__all__] == []


@pytest.mark.parametrize(("place", "old", "new"), [row for row in ROWS if row[0].startswith("option of ")])
def test_an_option_has_no_alias(place: str, old: str, new: str) -> None:
    """The command has the new one alone."""
    command = every_command().commands[place.removeprefix("option of ")]
    options = {option for parameter in command.params for option in parameter.opts}

    assert options.isdisjoint(_names(old))
    assert options.issuperset(_names(new))


@pytest.mark.parametrize(("old", "new"), [row[1:] for row in ROWS if row[0] == "command"])
def test_a_command_has_no_alias(old: str, new: str) -> None:
    """One name each."""
    assert every_command().commands.keys().isdisjoint(_names(old))
    assert every_command().commands.keys() >= {*_names(new)}


@pytest.mark.parametrize(("old", "new"), [row[1:] for row in ROWS if row[0] == "setting"])
def test_an_old_setting_is_gone(old: str, new: str) -> None:
    """And the new one is read."""
    names = {key.name for key in (*keys(Settings), *account_keys())}

    assert [name for name in _names(old) if name in names] == []
    assert [name for name in _names(new) if name not in names] == []


def test_the_words_of_counts_are_those_of_the_page() -> None:
    """In Python and in `--json`."""
    counts = [*inspect.signature(worker.RecipientCounts).parameters]

    assert counts == ["asked", "accepted", "refused", "unknown", "never_sent", "waiting"]
    assert {"in_doubt", "not_sent"} & {stage.value for stage in worker.MailingStage} == set()
    assert "page_after" in inspect.signature(worker.find_jobs).parameters
