"""The documentation site in a real browser: both languages, wide and narrow; what is typed into its search is found."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from rig.serving import serving
from rig.site.build import build
from rig.site.navigation import Language
from tests.browser.watched_page import Look, Width, watched

pytestmark = pytest.mark.browser

SAMPLE = ("", "first-message/", "migrate/wechatpy/", "states/", "settings/")
"""Tables, code, a picture, and the chart."""
IN_TIME = 60_000
OPENS_THE_SEARCH = ".md-search__button, label[for=__search]:not(.md-overlay)"
"""Wide, and narrow."""
LOOKS = (Look("en", "light", 1280), Look("en", "dark", 390), Look("zh", "dark", 1280), Look("zh", "light", 390))
"""Those that axe-core does not judge: menus and search are the theme's, not ours."""


class Quiet(SimpleHTTPRequestHandler):
    """A folder's files."""

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing of a request."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site's address, built as `make docs` does."""
    folder: Path = build(tmp_path_factory.mktemp("site"))
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))) as url:
        yield url


def home(language: Language) -> str:
    """The path of one language's first page."""
    return "/" if language == "en" else "/zh/"


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_pages_of_the_site_are_sound(browser: Browser, site: str, look: Look) -> None:
    """No error, no request elsewhere, no sideways scroll of the page: a wide table or program scrolls by itself."""
    with watched(browser, site, look) as page:
        for path in SAMPLE:
            page.open(home(look.lang) + path)
            page.look_over()

        assert [] == page.faults


@pytest.mark.parametrize(
    ("language", "width", "typed", "found"),
    [
        ("en", 1280, "trusted IP", "runbooks/the-vendor-refuses-the-ip/"),
        ("en", 390, "recall", "enqueue/"),
        ("zh", 1280, "可信IP", "runbooks/the-vendor-refuses-the-ip/"),
        ("zh", 390, "撤回", "enqueue/"),
    ],
)
def test_what_is_typed_into_the_search_is_found(
    browser: Browser, site: str, language: Language, width: Width, typed: str, found: str
) -> None:
    """In the language of the page, and a click leads there."""
    with watched(browser, site, Look(language, "light", width)) as page:
        page.open(home(language))
        page.page.locator(OPENS_THE_SEARCH).locator("visible=true").click()
        page.page.keyboard.type(typed)
        page.page.locator(f"a[href*='{home(language)}{found}?h=']").first.click()
        page.page.wait_for_url(f"**{home(language)}{found}?h=*")

        assert [] == page.faults


def test_the_switch_leads_to_the_same_page_in_the_other_language(browser: Browser, site: str) -> None:
    """And back; the theme's script knows the Chinese pages alone, so that it would lead to the first of them."""
    with watched(browser, site, Look("en", "light", 390)) as page:
        page.page.route(f"{site}/sitemap.xml", lambda route: route.abort())
        page.open("/faq/")
        page.page.wait_for_load_state("networkidle")
        page.page.get_by_role("link", name="中文").click()
        page.page.wait_for_url("**/zh/faq/", timeout=IN_TIME)
        page.page.get_by_role("link", name="English").click()
        page.page.wait_for_url(f"{site}/faq/", timeout=IN_TIME)
