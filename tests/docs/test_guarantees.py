"""docs/guarantees.md names tests; each of them exists, and every topic of the page has some."""

from __future__ import annotations

import re

from tests.docs.page import ROOT, Page

PAGE = Page("docs/guarantees.md")


def test_every_test_the_guarantees_name_exists() -> None:
    """A guarantee whose test was renamed or removed is noticed."""
    named = set(re.findall(r"`(test_\w+)`", PAGE.text))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }

    assert named - there == set()
    assert len(named) >= 100


def test_every_topic_has_a_row_of_tests() -> None:
    """The table links to each heading of the third level."""
    topics = re.findall(r"^### (.+)$", PAGE.text, re.MULTILINE)
    rows = re.findall(r"^\| \[[^]]+\]\(#([^)]+)\).* \| .*`test_", PAGE.text, re.MULTILINE)

    assert {re.sub(r"[^\w\- ]", "", topic.lower()).replace(" ", "-") for topic in topics} == set(rows) - {
        "the-crash-matrix"
    }
