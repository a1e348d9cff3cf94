"""Real processes for tests: workers, the fake vendor, a database and a broker of their own; all gone at the end.

Tests wait for conditions with generous limits; nothing here waits for a fixed time.
"""

from __future__ import annotations

import json
import os
import pkgutil
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import text

from rig import brokers
from rig.forkery import Forked, fork
from worker.accounts.sources import accounts_of
from worker.config.accounts import AccountSource
from worker.config.settings import Settings, load_settings
from worker.config.surroundings import surprises
from worker.outbox.engine.database import Database, make_engine

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 300.0
"""Seconds for a condition, ten times what it takes where other test runs share the processors."""
ACCOUNT = "hr"
SECRET = "canary-secret-5a1b"
SHORT: Mapping[str, float] = {
    "lease_s": 10 / 3,
    "heartbeat_s": 1.0,
    "call_deadline_s": 20 / 3,
    "republish_after_s": 5 / 3,
    "cold_after_s": 0,
}
"""Lease and deadlines three times shorter than in production; and every lane has its whole share at once, for tests
that fill threads and brokers with slow calls.
"""


Process = subprocess.Popen[bytes] | Forked


def until(
    condition: Callable[[], Any],
    what: str,
    limit_s: float = LIMIT_S,
    progress: Callable[[], Any] = lambda: None,
    told: Callable[[], str] = str,
) -> Any:
    """The condition's first true value; fails after a generous limit, which begins anew as `progress` changes.

    Its failure ends with what is `told`.
    """
    seen, deadline, pause = progress(), time.monotonic() + limit_s, 0.01
    while not (found := condition()):
        if seen != (seen := progress()):
            deadline = time.monotonic() + limit_s
        assert time.monotonic() < deadline, f"did not happen within {limit_s:.0f} s: {what}\n{told()}"
        time.sleep(pause)
        pause = min(0.1, pause * 1.5)  # a dozen tests that look all the time would leave the workers no processor
    return found


def peak_kib(pid: int | str = "self") -> int:
    """The most memory a process has held since its program began, in KiB.

    Not `ru_maxrss`: that also counts what the process which started it had held before.
    """
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


