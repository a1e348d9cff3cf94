"""Takes away one guard after the other, and counts the seeds that the explorer needs to find that it is gone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.explore.guards import GUARDS, Guard

ROOT = Path(__file__).resolve().parents[2]
FOUND = re.compile(r"^seed (\d+) broke", re.MULTILINE)


def seeds_needed(guard: Guard, first: int, most: int, timeout_s: float) -> int | None:
    """How many seeds the explorer needs to find that a guard is gone; None: it has not found it."""
    with TemporaryDirectory(prefix="guard-") as folder:
        for package in ("worker", "bench", "rig", "worker_simulator", "migrations"):
            shutil.copytree(ROOT / package, Path(folder, package), ignore=shutil.ignore_patterns("__pycache__"))
        file = Path(folder, "worker", guard.file)
        file.write_text(without(guard, file.read_text(encoding="utf-8")), encoding="utf-8")
        options = ("--seeds", str(most), "--first", str(first), "--processes", "1", "--stop")
        command = [sys.executable, "-m", "bench", "explore", *options]
        try:
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            return None
    found = FOUND.search(run.stdout)
    return int(found[1]) - first + 1 if found else None


def without(guard: Guard, text: str) -> str:
    """A file's text without the guard; ValueError where its old text does not occur once."""
    if text.count(guard.old) != 1:
        raise ValueError(f"{guard.file} has {text.count(guard.old)} times {guard.old!r}")
    return text.replace(guard.old, guard.new)


def lines(first: int, most: int, timeout_s: float, only: str = "") -> Iterator[tuple[str, bool]]:
    """A line for each guard, and whether the explorer found that it was gone."""
    for guard in GUARDS:
        if only in guard.promise:
            needed = seeds_needed(guard, first, most, timeout_s)
            found = "not found" if needed is None else f"found after {needed} seeds"
            yield f"{guard.promise} ({guard.file}): {found}", needed is not None
