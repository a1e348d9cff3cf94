"""The README's first message, typed by a stranger: the files and commands are the page's own, in an empty folder."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rig.servers.own_server import free_port
from rig.stack import until
from rig.stacks import on_its_own
from tests.docs.page import Page

CHANGES = (
    (r"\b[0-9a-f]{32}\b", "JOB"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", "INSTANT"),
    (r"receipt \S+", "receipt MSGID"),
    (r"\b\d+ ms", "N ms"),
)
"""What is different in every run: ids, instants, durations."""


@on_its_own(why="the page has one stack, embedded, and its own settings")
def test_the_first_message_of_the_readme_goes_out(tmp_path: Path) -> None:
    """Each command prints what the page shows under it."""
    page, port = Page("README.md"), free_port()
    blocks = [(block.language, block.text.replace("8081", str(port))) for block in page.blocks]
    (settings,), (program,) = ([text for found, text in blocks if found == wanted] for wanted in ("toml", "python"))
    (tmp_path / "worker.toml").write_text(settings, encoding="utf-8")
    (tmp_path / "order.py").write_text(program, encoding="utf-8")
    _, commands = (text for found, text in blocks if found == "console")

    with ExitStack() as scope:
        shell = scope.enter_context(_shell(tmp_path))
        for command, shown in _typed(commands):
            shell.type(command, shown)


class _Shell:
    """Runs commands one after the other, those that end in `&` beside the others."""

    def __init__(self, folder: Path):
        self._folder = folder
        outer = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
        self._env = {**outer, "PATH": f"{Path(sys.executable).parent}:{outer['PATH']}"}
        self._last = ""
        self.running: list[subprocess.Popen[bytes]] = []

    def type(self, command: str, shown: str) -> None:
        """Waits until the command has printed what is shown: a person is slower than a worker."""
        command = re.sub(r"\b[0-9a-f]{32}\b", self._last, command)
        if command.startswith("export "):
            self._env.update([command.removeprefix("export ").split("=")])
        elif command.endswith("&"):
            self._start(command.removesuffix("&"), shown)
        else:
            until(lambda: _same(shown, self._run(command)), f"`{command}` prints {shown!r}; it printed {self._last!r}")

    def _start(self, command: str, shown: str) -> None:
        out = self._folder / f"out-{len(self.running)}"
        with out.open("wb") as opened:
            words = ["bash", "-c", f"exec {command}"]
            self.running.append(subprocess.Popen(words, cwd=self._folder, env=self._env, stdout=opened))
        until(lambda: _same(shown, out.read_text(encoding="utf-8")), f"`{command}` prints {shown!r}")

    def _run(self, command: str) -> str:
        words = ["bash", "-c", command]
        done = subprocess.run(words, cwd=self._folder, env=self._env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self._last = done.stdout.strip()
        return done.stdout


@contextmanager
def _shell(folder: Path) -> Iterator[_Shell]:
    """A shell in a folder, and the end of all that was started in it."""
    shell = _Shell(folder)
    try:
        yield shell
    finally:
        for process in shell.running:
            process.terminate()
        assert [0] * len(shell.running) == [process.wait(120) for process in shell.running]


def _typed(console: str) -> list[tuple[str, str]]:
    """Commands, and what is shown under each."""
    found = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", console, flags=re.MULTILINE)
    return [(command, shown) for command, shown in found]


def _same(shown: str, printed: str) -> bool:
    for pattern, instead in CHANGES:
        shown, printed = re.sub(pattern, instead, shown), re.sub(pattern, instead, printed)
    return doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS)
