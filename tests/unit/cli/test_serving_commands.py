"""`worker receiver`, `metrics` and `console` where they cannot serve: one sentence, status 2, and no thread is left."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.channels.callback_samples import AES_KEY, TOKEN
from tests.support.listening import THREADS_AT_THE_END
from tests.unit.cli.conftest import Run

SETTINGS = """
database = "{database}"
[console]
listen = "{listen}"
[accounts.hr]
channel = "wecom_app"
corpid = "ww1"
agentid = 7
secret = {{ env = "T" }}
callback = {{ token = {{ env = "T" }}, aes_key = {{ env = "K" }} }}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where worker.toml has to be."""
    monkeypatch.setenv("T", TOKEN)
    monkeypatch.setenv("K", AES_KEY)
    monkeypatch.setenv("WORKER_CONFIG", str(tmp_path / "worker.toml"))
    return tmp_path / "worker.toml"


@pytest.mark.parametrize("command", ["receiver --port {port}", "metrics --listen {listen}", "console", "up --console"])
@pytest.mark.slow("starts a process of its own")
def test_a_port_in_use_is_one_sentence(config: Path, sqlite_url: str, command: str) -> None:
    """A thread that reads or counts when the process ends would end it by SIGABRT (exception not rethrown)."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        listen = f"127.0.0.1:{port}"
        config.write_text(SETTINGS.format(database=sqlite_url, listen=listen), encoding="utf-8")
        words = command.format(port=port, listen=listen).split()
        started = [sys.executable, "-c", THREADS_AT_THE_END, *words]
        done = subprocess.run(started, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert done.stdout.endswith("MainThread\n")
    place = f"--host 127.0.0.1 --port {port}" if "receiver" in command else listen
    assert f"{place}: cannot listen there; check whether the port is in use" in done.stderr


@pytest.mark.parametrize("command", ["receiver --port 0", "metrics --listen 127.0.0.1:0"])
def test_tables_that_are_not_there_stop_it(
    run: Run, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """With the command to run."""
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    config.write_text(SETTINGS.format(database=empty, listen="127.0.0.1:0"), encoding="utf-8")

    assert run(*command.split()) == 2
    assert "run `worker db upgrade`" in capsys.readouterr().err
