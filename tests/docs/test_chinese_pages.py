"""README.zh-CN.md and docs/zh/ say what the English pages of the same name say: the same code, anchors and figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.docs.page import Page, pages

CHINESE = [page for page in pages() if page.name.startswith("docs/zh/") or ".zh-CN." in page.name]


def english(page: Page) -> Page:
    """The page that a Chinese page is the other half of."""
    return Page(page.name.replace("docs/zh/", "docs/", 1).replace(".zh-CN", ""))


def in_line(page: Page) -> str:
    """A page without its fenced blocks, and without the targets of its links."""
    return re.sub(r"^```.*?^```$|\]\([^)\n]*\)|\{ #[\w-]+ \}", "", page.text, flags=re.DOTALL | re.MULTILINE)


def code_words(page: Page) -> set[str]:
    """What stands in backticks inside a line: settings, commands, states, fields."""
    return {" ".join(words.split()) for words in re.findall(r"`([^`]+)`", in_line(page))}


def figures(page: Page) -> set[str]:
    """Every number outside of code: limits, errcodes, seconds."""
    return set(re.findall(r"\d[\d,.]*\d|\d", re.sub(r"`[^`]*`", "", in_line(page))))


def where_they_differ(say: Callable[[Page], Any], less: Callable[[Any, Any], Any] | None = None) -> dict[str, Any]:
    """Chinese pages that say something else than their English ones; `less`: what is too much in it."""
    found = {page.name: (say(page), say(english(page))) for page in CHINESE}
    if less is None:
        return {name: both for name, both in found.items() if both[0] != both[1]}
    return {name: more for name, both in found.items() if (more := less(*both))}


def test_there_are_pages() -> None:
    """The tests below have something to look at."""
    assert len(CHINESE) > 25


FOLLOWED = "docs/zh/quickstart.md"
"""What its commands print is Chinese: test_quickstart.py follows it, and `make clean-install` the English page."""


def blocks(page: Page) -> list[tuple[str, str]]:
    """Language and text of each block; of the page that is followed in both languages, commands without output."""
    return [
        (block.language, "".join(re.findall(r"^\$ .*\n", block.text, flags=re.MULTILINE)))
        if block.language == "console" and page.name in (FOLLOWED, english(Page(FOLLOWED)).name)
        else (block.language, block.text)
        for block in page.blocks
    ]


def test_the_blocks_are_those_of_the_english_page() -> None:
    """Byte for byte and in the same order, so what is run there need not be run twice."""
    assert {} == where_they_differ(blocks)


def test_the_anchors_are_those_of_the_english_page() -> None:
    """A link to a heading fits in both languages; the title is named by no link."""
    assert {} == where_they_differ(lambda page: page.anchors[1:])


def test_no_word_of_code_is_left_out() -> None:
    """A setting, command or errcode that came to the English page comes to the Chinese one."""
    assert {} == where_they_differ(code_words, lambda chinese, english: english - chinese)


def test_the_figures_are_those_of_the_english_page() -> None:
    """A limit that was changed on the one page is changed on the other."""
    assert {} == where_they_differ(figures)


def test_tables_have_the_same_rows() -> None:
    """As many in the one language as in the other."""
    assert {} == where_they_differ(lambda page: page.prose.count("\n|"))


def test_links_stay_in_the_language() -> None:
    """A page that exists in Chinese is linked to in Chinese."""
    assert {} == {page.name: links for page in CHINESE if (links := _links_that_leave(page))}


def _links_that_leave(page: Page) -> list[str]:
    docs = page.root / "docs"
    return [
        link
        for link in page.links()
        if (target := (page.path.parent / link.partition("#")[0]).resolve()).suffix == ".md"
        and docs in target.parents
        and docs / "zh" not in target.parents
        and (docs / "zh" / target.relative_to(docs)).exists()
    ]
