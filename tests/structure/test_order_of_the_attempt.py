"""The steps of an attempt happen in one order, which `delivery/sender/attempt.py` states and all pages repeat."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator

from tests.docs.page import ROOT
from worker.delivery.sender import attempt

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PICTURED = {"note that the call begins": "mark", "call": "call", "store what it answered": "record"}
"""The words on the arrows of README's picture, for those who know no word of ours yet."""


def lists_of_steps(text: str) -> Iterator[list[str]]:
    """Every list of words, as `a, b, c`, that names at least the mark and the call and what comes before them."""
    for found in re.finditer(r"\w+(?:,\s+(?:and\s+)?\w+){4,}", text):
        words = re.split(r",\s+(?:and\s+)?", found[0])
        if {"mark", "call", "record"} <= set(words):
            yield words


[STEPS] = lists_of_steps(attempt.__doc__ or "")


def test_the_page_follows_the_order_it_states() -> None:
    """The first call is connected before the limits are asked for, and the others right before the mark."""
    page = [
        name
        for part in (attempt.prepare, attempt.Attempts.deliver, attempt.Attempts._start, attempt.Attempts._record_ended)
        for name in calls_of(part)
        if name in STEPS
    ]

    assert [name for place, name in enumerate(page) if name not in page[:place]] == STEPS
    assert [name for name in page if name == "connect"] == ["connect", "connect"]


def calls_of(function: object) -> list[str]:
    """The names that a function or method calls, from top to bottom."""
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(function))).body  # type: ignore[arg-type]
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found.sort(key=lambda node: (node.lineno, node.col_offset))
    called = [node.func for node in found]
    return [getattr(one, "id", getattr(one, "attr", "")) for one in called]


def test_a_page_that_tells_the_order_tells_this_one() -> None:
    """No page has an older one, or another word for a step."""
    assert [
        (page, steps) for page in PAGES for steps in lists_of_steps(page.read_text(encoding="utf-8")) if steps != STEPS
    ] == []


def test_the_order_is_told_where_the_attempt_is() -> None:
    """In the guarantees."""
    assert list(lists_of_steps((ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8"))) == [STEPS]


def test_the_picture_of_the_readme_has_the_same_order() -> None:
    """In words that need no glossary: each arrow's number and step."""
    arrows = re.findall(r"-- (\d) ([^-]+?) -->", (ROOT / "README.md").read_text(encoding="utf-8"))

    steps = [PICTURED[words] for _, words in sorted(arrows)]
    assert [step for step in STEPS if step in PICTURED.values()] == steps
