"""The image's Dockerfile, step by step, where no container engine is: its RUN lines in a folder in place of a root.

`make clean-install` runs it. The base image is an empty environment of this Python here; a COPY copies, the rest of the
instructions are judged by tests/structure. No user is changed and nothing is read-only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.structure.test_image import ROOT, pins

PATHS = ("/opt/worker", "/build", "/var/lib/worker", "/srv/worker")
"""What the steps write to."""
VERSION = "3.2.1"
"""The build argument: the release that the image is of."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which every step of both stages was done."""
    root = tmp_path_factory.mktemp("image")
    venv.create(root / "base", with_pip=True, symlinks=True)
    for number, stage in enumerate(re.split(r"^FROM .*$", _steps(), flags=re.M)[1:]):
        _Stage(root, shutil.copytree(root / "base", root / f"base-{number}", symlinks=True)).do(stage)
    return root


def test_the_image_has_what_its_hashes_name_and_no_installer(image: Path) -> None:
    """And the commands of this release start from it."""
    python = image / "opt/worker/bin/python"

    listed = json.loads(_run(python, "-c", LISTED))

    assert {**pins("docker/requirements.txt"), "im-delivery-worker": VERSION} == listed
    assert "No module named pip" in _fails(python, "-m", "pip", "--version")
    assert "No module named pip" in _fails(image / "base-1/bin/python", "-m", "pip", "--version")
    assert VERSION in _run(image / "opt/worker/bin/worker", "--version")
    assert "every job ended as stated" in _run(image / "opt/worker/bin/worker", "demo")


def test_the_bill_of_materials_is_what_is_installed(image: Path) -> None:
    """In CycloneDX, as `make sbom` writes it: the pins with their versions, and this project."""
    made = _run(Path(sys.executable).parent / "cyclonedx-py", *_sbom(), str(image / "opt/worker/bin/python"))

    bill = json.loads(made)

    found = {_plain(one["name"]): one["version"] for one in bill["components"]}
    assert {**pins("docker/requirements.txt"), "im-delivery-worker": VERSION} == found
    assert bill["bomFormat"] == "CycloneDX"
    assert [
        one["name"] for one in bill["components"] if not one.get("purl") and one["name"] in pins("constraints.txt")
    ] == []


LISTED = """
import importlib.metadata as m, json, re
print(json.dumps({re.sub("[-_.]+", "-", d.name).lower(): d.version for d in m.distributions()}))
"""


class _Stage:
    """One stage: its variables, its working directory, its Python."""

    def __init__(self, root: Path, base: Path):
        self._root, self._cwd = root, root
        outer = {name: value for name, value in os.environ.items() if not name.startswith(("WORKER_", "PYTHON"))}
        # Else pip would compile every file, where the few commands below need some.
        self._env = {**outer, "PATH": f"{base}/bin:{os.environ['PATH']}", "PIP_COMPILE": "0"}
        self._arguments = {"VERSION": VERSION}

    def do(self, stage: str) -> None:
        """Every instruction of the stage that does something, in order."""
        for word, rest in re.findall(r"^([A-Z]+) (.*)$", stage, re.M):
            match word:
                case "ARG" if (name := rest.partition("=")[0]) in self._arguments:
                    self._env[name] = self._arguments[name]
                case "ENV":
                    self._env |= dict(one.split("=", 1) for one in self._here(rest).split() if "PATH=" not in one)
                case "WORKDIR":
                    self._cwd = Path(self._here(rest))
                    self._cwd.mkdir(parents=True, exist_ok=True)
                case "COPY" if not rest.startswith("--from"):
                    self._copy(*rest.split())
                case "RUN":
                    _run("sh", "-ec", self._here(rest), env=self._env, cwd=self._cwd)

    def _copy(self, *words: str) -> None:
        for source in words[:-1]:
            # Into a folder that ends with a slash, else under the name.
            target = self._cwd / words[-1] / (Path(source).name if words[-1].endswith("/") else "")
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, target)

    def _here(self, text: str) -> str:
        for path in PATHS:
            text = re.sub(rf"(?<![\w.]){path}\b", f"{self._root}{path}", text)
        # Only root may give a folder to another user.
        return text if os.geteuid() == 0 else text.replace("-o 10001 -g 10001 ", "")


def _steps() -> str:
    """The Dockerfile without comments, each instruction on one line."""
    text = (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")
    return re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.M))


def _sbom() -> list[str]:
    """The arguments of `make sbom`, without its file."""
    (line,) = re.findall(r"cyclonedx-py (.*) -o \S+ \S+$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    return str(line).split()


def _plain(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def _run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=600, **options
    )  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return str(done.stdout)


def _fails(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    return done.stderr
