"""A person at the console's pages, who has signed in, follows links, and gives commands by their forms."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.pipeline.console.console_site import FixedDoor
from tests.support.browser import Browser, Shown
from tests.support.runtime import Site
from worker.config.console import EVERY_ACCOUNT
from worker.config.settings import Settings
from worker.console import Site as ConsoleSite
from worker.console.app import guarded
from worker.console.viewer import Role, Viewer
from worker.drawing import Lang

AROUND = ("/static", "/sign", "/choice", "/?")
"""What links of the frame begin with that lead to no page."""


class Person:
    """A viewer of the pages of a site."""

    def __init__(
        self,
        site: Site,
        role: Role = "admin",
        accounts: frozenset[str] = frozenset({EVERY_ACCOUNT}),
        lang: Lang = "en",
        name: str = "zhang",
    ):
        where = ConsoleSite(Settings(), site.database, site.accounts)
        self._browser, self._lang = Browser(guarded(where, FixedDoor(Viewer(name, role, accounts, lang)))), lang

    def get(self, path: str) -> Shown:
        """A page; one of failures once they have been counted, for which a browser asks again."""
        while True:
            page = self._browser.get(path, accept_language=self._lang)
            if 'class="loading"' not in page.text or not path.startswith("/failures"):
                return page

    def post(self, path: str, **fields: str) -> Shown:
        """A form of a page."""
        return self._browser.post(path, {"csrf": "token", **fields}, accept_language=self._lang)

    def submit(self, page: Shown, action: str, **filled: str) -> Shown:
        """A form as a page has it, filled in."""
        return self.post(action, **{**page.forms[action].fields, **filled})

    def give(self, path: str, why: str = "as asked", **fields: str) -> Shown:
        """A command: its preview, then its form, then where that leads."""
        shown, action = self.get(path), path.partition("?")[0]
        assert shown.status == 200, shown.text
        moved = self.submit(shown, action, why=why, **fields)
        return self.get(moved.location) if moved.status == 303 else moved

    def crawl(self, *starts: str) -> Iterator[tuple[str, Shown]]:
        """Every page that links and forms lead to, each once; of some that differ by an instant alone, one."""
        seen, waiting = {without_instant(path) for path in starts}, list(starts)
        while waiting:
            path = waiting.pop()
            shown = self.get(path)
            yield path, shown
            found = {*shown.links, *shown.forms}
            links = sorted(link for link in found if link.startswith("/") and not link.startswith(AROUND))
            fresh = {key: link for link in links if (key := without_instant(link)) not in seen}
            seen.update(fresh)
            waiting += fresh.values()


def without_instant(link: str) -> str:
    """A link without the value of `created_from`, which each of a list's links has another one of."""
    return re.sub(r"\b(created_from=)[^&]+", r"\1", link)
