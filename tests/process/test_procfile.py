"""Every line of the Procfile, as a supervisor starts it: it comes up, answers, and ends."""

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

import requests
import yaml

from rig.servers.own_server import free_port, listens
from rig.stack import ACCOUNT, ROOT, SECRET, Stack, until
from rig.stacks import REDIS, Make, on_every_stack
from worker import Text, To, enqueue

LOGIN = ("admin", "a-login")


@on_every_stack(REDIS, why="the lines say nothing of a database or a broker")
def test_every_line_of_the_procfile_serves(make: Make) -> None:
    """With the image's settings and its container's secrets alone, each does its work and ends with status 0."""
    stack = make()
    ports = {name: free_port() for name in ("receiver", "metrics", "flower")}
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text(encoding="utf-8").splitlines())

    started = {name: _start(stack, name, line, ports) for name, line in lines.items()}
    for name, port in ports.items():
        until(functools.partial(_answers, stack, started[name], port), f"{name} answers")
    job = _ask(stack)
    stack.until_settled()
    until(lambda: job in _asked(ports["flower"], "/api/tasks", auth=LOGIN).json(), "the job in Flower")

    assert 404 == _asked(ports["receiver"], "/callback/nobody").status_code
    # They are of the last reading, which may be from before the worker began.
    until(lambda: "worker_processes 1.0" in _asked(ports["metrics"], "/metrics").text, "the metrics tell of the worker")
    assert [401, 401] == [_asked(ports["flower"], path).status_code for path in ("/", "/api/tasks")]
    assert 403 == _asked(ports["flower"], f"/api/task/revoke/{job}", requests.post, auth=LOGIN).status_code
    assert dict.fromkeys(lines, 0) == {name: _end(process) for name, process in started.items()}


def _start(stack: Stack, name: str, line: str, ports: Mapping[str, int]) -> subprocess.Popen[bytes]:
    """In a process group of its own, with its container's secrets in a folder of its own."""
    secrets = stack.folder / name
    secrets.mkdir()
    contents = {
        "hr": SECRET,
        "hr_callback_token": "token",
        "hr_callback_aes_key": "k" * 43,
        "database": stack.database_url,
        "broker": stack.broker,
    }
    for secret in _services()[name]["secrets"]:
        (secrets / secret).write_text(contents.get(secret, ""), encoding="utf-8")
    settings = (ROOT / "docker" / "worker.toml").read_text(encoding="utf-8").replace("/run/secrets", str(secrets))
    (secrets / "worker.toml").write_text(f'{settings}base_url = "{stack.vendor.url}"\n', encoding="utf-8")
    line = re.sub(r"\bworker\.(?=urgent|hooks|normal|files|bulk)", f"{stack.prefix}worker.", line)
    line = re.sub(r"\b(8090|9464|5555)\b", str(ports.get(name)), line)
    with (stack.folder / f"process-{name}.log").open("wb") as log:
        started = subprocess.Popen(
            ["sh", "-c", f"exec {line}"],
            cwd=ROOT,
            env=_environment(stack, secrets),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    stack.processes.append(started)
    return started


def _environment(stack: Stack, secrets: Path) -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "WORKER_CONFIG": str(secrets / "worker.toml"),
        "WORKER_DATABASE__FILE": str(secrets / "database"),
        "WORKER_BROKER__FILE": str(secrets / "broker"),
        "WORKER_QUEUE_PREFIX": stack.prefix,
        "FLOWER_BASIC_AUTH": ":".join(LOGIN),
    }


def _services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return found


def _ask(stack: Stack) -> str:
    with stack.database.writing() as connection:
        return enqueue(connection, ACCOUNT, Text(content="hello"), To(users=["anna"]), accounts=stack.accounts).id


def _answers(stack: Stack, process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None, stack.logs()[-3000:]
    return listens(port)


def _asked(port: int, path: str, ask: Callable[..., requests.Response] = requests.get, **options: Any) -> Any:
    return ask(f"http://127.0.0.1:{port}{path}", timeout=30, **options)


def _end(process: subprocess.Popen[bytes]) -> int:
    os.killpg(process.pid, signal.SIGTERM)
    return process.wait(120)
