"""The pages, one module each; `PAGES` is the table of them all, in the order of the navigation."""

from __future__ import annotations

from worker.console.page import PageRoute
from worker.console.pages.home import home

PAGES: tuple[PageRoute, ...] = (PageRoute("/", home, nav="home.title"),)
