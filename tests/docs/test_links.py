"""Every relative link of README.md, CONTRIBUTING.md and docs/ leads to a file that is there, and to a heading of it."""

from __future__ import annotations

from pathlib import Path

from tests.docs.page import Page, pages


def broken(page: Page) -> list[str]:
    """The links of a page that lead nowhere; those to other hosts are not followed."""
    return [link for link in page.links() if "://" not in link and not _leads_somewhere(page, link)]


def _leads_somewhere(page: Page, link: str) -> bool:
    target, _, anchor = link.partition("#")
    path = (page.path.parent / target).resolve() if target else page.path
    if not path.exists():
        return False
    return not anchor or anchor in Page(str(path.relative_to(page.root)), page.root).anchors


def test_every_link_leads_somewhere() -> None:
    """File and heading exist."""
    assert {page.name: links for page in pages() if (links := broken(page))} == {}


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    """A missing file and a missing heading are named; code holds no link, and other hosts are not asked."""
    there = "# A `b` c!\n[1](#a-b-c) [2](page.md#a-b-c) [3](https://example.com/x) `[4](code.md)`\n"
    nowhere = "[5](gone.md) [6](#a) [7](page.md#b)\n```\n# fenced\n[8](code.md)\n```\n[9](#fenced)\n"
    (tmp_path / "page.md").write_text(there + nowhere, encoding="utf-8")

    assert broken(Page("page.md", tmp_path)) == ["gone.md", "#a", "page.md#b", "#fenced"]


def test_every_page_is_reached_from_the_readme() -> None:
    """By following links; those of a folder stand for all that is in it."""
    reached, left = set[str](), ["README.md"]
    while left:
        page = Page(left.pop())
        reached.add(page.name)
        left += [name for name in _linked(page) if name not in reached]

    assert {page.name for page in pages()} == reached


def _linked(page: Page) -> list[str]:
    paths = [(page.path.parent / link.partition("#")[0]).resolve() for link in page.links() if "://" not in link]
    files = [file for path in paths for file in (path.glob("*.md") if path.is_dir() else [path])]
    return [str(file.relative_to(page.root)) for file in files if file.suffix == ".md" and "CHANGELOG" not in file.name]
