"""The types that the package brings (PEP 561): an application's checker finds what is wrong, and no more."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.example import write_files
from tests.docs.page import ROOT, Page

pytestmark = pytest.mark.slow_checkout("mypy and pyright read the package")

APPLICATION = Path(__file__).parents[1] / "support" / "typed_application.py"

WRONG = """from worker_simulator.testing import KitAssertEnqueued, KitDeliver, KitInbox, KitOutbox, KitPress


def test_wrong(
    outbox: KitOutbox, deliver: KitDeliver, inbox: KitInbox, press: KitPress, assert_enqueued: KitAssertEnqueued
) -> None:
    deliver(until=5)  # wrong
    inbox(7)  # wrong
    inbox("zhangsan")[0].txt  # wrong
    press("zhangsan")  # wrong
    assert_enqueued("hr", times=2).text
    assert_enqueued("hr").stat  # wrong
    outbox.jobs[0].txt  # wrong
    outbox.job("id").stat  # wrong
"""
"""Uses of the fixtures, and which of them are told."""

COPIED = ("quickstart.md", "enqueue.md", "testing.md", "we*[lk].md", "youdu.md", "migrate.md", "recipes/*.md")
"""Pages whose code a reader copies; docs/wecom-app.md has nested objects as dicts, and says that checkers take none."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The application's file where no settings of this checkout reach it; every mark of an error has to be needed."""
    shutil.copy(APPLICATION, tmp_path / "shop.py")
    settings = {
        "typeCheckingMode": "strict",
        "enableTypeIgnoreComments": False,
        "reportUnnecessaryTypeIgnoreComment": True,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    return tmp_path


CHECKERS = pytest.mark.parametrize(
    "checker",
    [("mypy", "--strict", "--cache-dir", ".mypy"), ("pyright", "--pythonpath", sys.executable)],
    ids=lambda checker: checker[0],
)


@CHECKERS
def test_an_application_is_checked(checker: tuple[str, ...], folder: Path) -> None:
    """What is right passes in the strictest mode, and each of the wrong lines is refused."""
    command = [sys.executable, "-m", *checker, "shop.py"]

    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_documents_own_applications_are_checked(tmp_path: Path) -> None:
    """What a reader copies from the first pages, those of vendors and the recipes is no error of the types."""
    copied = []
    for path in [path for name in COPIED for path in sorted((ROOT / "docs").glob(name))]:
        page = Page(str(path.relative_to(ROOT)))
        for number, block in enumerate(page.blocks_in("python")):
            if "import" in block.text and not re.match(r"# [\w/]*(test_|conftest)", block.text):
                copied.append(f"{path.parent.name}_{path.stem}_{number}.py".replace("-", "_"))
                (tmp_path / copied[-1]).write_text(block.text, encoding="utf-8")
    # Names that a page takes from the reader's application, and packages without types.
    lenient = ("--check-untyped-defs", "--ignore-missing-imports", "--disable-error-code", "name-defined")
    command = [sys.executable, "-m", "mypy", "--cache-dir", ".mypy", *lenient, *copied]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)

    assert len(copied) > 12
    assert done.returncode == 0, done.stdout + done.stderr


@CHECKERS
def test_the_tests_of_the_page_are_checked(checker: tuple[str, ...], folder: Path) -> None:
    """The kit's fixtures have types: what docs/testing.md shows passes in the strictest mode, and no wrong use does."""
    written = write_files(Page("docs/testing.md"), folder)
    wrong = folder / "test_wrong.py"
    wrong.write_text(WRONG, encoding="utf-8")
    names = [str(path.relative_to(folder)) for path in (*written, wrong)]

    done = subprocess.run(
        [sys.executable, "-m", *checker, *names], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )

    told = re.findall(r"^\s*(?:\S*/)?(\w+\.py):(\d+)\S* (?:- )?error", done.stdout, re.MULTILINE)
    lines = [number for number, line in enumerate(WRONG.splitlines(), start=1) if line.endswith("# wrong")]
    assert {("test_wrong.py", str(number)) for number in lines} == set(told), done.stdout + done.stderr