class Vendor:
    """The fake WeCom as a process, and its control; `bare` only counts, and answers after `latency_ms`."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any] | None = None,
        *,
        bare: bool = False,
        latency_ms: int = 0,
        certificate: Path | None = None,
        authority: Path | None = None,
    ):
        command = ["worker_simulator", "--settings", json.dumps(settings or {})]
        command += ["--certfile", str(certificate)] if certificate else []
        command += ["--bare", "--latency-ms", str(latency_ms)] if bare else []
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"vendor-{secrets.token_hex(4)}.log"
        log.touch()
        self.process = fork(command, log, os.environ)
        self.url = str(until(lambda: _first_line(log), "the fake vendor listens")).split()[-1]
        self._session = requests.Session()
        self._session.trust_env = False
        if authority:
            self._session.verify = str(authority)

    def get(self, name: str, **query: Any) -> Any:
        """What it knows."""
        reply = self._session.get(f"{self.url}/_control/{name}", params=query, timeout=30)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def post(self, name: str, body: Any) -> Any:
        """Changes it."""
        reply = self._session.post(f"{self.url}/_control/{name}", json=body, timeout=30)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def faults(self, *rules: Mapping[str, Any]) -> None:
        """Adds fault rules."""
        self.post("faults", list(rules))

    def heal(self) -> None:
        """Takes all fault rules away."""
        reply = self._session.delete(f"{self.url}/_control/faults", timeout=30)
        assert reply.status_code == 200, reply.text

    def calls(self, path: str | None = None) -> list[dict[str, Any]]:
        """Its log, without gettoken unless asked for."""
        found: list[dict[str, Any]] = self.get("calls", **({"path": path} if path else {}))["calls"]
        return [call for call in found if path or call["path"] != "/cgi-bin/gettoken"]

    def sends(self) -> int:
        """How many sends have begun to arrive."""
        return int(self.get("counts")["counts"].get("/cgi-bin/message/send", 0))

    def inbox(self) -> dict[str, list[dict[str, Any]]]:
        """What everybody sees."""
        people: dict[str, list[dict[str, Any]]] = self.get("inbox")["people"]
        return people

    def close(self) -> None:
        """Ends it."""
        self._session.close()
        self.process.kill()
        self.process.wait()


@dataclass
class Stack:
    """One installation: settings file, database, broker prefix, processes."""

    folder: Path
    database_url: str
    broker: str
    vendor: Vendor
    delivery: Mapping[str, Any] = field(default_factory=lambda: dict(SHORT))
    account: str = ""
    """More lines of the settings, after the account's table."""
    top: str = ""
    """More lines of the settings, before all tables."""
    callback: str = "true"
    """The account's `callback`."""
    env: Mapping[str, str] = field(default_factory=dict)
    """What every process finds in its environment."""
    constants: Mapping[str, float] = field(default_factory=dict)
    """Constants of the program by their full names, and what they are in forked processes: a test need not wait for
    the minute that a person would not notice.
    """
    base_url: str = ""
    """The workers' way to the vendor, when it is not the tests'."""
    worker_database: str = ""
    """The workers' way to the database, when it is not the tests'."""
    worker_broker: str = ""
    """The workers' way to the broker, when it is not the tests'."""
    queue_type: str = "classic"
    fresh: bool = True
    """Processes start from nothing; else those from now on are forked from one that has imported everything."""
    prefix: str = field(default_factory=lambda: f"t{secrets.token_hex(4)}.")
    processes: list[Process] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Brokers it used before."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in self.constants:
            pkgutil.resolve_name(name)  # fails here, not in a process that nobody watches
        (self.folder / "secret").write_text(SECRET, encoding="utf-8")
        self.config.write_text(self._toml(), encoding="utf-8")
        self.database = Database(make_engine(self.database_url))

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.folder / "worker.toml"

    @property
    def settings(self) -> Settings:
        """The settings as a process reads them."""
        return load_settings(self.config)

    @cached_property
    def accounts(self) -> AccountSource:
        """The accounts as a producer has them: no test changes them while it runs."""
        return accounts_of(self.settings)

    # -- processes ----------------------------------------------------------------------------------------------------

    def worker(
        self,
        *,
        threads: int = 8,
        loglevel: str = "INFO",
        options: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
    ) -> Any:
        """A plain worker: Celery's own command, or `worker up` when embedded."""
        if self.broker == "embedded":
            return self.process("worker.cli", "up", "--threads", str(threads), "--loglevel", loglevel)
        name = f"w{len(self.processes)}-{secrets.token_hex(2)}@test"
        base = ("-A", "worker.service.celery_app", "worker", "-P", "threads", "-c", str(threads), "-n", name)
        # Celery would wait a second for what other workers say of themselves.
        alone = () if self.fresh else ("--without-mingle", "--without-gossip")
        return self.process("celery", *base, "--loglevel", loglevel, *alone, *options, env=env)

    def process(self, *command: str, env: Mapping[str, str] | None = None) -> Process:
        """`python -m COMMAND` with this installation's settings; its output goes to a log file in the folder."""
        log = self.folder / f"process-{len(self.processes)}.log"
        given = {**_environment(), "WORKER_CONFIG": str(self.config), **self.env, **(env or {})}
        if self.fresh:
            started: Process = _popen(command, log, given)
        else:
            started = fork(command, log, given, constants=self.constants)
        self.processes.append(started)
        return started

    def logs(self) -> str:
        """Everything the processes wrote."""
        return "\n".join(
            path.read_text(encoding="utf-8", errors="replace") for path in sorted(self.folder.glob("process-*.log"))
        )

    def lines(self) -> list[dict[str, Any]]:
        """What the processes logged, line by line; Celery's banner is none."""
        return [json.loads(line) for line in self.logs().splitlines() if line.startswith("{")]

    def until_logged(self, words: str) -> None:
        """Waits until some process has written these words."""
        until(lambda: words in self.logs(), f"a process writes {words!r}")

    def end(self, process: Process, limit_s: float = LIMIT_S) -> int:
        """SIGTERM, and the exit status."""
        process.send_signal(signal.SIGTERM)
        return process.wait(limit_s)

    def swap_broker(self, broker: str) -> None:
        """Other settings for processes that start from now on; what lies in the old broker stays there."""
        self.left.append(self.broker)
        self.broker = broker
        self.config.write_text(self._toml(), encoding="utf-8")

    def close(self) -> None:
        """Kills what is left and takes the queues away."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.database.close()
        for broker in {self.broker, *self.left}:
            brokers.forget(broker, self.prefix)

    # -- outbox -------------------------------------------------------------------------------------------------------

    def rows(self, query: str, **values: Any) -> list[Any]:
        """A read of the outbox."""
        with self.database.reading() as connection:
            return list(connection.execute(text(query), values).all())

    def number(self, query: str, **values: Any) -> int:
        """A read of one number."""
        return int(self.rows(query, **values)[0][0])

    def open_jobs(self) -> int:
        """Jobs that have not ended."""
        return self.number("select count(*) from worker_jobs where n_open > 0")

    def unsettled(self) -> int:
        """Parts that are open, and unknown ones whose policy has yet to act."""
        return self.number(
            "select count(*) from worker_parts where state in (0, 1) or (state = 6 and not_before is not null)"
        )

    def until_settled(self) -> None:
        """Waits until nothing is left to do, as long as parts settle."""
        until(lambda: not self.unsettled(), "everything settled", progress=self.unsettled, told=self.told)

    def told(self) -> str:
        """Where the parts are, and the end of the logs."""
        return f"{self.state()}\n{self.logs()[-3000:]}"

    def state(self) -> str:
        """Parts by state and reason, and what stands on lanes, for a failing test's message."""
        parts = self.rows("select state, reason, count(*) from worker_parts group by 1, 2")
        lanes = self.rows("select account, lane = account, parked, reason, blocked_until from worker_lanes")
        return f"{parts}\n{lanes}"

    def _toml(self) -> str:
        delivery = "\n".join(f"{name} = {value}" for name, value in self.delivery.items())
        return (
            f'database = "{self.worker_database or self.database_url}"\n'
            f'broker = "{self.worker_broker or self.broker}"\nqueue_prefix = "{self.prefix}"\n'
            f'queue_type = "{self.queue_type}"\n{self.top}\n'
            f"[delivery]\n{delivery}\n[accounts.{ACCOUNT}]\n"
            f"deadline_s = {self.delivery.get('call_deadline_s', 20)}\n"
            'channel = "wecom_app"\ncorpid = "ww-canary-corp"\nagentid = 7\n'
            f"callback = {self.callback}\n"
            f'secret = {{ file = "{self.folder}/secret" }}\nbase_url = "{self.base_url or self.vendor.url}"\n'
        ) + self.account.replace("FOLDER", str(self.folder)).replace("PORT", self.vendor.url.rpartition(":")[2])


def _environment() -> dict[str, str]:
    """This process's own environment, without what a worker obeys or warns about."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WORKER_") and not any(surprises({name: value}))
    }


def _first_line(log: Path) -> str:
    line, end, _ = log.read_text(encoding="utf-8").partition("\n")
    return line if end else ""


def _popen(command: Sequence[str], log: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as opened:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", *command],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=opened,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
