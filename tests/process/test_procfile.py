"""Every command of every place of deployment, as its supervisor starts it: it comes up, is healthy, and ends.

The lines of the Procfile start from nothing, by the runner that the pages name. Elsewhere arguments, environment and
folder are the place's, and the interpreter is one that has imported everything.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from rig.forkery import fork
from rig.servers.own_server import free_port, listens
from rig.stack import ACCOUNT, SECRET, Process, Stack, until
from rig.stacks import EMBEDDED, RABBITMQ, Make, on_stacks
from tests.support import deployment
from tests.support.deployment import SECRETS, Http, Start
from worker import JobState, Text, To, enqueue

LOGIN = ("admin", "a-login")
PROGRAMS = str(Path(sys.executable).parent)
MODULES = {"celery": "celery", "worker": "worker.cli"}
"""Program -> the module that it runs."""
PLACES: Mapping[str, Callable[[Stack], list[Start]]] = {
    "compose": lambda stack: deployment.compose("postgres-rabbitmq"),
    "systemd": lambda stack: deployment.systemd(),
    "kubernetes": lambda stack: deployment.kubernetes(),
}


@pytest.mark.parametrize("place", PLACES)
@on_stacks(RABBITMQ, why="the others' place in these lines is a URL; embedded has its own test")
def test_a_place_of_deployment_is_an_installation(make: Make, place: str) -> None:
    """Its processes deliver, tell Flower and Prometheus, are healthy by its own probes, and end with status 0."""
    stack = make()
    running = Installation(stack, PLACES[place](stack))

    job = _ask(stack)
    stack.until_settled()

    assert _state(stack, job) == JobState.ACCEPTED
    running.check_receiver()
    running.check_metrics()
    running.check_flower(job)
    running.check_console()
    running.check_probes()
    assert dict.fromkeys(running.started, 0) == running.end()


@on_stacks(RABBITMQ, why="how a runner starts the lines is the same on every stack")
def test_the_runner_that_the_pages_name_starts_the_procfile(make: Make) -> None:
    """`honcho start`, what one types first: every line works and goes on; the file's first line says what it needs."""
    stack = make()
    lines = deployment.procfile()
    running = Installation(stack, lines, starts_them=False)
    (worker,) = [start for start in lines if start.name == "worker"]
    options = running.options(worker)
    text = deployment.read("Procfile")
    (options["cwd"] / "Procfile").write_text(running.here(worker, text), encoding="utf-8")
    assert all(word in text.partition("\n")[0] for word in ("honcho start", "worker db upgrade", "FLOWER_BASIC_AUTH"))
    with (stack.folder / "process-honcho.log").open("wb") as log:
        honcho = [sys.executable, "-m", "honcho", "start"]
        process = subprocess.Popen(honcho, stdout=log, stderr=log, **options)
    stack.processes.append(process)
    until(running.all_listen, "receiver, metrics, Flower and console listen")
    job = _ask(stack)
    stack.until_settled()

    assert _state(stack, job) == JobState.ACCEPTED
    running.check_receiver()
    running.check_metrics()
    running.check_flower(job)
    running.check_console()
    assert process.poll() is None
    assert 0 <= stack.end(process)


@on_stacks(EMBEDDED, why="the line of the one process that delivers")
def test_the_embedded_preset_is_an_installation(make: Make) -> None:
    """`worker up` in its container delivers beside receiver and metrics, and its health check says so."""
    stack = make()
    running = Installation(stack, deployment.compose("embedded"))

    job = _ask(stack)
    stack.until_settled()

    assert _state(stack, job) == JobState.ACCEPTED
    running.check_receiver()
    running.check_metrics()
    running.check_probes()
    assert set(running.started) == {"embedded", "receiver", "metrics"}
    assert dict.fromkeys(running.started, 0) == running.end()


