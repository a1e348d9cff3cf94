"""What a person types and what does not exist is never a success: every command and option that takes a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from worker import Text, To, enqueue
from worker.accounts.sources import accounts_of
from worker.cli.commands import every_command
from worker.config.settings import load_settings
from worker.outbox.engine.database import make_engine

Run = Callable[..., int]

NAMES = {
    *("ids", "names", "name", "job", "account", "code", "revision"),
    *("--account", "--channel", "--kind", "--state", "--tag", "--recipient", "--dedupe-key", "--order-key", "--msgid"),
    *("--errcode", "--text-hash", "--replay-of", "--page-after", "--type", "--retry", "--continue", "--foreign"),
    *("--pid", "--host", "--to", "--tenant"),
}
"""Arguments and options that take the name of something."""
FREE = {
    "init --account": "the first account",
    "accounts add name": "a new account",
    "pause --tag": "of later jobs, too; it says so",
    "limits --recipient": "whoever it is, the room of a recipient is known",
    "resolve --msgid": "the vendor's, which nobody else knows",
    "update-card --to": "who cannot be found",
    **{f"send {option}": "a word of the new job's own" for option in ("--tag", "--dedupe-key", "--order-key", "--to")},
    "send --tenant": "the same",
}
"""Names that are new, and why they may be."""
NEEDED = {
    "resolve": ("--sent", "--why", "x"),
    "correct": ("--text", "new"),
    "reschedule": ("--due-at", "1h"),
    "accounts change": ("--disable",),
    "send account": ("--text", "x", "--to", "a"),
    "upload account": (__file__,),
    "update-card job": ("{}",),
    "update-card --account": ("CODE", "{}"),
    "doctor": ("--online",),
    "lanes": ("--history",),
    "recall --foreign": ("--account", "nosuch"),
}
"""What else has to be typed, by command, or by command and name."""
NUMBERS = {"code", "--errcode", "--pid"}


def _commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


def _typed_names() -> Iterator[tuple[str, str]]:
    for command, made in _commands(every_command()):
        for parameter in made.params:
            option = next((name for name in parameter.opts if name.startswith("--")), parameter.name)
            if option in NAMES and f"{command} {option}" not in FREE:
                yield command, option


def _line(command: str, option: str) -> list[str]:
    """Every command that is typed with a name of nothing."""
    name = "4711" if option in NUMBERS else "nosuch"
    more = NEEDED.get(f"{command} {option}", NEEDED.get(command, ()))
    given = [option, name] if option.startswith("--") else [name]
    account = ["--account", "hr"] if option == "--dedupe-key" else []
    return [*command.split(), *given, *account, *more]


@pytest.fixture
def job(run: Run) -> str:
    """One job that waits, with a tag."""
    settings = load_settings()
    engine = make_engine(settings.database_url())
    with engine.begin() as connection:
        to, accounts = To(users=["anna"]), accounts_of(settings)
        ref = enqueue(connection, "hr", Text(content="hello"), to, accounts=accounts, tags=["points"])
    engine.dispose()
    return ref.id


@pytest.mark.slow("types two hundred commands")
def test_no_command_takes_a_name_of_nothing_for_a_success(
    run: Run, job: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each says something and ends with a status of its own, whatever it found besides."""
    monkeypatch.chdir(tmp_path)
    succeeded, silent = [], []
    for command, option in _typed_names():
        line = _line(command, option)
        if not run(*line, types="y\n"):
            succeeded.append(" ".join(line))
        printed = capsys.readouterr()
        if not (printed.out + printed.err).strip():
            silent.append(" ".join(line))

    assert succeeded == []
    assert silent == []


def test_what_may_be_new_is_an_option() -> None:
    """An entry of an option that is gone goes, too."""
    there = {
        f"{command} {option}"
        for command, made in _commands(every_command())
        for one in made.params
        for option in (*one.opts, one.name)
    }

    assert [name for name in FREE if name not in there] == []


@pytest.mark.parametrize("command", ["mailing", "jobs"])
def test_a_tag_that_is_typed_as_an_id_is_told_apart(
    run: Run, job: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tag itself, and a name of nothing beside one that exists."""
    assert run(command, "points") == 1
    told = "there is no job points; an id has 32 digits and letters, and a tag is given with --tag points\n"
    assert told == capsys.readouterr().err
    assert run(command, job, "points") == 1
    assert job in capsys.readouterr().out or command == "mailing"
    assert run(command, "--tag", "points") == 0
    assert run(command, "--tag", "points", "--kind", "recall") == 0


def test_a_cancel_of_a_tag_that_no_job_has_says_so(run: Run, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As `worker jobs` does."""
    assert run("cancel", "--tag", "point", "--why", "x") == 1
    assert "no job that is stored has --tag point; none of these jobs has" in " ".join(capsys.readouterr().err.split())


def test_a_pause_of_a_tag_that_no_job_has_says_so(run: Run, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be meant for jobs to come, and it may be mistyped."""
    assert run("pause", "--tag", "point", "--why", "x") == 0
    assert "no job has the tag point yet" in capsys.readouterr().err
    assert run("pause", "--tag", "points", "--why", "x") == 0
    assert capsys.readouterr().err == ""


def test_a_hook_for_an_account_that_does_not_exist(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would never run."""
    (tmp_path / "mistyped_hooks.py").write_text(
        "from worker.hooks.registry import on_job_done\n\n\n"
        "@on_job_done(accounts=['hr', 'hrr'])\ndef ended(job, session): ...\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("WORKER_HOOKS", "mistyped_hooks")

    run("doctor")

    said = capsys.readouterr().out
    assert "hooks: a hook names an account for which it never runs: account 'hrr' does not exist" in said
    assert "account 'hr' does not exist" not in said
