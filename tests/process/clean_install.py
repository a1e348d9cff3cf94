"""The wheel as it is installed by those who use it: an empty environment a stack, with the extras docs/stacks.md names.

`make clean-install` runs it. It is no part of `make test`, for it asks the package index.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from rig.databases import Service, lack
from rig.stack import ROOT, Stack, until
from rig.stacks import WITH_A_BROKER, Make, on_stacks, scratch
from tests.docs.page import Page
from tests.process.wheel import install, run

PRODUCER = """
import sys
from sqlalchemy import create_engine
from worker import Text, To, enqueue, sqlite_engine
url = sys.argv[1]
engine = sqlite_engine(url) if url.startswith("sqlite") else create_engine(url)
with engine.begin() as connection:
    print(enqueue(connection, "hr", Text(content="hello"), To(users=["anna"])).id)
"""

PROJECT = '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = []\n'


@on_stacks(*WITH_A_BROKER, why="what the page installs has the extras of embedded, and delivers")
def test_a_clean_install_delivers(make: Make, wheel: Path) -> None:
    """Without the checkout: tables are made, a worker starts and delivers, `worker doctor` agrees, the worker ends."""
    make.folder.mkdir(parents=True, exist_ok=True)
    programs = install(make.folder / "venv", f"{wheel}[{_extras()[make.name]}]")
    url = make.scope.enter_context(scratch(make.name, f"{os.getpid()}_wheel", make.folder))
    stack = make(database_url=url)
    user = Installed(programs, stack)

    user.run("worker", "db", "upgrade")
    job = user.run("python", "-c", PRODUCER, url).strip()
    worker = user.start()

    until(lambda: user.settled(worker), "the job has ended", 180)
    assert json.loads(user.run("worker", "show", job, "--json"))["state"] == "accepted"
    user.run("worker", "doctor")
    assert len(stack.vendor.inbox()["anna"]) == 1
    assert stack.end(worker) == 0


def test_uv_adds_it_to_a_project(wheel: Path, tmp_path: Path) -> None:
    """Each line of docs/stacks.md in a reader's project, with this wheel; the last needs no project, and delivers."""
    if shutil.which("uv") is None:
        lack(Service("uv", "PATH", "", "pip install uv"), "this machine has no uv to make a project with")
    (block,) = [one.text for one in Page("docs/stacks.md").blocks if one.text.startswith("uv add")]
    (tmp_path / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("WORKER_", "VIRTUAL_ENV"))}
    env = {**outer, "WHEEL": str(wheel), "UV_PYTHON": sys.executable}

    said = run("bash", "-euc", block, env=env, cwd=tmp_path)

    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))
    named = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    assert sorted(set(re.findall(r"\w+(?=[],])", " ".join(named)))) == ["console", "postgres", "redis", "worker"]
    assert "every job ended as stated" in said


class Installed:
    """The programs of one environment, run in the stack's folder with its settings."""

    def __init__(self, programs: Path, stack: Stack):
        self._programs, self._stack = programs, stack
        outer = {name: value for name, value in os.environ.items() if not name.startswith(("WORKER_", "PYTHON"))}
        self._env = {**outer, "WORKER_CONFIG": str(stack.config), "PATH": f"{programs}:{os.environ['PATH']}"}

    def run(self, program: str, *arguments: str) -> str:
        """What it said, once it has ended well."""
        return run(str(self._programs / program), *arguments, env=self._env, cwd=self._stack.folder)

    def settled(self, worker: subprocess.Popen[bytes]) -> bool:
        """Whether nothing is left to send, by the outbox; fails once the worker has ended."""
        assert worker.poll() is None, self._stack.logs()
        return not self._stack.unsettled()

    def start(self) -> subprocess.Popen[bytes]:
        """The stack's worker, which the stack ends."""
        options = ("-A", "worker.service.celery_app", "worker", "-P", "threads", "-c", "8")
        with (self._stack.folder / "process-clean.log").open("wb") as log:
            started = subprocess.Popen(
                [str(self._programs / "celery"), *options],
                env=self._env,
                cwd=self._stack.folder,
                stdout=log,
                stderr=log,
            )
        self._stack.processes.append(started)
        return started


def _extras() -> dict[str, str]:
    """Stack -> the extras that docs/stacks.md tells people to install."""
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in (ROOT / "docs" / "stacks.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    extras = next(row for row in rows if row[0] == "extras to install")
    names = [re.sub(r"\W*\+\W*", "+", cell).lower().replace("postgresql", "postgres") for cell in rows[0]]
    return {name: cell.strip("`") for name, cell in zip(names, extras, strict=True)}
