"""`worker calibrate`: what it asks before it begins, prints, and writes into the file or the outbox."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.support.english_left import english_left
from worker.accounts.sources import accounts_of
from worker.cli import main
from worker.config.settings import load_settings
from worker_simulator.server import running
from worker_simulator.settings import SimulatorSettings

Run = Callable[..., tuple[int, str]]
HR = """# ours
database = "{database}"

[accounts.hr]  # the people of the office
channel = "wecom_app"
corpid = "ww1"
agentid = 7
secret = {{ env = "HR_SECRET" }}
base_url = "{url}"
# the last word

[accounts.it]
channel = "wecom_app"
corpid = "ww1"
agentid = 8
secret = {{ env = "HR_SECRET" }}
base_url = "{url}"
"""


@pytest.fixture
def url() -> Iterator[str]:
    """A vendor whose duplicate check does nothing, and whose app has no callback URL."""
    apps = [{"corpid": "ww1", "secret": "s1", "callback": False}]
    with running(SimulatorSettings.model_validate({"duplicate": {"longest_s": 0}, "apps": apps})) as address:
        yield address


@pytest.fixture
def file(tmp_path: Path, sqlite_url: str, url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file in force."""
    path = tmp_path / "worker.toml"
    path.write_text(HR.format(database=sqlite_url, url=url), encoding="utf-8")
    monkeypatch.setenv("WORKER_CONFIG", str(path))
    monkeypatch.setenv("WORKER_SEAL_KEY", "k" * 32)
    monkeypatch.setenv("HR_SECRET", "s1")
    return path


