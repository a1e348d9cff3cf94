"""A Chromium of the run's own: without it a test is skipped, or fails under REQUIRE_SERVICES=1."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from rig.databases import Service, lack

PROGRAM = Service("Chromium", "PATH", "", "apt-get install chromium")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
"""It runs as root in containers, and asks for nothing of its own on the network."""


@contextmanager
def running() -> Iterator[Browser]:
    """The browser, ended in any case."""
    program = shutil.which("chromium")
    if program is None:
        lack(PROGRAM, "this machine has no Chromium to look at pages with")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        yield browser
        browser.close()
