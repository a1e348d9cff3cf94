"""`worker accounts`: what it takes, says and refuses; no secret comes back out of it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.cli import main

Run = Callable[..., tuple[int, str]]
ACME = 'channel = "wecom_app"\ncorpid = "ww9"\nagentid = 3\nsecret = "hunter2"\n'


@pytest.fixture
def run(sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """`worker accounts ARGUMENTS` with something on stdin: exit status and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKER_CONFIG", raising=False)
    monkeypatch.setenv("WORKER_DATABASE", sqlite_url)
    monkeypatch.setenv("WORKER_SEAL_KEY", "k" * 32)

    def run(*arguments: str, stdin: str = "") -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["worker", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert "hunter2" not in printed.out + printed.err
        return int(ended.value.code or 0), printed.out + printed.err

    return run


def test_the_life_of_an_account(run: Run) -> None:
    """Added, shown, looked at, rotated, disabled, enabled, sealed anew, removed; each leaves a row in the audit."""
    assert run("accounts", "show") == (0, "no account is stored in the outbox; `worker accounts add` adds one\n")
    assert run("accounts", "add", "acme", stdin=ACME) == (0, "account acme was added; check it with `worker doctor`\n")
    status, told = run("accounts", "show", "acme")
    assert status == 0
    assert told.startswith("acme  wecom_app  changed 20")
    assert '"sealed": "secret"' in told
    assert "account acme: usable, all secrets can be read (1)" in run("doctor")[1]
    assert run("accounts", "rotate", "acme", stdin='secret = "hunter22"')[0] == 0
    assert run("accounts", "change", "acme", stdin="agentid = 4") == (0, "account acme was changed\n")
    assert "acme is disabled: it takes no new job" in run("accounts", "change", "acme", "--disable")[1]
    assert "  disabled" in run("accounts", "show")[1]
    assert "problem  account acme: accounts.acme: is disabled" in run("doctor")[1]
    status, told = run("accounts", "change", "acme", "new.toml", "--enable")
    assert status == 2
    assert "give either a file or --disable or --enable" in told
    assert run("accounts", "change", "acme", "--enable")[0] == 0
    assert "the secrets of 1 account are now sealed" in run("accounts", "reseal")[1]
    [shown] = json.loads(run("accounts", "show", "--json")[1])
    assert shown["table"]["previous_credentials"] == {"secret": {"sealed": "previous_credentials.secret"}}
    assert run("accounts", "remove", "acme", "--yes") == (0, "account acme was removed\n")
    done = ["remove", "reseal", "enable", "disable", "change", "rotate", "add"]
    assert done == [one["action"].split()[0] for one in json.loads(run("audit", "--json")[1])]


def test_what_is_wrong_is_one_sentence_without_what_was_typed(run: Run, tmp_path: Path) -> None:
    """And nothing is added."""
    for status, said, arguments, stdin in (
        (2, "stdin: not valid TOML", ("add", "acme"), "secret = hunter2"),
        (2, "nowhere.toml: cannot be read", ("add", "acme", "nowhere.toml"), ""),
        (2, "accounts.acme.channel: is missing; add it", ("add", "acme"), 'secret = "hunter2"'),
        (2, "has no [accounts.NAME] tables", ("add", "--settings", "-"), ACME),
        (1, "there is no account 'acme' in the outbox", ("rotate", "acme"), 'secret = "hunter2"'),
        (1, "there is no account 'acme' in the outbox", ("show", "acme"), ""),
    ):
        found, told = run("accounts", *arguments, stdin=stdin)
        assert found == status, told
        assert len(told.splitlines()) == 1, told
        assert said in told, told
    assert "no account is stored" in run("accounts", "show")[1]


def test_an_import_says_that_the_file_wins(run: Run, tmp_path: Path) -> None:
    """Until its tables are taken out of it."""
    (tmp_path / "old.toml").write_text(f"[accounts.acme]\n{ACME}[accounts.ops]\n{ACME}", encoding="utf-8")
    assert run("accounts", "add", "--settings", "old.toml") == (
        0,
        "2 accounts added; remove their tables from old.toml, which take precedence\n",
    )
