"""The files of a page: blocks whose first line names one, written into a folder, whose tests run with the kit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.page import Page

_NAMED = re.compile(r"# ([\w./-]+\.\w+)\n")


def write_files(page: Page, folder: Path) -> list[Path]:
    """Writes every file that the page shows; several blocks of one name are one file, in order."""
    written: dict[Path, list[str]] = {}
    for block in page.blocks:
        if named := _NAMED.match(block.text):
            written.setdefault(folder / named[1], []).append(block.text)
    for path, texts in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n\n".join(texts), encoding="utf-8")
    return list(written)


def run_tests(folder: Path) -> str:
    """Runs the folder's tests as a reader would, in a process of its own; returns what it printed."""
    plugin = ("-p", "no:im-delivery-worker", "-p", "worker_simulator.testing.plugin")
    # A folder of its own for what the tests write: runs side by side tidy the usual one up together.
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "--basetemp=.tmp",
        *plugin,
    ]
    ours = ("WORKER_", "PYTEST_", "COV")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(command, cwd=folder, env=inherited, capture_output=True, text=True, timeout=300)
    return done.stdout + done.stderr


def passed(printed: str) -> int:
    """How many tests passed, where no test failed; 0 where one did, or none ran."""
    summary = re.search(r"^(\d+) passed in [\d.]+s( \([\d:]+\))?$", printed, flags=re.MULTILINE)
    return int(summary[1]) if summary else 0
