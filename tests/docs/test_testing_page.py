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
BOTH = pytest.mark.parametrize("page", [PAGE, Page("docs/zh/testing.md")], ids=lambda page: page.name)


@pytest.mark.slow_checkout("runs pytest in a process of its own")
def test_the_examples_pass(tmp_path: Path) -> None:
    """The application, its tests, and those in a session that is rolled back."""
    written = write_files(PAGE, tmp_path)

    printed = run_tests(tmp_path)

    tests = sum(path.read_text().count("def test_") for path in written) + 1
    assert tests == passed(printed), printed


@BOTH
@pytest.mark.slow_checkout("runs pytest in a process of its own")
def test_a_failed_assertion_looks_as_the_page_shows_it(page: Page, tmp_path: Path) -> None:
    """Word for word."""
    write_files(page, tmp_path)
    (tmp_path / "rollback" / "test_rollback.py").unlink()
    path = tmp_path / "test_shop.py"
    assertion = re.compile(r'\["zhangsan"\], containing="[^"]*"')
    path.write_text(assertion.sub('["wangwu"]', path.read_text()))

    printed = run_tests(tmp_path)

    [shown] = [block.text for block in page.blocks if block.text.startswith("E       AssertionError")]
    assert shown in printed


def test_every_fixture_and_fault_has_a_row() -> None:
    """By its name, in the first column."""
    rows = " ".join(re.findall(r"^\| (.*?) \|", PAGE.text, flags=re.MULTILINE))
    words = set(re.findall(r"`(\w[\w ]*)", rows))
    fixtures = {name for name, value in vars(plugin).items() if type(value).__name__ == "FixtureFunctionDefinition"}

    assert fixtures <= words
    assert {*NAMED, "unreachable", "refused recipients"} <= words
