"""The demo's stage: a temporary folder, the fake WeCom and the embedded worker, each a process; all gone at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import Engine

from worker.config.accounts import FixedAccounts, accounts_of
from worker.config.settings import load_settings
from worker.outbox import migrate
from worker.outbox.database import sqlite_engine

SETTINGS = """\
database = "sqlite:///{folder}/demo.db"
broker = "embedded"

[accounts.demo]
channel = "wecom_app"
corpid = "ww-demo"
agentid = 1000002
callback = true
secret = {{ file = "{folder}/secret" }}
base_url = "{vendor}"
"""
VENDOR = '{"latency_s": 0.1}'
END_S = 15.0


class StageFailed(Exception):
    """A process of the demo did not come up, or ended too early."""


@dataclass(frozen=True)
class Stage:
    """Everything the demo runs on."""

    folder: Path
    vendor: str
    engine: Engine
    accounts: FixedAccounts
    worker: subprocess.Popen[str]

    @classmethod
    @contextmanager
    def built(cls) -> Iterator[Stage]:
        """Builds the stage in a temporary folder and takes it down again, whatever happens on it."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="worker-demo-")))
            vendor = _address(stack.enter_context(_process(folder, "simulator", "--settings", VENDOR)))
            (folder / "secret").write_text("demo-secret", encoding="utf-8")
            settings_file = folder / "worker.toml"
            settings_file.write_text(SETTINGS.format(folder=folder, vendor=vendor), encoding="utf-8")
            settings = load_settings(settings_file)
            engine = sqlite_engine(settings.database)
            stack.callback(engine.dispose)
            migrate.upgrade(engine)
            worker = stack.enter_context(_process(folder, "up", "--threads", "8"))
            yield cls(folder, vendor, engine, accounts_of(settings), worker)

    def require_alive(self) -> None:
        """Raises StageFailed, with the end of its log, when the worker has ended."""
        if self.worker.poll() is not None:
            log = (self.folder / "up.log").read_text(encoding="utf-8", errors="replace")
            raise StageFailed(f"the worker ended with status {self.worker.returncode}; its log ends:\n{log[-2000:]}")

    def control(self, name: str) -> Any:
        """What the fake WeCom knows: `inbox`, `calls`, `violations`."""
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"{self.vendor}/_control/{name}", timeout=10).json()


@contextmanager
def _process(folder: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """`worker COMMAND` as a process of its own, its log in the folder; ended in any case."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
    env["WORKER_CONFIG"] = str(folder / "worker.toml")
    with (folder / f"{command[0]}.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.cli", *command],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if command[0] == "simulator" else log,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _address(simulator: subprocess.Popen[str]) -> str:
    """The simulator's first line ends with its address."""
    line = simulator.stdout.readline() if simulator.stdout else ""
    if " on http" not in line:
        raise StageFailed("the fake WeCom did not start")
    return line.split()[-1]


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
