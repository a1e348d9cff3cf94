"""The wheel of a checkout, and what installs it in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rig.stack import ROOT


def build_wheel(folder: Path, source: Path = ROOT, env: Mapping[str, str] | None = None) -> Path:
    """Builds the wheel of a checkout."""
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source))
    run(*build, env={**os.environ, **(env or {})})
    return next(folder.glob("*.whl"))


def install(folder: Path, *what: str) -> Path:
    """Installs packages from the index in an environment, new unless it is there; returns its folder of programs."""
    if not folder.exists():
        venv.create(folder, symlinks=True)
    there = ("--python", str(folder / "bin" / "python"))
    uv, pip = ("uv", "pip", "install", *there), (sys.executable, "-m", "pip", *there, "install", "--no-compile")
    run(*(uv if shutil.which("uv") else pip), "--quiet", *what)
    return folder / "bin"


def run(*command: str, **options: Any) -> str:
    """Returns what a command printed, once it has ended well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400, **options)
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout
