"""The commands without a worker: tables, lists, one job, replay; errors are one sentence with a status."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from worker import Text, To, enqueue
from worker.cli import main
from worker.config.accounts import accounts_of
from worker.config.settings import load_settings
from worker.outbox.database import make_engine

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`worker ARGUMENTS` in this process, on a fresh database; returns the exit status."""
    config = tmp_path / "worker.toml"
    config.write_text(
        f'database = "{sqlite_url}"\n[accounts.hr]\nchannel = "wecom_app"\ncorpid = "ww1"\nagentid = 1\n'
        'secret = { env = "HR_SECRET" }\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("WORKER_CONFIG", str(config))

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["worker", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


@pytest.fixture
def job(run: Run) -> str:
    """A job that waits."""
    settings = load_settings()
    engine = make_engine(settings.database)
    with engine.begin() as connection:
        ref = enqueue(connection, "hr", Text(content="hello"), To(users=["anna"]), accounts=accounts_of(settings))
    engine.dispose()
    return ref.id


def test_jobs_are_listed(run: Run, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As lines and as JSON, by state and account."""
    assert [0, 0, 0] == [run("jobs"), run("jobs", "--state", "open", "--json"), run("jobs", "--account", "no")]

    lines = capsys.readouterr().out.splitlines()

    assert job in lines[0]
    assert [(job, "open")] == [(one["id"], one["state"]) for one in json.loads(lines[1])]
    assert "no jobs" == lines[2]


def test_a_job_is_shown(run: Run, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """State, counts and timeline, as text and as JSON."""
    assert [0, 0] == [run("show", job), run("show", job, "--json")]

    text, _, data = capsys.readouterr().out.rstrip().rpartition("\n")

    assert f"job {job}: send on account hr is open" in text
    assert "enqueued" in text
    assert (1, 1) == (json.loads(data)["counts"]["asked"], len(json.loads(data)["timeline"]))


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("show", "0" * 32), 1, "no job"),
        (("replay", "0" * 32), 1, "no job"),
        (("jobs", "--state", "flying"), 2, "is not a state"),
    ],
)
def test_an_error_is_one_sentence(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, words: str
) -> None:
    """On stderr, with 1 for what is not there and 2 for what was said wrong."""
    assert status == run(*arguments)

    error = capsys.readouterr().err
    assert words in error
    assert 1 == len(error.splitlines())


def test_an_open_job_is_not_replayed(run: Run, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its end must be waited for."""
    assert 1 == run("replay", job)
    assert "still open" in capsys.readouterr().err


def test_a_wrong_configuration_ends_with_2(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence names the file."""
    monkeypatch.setenv("WORKER_CONFIG", str(tmp_path / "missing.toml"))

    assert 2 == run("jobs")
    assert "missing.toml" in capsys.readouterr().err


def test_the_tables_are_upgraded_and_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`db current` is 1 before and 0 after; a database without tables is one sentence."""
    monkeypatch.setenv("WORKER_DATABASE", f"sqlite:///{tmp_path}/empty.db")

    assert [1, 1, 0, 0] == [run("jobs"), run("db", "current"), run("db", "upgrade"), run("db", "current")]
    assert "worker db upgrade" in capsys.readouterr().err
