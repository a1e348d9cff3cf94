"""Whatever is typed after `worker`, the answer is a result or a sentence with a status, and never a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from tests.unit.cli.conftest import Run
from worker.cli.commands import every_command

SECRET = "hunter2-of-the-account"
SERVES = {"demo", "simulator", "init", "up", "receiver", "metrics", "console", "db"}
"""They start something, write files, or change the tables."""
WAITS = {"--wait", "--online", "--listen"}


def _commands(group: Any, *names: str) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Each command with its options."""
    for name, command in group.commands.items():
        if name in SERVES:
            continue
        if hasattr(command, "commands"):
            yield from _commands(command, *names, name)
        else:
            options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
            yield (*names, name), tuple(sorted(options - WAITS))


COMMANDS = dict(_commands(every_command()))
WORDS = st.sampled_from(
    [
        *(
            "hr",
            "no",
            "1h",
            "2026-11-27T09:00:00+08:00",
            "14:00",
            "0001-01-01",
            "9" * 30,
            "-1",
            "1e9",
            "send",
            "anna|bo",
        ),
        *("open", "urgent", "{}", '{"msgtype": "text"}', "[", "[" * 2_000, "@all", "%", "'; --", "\x00", "\ud800", "."),
        *("worker_jobs", "0" * 32, "f" * 32 + "-1", "wecom_app", "a,b", "字" * 400, ""),
    ]
) | st.text(max_size=12)


@st.composite
def typed(draw: st.DrawFn) -> list[str]:
    """A command with some of its options and any words."""
    names = draw(st.sampled_from(sorted(COMMANDS)))
    options = st.sampled_from(COMMANDS[names])
    pairs = draw(
        st.lists(
            st.tuples(options, WORDS).map(list) | options.map(lambda one: [one]) | WORDS.map(lambda one: [one]),
            max_size=6,
        )
    )
    return [*names, *(word for pair in pairs for word in pair)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(arguments=typed(), types=WORDS)
@example(arguments=["send", "hr", "--to", "anna"], types="[" * 100_000)
@example(arguments=["forecast", "--account", "\ud800"], types="")
@example(arguments=["accounts", "add", "x", "-"], types="a = " + "[" * 100_000)
@example(arguments=["accounts", "add", "x", "-"], types="a = " + "9" * 5_000)
def test_any_command_line_ends_with_a_status(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    types: str,
) -> None:
    """0, 1 or 2; an exception would leave the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HR_SECRET", SECRET)

    status = run(*arguments, types=types)

    printed = capsys.readouterr()
    assert status in (0, 1, 2)
    assert SECRET not in printed.out + printed.err
    assert "Traceback" not in printed.err
