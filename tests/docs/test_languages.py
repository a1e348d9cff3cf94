"""What the documentation says in one language it says in the other: every page."""

from __future__ import annotations

from tests.docs.page import ROOT
from tools.site.navigation import BESIDE_DOCS, pages
from tools.site.stage import source_of

NEVER_TRANSLATED = {
    *(
        "contributing.md",
        "common-changes.md",
        "names.md",
        "tests-of-the-pipeline.md",
        "channels.md",
        "reference/way.md",
    ),
    "changelog.md",
}
"""For those who change the program, whose code, tests and commits are in English."""


def test_every_page_has_a_chinese_text() -> None:
    """But for those of the list."""
    missing = {page for page in pages() if source_of(page, "zh") == source_of(page, "en")}

    assert missing == NEVER_TRANSLATED


def test_every_chinese_page_has_an_english_text() -> None:
    """Of the same name."""
    chinese = {path.relative_to(ROOT / "docs" / "zh").as_posix() for path in (ROOT / "docs" / "zh").rglob("*.md")}

    assert chinese - set(pages()) == set()


def test_every_page_stands_in_the_navigation_once() -> None:
    """Those beside docs/ too."""
    found = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    english = {name for name in found if not name.startswith("zh/")} | set(BESIDE_DOCS)

    assert sorted(english) == sorted(pages())
