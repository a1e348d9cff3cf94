"""A page of the browser, in one language, theme and width, and everything that goes wrong while it is open.

Knows browsers, and nothing of what the pages show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request

from worker.drawing import Lang

Theme = Literal["light", "dark"]
Width = Literal[1280, 390]
SERIOUS = ("serious", "critical")
AXE = "(options) => axe.run(document, {...options, resultTypes: ['violations']}).then((found) => found.violations)"
COLOURS = {"runOnly": ["color-contrast"]}
"""What a theme changes for axe-core; names, roles and order are the same in each."""
MOST_TABS = 200
HEIGHT = 900
RAN = "window.ran"
"""What every script that must not run would set."""


BROUGHT = f"""() => [
  ...({RAN} === undefined ? [] : ["a script of a text ran"]),
  ...[...document.querySelectorAll("[onerror], [onload], [data-evil], script:not([src])")].map((one) => one.outerHTML),
  ...[...document.links].filter((one) => !["http:", "https:"].includes(one.protocol)).map((one) => one.href),
]"""


@dataclass(frozen=True)
class Look:
    """How a person has set the browser."""

    lang: Lang = "en"
    theme: Theme = "light"
    width: Width = 1280

    def __str__(self) -> str:
        return f"{self.lang}-{self.theme}-{self.width}"


LOOKS = ((Look("en", "dark", 1280), Look("en", "light", 390)), (Look("zh", "dark", 390), Look("zh", "light", 1280)))
"""Any two settings meet: each language with each theme and width, and each theme with each width. A page is looked over
in the first of a row, and then turned to the second for its width and its colours.
"""


class WatchedPage:
    """A page, and its faults so far."""

    def __init__(self, page: Page, base: str, look: Look):
        self.page, self._base, self._look = page, base, look
        self._own = urlsplit(base).netloc
        self.faults: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self._noted(f"uncaught: {error}"))
        page.on("request", self._asked)

    def open(self, path: str) -> None:
        """Go to a page of this server."""
        reply = self.page.goto(self._base + path)
        if reply is None or reply.status >= 400:
            self._noted(f"status {reply and reply.status}")

    def tab_to(self, wanted: Locator) -> None:
        """Press Tab until it has the focus."""
        for _ in range(MOST_TABS):
            if wanted.evaluate("(one) => one === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{MOST_TABS} times Tab do not lead to {wanted}")

    def look_over(self, *others: Look) -> None:
        """Note what can be seen of the page as it is: its width, its accessibility, scripts that ran; then what other
        themes and widths make of it.
        """
        self.page.evaluate(AXE_SCRIPT)
        self._see({})
        for look in (*others, self._look) if others else ():
            self.page.emulate_media(color_scheme=look.theme)
            self.page.set_viewport_size({"width": look.width, "height": HEIGHT})
            if look in others:
                self._see(COLOURS)

    @contextmanager
    def narrow(self) -> Iterator[None]:
        """Meanwhile the window is as wide as a telephone."""
        self.page.set_viewport_size({"width": 390, "height": HEIGHT})
        yield
        self.page.set_viewport_size({"width": self._look.width, "height": HEIGHT})

    def _see(self, rules: Mapping[str, Any]) -> None:
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            self._noted(f"the page is {wide} px wider than the window")
        if self.page.evaluate(f"{RAN} !== undefined"):
            self._noted("a script of a text ran")
        for fault in self.page.evaluate(AXE, rules):
            if fault["impact"] in SERIOUS:
                nodes = "; ".join(node["html"][:200] for node in fault["nodes"][:3])
                self._noted(f"axe: {fault['id']}: {fault['help']}: {nodes}")

    def look_for_scripts(self) -> None:
        """Note what a text has brought onto the page: a script that ran, an element, an address that is a script."""
        for fault in self.page.evaluate(BROUGHT):
            self._noted(fault)

    def _noted(self, fault: str) -> None:
        where = urlsplit(self.page.url)
        self.faults.append(f"{where.path}?{where.query}: {fault}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._noted(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme in ("http", "https", "ws", "wss") and asked.netloc != self._own:
            self._noted(f"asks {asked.netloc}")


@contextmanager
def watched(browser: Browser, base: str, look: Look, *, without_policy: bool = False) -> Iterator[WatchedPage]:
    """A fresh profile of the browser, set this way, with one page; it may obey no content security policy."""
    context = browser.new_context(
        viewport={"width": look.width, "height": HEIGHT},
        color_scheme=look.theme,
        locale="zh-CN" if look.lang == "zh" else "en-US",
        bypass_csp=without_policy,
    )
    try:
        yield WatchedPage(context.new_page(), base, look)
    finally:
        context.close()
