"""The processes of the demo: a fake WeCom, a worker and a receiver, in a temporary folder.

All are removed at the end.
"""

from __future__ import annotations

import base64
import os
import secrets
import string
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import Connection, Engine

from worker.accounts.sources import accounts_of
from worker.config.accounts import AccountSource
from worker.config.settings import load_settings
from worker.outbox.engine import migrate
from worker.outbox.engine.database import sqlite_engine
from worker.reporting.report import JobReport, get_job

SETTINGS = """\
database = "sqlite:///{folder}/demo.db"
broker = "embedded"
hooks = "worker_simulator.demo.application"

[accounts.demo]
channel = "wecom_app"
corpid = "ww-demo"
agentid = 1000002
callback = {{ token = {{ file = "{folder}/token" }}, aes_key = {{ file = "{folder}/aes_key" }} }}
secret = {{ file = "{folder}/secret" }}
base_url = "{vendor}"
"""
VENDOR = '{"latency_s": 0.1}'
END_S = 15.0


class StageFailed(Exception):
    """A process of the demo did not start, or ended too early."""


@dataclass(frozen=True)
class DemoStage:
    """The folder, database, accounts and processes of the demo."""

    folder: Path
    vendor: str
    engine: Engine
    accounts: AccountSource
    processes: dict[str, subprocess.Popen[str]]
    """Command -> process. Each must run until the end."""

    @classmethod
    @contextmanager
    def built(cls, settings_text: str, *, receiver: bool) -> Iterator[DemoStage]:
        """Starts the processes in a temporary folder, and removes everything at the end, even after an error."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="worker-demo-")))
            vendor = _address(
                folder, "simulator", stack.enter_context(_process(folder, "simulator", "--settings", VENDOR))
            )
            credentials = _credentials(folder)
            settings_file = folder / "worker.toml"
            settings_file.write_text(settings_text.format(folder=folder, vendor=vendor), encoding="utf-8")
            with _own_settings_hidden(folder):
                settings = load_settings(settings_file)
            engine = sqlite_engine(settings.database_url())
            stack.callback(engine.dispose)
            migrate.upgrade(engine)
            commands = [("up", "--threads", "8"), *([("receiver", "--port", "0")] if receiver else [])]
            processes = {command[0]: stack.enter_context(_process(folder, *command)) for command in commands}
            stage = cls(folder, vendor, engine, accounts_of(settings), processes)
            if receiver:
                stage._register(_address(folder, "receiver", processes["receiver"]), credentials)
            yield stage

    def require_alive(self) -> None:
        """Raises StageFailed with the end of the log if the worker or the receiver has ended."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                log = _end_of_log(self.folder, name)
                raise StageFailed(f"`worker {name}` ended with status {process.returncode}; its log ends:\n{log}")

    def control(self, name: str, body: Any = None) -> Any:
        """Reads from the control API of the fake WeCom (such as `inbox`), or posts a body to it."""
        with requests.Session() as session:
            session.trust_env = False
            reply = session.request("POST" if body else "GET", f"{self.vendor}/_control/{name}", json=body, timeout=10)
        if reply.status_code != 200:
            raise StageFailed(f"the fake WeCom refused /_control/{name}: {reply.text}")
        return reply.json()

    def press(self, person: str, key: str, job_id: str) -> None:
        """Presses a button of the card that a job of one part sent."""
        self.control("press", {"person": person, "key": key, "task_id": f"w{job_id}-0"})

    def _register(self, receiver: str, credentials: dict[str, str]) -> None:
        """Sets the app's callback URL and credentials, as an administrator does on WeCom's pages."""
        app = {"corpid": "ww-demo", "agentid": 1000002, "secret": credentials["secret"]}
        address = {
            "callback_url": f"{receiver}/callback/demo",
            "callback_token": credentials["token"],
            "callback_aes_key": credentials["aes_key"],
        }
        self.control("settings", {"apps": [app | address]})


def reading(engine: Engine) -> Connection:
    """Returns a connection in autocommit mode, so that no read waits for a writer."""
    return engine.execution_options(isolation_level="AUTOCOMMIT").connect()


def reports(engine: Engine, jobs: Mapping[str, str]) -> dict[str, JobReport]:
    """Returns the reports of jobs by their names in the demo."""
    with reading(engine) as connection:
        return {name: get_job(connection, job_id) for name, job_id in jobs.items()}


@contextmanager
def _process(folder: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """Runs `worker COMMAND` as a process with its log in the folder. It is ended in any case."""
    with (folder / f"{command[0]}.log").open("w", encoding="utf-8") as log, _own_settings_hidden(folder):
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.cli", *command],
            env={**os.environ, "WORKER_CONFIG": str(folder / "worker.toml")},
            stdin=subprocess.DEVNULL,
            stdout=log if command[0] == "up" else subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


@contextmanager
def _own_settings_hidden(folder: Path) -> Iterator[None]:
    """Hides the settings of the person's own installation: variables, and the `.env` of the current folder."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("WORKER_")}
    try:
        with chdir(folder):
            yield
    finally:
        os.environ.update(hidden)


def _credentials(folder: Path) -> dict[str, str]:
    """Writes random secrets for this run, each to a file that the settings name."""
    letters = string.ascii_letters + string.digits
    values = {name: "".join(secrets.choice(letters) for _ in range(43)) for name in ("secret", "aes_key")}
    values["token"] = secrets.token_hex(16)
    values["youdu_key"] = base64.b64encode(secrets.token_bytes(32)).decode()
    for name, value in values.items():
        (folder / name).write_text(value, encoding="utf-8")
    return values


def _address(folder: Path, name: str, process: subprocess.Popen[str]) -> str:
    """Returns the URL at the end of the first line that the simulator or the receiver prints."""
    line = process.stdout.readline() if process.stdout else ""
    if " on http" not in line:
        raise StageFailed(f"`worker {name}` did not start; its log ends:\n{_end_of_log(folder, name)}")
    return line.split()[-1]


def _end_of_log(folder: Path, name: str) -> str:
    return (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-2000:]


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
