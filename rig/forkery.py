"""Worker processes without the second that importing costs: forked from a process that has imported everything.

`python -m rig.forkery SOCKET` serves until its input ends; it has one thread and never runs what it imported.
What is forked has its own session, files and environment, and runs `python -m MODULE` as if from the start. What has
another PYTHONPATH, such as that of another release, is forked from another one that has imported what is there.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EVERYTHING = (
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.events",
    "celery.app.log",
    "celery.apps.worker",
    "celery.backends.base",
    "celery.bin.celery",
    "celery.concurrency.thread",
    "celery.fixups.django",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer.delayed_delivery",
    "celery.worker.loops",
    "celery.worker.pidbox",
    "celery.worker.strategy",
    "kombu.transport.memory",
    "kombu.transport.pyamqp",
    "kombu.transport.redis",
    "psycopg",
    "pymysql",
    "sqlalchemy.dialects.mysql.pymysql",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "sqlite3",
    "uvicorn.lifespan.off",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "worker.channels.wecom_app.channel",
    "worker.cli.commands",
    "worker.cli.running",
    "worker.service.celery_app",
    "worker.service.lifecycle",
    "worker.service.hook_service",
    "worker.service.web.receiver",
    "worker_simulator.server",
)
"""What workers, receivers and the fake vendor import, sooner or later."""
WHERE = ("PYTHONPATH", "PYTHONSAFEPATH")
"""Variables that say where packages are."""
_starting = threading.Lock()
_sockets: dict[tuple[str, ...], str] = {}
"""By the values of these."""


class Forked:
    """A forked process, in the manner of Popen."""

    def __init__(self, pid: int, command: Sequence[str], where: tuple[str, ...]):
        self.pid, self.args, self._where = pid, list(command), where
        self.returncode: int | None = None
        self._looking = threading.Lock()

    def poll(self) -> int | None:
        """Its exit status, if it has ended; -9 for SIGKILL."""
        with self._looking:  # who looked second would find nothing left to reap
            if self.returncode is None:
                self.returncode = _ask({"poll": self.pid}, self._where)["status"]
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended."""
        until = time.monotonic() + (timeout if timeout is not None else 3_600)
        while (status := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            time.sleep(0.05)
        return status

    def send_signal(self, number: int) -> None:
        """To a process that has not been seen to end."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def fork(
    command: Sequence[str],
    log: Path,
    env: Mapping[str, str],
    cwd: Path = ROOT,
    constants: Mapping[str, float] = MappingProxyType({}),
) -> Forked:
    """`python -m COMMAND` in this folder with this environment; its output goes to the log.

    `constants`, such as `worker.service.notify.notifier.EVERY_S`: values that it has in that process alone.
    """
    question = {"command": list(command), "log": str(log), "env": dict(env), "cwd": str(cwd)}
    question["constants"] = dict(constants)
    where = tuple(env.get(name, "") for name in WHERE)
    return Forked(_ask(question, where)["pid"], command, where)


def _ask(question: dict[str, Any], where: tuple[str, ...]) -> dict[str, Any]:
    with _starting:
        if where not in _sockets:
            _sockets[where] = _start(where)
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(_sockets[where])
        line.sendall(json.dumps(question).encode() + b"\n")
        answer: dict[str, Any] = json.loads(line.makefile().readline())
    return answer


def _start(where: tuple[str, ...]) -> str:
    """Starts a server, which ends with this process."""
    place = tempfile.mkdtemp(prefix="worker-forkery-") + "/socket"
    command = [sys.executable, "-W", "ignore", "-m", __name__, place]
    env = {**os.environ, **{name: value for name, value in zip(WHERE, where, strict=True) if value}}
    server = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin
    assert server.stdout
    assert server.stdout.readline(), "the forkery did not start"
    atexit.register(shutil.rmtree, Path(place).parent, ignore_errors=True)
    atexit.register(server.wait)
    atexit.register(server.stdin.close)
    return place


def serve(place: str) -> None:
    """Forks and reaps until the input ends."""
    _import_everything()
    gc.collect()
    gc.freeze()  # else every child's garbage collector walks over, and so copies, all that was imported
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen(64)
        print("ready", flush=True)
        _serve(listener, sys.stdin.fileno())


def _import_everything() -> None:
    """By name, for nothing here uses them; a worker that imports one more on its own is slower, not wrong."""
    for name in EVERYTHING:
        importlib.import_module(name)


def _serve(listener: socket.socket, stdin: int) -> None:
    import select

    while True:
        ready, _, _ = select.select([listener.fileno(), stdin], [], [])
        if stdin in ready:
            return
        line, _ = listener.accept()
        with line:
            asked = line.makefile().readline()
            if not asked:  # a test that was cut short before it could ask
                continue
            question = json.loads(asked)
            answer = _reap(question["poll"]) if "poll" in question else _forked(question, listener, line)
            line.sendall(json.dumps(answer).encode() + b"\n")


def _reap(pid: int) -> dict[str, int | None]:
    with contextlib.suppress(ChildProcessError):
        found, status = os.waitpid(pid, os.WNOHANG)
        return {"status": os.waitstatus_to_exitcode(status) if found else None}
    return {"status": None}


def _forked(question: dict[str, Any], *inherited: socket.socket) -> dict[str, int]:
    pid = os.fork()
    if pid:
        return {"pid": pid}
    for one in inherited:
        one.close()
    _become(question)
    return {}


def _become(question: dict[str, Any]) -> None:
    """The child: its own session, files, environment and arguments; never returns."""
    os.setsid()
    log = os.open(question["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(question["env"])
    os.chdir(question["cwd"])
    for name, value in question["constants"].items():
        place, _, constant = name.rpartition(".")
        setattr(pkgutil.resolve_name(place), constant, value)
    module, *arguments = question["command"]
    sys.argv = [module, *arguments]
    status = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        _end(status)


def _end(status: int) -> None:
    """As an interpreter ends: other threads are joined, exit handlers run, files are flushed."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter itself calls first
        atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
