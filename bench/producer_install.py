"""What the package brings to an application that only enqueues: distributions, megabytes, and the time to import it.

Asks the package index; each installation is an environment of its own without pip, and without compiled files, which
Python writes for itself.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import Figure

ROOT = Path(__file__).resolve().parents[1]
MOST_DISTRIBUTIONS, MOST_IMPORT_MS = 15, 150.0
IMPORT = "import time; began = time.perf_counter(); import worker; print(time.perf_counter() - began)"


@dataclass(frozen=True, slots=True)
class Installation:
    """One environment with the package alone."""

    python: Path
    distributions: tuple[str, ...]
    """Name and version of each, this package among them."""
    megabytes: float
    import_ms: float
    """Of `import worker` in a new process, the median of five."""

    def line(self) -> str:
        """For people."""
        return f"{len(self.distributions)} distributions, {self.megabytes:.1f} MB, import in {self.import_ms:.0f} ms"


def floors() -> list[str]:
    """The lowest versions that pyproject.toml lets an application have, as pip's pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [re.sub(r">=([\w.]+).*", r"==\1", one) for one in project["dependencies"]]


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT))
    return next(folder.glob("*.whl"))


def install(folder: Path, wheel: Path, *pins: str) -> Installation:
    """The wheel in an empty environment, with these pins, else with the newest versions that pip finds."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    _run(sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile", str(wheel), *pins)
    (packages,) = folder.glob("lib/python3*/site-packages")
    size = sum(file.stat().st_size for file in packages.rglob("*") if file.is_file())
    names = sorted(info.stem.lower() for info in packages.glob("*.dist-info"))
    times = [float(_run(str(python), "-c", IMPORT, cwd=folder)) * 1000 for _ in range(5)]
    return Installation(python, tuple(names), size / 1e6, median(times))


def main(argv: list[str]) -> Figure:
    """Installs the package with the lowest versions and with the newest; the worse of both is judged."""
    argparse.ArgumentParser(prog="python -m bench producer_install").parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="bench-producer-") as given:
        folder = Path(given)
        wheel = build_wheel(folder)
        made = {"lowest": install(folder / "lowest", wheel, *floors()), "newest": install(folder / "newest", wheel)}
    for name, one in made.items():
        print(f"{name}: {one.line()}: {', '.join(one.distributions)}")
    most, slowest = max(len(one.distributions) for one in made.values()), max(one.import_ms for one in made.values())
    return Figure(
        "producer_install",
        f"{most} distributions, {slowest:.0f} ms",
        f"{MOST_DISTRIBUTIONS} distributions, {MOST_IMPORT_MS:.0f} ms",
        ok=most <= MOST_DISTRIBUTIONS and slowest <= MOST_IMPORT_MS,
    )


def _run(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=300).stdout
