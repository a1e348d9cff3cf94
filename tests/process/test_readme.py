"""The README's first message, typed by a stranger: the files and commands are the page's own, in an empty folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rig.servers.own_server import free_port
from rig.stacks import on_its_own
from tests.docs.page import Page
from tests.process.reader import reader


@on_its_own(why="the page has one stack, embedded, and its own settings")
@pytest.mark.parametrize(("name", "language"), [("README.md", "en"), ("README.zh-CN.md", "zh")])
def test_the_first_message_of_the_readme_goes_out(name: str, language: str, tmp_path: Path) -> None:
    """Each command prints what the page shows under it, in the page's language."""
    page = Page(name)
    (settings,), (program,) = page.blocks_in("toml"), page.blocks_in("python")
    _, commands = page.blocks_in("console")

    with reader(tmp_path, Path(sys.executable).parent, {"8081": str(free_port())}, language) as stranger:
        stranger.write("worker.toml", settings.text)
        stranger.write("order.py", program.text)
        stranger.read(commands.text)

    assert "relay_active" in (tmp_path / "worker.log").read_text(encoding="utf-8"), "it stands on the reader's terminal"
