"""The documentation site, built as `make docs` does: every link leads somewhere, and nothing comes from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tools.site.build import build
from tools.site.navigation import LANGUAGES, Language, pages

pytestmark = pytest.mark.slow_checkout("builds the site in two languages")


@dataclass
class Html(HTMLParser):
    """One built page: its anchors, and what it links to or loads."""

    path: Path
    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.text = self.path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes ids and addresses."""
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("prev", "next", "alternate", "canonical") and "href" in given:
            self.loaded.append(given["href"])
        elif "src" in given:
            self.loaded.append(given["src"])


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly."""
    return build(tmp_path_factory.mktemp("docs"))


@pytest.fixture(scope="session")
def built(site: Path) -> dict[Path, Html]:
    """Every page of it, by its file, but the one for addresses that are not there: it is served at any depth."""
    return {path: Html(path) for path in site.rglob("*.html") if path.name != "404.html"}


def of(language: Language, site: Path) -> Path:
    """The folder of one language."""
    return site if language == "en" else site / "zh"


def place(page: str, folder: Path) -> Path:
    """The file that a page is built into."""
    stem = page.removesuffix(".md")
    return folder / re.sub(r"(^|/)(index|README)$", r"\1", stem) / "index.html"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_is_there(site: Path, built: dict[Path, Html], language: Language) -> None:
    """In both languages, and says in which one it is."""
    for page in pages():
        html = built[place(page, of(language, site))]
        assert f'<html lang="{language}"' in html.text


def test_every_link_and_anchor_leads_somewhere(built: dict[Path, Html]) -> None:
    """Also those of menus and of the switch between the languages."""
    assert list(_broken(built)) == []


def _broken(built: dict[Path, Html]) -> Iterator[str]:
    for path, html in built.items():
        for link in html.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            file = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not file.exists() or (anchor and file in built and anchor not in built[file].anchors):
                yield f"{path}: {link}"


def test_all_that_a_page_loads_lies_beside_it(built: dict[Path, Html]) -> None:
    """Scripts, styles and pictures are files of the site."""
    away = {
        f"{path}: {url}"
        for path, html in built.items()
        for url in html.loaded
        if urlsplit(url).scheme or not (path.parent / unquote(urlsplit(url).path)).exists()
    }

    assert away == set()


@pytest.mark.parametrize(("language", "word"), [("en", "outbox"), ("zh", "企业微信")])
def test_the_search_has_the_language(site: Path, language: Language, word: str) -> None:
    """Its index has a section of each page, and is cut into words as the language is."""
    index = json.loads((of(language, site) / "search.json").read_text(encoding="utf-8"))
    places = {item["location"].partition("#")[0] for item in index["items"]}

    assert [language] == index["config"]["lang"]
    assert len(places) >= len(pages())
    assert any(word in item["text"] for item in index["items"])
