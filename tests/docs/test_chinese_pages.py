"""README.zh-CN.md and docs/zh/ say what the English pages of the same name say: the same code, anchors and figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

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


def where_they_differ(say: Callable[[Page], Any], less: Callable[[Any, Any], Any] | None = None) -> dict[str, Any]:
    """Chinese pages that say something else than their English ones; `less`: what is too much in it."""
    found = {page.name: (say(page), say(english(page))) for page in CHINESE}
    if less is None:
        return {name: both for name, both in found.items() if both[0] != both[1]}
    return {name: more for name, both in found.items() if (more := less(*both))}


FOLLOWED = "docs/zh/quickstart.md"
"""What its commands print is Chinese: test_quickstart.py follows it, and `make clean-install` the English page."""
PRINTED = (
    *(
        "$ make demo",
        "$ export HR_SECRET",
        "$ worker console",
        "$ export WORKER_SEAL_KEY",
        "$ worker db check",
        "$ worker health",
        "$ worker show",
        "$ worker recall",
        "$ worker jobs --state",
        "account hr: ",
        "job 01a20530",
        "cancelled 11997",
    ),
    "E       AssertionError",
)
"""Begins of the blocks whose output is the program's own in each language; tests make it anew in both."""
PICTURE = " your transaction"
"""Begin of a picture in letters; in Chinese only the names of steps are English."""
QUOTED = re.compile(r'"""[^"]*"""|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')
COMMENT = re.compile(r"(?:^|(?<=\s))(?:# (?![\w./-]+\.\w+$)|-- ).*$", re.MULTILINE)
"""The name of the file that a block is stands in a comment, too, and is not translated."""
CHINESE_TEXT = re.compile(r"[\u4e00-\u9fff]")


def blocks(page: Page) -> list[tuple[str, str]]:
    """Language and text of each block; of the page that is followed in both languages, commands without output."""
    return [
        (block.language, "".join(re.findall(r"^\$ .*\n", block.text, flags=re.MULTILINE)))
        if block.language == "console" and page.name in (FOLLOWED, english(Page(FOLLOWED)).name)
        else (block.language, block.text)
        for block in page.blocks
    ]


def is_translated(chinese: tuple[str, str], english: tuple[str, str]) -> bool:
    """Whether two blocks are the same program: comments aside, and texts that are Chinese, with the same fields."""
    (language, ours), (same, theirs) = chinese, english
    if language != same:
        return False
    if ours == theirs:
        return True
    if theirs.startswith(PRINTED):
        return re.findall(r"^\$ .*$", ours, re.MULTILINE) == re.findall(r"^\$ .*$", theirs, re.MULTILINE)
    if theirs.startswith(PICTURE):
        return set(re.findall(r"[a-z]+", ours)) <= set(re.findall(r"[a-z]+", theirs))
    if language == "mermaid":
        return _arrows(ours) == _arrows(theirs)
    mine, other = (COMMENT.sub("", text) for text in (ours, theirs))
    code, expected = (_on_one_line(QUOTED.sub('""', text)) for text in (mine, other))
    texts = list(zip(QUOTED.findall(mine), QUOTED.findall(other), strict=False))
    return code == expected and all(
        one == its or (CHINESE_TEXT.search(one) and _fields(one) == _fields(its)) for one, its in texts
    )


def _on_one_line(code: str) -> str:
    """Code without line ends, which the formatter sets by the length of texts."""
    return re.sub(r",(?=[)\]}])", "", re.sub(r"\s+", "", code))


def _fields(text: str) -> list[str]:
    return sorted(re.sub("'[^']*'", "''", field) for field in re.findall(r"\{[^{}]*\}", text))


def _arrows(chart: str) -> str:
    return re.sub(r"[\[(]+[^\])]*[\])]+| -- .*? -->", "", chart)


def test_the_blocks_are_those_of_the_english_page() -> None:
    """In the same order, and the same code, so what is run there need not be run twice; texts may be Chinese."""
    differ = {
        (page.name, ours)
        for page in CHINESE
        for ours, theirs in zip_longest(blocks(page), blocks(english(page)), fillvalue=("", ""))
        if not is_translated(ours, theirs)
    }

    assert differ == set()


@pytest.mark.parametrize(
    ("ours", "theirs", "is_same"),
    [
        ('say("您好 {name}")  # 问候', 'say("Hello {name}")  # greets', True),
        ('say("您好")', 'say("Hello {name}")', False),
        ('say("Hallo")', 'say("Hello")', False),
        ('tell("您好")', 'say("Hello")', False),
        ("# b.py\nx = 1", "# a.py\nx = 1", False),
    ],
)
def test_a_translated_block_is_told_from_another_one(ours: str, theirs: str, is_same: bool) -> None:
    """Names of files, code, and the fields of a text are kept."""
    assert is_same is is_translated(("python", ours), ("python", theirs))


def test_a_text_of_a_program_is_translated_in_one_way() -> None:
    """On a page, so that a test which looks for a text finds it in both languages."""
    several = {
        (page.name, text): sorted(ours) for page in CHINESE for text, ours in _texts(page).items() if len(ours) > 1
    }

    assert several == {}


def _texts(page: Page) -> dict[str, set[str]]:
    """The texts in the Python of the English page, each with what stands in their places."""
    found: dict[str, set[str]] = {}
    for ours, theirs in zip(page.blocks_in("python"), english(page).blocks_in("python"), strict=True):
        mine, other = (QUOTED.findall(COMMENT.sub("", block.text)) for block in (ours, theirs))
        for one, its in zip(mine, other, strict=True):
            found.setdefault(its, set()).add(one)
    return found


def test_the_anchors_are_those_of_the_english_page() -> None:
    """A link to a heading fits in both languages; the title is named by no link."""
    assert where_they_differ(lambda page: page.anchors[1:]) == {}


def test_no_word_of_code_is_left_out() -> None:
    """A setting, command or errcode that came to the English page comes to the Chinese one."""
    assert where_they_differ(code_words, lambda chinese, english: english - chinese) == {}


def test_the_figures_are_those_of_the_english_page() -> None:
    """A limit that was changed on the one page is changed on the other."""
    assert where_they_differ(figures) == {}


def test_tables_have_the_same_rows() -> None:
    """As many in the one language as in the other."""
    assert where_they_differ(lambda page: page.prose.count("\n|")) == {}


def test_links_stay_in_the_language() -> None:
    """A page that exists in Chinese is linked to in Chinese."""
    assert {page.name: links for page in CHINESE if (links := _links_that_leave(page))} == {}


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
