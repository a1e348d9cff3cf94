"""Two releases as wheels, each in a folder of its own beside the same installed dependencies.

The older one is this very release; the newer one is made of it, with one more revision, which adds columns.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rig.stack import ROOT
from tests.process.wheel import build_wheel
from worker.outbox.engine.migrate import head

SOURCES = ("worker", "worker_simulator", "migrations", "docs", "pyproject.toml", "README.md", "LICENSE")
NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "{next}"
down_revision = "{head}"
branch_labels = depends_on = None
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


def two_releases(wheel: Path, folder: Path) -> tuple[InstalledRelease, InstalledRelease]:
    """This release, whose wheel it is, and a next one."""
    script = NEXT.format(head=head(), next=f"{int(head()) + 1:04}")
    source = _copied(folder / "source")
    (source / "migrations" / "versions" / "next.py").write_text(script, encoding="utf-8")
    newer = build_wheel(folder / "wheel", source, {"SETUPTOOLS_SCM_PRETEND_VERSION": "99.0"})
    return _unpacked(folder / "old", wheel), _unpacked(folder / "new", newer)


def _copied(source: Path) -> Path:
    """Copies what a wheel is built of."""
    source.mkdir()
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(path, source / name)
    return source


def _unpacked(folder: Path, wheel: Path) -> InstalledRelease:
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder)
    revisions = (folder / "worker" / "migrations" / "versions").glob("*.py")
    found = (re.search(r'(?m)^revision.* = "(\w+)"', path.read_text(encoding="utf-8")) for path in revisions)
    return InstalledRelease(folder, max(one[1] for one in found if one))
