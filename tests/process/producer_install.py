"""The wheel as an application installs it that only enqueues: with the lowest versions, and with the newest.

`make clean-install` runs it. It is no part of `make test`, for it asks the package index.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rig.stack import ROOT
from tests.process.wheel import install, run as run_program
from worker_simulator.testing.database import make_template

MOST_DISTRIBUTIONS, MOST_MODULES = 15, 75
IMPORT = "import sys; from worker import Text, To, enqueue; print(*sys.modules)"
SETTINGS = """
database = "sqlite:///outbox.db"
[accounts.hr]
channel = "wecom_app"
corpid = "ww0000000000000000"
agentid = 1000002
secret = { env = "HR_SECRET" }
"""
PRODUCER = """
import sys
from sqlalchemy.orm import Session
import worker
from worker import *

engine = sqlite_engine("sqlite:///outbox.db")
with Session(engine) as session:
    job = enqueue(session, "hr", Text("hello"), To(users=["anna", "ben"]), dedupe_key="1")
    card = ButtonCard(main_title=MainTitle(title="leave"), button_list=[Button(text="ok", key="ok")])
    asked = enqueue(session, "hr", card, ["anna"])
    upload(session, "hr", File(b"a file", "a.txt"))
    session.commit()
    recall(session, job.id)
    update_card(session, asked.id, CardUpdate(replace_name="done"), ["anna"])
    session.commit()
    try:
        enqueue(session, "hr", Text("x" * 3000), ["anna"])
    except CheckFailed as error:
        print(error.localized("zh").isascii())
    print(get_job(session, asked.id).state.name, why(session, asked.id).waits[-1].what, len(find_jobs(session).jobs))
print(cancel(find_open(JobFilter(account="hr")), person="anna", why="a test").counts["jobs"])
print(sorted(name for name in worker.__all__ if not hasattr(worker, name)))
print(sorted({"alembic", "celery", "cryptography", "requests", "typer"} & sys.modules.keys()))
"""
TESTS = """
def test_without_the_kit():
    assert True

def test_with_the_kit(outbox):
    pass
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """One environment with the package alone."""

    folder: Path
    python: Path
    distributions: tuple[str, ...]
    """Name and version of each, this package among them."""
    imported: frozenset[str]
    """Every module that a process has after `from worker import Text, To, enqueue`."""


def floors() -> list[str]:
    """The lowest versions that pyproject.toml lets an application have, as pip's pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [re.sub(r">=([\w.]+).*", r"==\1", one) for one in project["dependencies"]]


Run = Callable[..., tuple[int, str]]


@pytest.fixture(params=["lowest", "newest"], scope="module")
def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installation:
    """The package alone, at either end of what pyproject.toml allows, without pip."""
    folder = tmp_path_factory.mktemp("environments") / request.param
    python = install(folder, str(wheel), *(floors() if request.param == "lowest" else [])) / "python"
    names = sorted(info.stem.lower() for info in folder.glob("lib/python3*/site-packages/*.dist-info"))
    imported = run_program(str(python), "-c", IMPORT, cwd=folder).split()
    return Installation(folder, python, tuple(names), frozenset(imported))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An outbox that a worker's host has made, for a producer makes none."""
    path = tmp_path_factory.mktemp("tables") / "outbox.db"
    make_template(path)
    return path


@pytest.fixture
def run(installation: Installation, tables: Path, tmp_path: Path) -> Run:
    """Runs a program of the installation in the application's folder: its exit status, and what it said."""
    (tmp_path / "worker.toml").write_text(SETTINGS, encoding="utf-8")
    shutil.copyfile(tables, tmp_path / "outbox.db")
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("WORKER_", "PYTHON", "LC_", "LANG"))
    }

    def start(program: str, *arguments: str) -> tuple[int, str]:
        command = [str(installation.python.parent / program), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, check=False, timeout=400)
        return done.returncode, done.stdout + done.stderr

    return start


def test_what_it_brings(installation: Installation) -> None:
    """Few distributions, and few modules of its own: `bench enqueue` says what importing them takes."""
    own = sorted(name for name in installation.imported if name.partition(".")[0] == "worker")
    assert len(installation.distributions) <= MOST_DISTRIBUTIONS, installation.distributions
    assert len(own) <= MOST_MODULES, own


def test_it_enqueues_asks_and_cancels(run: Run) -> None:
    """Every public name is there, and nothing is loaded that only a worker needs."""
    assert run("python", "-c", PRODUCER) == (0, "False\nOPEN worker 5\n3\n[]\n[]\n")


def test_the_commands_name_their_extra(run: Run) -> None:
    """Whatever is asked of them, without a traceback."""
    sentence = (
        "worker: typer is needed and not installed;"
        " run `pip install 'PATH[worker]'`, with the PATH of the wheel or checkout\n"
    )

    assert [(2, sentence)] * 2 == [run("worker", "--help"), run("worker", "db", "upgrade")]


def test_the_kit_keeps_out_of_other_tests(installation: Installation, run: Run, tmp_path: Path) -> None:
    """Pytest loads the plugin, whose fixtures name the extra that they need."""
    install(installation.folder, "pytest")
    (tmp_path / "test_shop.py").write_text(TESTS, encoding="utf-8")

    status, said = run("python", "-m", "pytest", "-q")

    assert status == 1
    assert "1 passed, 1 error" in said
    assert "run `pip install 'PATH[worker]'`" in said
