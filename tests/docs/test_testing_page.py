"""The page about the kit: its examples run as a reader's own tests would."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.example import passed, run_tests, write_files
from tests.docs.page import Page
from worker_simulator.testing import plugin
from worker_simulator.testing.faults import NAMED

PAGE = Page("docs/testing.md")


@pytest.mark.slow("runs pytest in a process of its own")
def test_the_examples_pass(tmp_path: Path) -> None:
    """The application, its tests, and those in a session that is rolled back."""
    written = write_files(PAGE, tmp_path)

    printed = run_tests(tmp_path)

    tests = sum(path.read_text().count("def test_") for path in written) + 1
    assert tests == passed(printed), printed


@pytest.mark.slow("runs pytest in a process of its own")
def test_a_failed_assertion_looks_as_the_page_shows_it(tmp_path: Path) -> None:
    """Word for word."""
    write_files(PAGE, tmp_path)
    (tmp_path / "rollback" / "test_rollback.py").unlink()
    path = tmp_path / "test_shop.py"
    expected, another = '["zhangsan"], containing="lisi asks for leave"', '["wangwu"]'
    path.write_text(path.read_text().replace(expected, another))

    printed = run_tests(tmp_path)

    [shown] = [block.text for block in PAGE.blocks if block.text.startswith("E       AssertionError")]
    assert shown in printed


def test_every_fixture_and_fault_has_a_row() -> None:
    """By its name, in the first column."""
    rows = " ".join(re.findall(r"^\| (.*?) \|", PAGE.text, flags=re.MULTILINE))
    words = set(re.findall(r"`(\w[\w ]*)", rows))
    fixtures = {name for name, value in vars(plugin).items() if type(value).__name__ == "FixtureFunctionDefinition"}

    assert fixtures <= words
    assert {*NAMED, "unreachable", "refused recipients"} <= words