class Installation:
    """The processes of one place, each with its own secrets and environment and with ports of this test."""

    def __init__(self, stack: Stack, starts: list[Start], *, starts_them: bool = True):
        self._stack = stack
        self._starts = starts
        self._names = {start.name for start in starts if not start.ends}
        self._ports = {port: str(free_port()) for port in ("8090", "8091", "9464", "5555")}
        self.started: dict[str, Process] = {}
        if not starts_them:
            return
        for start in starts:
            if start.ends:
                done = subprocess.run(self._command(start), capture_output=True, check=False, **self.options(start))
                assert (done.returncode, done.stderr) == (0, b"")
        self.started = {start.name: self._start(start) for start in starts if not start.ends}
        for start in starts:
            if start.port:
                until(functools.partial(self._answers, start), f"{start.name} answers")

    def check_receiver(self) -> None:
        """An address of no account is refused by the receiver itself."""
        assert self._get("8090", "/callback/nobody").status_code == 404

    def check_metrics(self) -> None:
        """The figures tell of all workers; they are of the last reading, which may be from before the last began."""
        workers = len([name for name in self._names if name.startswith(("worker", "embedded"))])
        until(lambda: f"worker_processes {workers}.0" in self._get("9464", "/metrics").text, "metrics tell of workers")

    def check_flower(self, job: str) -> None:
        """Flower shows a job only to those who have the login, and does nothing for them."""
        if "flower" not in self._names:
            return
        until(lambda: job in self._get("5555", "/api/tasks", auth=LOGIN).json(), "the job in Flower")
        assert [self._get("5555", path).status_code for path in ("/", "/api/tasks")] == [401, 401]
        assert self._get("5555", "/", auth=(LOGIN[0], "another")).status_code == 401
        assert self._get("5555", "/", auth=LOGIN).status_code == 200
        assert self._get("5555", f"/api/task/revoke/{job}", requests.post, auth=LOGIN).status_code == 403

    def check_console(self) -> None:
        """The console is ready with no secret but the database's, and shows strangers the way in and no more."""
        if "console" not in self._names:  # Compose starts it only when it is asked to
            return
        assert [self._get("8091", path).status_code for path in ("/readyz", "/sign-in")] == [200, 200]
        assert urlsplit(self._get("8091", "/jobs").url).path == "/sign-in"

    def check_probes(self) -> None:
        """Each process is what its own probes call healthy."""
        for start in self._starts:
            for probe in dict.fromkeys(start.probes):
                until(functools.partial(self._is_healthy, start, probe), f"{start.name} is healthy by {probe}")

    def end(self) -> dict[str, int]:
        """The status of each after SIGTERM."""
        for process in self.started.values():
            os.killpg(process.pid, signal.SIGTERM)
        return {name: process.wait(120) for name, process in self.started.items()}

    def _start(self, start: Start) -> Process:
        process = self._run(start, self._command(start), self._stack.folder / f"process-{start.name}.log")
        self._stack.processes.append(process)
        return process

    def _run(self, start: Start, command: list[str], log: Path) -> Process:
        options = self.options(start)
        if module := MODULES.get(Path(command[0]).name):
            return fork([module, *command[1:]], log, **options)
        with log.open("wb") as opened:
            return subprocess.Popen(command, stdout=opened, stderr=subprocess.STDOUT, start_new_session=True, **options)

    def _command(self, start: Start, words: tuple[str, ...] = ()) -> list[str]:
        """As its place has it, with this test's ports, secrets and programs; its queues have a prefix here."""
        found = [self.here(start, word) for word in words or start.command]
        # A container is a host of its own, whose name tells its worker from the others'.
        return [*found, "-n", f"celery@{start.name}"] if start.image and found[0] == "celery" else found

    def here(self, start: Start, text: str) -> str:
        """A text of a place with this test's ports, folders and programs."""
        text = re.sub(r"\b(8090|8091|9464|5555)\b", lambda found: self._ports[found[1]], text)
        return text.replace(SECRETS, str(self._folder(start))).replace(deployment.PROGRAMS, f"{PROGRAMS}/")

    def options(self, start: Start) -> dict[str, Any]:
        """The folder and the environment of a process, made when it is first asked for."""
        folder = self._folder(start)
        if not folder.is_dir():
            folder.mkdir()
            contents = _contents(self._stack, whole=not start.environment)
            for name in start.secrets:
                (folder / name).write_text(contents[name], encoding="utf-8")
            (folder / "worker.toml").write_text(self.here(start, self._settings(start)), encoding="utf-8")
        return {"cwd": folder, "env": self._environment(start, folder)}

    def _folder(self, start: Start) -> Path:
        return self._stack.folder / f"of-{start.name}"

    def _settings(self, start: Start) -> str:
        """The place's own settings; the vendor is the fake one."""
        is_manifest = "topologySpreadConstraints" in start.options or "containers" in start.options
        text = deployment.manifest_settings() if is_manifest else deployment.read("docker/worker.toml")
        if not start.image:  # a unit's secrets are in no place that the settings could name
            text = text.replace(SECRETS, "/of-no-unit")
        return f'{text}base_url = "{self._stack.vendor.url}"\n'

    def _environment(self, start: Start, folder: Path) -> dict[str, str]:
        """What the place gives it, and what a machine has: nothing of this test's own environment."""
        given = {name: self.here(start, value) for name, value in start.environment.items()}
        for name, url in (("WORKER_DATABASE", self._stack.database_url), ("WORKER_BROKER", self._stack.broker)):
            if name in given:
                given[name] = _without_password(url)
                if not _is_asked(url):
                    given[f"{name}__PASSWORD__FILE"] = ""
        if not start.environment:  # of the Procfile: what its supervisor would set
            given = {"WORKER_DATABASE__FILE": str(folder / "database"), "WORKER_BROKER__FILE": str(folder / "broker")}
            given["FLOWER_BASIC_AUTH"] = ":".join(LOGIN)
        if given.get("WORKER_CONFIG", "-"):
            given["WORKER_CONFIG"] = str(folder / "worker.toml")
        return {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", **given, "WORKER_QUEUE_PREFIX": self._stack.prefix}

    def _answers(self, start: Start) -> bool:
        process = self.started[start.name]
        assert process.poll() is None, self._stack.logs()[-3000:]
        return listens(int(self._ports[str(start.port)]))

    def _is_healthy(self, start: Start, probe: tuple[str, ...] | Http) -> bool:
        if isinstance(probe, Http):
            return bool(self._get(probe.port, probe.path).status_code == 200)
        return self._run(start, self._command(start, probe), self._stack.folder / "probe.log").wait(120) == 0

    def all_listen(self) -> bool:
        """Whether somebody listens on each of our ports."""
        return all(listens(int(port)) for port in self._ports.values())

    def _get(self, port: str, path: str, ask: Callable[..., requests.Response] = requests.get, **options: Any) -> Any:
        return ask(f"http://127.0.0.1:{self._ports[port]}{path}", timeout=30, **options)


def _contents(stack: Stack, *, whole: bool) -> dict[str, str]:
    """The files of all secrets; `whole`: of database and broker the whole URL."""
    return {
        "hr": SECRET,
        "hr_callback_token": "token",
        "hr_callback_aes_key": "k" * 43,
        "database": stack.database_url if whole else urlsplit(stack.database_url).password or "any",
        "broker": stack.broker if whole else urlsplit(stack.broker).password or "any",
        "flower": ":".join(LOGIN),
        "console_ada": "any",
    }


def _is_asked(url: str) -> bool:
    """Whether a server takes the password in a file: Redis without one refuses any."""
    return not url.startswith(("redis", "sqlite", "embedded"))


def _without_password(url: str) -> str:
    return re.sub(r"(?<=://)([^:@/]*):[^@/]*@", r"\1@", url)


def _ask(stack: Stack) -> str:
    with stack.database.writing() as connection:
        return enqueue(connection, ACCOUNT, Text(content="hello"), To(users=["anna"]), accounts=stack.accounts).id


def _state(stack: Stack, job: str) -> JobState:
    return JobState(stack.number("select state from worker_jobs order by id desc limit 1"))
