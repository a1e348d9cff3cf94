"""Wheel and sdist: the same bytes wherever and whenever they are built, of the version that is said, with all files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow_checkout("builds wheel and sdist twice")

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "*.db*")
"""What git does not keep, and git's own."""
RELEASE = {"SETUPTOOLS_SCM_PRETEND_VERSION": "3.2.1", "SOURCE_DATE_EPOCH": "1780000000"}


@dataclass(frozen=True)
class Built:
    """What one build left."""

    sdist: Path
    wheel: Path


def built(folder: Path, *, touched_at: int, mode: int) -> Built:
    """Builds a copy of this checkout without git's history, as `make dist` does: all files with one age and mode."""
    source = shutil.copytree(ROOT, folder / "source", ignore=LEFT_OUT)
    shutil.copy(ROOT / ".gitignore", source)
    for path in source.rglob("*"):
        os.utime(path, (touched_at, touched_at))
        path.chmod(mode | 0o100 if path.is_dir() else mode)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(source)]
    done = subprocess.run(
        command, env={**os.environ, **RELEASE}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A release's."""
    return built(tmp_path_factory.mktemp("one"), touched_at=1_000_000_000, mode=0o644)


def test_a_build_is_repeated_byte_for_byte(release: Built, tmp_path: Path) -> None:
    """In another folder, of files of another age and mode."""
    again = built(tmp_path / "another", touched_at=1_700_000_000, mode=0o660)

    assert release.sdist.read_bytes() == again.sdist.read_bytes()
    assert release.wheel.read_bytes() == again.wheel.read_bytes()


def test_they_have_the_version_that_is_said(release: Built) -> None:
    """The tag's, or the environment's."""
    assert release.sdist.name == "im_delivery_worker-3.2.1.tar.gz"
    assert release.wheel.name == "im_delivery_worker-3.2.1-py3-none-any.whl"


def test_a_copy_without_history_is_built_all_the_same(release: Built, tmp_path: Path) -> None:
    """As the release that is yet to come; of a whole sdist as the release that it is."""
    with tarfile.open(release.sdist) as opened:
        opened.extractall(tmp_path, filter="data")
    (of_sdist,) = tmp_path.glob("im_delivery_worker-*")

    assert _version(of_sdist) == "3.2.1"
    (of_sdist / "PKG-INFO").unlink()
    assert _version(of_sdist) == "0.1.dev0"


def _version(source: Path) -> str:
    """What the builder calls a folder's project."""
    env = {name: value for name, value in os.environ.items() if name not in RELEASE}
    ask = [sys.executable, "-m", "hatchling", "version"]
    return subprocess.run(
        ask, cwd=source, env=env, capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()


def test_the_wheel_has_both_packages_and_nothing_beside_them(release: Built) -> None:
    """With migrations, templates and the mark of types; the sdist has tests, documents and what is deployed, too."""
    with zipfile.ZipFile(release.wheel) as opened:
        wheel = {name for name in opened.namelist() if ".dist-info/" not in name}
    with tarfile.open(release.sdist) as opened:
        sdist = {name.partition("/")[2] for name in opened.getnames()}

    assert {name.partition("/")[0] for name in wheel} == {"worker", "worker_simulator"}
    assert {"worker/py.typed", "worker/migrations/versions/0001_outbox.py", "worker/__init__.pyi"} <= wheel
    assert {"worker_simulator/py.typed", "worker_simulator/inbox/assets/templates/page.html"} <= wheel
    assert {"worker/console/words.toml", "worker/drawing/words.toml", "worker/reporting/problems.toml"} <= wheel
    assert {"worker/docs/runbooks.md", "worker/docs/zh/runbooks.md"} <= wheel
    ours = {re.sub("^worker/(migrations|docs)/", r"\1/", name) for name in wheel}
    assert ours - sdist == set()
    beside = {"tests/conftest.py", "docs/index.md", "deploy/sql/postgresql-roles.sql", "docker/Dockerfile"}
    assert {*beside, "SECURITY.md", "CHANGELOG.md", "LICENSE", "constraints.txt", "pyproject.toml"} <= sdist
