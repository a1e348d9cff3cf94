"""`worker receiver` at its start and end, and `worker hooks`: what is wrong is one sentence with a status."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from rig.stack import until
from tests.channels.callback_samples import AES_KEY, TOKEN
from worker.cli import main
from worker.domain.callbacks.hook import EventKind, EventState
from worker.domain.errors import ConfigurationError
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs.events import event_row

Run = Callable[..., int]
CALLBACK = 'callback = { token = { env = "T" }, aes_key = { env = "K" } }'


@pytest.fixture
def configure(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A worker.toml with these lines in its account's table."""
    monkeypatch.setenv("T", TOKEN)
    monkeypatch.setenv("K", AES_KEY)

    def configure(lines: str = CALLBACK, database: str = sqlite_url) -> Path:
        config = tmp_path / "worker.toml"
        account = '[accounts.hr]\nchannel = "wecom_app"\ncorpid = "ww1"\nagentid = 7\n'
        config.write_text(f'database = "{database}"\n{account}{lines}\n', encoding="utf-8")
        monkeypatch.setenv("WORKER_CONFIG", str(config))
        return config

    configure()
    return configure


@pytest.fixture
def run(configure: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`worker ARGUMENTS` in this process; returns the exit status."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["worker", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


@pytest.mark.parametrize(
    ("lines", "key", "sentence"), [("callback = true", AES_KEY, "no account has a callback address; add callback = ")]
)
def test_wrong_settings_stop_the_receiver_before_it_listens(
    run: Run,
    configure: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lines: str,
    key: str,
    sentence: str,
) -> None:
    """One sentence, status 2, and no secret in it."""
    configure(lines)
    monkeypatch.setenv("K", key)

    status = run("receiver", "--port", "0")

    told = capsys.readouterr()
    assert status == 2
    assert told.err.startswith(f"worker: {sentence}")
    assert len(told.err.splitlines()) == 1
    assert told.out == ""


@pytest.mark.parametrize(
    ("ends", "left"),
    [("cleanly", "given back"), ("killed", "lapses"), ("cannot listen", "none")],
)
def test_a_receiver_is_known_while_it_listens(
    run: Run, monkeypatch: pytest.MonkeyPatch, sqlite_url: str, ends: str, left: str
) -> None:
    """By a lease that only a clean stop gives back: one that cannot listen says nothing of the receiver before it."""
    database = Database(make_engine(sqlite_url))

    def rows() -> list[int]:
        with database.reading() as connection:
            return [held for _, held in fetch(connection, "select holder, held_until from worker_leases")]

    def serve(app: Any, host: str, port: int, name: str, setting: str, ready: Callable[[str], object]) -> int:
        if ends == "cannot listen":
            raise ConfigurationError("cannot listen there")
        ready("http://127.0.0.1:8090")
        until(rows, "its first heartbeat")
        if ends == "killed":
            raise KeyboardInterrupt  # whatever ends it but a signal that it waits for
        return 0

    monkeypatch.setattr("worker.service.web.receiver.serve", serve)

    with suppress(KeyboardInterrupt):
        run("receiver", "--port", "0")

    expected = {"given back": [0], "none": []}
    assert rows() == expected[left] if left in expected else rows() > [0]
    database.close()


@pytest.mark.slow("starts a process of its own")
def test_the_receiver_listens_and_ends_with_0(configure: Callable[..., Path]) -> None:
    """It says where; a stranger learns nothing there, not even what serves; SIGTERM is a clean end."""
    command = [sys.executable, "-m", "worker.cli", "receiver", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        with requests.Session() as session:
            session.trust_env = False
            replies = [
                session.get(f"{url}/callback/hr?echostr=x", timeout=30),
                session.post(f"{url}/callback/nobody?secret=canary", data=b"canary", timeout=30),
            ]
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)

    assert [reply.status_code for reply in replies] == [400, 404]
    assert process.returncode == 0
    assert not any("server" in reply.headers for reply in replies)
    assert "canary" not in errors
    assert errors.count("callback_refused") == 2


# -- events -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def parked(run: Run, sqlite_url: str) -> str:
    """A parked event; beside it one that is done."""
    ids = ["a" * 32, "b" * 32]
    database = Database(make_engine(sqlite_url))
    with database.writing() as connection:
        for id, state in zip(ids, (EventState.PARKED, EventState.DONE), strict=True):
            row = event_row(id, EventKind.CARD_ACTION, 1, state=state, job_id="j" * 32)
            insert_rows(connection, tables.events, [row | {"error": "ValueError > hooks.py:3 decided", "tries": 10}])
    database.close()
    return ids[0]


def test_parked_events_are_listed_with_their_places(run: Run, parked: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For people, and as JSON."""
    assert run("hooks", "--state", "parked") == 0
    header, line = capsys.readouterr().out.splitlines()
    assert run("hooks", "--json") == 0
    everything: list[dict[str, Any]] = json.loads(capsys.readouterr().out)

    assert header.split() == ["EVENT", "AT", "KIND", "STATE", "ABOUT", "ERROR"]
    words = (parked, "card action", "parked", "j" * 32, "ValueError > hooks.py:3 decided")
    assert [word for word in words if word not in line] == []
    assert [one["state"] for one in everything] == ["done", "parked"]


def test_no_events_and_a_wrong_state_are_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A list that is empty, and the words there are."""
    assert run("hooks") == 0
    assert capsys.readouterr().out == "no events\n"
    assert run("hooks", "--state", "asleep") == 2
    assert "use one of waiting, running, done, parked, ignored" in capsys.readouterr().err


def test_a_parked_event_is_given_another_try(
    run: Run, parked: str, sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It waits again with its tries at zero; any other state, or none at all, is refused with the reason."""
    assert run("hooks", "--retry", parked) == 0
    assert f"event {parked} waits for a worker\n" == capsys.readouterr().out
    database = Database(make_engine(sqlite_url))
    with database.reading() as connection:
        row = connection.exec_driver_sql(f"select state, tries from worker_events where id = '{parked}'").one()
    database.close()
    statuses = [run("hooks", "--retry", one) for one in (parked, "b" * 32, "c" * 32)]
    errors = capsys.readouterr().err

    assert tuple(row) == (0, 0)
    assert statuses == [1, 1, 1]
    assert all(words in errors for words in ("is waiting;", "is done;", "no event 'ccc"))
