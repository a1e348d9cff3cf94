"""The wheel as an application installs it that only enqueues: with the lowest versions, and with the newest.

`make clean-install` runs it. It is no part of `make test`, for it asks the package index.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.producer_install import MOST_DISTRIBUTIONS, MOST_IMPORT_MS, Installation, build_wheel, floors, install
from worker_simulator.testing.database import make_template

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
        print(error.told("zh").isascii())
    print(get_job(session, asked.id).state.name, why(session, asked.id).waits[-1].what, len(list_jobs(session)))
print(cancel(find_open(JobFilter(account="hr")), person="anna", why="a test").jobs)
print(sorted(name for name in worker.__all__ if not hasattr(worker, name)))
print(sorted({"alembic", "celery", "cryptography", "requests", "typer"} & sys.modules.keys()))
"""
TESTS = """
def test_without_the_kit():
    assert True

def test_with_the_kit(outbox):
    pass
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


Run = Callable[..., tuple[int, str]]


@pytest.fixture(params=["lowest", "newest"], scope="module")
def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installation:
    """The package alone, at either end of what pyproject.toml allows."""
    pins = floors() if request.param == "lowest" else []
    return install(tmp_path_factory.mktemp(request.param), wheel, *pins)


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
        done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout + done.stderr

    return start


def test_what_it_brings(installation: Installation) -> None:
    """Few distributions, and an import that no start of an application notices."""
    assert MOST_DISTRIBUTIONS >= len(installation.distributions), installation.line()
    assert MOST_IMPORT_MS >= installation.import_ms, installation.line()


def test_it_enqueues_asks_and_cancels(run: Run) -> None:
    """Every public name is there, and nothing is loaded that only a worker needs."""
    assert (0, "False\nOPEN worker 5\n3\n[]\n[]\n") == run("python", "-c", PRODUCER)


def test_the_commands_name_their_extra(run: Run) -> None:
    """Whatever is asked of them, without a traceback."""
    sentence = "worker: typer is not installed, which this needs; run `pip install 'im-delivery-worker[worker]'`\n"

    assert [(2, sentence)] * 2 == [run("worker", "--help"), run("worker", "db", "upgrade")]


def test_the_kit_keeps_out_of_other_tests(installation: Installation, run: Run, tmp_path: Path) -> None:
    """Pytest loads the plugin, whose fixtures name the extra that they need."""
    pip = (sys.executable, "-m", "pip", "--python", str(installation.python), "install", "--quiet", "pytest")
    subprocess.run(pip, check=True, timeout=300)
    (tmp_path / "test_shop.py").write_text(TESTS, encoding="utf-8")

    status, said = run("python", "-m", "pytest", "-q")

    assert 1 == status
    assert "1 passed, 1 error" in said
    assert "run `pip install 'im-delivery-worker[worker]'`" in said
