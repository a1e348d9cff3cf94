"""The documentation site in a real browser: both languages, wide and narrow, with axe-core; its search finds things."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from rig.serving import serving
from tests.browser.watched_page import LOOKS, Look, Width, watched
from tools.site.build import build
from tools.site.navigation import Language

pytestmark = pytest.mark.browser

SAMPLE = ("first-message/", "reference/settings/", "states/", "wecom-app/")
"""Tables that scroll and others, code, and pictures."""
IN_TIME = 60_000
TABLES_ARE_READY = """() => [...document.querySelectorAll(".md-typeset table:not([class])")].every((table) => {
  const scrolls = table.closest(".md-typeset__scrollwrap");
  return scrolls && (scrolls.scrollWidth > scrolls.clientWidth) === (scrolls.tabIndex === 0);
})"""
"""Each one is in the element that scrolls, which keys can reach exactly where there is something to scroll."""
FOUND = {"en": re.compile(r"^\d+ results$"), "zh": re.compile(r"^\d+ 条结果$")}
"""What the search says above what it found."""
OPENS_THE_SEARCH = ".md-search__button, label[for=__search]:not(.md-overlay)"
"""Wide, and narrow."""


class Quiet(SimpleHTTPRequestHandler):
    """A folder's files."""

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing of a request."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site's address: of what `make docs` has built, where SITE names it, else built in the same way."""
    folder = Path(os.environ["SITE"]) if "SITE" in os.environ else build(tmp_path_factory.mktemp("site"))
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))) as url:
        yield url


def home(language: Language) -> str:
    """The path of one language's first page."""
    return "/" if language == "en" else "/zh/"


@pytest.mark.parametrize("look", [*chain(*LOOKS)], ids=str)
def test_pages_of_the_site_are_sound(browser: Browser, site: str, look: Look) -> None:
    """No error, no request elsewhere, nothing that axe-core calls serious, and no sideways scroll of the page."""
    with watched(browser, site, look) as page:
        for path in SAMPLE:
            page.open(home(look.lang) + path)
            page.page.wait_for_function(TABLES_ARE_READY, timeout=IN_TIME)
            page.look_over()

        assert page.faults == []


@pytest.mark.parametrize(
    ("language", "width", "typed", "found"),
    [
        ("en", 1280, "trusted IP", "runbooks/"),
        ("en", 390, "recall", "enqueue/"),
        ("zh", 1280, "可信IP", "runbooks/"),
        ("zh", 390, "撤回", "enqueue/"),
    ],
)
def test_what_is_typed_into_the_search_is_found(
    browser: Browser, site: str, language: Language, width: Width, typed: str, found: str
) -> None:
    """And told in the language of the page; a click leads there."""
    with watched(browser, site, Look(language, "light", width)) as page:
        page.open(home(language))
        page.page.locator(OPENS_THE_SEARCH).locator("visible=true").click()
        expect(page.page.get_by_role("combobox")).to_be_focused(timeout=IN_TIME)
        page.page.keyboard.type(typed)
        expect(page.page.get_by_text(FOUND[language])).to_be_visible(timeout=IN_TIME)
        page.page.locator(f"a[href*='{home(language)}{found}?h=']").first.click()
        page.page.wait_for_url(f"**{home(language)}{found}?h=*")

        assert page.faults == []


@pytest.mark.parametrize("look", [*chain(*LOOKS)], ids=str)
def test_each_of_the_five_questions_is_answered_one_click_away(browser: Browser, site: str, look: Look) -> None:
    """The sentence that answers it is bold, and seen without scrolling."""
    with watched(browser, site, look) as page:
        for question in range(5):
            page.open(home(look.lang))
            page.page.locator("h2 + ul").first.locator("li > a:first-child").nth(question).click()
            heading = ":target" if "#" in page.page.url else "h1"
            expect(page.page.locator(f"{heading} + p > strong").first).to_be_in_viewport(ratio=1, timeout=IN_TIME)

        assert page.faults == []


def test_the_switch_leads_to_the_same_page_in_the_other_language(browser: Browser, site: str) -> None:
    """And back; the theme's script knows the Chinese pages alone, so that it would lead to the first of them."""
    with watched(browser, site, Look("en", "light", 390)) as page:
        page.page.route(f"{site}/sitemap.xml", lambda route: route.abort())
        page.open("/runbooks/")
        page.page.wait_for_load_state("networkidle")
        page.page.get_by_role("link", name="中文").click()
        page.page.wait_for_url("**/zh/runbooks/", timeout=IN_TIME)
        page.page.get_by_role("link", name="English").click()
        page.page.wait_for_url(f"{site}/runbooks/", timeout=IN_TIME)
