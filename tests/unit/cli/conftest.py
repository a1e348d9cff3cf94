"""The command line in this process, on a fresh database with one account."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from io import StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
import typer

from worker.cli import main
from worker.config.surroundings import surprises
from worker.language import language

Run = Callable[..., int]
Typed = Callable[..., tuple[int, str]]


@pytest.fixture(scope="session", autouse=True)
def _commands_made_once() -> Iterator[None]:
    """Typer makes all commands anew for each that is typed, which took three quarters of the time of these tests.

    Once a language, for a command keeps the help that it was asked for.
    """

    def once(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        made = cache(lambda app, _language: make(app))
        return lambda app: made(app, language())

    with pytest.MonkeyPatch.context() as patch:
        for name in ("get_command", "get_group"):
            patch.setattr(typer.main, name, once(getattr(typer.main, name)))
        yield


@pytest.fixture(autouse=True)
def _without_variables_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which this machine may have, and `worker doctor` would name."""
    for name in [name for name in os.environ if list(surprises({name: "1"}))]:
        monkeypatch.delenv(name)


@pytest.fixture
def run(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`worker ARGUMENTS` in this process, with what a person types; returns the exit status."""
    config = tmp_path / "worker.toml"
    config.write_text(
        f'database = "{sqlite_url}"\n[accounts.hr]\nchannel = "wecom_app"\ncorpid = "ww1"\nagentid = 1\n'
        'secret = { env = "HR_SECRET" }\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("WORKER_CONFIG", str(config))

    def run(*arguments: str, types: str = "") -> int:
        monkeypatch.setattr(sys, "argv", ["worker", *arguments])
        monkeypatch.setattr(sys, "stdin", StringIO(types))
        if isinstance(sys.stderr, TextIOWrapper):
            sys.stderr.reconfigure(errors="backslashreplace")  # as Python opens it; pytest's own would refuse a half
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


@pytest.fixture
def typed(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """`worker ARGUMENTS` with the test's own `config`; returns the exit status and what was printed."""

    def typed(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["worker", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out + printed.err

    return typed
