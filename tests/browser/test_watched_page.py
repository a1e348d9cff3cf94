"""The watch over pages itself: each fault that a page can have is noted."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Route

from tests.browser.watched_page import Look, watched

pytestmark = pytest.mark.browser

BASE = "http://127.0.0.1:9"
"""Nothing listens there: the browser is answered by the test."""
SOUND = "<!doctype html><html lang=en><title>t</title><main><h1>t</h1><p>sound</p></main>"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<script>console.error('no')</script>", "console: no"),
        ("<script>missing()</script>", "uncaught: missing is not defined"),
        ("<script>window.ran = 1</script>", "a script of a text ran"),
        ("<p style='inline-size: 3000px'>wide</p>", "px wider than the window"),
        ("<img alt='' src='http://elsewhere.test/a.png'>", "asks elsewhere.test"),
        ("<img src='data:,'>", "axe: image-alt"),
        ("<p style='color: #eee'>pale</p>", "axe: color-contrast"),
        ("<meta http-equiv=Content-Security-Policy content=\"img-src 'none'\"><img alt='' src='/a.png'>", "img-src"),
    ],
)
def test_a_fault_of_a_page_is_noted(browser: Browser, body: str, fault: str) -> None:
    """With the page it is on."""

    def answer(route: Route) -> None:
        own = route.request.url.startswith(BASE)
        route.fulfill(body=SOUND + body, content_type="text/html") if own else route.abort()

    with watched(browser, BASE, Look()) as page:
        page.page.route("**/*", answer)
        page.open("/faulty")
        page.look_over()

        assert [] != [one for one in page.faults if one.startswith("/faulty?: ") and fault in one], page.faults


def test_a_sound_page_has_no_fault(browser: Browser) -> None:
    """And one that is not there has one."""

    def answer(route: Route) -> None:
        route.fulfill(
            status=404 if route.request.url.endswith("/nothing") else 200, body=SOUND, content_type="text/html"
        )

    with watched(browser, BASE, Look()) as page:
        page.page.route("**/*", answer)
        page.open("/")
        page.look_over()
        sound = list(page.faults)
        page.open("/nothing")

        assert sound == []
        assert "/nothing?: status 404" in page.faults
