"""docs/recipes/: each page is a whole application, whose tests pass as the page prints them, with the kit."""

from __future__ import annotations

import ast
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
    assert [block.line for block in page.blocks_in("python") if not re.match(r"# [\w/]+\.py\n", block.text)] == []


def test_the_index_has_every_recipe() -> None:
    """Once."""
    names = {page.path.name for page in RECIPES}

    assert sorted(names) == sorted(link for link in INDEX.links() if "/" not in link)


CHANNEL = Page("docs/recipes/another-vendor.md")
CONTRACT = {
    "worker",
    "worker.channels",
    "worker.channels.contract",
    "worker_simulator.contract",
    "worker_simulator.testing.channel_suite",
}


def test_a_channel_of_another_vendor_uses_the_contract_alone() -> None:
    """In at most 250 lines with its fake, and the worker knows nothing of it."""
    code = "\n".join(block.text for block in CHANNEL.blocks_in("python"))
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    ours = {(node.module, one.name) for node in imports for one in node.names if str(node.module).startswith("worker")}

    assert {module for module, _ in ours} <= CONTRACT
    assert {name for module, name in ours if module == "worker.channels"} == {"contract"}
    assert len(code.splitlines()) <= 250
    rooms = [path for room in ("worker", "worker_simulator") for path in (ROOT / room).rglob("*.*")]
    assert [path for path in rooms if path.suffix != ".pyc" and b"dingtalk" in path.read_bytes().lower()] == []


@pytest.mark.slow_checkout("runs pytest in a process of its own")
def test_the_suite_of_the_page_about_channels_runs(tmp_path: Path) -> None:
    """With the channel of the recipe in the place of the page's."""
    write_files(CHANNEL, tmp_path)
    [shown] = [block.text for block in Page("docs/channels.md").blocks_in("python")]
    names = {
        "acme_channel": "dingtalk_robot",
        '"acme"': '"dingtalk_robot"',
        "/messages": "/robot/send",
        "app_minute": "robot_minute",
        "40100": "430101",
        "40300": "400101",
    }
    for name, instead in names.items():
        assert name in shown
        shown = shown.replace(name, instead)
    (tmp_path / "test_dingtalk_robot.py").write_text(shown)

    assert passed(run_tests(tmp_path)) > 20
