"""A newcomer who follows docs/quickstart.md, in English or in Chinese."""

from __future__ import annotations

import re
from pathlib import Path

from rig.servers.own_server import free_port
from tests.docs.page import Page
from tests.process.reader import reader

PORTS = ("8000", "8081", "8090")


def installs(page: str) -> str:
    """The first block of commands, which makes the environment."""
    return Page(page).blocks_in("console")[0].text


def follow(page: str, folder: Path, programs: Path) -> None:
    """Writes and types all that the page shows behind its installation, in order, in a terminal of its language."""
    language = "zh" if "/zh/" in page else "en"
    ports = {theirs: str(free_port()) for theirs in PORTS}
    with reader(folder, programs, ports, language) as newcomer:
        for block in Page(page).blocks:
            if named := re.match(r"# (\S+\.\w+)\n", block.text):
                newcomer.write(named[1], block.text)
            elif block.language == "console" and block.text != installs(page):
                newcomer.read(block.text)
