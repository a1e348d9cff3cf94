"""docs/guarantees.md names tests; each of them exists, and every section of its pages has some."""

from __future__ import annotations

import re

import pytest

from tests.docs.page import ROOT, Page, pages

TABLE = Page("docs/guarantees.md")
TOPICS = [page for page in pages() if page.name.startswith("docs/guarantees/") and "crashes" not in page.name]


def test_every_test_the_guarantees_name_exists() -> None:
    """A guarantee whose test was renamed or removed is noticed."""
    named = set(re.findall(r"`(test_\w+)`", TABLE.text))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }

    assert set() == named - there
    assert 100 <= len(named)


@pytest.mark.parametrize("page", TOPICS, ids=lambda page: page.name)
def test_every_section_has_a_row_of_tests(page: Page) -> None:
    """The table links to each heading below the title."""
    _, *sections = page.anchors
    rows = re.findall(r"^\| \[[^]]+\]\(guarantees/([^)]+)\).* \| .*`test_", TABLE.text, re.MULTILINE)

    named = {anchor for name, _, anchor in (row.partition("#") for row in rows) if page.name.endswith(f"/{name}")}

    assert set(sections) == named