@pytest.fixture
def run(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`worker calibrate ARGUMENTS` with what a person types: exit status and what it printed."""

    def run(*arguments: str, types: str = "", command: str = "calibrate") -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["worker", command, *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(types))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out + printed.err

    return run


def calls(url: str) -> int:
    with requests.Session() as session:
        session.trust_env = False
        return len(session.get(f"{url}/_control/calls").json()["calls"])


def test_it_shows_what_it_would_ask_and_asks_before_it_begins(run: Run, url: str) -> None:
    """A person who says no has called nobody."""
    status, told = run("hr", "--to", "zhangsan", types="n\n")

    assert (1, 0) == (status, calls(url))
    assert "account hr: at most 40 calls now, fewer than 60 with all later runs" in told
    assert "all to zhangsan; nobody else gets one" in told
    assert "nothing was asked" in told


def test_the_one_at_the_keyboard_says_what_the_person_sees(run: Run, url: str) -> None:
    """Two messages: the duplicate check does nothing, and the lines for the account follow."""
    status, told = run("hr", "--to", "zhangsan", types="y\n2\n")

    assert 0 == status, told
    assert "an equal body again" in told
    assert "sent once more" in told
    assert "[accounts.hr]\nduplicate_window_s = 0\n" in told
    assert "callback = false" in told


def test_it_writes_into_the_settings_file_and_keeps_all_else(run: Run, file: Path) -> None:
    """Comments, order, the other account and the file's mode stay; workers read the new value."""
    os.chmod(file, 0o640)
    before = file.read_text(encoding="utf-8")
    status, told = run("hr", "--to", "zhangsan", "--write", types="y\n2\n")
    after = file.read_text(encoding="utf-8")

    assert 0 == status, told
    assert f"written into {file}; every process obeys within ten seconds" in told
    added = [line for line in after.splitlines() if line not in before.splitlines()]
    assert ["duplicate_window_s = 0", "callback = false"] == added
    assert before.splitlines() == [line for line in after.splitlines() if line not in added]
    assert 0o640 == file.stat().st_mode & 0o777
    assert {"hr": 0, "it": None} == {
        name: table.get("duplicate_window_s") for name, table in tomllib.loads(after)["accounts"].items()
    }
    assert 0 == accounts_of(load_settings()).get("hr").relied_on_s("duplicate_window_s", 14_400)


def test_a_file_that_cannot_be_replaced_stays(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says what to do, the lines are printed, and nothing is left beside the file."""
    before = file.read_bytes()

    def refuse(*paths: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    status, told = run("hr", "--to", "zhangsan", "--write", types="y\n2\n")

    assert (1, before) == (status, file.read_bytes())
    assert "cannot be written (Permission denied); write the lines there yourself" in told
    assert "duplicate_window_s = 0" in told
    assert [] == list(file.parent.glob("tmp*"))


def test_an_account_of_a_function_is_only_told(
    run: Run, file: Path, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also where the outbox has one of this name: the function's wins."""
    table = {"channel": "wecom_app", "corpid": "ww1", "agentid": 7, "secret": {"env": "HR_SECRET"}, "base_url": url}
    (tmp_path / "their_accounts.py").write_text(f"def accounts():\n    return {{'ops': {table!r}}}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("WORKER_ACCOUNTS_FROM", "their_accounts:accounts")
    status, told = run("ops", "--to", "zhangsan", "--write", types="y\n2\n")

    assert 1 == status
    assert "write the lines where it comes from" in told


def test_it_writes_into_the_outbox(run: Run, file: Path, url: str, tmp_path: Path) -> None:
    """By the command that changes an account there, which leaves its own row in the audit."""
    table = f'channel = "wecom_app"\ncorpid = "ww1"\nagentid = 9\nsecret = "s1"\nbase_url = "{url}"\n'
    run("add", "acme", types=table, command="accounts")
    status, told = run("acme", "--to", "zhangsan", "--write", types="y\n2\n")
    [shown] = json.loads(run("show", "acme", "--json", command="accounts")[1])

    assert 0 == status, told
    assert "written into the outbox" in told
    assert (0, False) == (shown["table"]["duplicate_window_s"], shown["table"]["callback"])
    actions = [row["action"] for row in json.loads(run("--json", command="audit")[1])]
    assert ["change account", "calibrated", "calibrate", "add account"] == actions


def test_an_account_of_variables_is_only_told(run: Run, file: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is written for it, and the sentence says so."""
    given = {"CHANNEL": "wecom_app", "CORPID": "ww1", "AGENTID": "7", "SECRET__ENV": "HR_SECRET", "BASE_URL": url}
    for key, value in given.items():
        monkeypatch.setenv(f"WORKER_ACCOUNTS__OPS__{key}", value)
    before = file.read_text(encoding="utf-8")
    status, told = run("ops", "--to", "zhangsan", "--write", types="y\n2\n")

    assert 1 == status, told
    assert "[accounts.ops]\nduplicate_window_s = 0\n" in told
    assert "write the lines where it comes from" in told
    assert before == file.read_text(encoding="utf-8")


def test_scripts_get_json_and_are_asked_nothing(run: Run) -> None:
    """With --yes nobody looks: what only eyes tell stays open, and nothing follows from it."""
    status, told = run("hr", "--to", "zhangsan", "--yes", "--json", "--as", "ops")
    found = json.loads(told[told.index("{") : told.rindex("}") + 1])

    assert (0, {"callback": False}) == (status, found["settings"])
    assert found["found"]["an equal body again"].startswith("not told by the answers")
    assert {"time that a task_id is taken", "recall window"} == {one["fact"] for one in found["later"]}


def test_a_later_run_needs_no_name_and_says_when(run: Run) -> None:
    """What is not old enough is told with its time; --to and --continue are two things."""
    run("hr", "--to", "zhangsan", "--yes")
    status, told = run("hr", "--continue", "--yes")

    assert 0 == status, told
    assert "later, by worker calibrate hr --continue" in told
    assert "after 25 min: from 20" in told
    for wrong in (("hr",), ("hr", "--continue", "--to", "zhangsan")):
        assert "say --to and a person, or --continue" in run(*wrong)[1]


def test_what_cannot_be_calibrated_is_one_sentence(run: Run) -> None:
    """An account that there is not, a person who is none, and a later run without a first."""
    assert "account 'nowhere' does not exist" in run("nowhere", "--to", "zhangsan", "--yes")[1]
    assert "--to names one person by a userid" in run("hr", "--to", "@all", "--yes")[1]
    assert "account it was not calibrated yet" in run("it", "--continue", "--yes")[1]


def test_it_speaks_chinese(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would ask, what it asks, what it found, what not and why, and what comes later."""
    monkeypatch.setenv("WORKER_LANG", "zh")
    status, told = run("hr", "--to", "zhangsan", "--write", types="y\n2\n")
    later = run("hr", "--continue", "--yes")[1]

    assert 0 == status, told
    assert re.search(r"^  再次发送相同的请求体 +又发送了一次$", told, re.MULTILINE)
    assert re.search(r"^  每日上限从几点起算 +需要用完一天的额度$", told, re.MULTILINE)
    assert re.search(r"^  可撤回的时间 +满 12 小时 可查：20\S+ 起$", later, re.MULTILINE)
    assert "[accounts.hr]\nduplicate_window_s = 0\n" in told
    assert [] == english_left(told + later)
