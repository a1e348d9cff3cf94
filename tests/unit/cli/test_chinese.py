"""Every command in Chinese: of what it prints and asks nothing is left in English."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.support.english_left import english_left
from tests.unit.cli.conftest import Run
from worker import Text, To, enqueue
from worker.accounts.sources import accounts_of
from worker.cli.commands import every_command
from worker.config.settings import load_settings
from worker.control import cancel, resolve
from worker.control.audit import CommandResult
from worker.domain.state import PartState
from worker.language import tables, translate
from worker.outbox.engine.database import make_engine

JOBS = 5
SAID = [
    ("jobs",),
    ("jobs", "--state", "nope"),
    ("jobs", "--counts"),
    ("mailing", "--account", "hr"),
    ("jobs", "--all"),
    ("show", "{0}"),
    ("show", "none"),
    ("why", "{0}"),
    ("explain", "60020"),
    ("explain", "1"),
    ("inbound", "--chats"),
    ("inbound",),
    ("limits",),
    ("limits", "--account", "nowhere"),
    ("forecast",),
    ("doctor",),
    ("lanes",),
    ("lanes", "--history"),
    ("db", "upgrade"),
    ("db", "check"),
    ("hooks",),
    ("hooks", "--retry", "1"),
    ("send", "hr", "--text", "", "--to", "anna"),
    ("send", "nowhere", "--text", "a", "--to", "anna"),
    ("upload", "hr", "/nonexistent"),
    ("update-card", "{0}", "[]"),
    ("replay", "{0}"),
    ("replay", "--account", "hr"),
    ("skip", "{0}"),
    ("pause", "--account", "hr", "--why", "...", "--as", "wang"),
    ("lanes",),
    ("why", "{0}"),
    ("resume", "--account", "hr", "--as", "wang"),
    ("pause", "{1}", "--as", "wang"),
    ("why", "{1}"),
    ("show", "{1}"),
    ("resume", "{1}", "--as", "wang"),
    ("pause", "{4}", "--wait", "--as", "wang"),
    ("cancel", "{2}", "{3}", "--as", "wang"),
    ("cancel", "{2}", "--as", "wang", "--yes"),
    ("show", "{2}"),
    ("recall", "{2}"),
    ("resolve", "{0}", "--sent", "--why", "..."),
    ("erase", "--recipient", "anna", "--as", "wang", "--yes"),
    ("fence", "--since", "2026-01-01T00:00:00Z"),
    ("audit",),
    ("accounts", "show"),
    ("accounts", "add", "acme"),
    ("accounts", "remove", "acme"),
    ("accounts", "reseal"),
    ("accounts", "change", "acme", "--disable"),
    ("console", "--hash"),
    ("metrics", "--listen", "x"),
    ("receiver",),
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

    assert [(command, lines) for command, lines in left.items() if lines] == []


@pytest.mark.parametrize("meaning", ["sent", "not sent"])
def test_single_words_about_parts_are_chinese(meaning: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The states in which a cancel finds them, and what a person says of those in doubt."""
    monkeypatch.setenv("WORKER_LANG", "zh")
    cancelled = CommandResult("01a2", Counter(state.label for state in PartState))
    decided, options = CommandResult("01a2", Counter(decided=2)), {"sent": meaning == "sent"}

    asked = resolve.COMMAND.question.format(count=2, meaning=meaning)
    told = translate("\n".join([*cancel.COMMAND.lines(cancelled, {}), asked, *resolve.COMMAND.lines(decided, options)]))

    assert re.findall(r"[a-z]{3,}", re.sub("01a2|`worker [a-z]+`", "", told)) == []


def test_a_command_to_be_typed_stays_as_it_is(
    run: Run, jobs: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it looks like the name of a worker process."""
    monkeypatch.setenv("WORKER_LANG", "zh")
    run("pause", "--account", "hr", "--why", "...")
    run("why", jobs[0])

    assert "\n  worker resume --account hr\n" in capsys.readouterr().out


def _commands(within: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, within
    for name, command in getattr(within, "commands", {}).items():
        yield from _commands(command, *words, name)


COMMANDS = dict(_commands(every_command()))
OWN_HELP = {("simulator",)}
"""Of a program of its own."""


def test_every_help_is_chinese(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What a command does, its options, and the titles of their panels."""
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 1000)  # a text in one line
    monkeypatch.setenv("WORKER_LANG", "zh")

    left = {}
    for words in COMMANDS.keys() - OWN_HELP:
        assert run(*words, "--help") == 0
        chinese = capsys.readouterr().out
        missing = [title for title in ("用法：worker", "─ 选项 ─") if title not in chinese]
        left[words] = english_left(re.sub(r"<[^>]+>", "", chinese)) + missing

    assert {words: lines for words, lines in left.items() if lines} == {}


def test_a_help_is_english_again(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """After a Chinese one, with WORKER_LANG=en."""
    monkeypatch.setenv("WORKER_LANG", "zh")
    assert run("jobs", "--help") == 0
    capsys.readouterr()
    monkeypatch.setenv("WORKER_LANG", "en")

    assert run("jobs", "--help") == 0

    english = capsys.readouterr().out
    assert "Usage: worker" in english
    assert "─ Options ─" in english
    assert english.isascii() or not re.search("[\u4e00-\u9fff]", english)


def test_every_text_of_a_help_is_there_and_no_other() -> None:
    """The Chinese of a help that is gone goes, too."""
    explained = [one for command in COMMANDS.values() for one in (command, *command.get_params(typer.Context(command)))]
    said = {" ".join(part.split()) for one in explained for part in (one.help or "").replace("\\[", "[").split("\n\n")}

    assert {english for _, _, words in tables() for english in words.get("help", ())} == said - {""}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("nope", "没有命令 'nope'。"),
        ("job", "没有命令 'job'。是不是 'jobs'？"),
        ("db", "用法：worker db"),
        ("jobs --nope", "没有这个选项：--nope"),
        ("up --log-level x", "没有这个选项：--log-level（可用的选项：--loglevel）"),
        ("show", "缺少参数 'JOB'。"),
        ("jobs --limit", "选项 '--limit' 需要一个值。"),
        ("jobs --limit x", "'--limit' 的值不对：应为整数"),
        ("jobs --limit 0", "'--limit' 的值不对：不能小于 1"),
        ("jobs --limit 9999999", "'--limit' 的值不对：不能大于"),
        ("accounts add", "请给出账号名，或 --settings"),
        ("pause --timeout x", "'--timeout' 的值不对：应为数字"),
        ("jobs --json=x", "选项 '--json' 不带值。"),
        ("show a b", "多出了参数（b）"),
        ("up --loglevel x", "'--loglevel' 的值不对：没有 'x' 这个取值，可用 'debug', 'info', 'warning'。"),
        ("jobs --created-from x", "'--created-from' 的值不对：不是时间；请写成 -30m、14:00、"),
        ("doctor --account x", "写法不对：--account 要与 --online 一起使用"),
    ],
)
def test_what_is_typed_wrongly_is_told_in_chinese(
    run: Run, typed: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typer's own errors, with the usage and where help is."""
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 1000)
    monkeypatch.setenv("WORKER_LANG", "zh")

    assert run(*typed.split()) == 2

    printed = capsys.readouterr()
    told = printed.out + printed.err
    assert expected in told
    assert english_left(re.sub(r"<[^>]+>", "", told)) == []
