"""docs/recipes/: each page is a whole application, whose tests pass as the page prints them, with the kit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.example import passed, run_tests, write_files
from tests.docs.page import ROOT, Page

INDEX = Page("docs/recipes/index.md")
RECIPES = [
    Page(f"docs/recipes/{path.name}")
    for path in sorted((ROOT / "docs/recipes").glob("*.md"))
    if path.name != "index.md"
]
"""In Chinese they are the same programs, which test_chinese_pages.py holds against these."""


@pytest.mark.parametrize("page", RECIPES, ids=lambda page: page.path.stem)
@pytest.mark.slow_checkout("runs pytest once a recipe")
def test_the_tests_of_a_recipe_pass(page: Page, tmp_path: Path) -> None:
    """In a folder with its files alone, and with warnings as errors."""
    written = write_files(page, tmp_path)

    printed = run_tests(tmp_path)

    tests = sum(len(re.findall(r"^(?:async )?def test_", path.read_text(), flags=re.M)) for path in written)
    assert 1 <= tests <= passed(printed), printed


@pytest.mark.parametrize("page", RECIPES, ids=lambda page: page.path.stem)
def test_every_python_of_a_recipe_is_a_file_that_runs(page: Page) -> None:
    """No block stands beside them that nothing has tried."""
    assert [] == [block.line for block in page.blocks_in("python") if not re.match(r"# [\w/]+\.py\n", block.text)]


def test_the_index_has_every_recipe() -> None:
    """Once."""
    names = {page.path.name for page in RECIPES}

    assert sorted(names) == sorted(link for link in INDEX.links() if "/" not in link)
