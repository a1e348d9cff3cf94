"""Every command in Chinese: of what it prints and asks nothing is left in English."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.english_left import english_left
from tests.unit.cli.conftest import Run
from worker import Text, To, enqueue
from worker.accounts.sources import accounts_of
from worker.config.settings import load_settings
from worker.outbox.engine.database import make_engine

JOBS = 5
SAID = [
    ("jobs",),
    ("jobs", "--state", "nope"),
    ("stats",),
    ("show", "{0}"),
    ("show", "none"),
    ("why", "{0}"),
    ("explain", "60020"),
    ("explain", "1"),
    ("drift",),
    ("chats",),
    ("inbound",),
    ("limits",),
    ("limits", "--account", "nowhere"),
    ("forecast",),
    ("forecast", "{0}"),
    ("doctor",),
    ("lanes",),
    ("lanes", "--events"),
    ("db", "upgrade"),
    ("db", "current"),
    ("db", "check"),
    ("db", "purge"),
    ("events",),
    ("events", "retry", "1"),
    ("send", "hr", "--text", "", "--to", "anna"),
    ("send", "nowhere", "--text", "a", "--to", "anna"),
    ("upload", "hr", "/nonexistent"),
    ("update-card", "{0}", "[]"),
    ("replay", "{0}"),
    ("replay", "--account", "hr"),
    ("resend-failed", "{0}"),
    ("skip", "{0}"),
    ("pause", "--account", "hr", "--why", "...", "--as", "wang"),
    ("lanes",),
    ("why", "{0}"),
    ("resume", "--account", "hr", "--as", "wang"),
    ("hold", "{1}", "--as", "wang"),
    ("why", "{1}"),
    ("show", "{1}"),
    ("release", "{1}", "--as", "wang"),
    ("drain", "--account", "hr"),
    ("cancel", "{2}", "{3}", "--as", "wang"),
    ("cancel", "{2}", "--as", "wang", "--yes"),
    ("show", "{2}"),
    ("recall", "{2}"),
    ("resolve", "{0}", "--sent", "--why", "..."),
    ("suppress", "anna", "--as", "wang"),
    ("suppress", "anna", "--check"),
    ("suppress", "anna", "--lift"),
    ("erase", "--recipient", "anna", "--as", "wang", "--yes"),
    ("fence", "--since", "2026-01-01T00:00:00Z"),
    ("audit",),
    ("accounts", "show"),
    ("accounts", "add", "acme"),
    ("accounts", "remove", "acme"),
    ("accounts", "reseal"),
    ("accounts", "disable", "acme"),
    ("console", "hash"),
    ("metrics", "--listen", "x"),
    ("receiver",),
    ("calibrate", "hr", "--to", "@all"),
    ("init", "--overwrite"),
    ("db", "downgrade", "0001"),
]
"""Commands in the order of a day; `{0}` is the id of the first of some jobs that wait."""


@pytest.fixture
def jobs(run: Run) -> list[str]:
    """Jobs that wait."""
    settings = load_settings()
    engine, accounts = make_engine(settings.database_url()), accounts_of(settings)
    with engine.begin() as connection:
        message, to = Text(content="1"), To(users=["anna"])
        found = [enqueue(connection, "hr", message, to, accounts=accounts).id for _ in range(JOBS)]
    engine.dispose()
    return found


def test_every_command_speaks_chinese(
    run: Run, jobs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it finds, what it did, what it asks and why it will not; commands to be typed stay as they are."""
    monkeypatch.setenv("WORKER_LANG", "zh")
    monkeypatch.setenv("WORKER_SEAL_KEY", "k" * 32)
    monkeypatch.chdir(tmp_path)  # `worker init` writes its files there
    left: dict[tuple[str, ...], list[str]] = {}

    for command in SAID:
        arguments = [word.format(*jobs) for word in command]
        run(*arguments, types="n\n")
        printed = capsys.readouterr()
        left[command] = english_left(printed.out + printed.err)

    assert [] == [(command, lines) for command, lines in left.items() if lines]


def test_a_command_to_be_typed_stays_as_it_is(
    run: Run, jobs: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it looks like the name of a worker process."""
    monkeypatch.setenv("WORKER_LANG", "zh")
    run("pause", "--account", "hr", "--why", "...")
    run("why", jobs[0])

    assert "\n  worker resume --account hr\n" in capsys.readouterr().out
