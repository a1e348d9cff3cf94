"""README.zh-CN.md and docs/zh/ say what the English pages of the same name say: the same code, anchors and figures."""

from __future__ import annotations

import re

import pytest

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


def halves(names: list[Page]) -> pytest.MarkDecorator:
    """One test for each Chinese page."""
    return pytest.mark.parametrize("page", names, ids=lambda page: page.name)


def test_there_are_pages() -> None:
    """The tests below have something to look at."""
    assert len(CHINESE) > 25


FOLLOWED = "docs/zh/quickstart.md"
"""What its commands print is Chinese: tests/process/test_quickstart.py follows it as it does the English page."""


def blocks(page: Page) -> list[tuple[str, str]]:
    """Language and text of each block; of the page that is followed in both languages, commands without output."""
    return [
        (block.language, "".join(re.findall(r"^\$ .*\n", block.text, flags=re.MULTILINE)))
        if block.language == "console" and page.name in (FOLLOWED, english(Page(FOLLOWED)).name)
        else (block.language, block.text)
        for block in page.blocks
    ]


@halves(CHINESE)
def test_the_blocks_are_those_of_the_english_page(page: Page) -> None:
    """Byte for byte and in the same order, so what is run there need not be run twice."""
    assert blocks(english(page)) == blocks(page)


@halves(CHINESE)
def test_the_anchors_are_those_of_the_english_page(page: Page) -> None:
    """A link to a heading fits in both languages; the title is named by no link."""
    assert english(page).anchors[1:] == page.anchors[1:]


@halves(CHINESE)
def test_no_word_of_code_and_no_figure_is_left_out(page: Page) -> None:
    """A setting, command or errcode that came to the English page comes to the Chinese one."""
    assert set() == code_words(english(page)) - code_words(page)
    assert set() == figures(english(page)) - figures(page)


@halves(CHINESE)
def test_no_figure_is_new(page: Page) -> None:
    """A limit that was changed on the English page is changed on the Chinese one."""
    assert set() == figures(page) - figures(english(page))


@halves(CHINESE)
def test_tables_have_the_same_rows(page: Page) -> None:
    """As many in the one language as in the other."""
    assert english(page).prose.count("\n|") == page.prose.count("\n|")


@halves(CHINESE)
def test_links_stay_in_the_language(page: Page) -> None:
    """A page that exists in Chinese is linked to in Chinese."""
    root = page.root
    leave = [
        link
        for link in page.links()
        if (target := (page.path.parent / link.partition("#")[0]).resolve()).suffix == ".md"
        and (root / "docs") in target.parents
        and (root / "docs/zh") not in target.parents
        and (root / "docs/zh" / target.relative_to(root / "docs")).exists()
    ]

    assert [] == leave
