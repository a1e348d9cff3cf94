"""Two releases as wheels, each in a folder of its own beside the same installed dependencies.

The older one is the commit that `previous_release` names. A checkout without it (a shallow one, or none of git's) makes
both of itself: its own release, and a next one with one more revision. The last lines of the run say so then.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from rig import databases
from rig.stack import ROOT
from worker.outbox.engine.migrate import head

PREVIOUS = Path(__file__).with_name("previous_release")
SOURCES = ("worker", "worker_simulator", "migrations", "pyproject.toml", "README.md", "LICENSE")
NEXT = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{next}", "{head}", None, None
compatible_from = "{head}"


def upgrade():
    op.add_column("worker_jobs", sa.Column("of_the_next", sa.Integer()))
    op.add_column("worker_parts", sa.Column("of_the_next", sa.Integer()))
    op.add_column("worker_processes", sa.Column("of_the_next", sa.Integer()))


def downgrade():
    for table in ("processes", "parts", "jobs"):
        op.drop_column(f"worker_{{table}}", "of_the_next")
"""


@dataclass(frozen=True)
class InstalledRelease:
    """A wheel's content, and how its programs are run."""

    folder: Path
    revision: str
    """The newest revision of the tables that it knows."""

    @property
    def env(self) -> Mapping[str, str]:
        """Its package is found before that of the checkout, and no current folder before it."""
        return {"PYTHONPATH": str(self.folder), "PYTHONSAFEPATH": "1"}


def two_releases(folder: Path) -> tuple[InstalledRelease, InstalledRelease]:
    """The previous release and this one; or this one and a next."""
    commit = PREVIOUS.read_text(encoding="ascii").strip()
    archived = _git("archive", commit)
    if archived is not None:
        with tarfile.open(fileobj=BytesIO(archived)) as tree:
            tree.extractall(folder / "old-source", filter="data")
        return _installed(folder / "old", folder / "old-source"), _installed(folder / "new", _copied(folder))
    databases.told[f"no commit {commit[:7]} here: the rolling upgrade went from this release to one made of it"] = None
    older, source = _installed(folder / "old", _copied(folder)), folder / "source"
    script = NEXT.format(head=head(), next=f"{int(head()) + 1:04}")
    (source / "migrations" / "versions" / "next.py").write_text(script, encoding="utf-8")
    return older, _installed(folder / "new", source, version="99.0")


def _git(*arguments: str) -> bytes | None:
    """What git says; None: it cannot, or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, timeout=60, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _copied(folder: Path) -> Path:
    """What a wheel is built of, so that a build leaves nothing in the checkout."""
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(path, source / name)
    return source


def _installed(folder: Path, source: Path, *, version: str = "") -> InstalledRelease:
    """`version`: of the wheel; empty: what its project says of a copy without git's history."""
    env = {**os.environ, "SETUPTOOLS_SCM_PRETEND_VERSION": version}
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "wheel"), str(source))
    done = subprocess.run(build, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    (wheel,) = (folder / "wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder / "package")
    revisions = (folder / "package" / "worker" / "migrations" / "versions").glob("*.py")
    found = (re.search(r'(?m)^revision.* = "(\w+)"', path.read_text(encoding="utf-8")) for path in revisions)
    return InstalledRelease(folder / "package", max(one[1] for one in found if one))
