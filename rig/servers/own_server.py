"""Servers of a test's own, in a temporary folder: they may be restarted and emptied without disturbing anybody.

As root a server's programs run as the user its package made. `TEST_PROGRAMS` names folders, separated like those of
PATH, in which they are looked for first: another version of a server is tried that way.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from rig import databases
from rig.databases import Service
from rig.stack import until

GIVEN_TO_NOBODY = (20_000, 32_000)
"""Below the ports that the system gives to connections by itself, from 32,768 on."""
START_S = 600.0
"""A server that starts beside a dozen busy workers gets a tenth of a processor."""


def program(*names: str, usual: Sequence[Path] = ()) -> Path | None:
    """Where the first of these programs is: in the folders of `TEST_PROGRAMS`, else in the usual ones, else on PATH."""
    places = [os.environ.get("TEST_PROGRAMS", ""), *map(str, usual), os.environ.get("PATH", "")]
    found = (shutil.which(name, path=os.pathsep.join(filter(None, places))) for name in names)
    return next((Path(path) for path in found if path), None)


class Server(Protocol):
    """A running server."""

    @property
    def url(self) -> str:
        """Where it answers."""
        ...

    def restart(self) -> None:
        """Cuts every connection and starts it again; what it keeps on disk stays."""
        ...


@contextmanager
def folder(name: str, user: str) -> Iterator[Path]:
    """A folder that the server's user may enter; pytest's own are closed to others."""
    made = Path(tempfile.mkdtemp(prefix=f"worker-{name}-"))
    try:
        _give(made, user)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def make_folder(path: Path, user: str) -> None:
    """A folder of the server's user."""
    path.mkdir()
    _give(path, user)


def _give(path: Path, user: str) -> None:
    if os.geteuid() == 0:
        shutil.chown(path, user)


def can_be(user: str) -> bool:
    """Whether a command can run as this user; one who is not root runs everything as himself."""
    if os.geteuid() != 0:
        return True
    try:
        return bool(pwd.getpwnam(user))
    except KeyError:
        return False


def _becoming(user: str) -> dict[str, Any]:
    """Popen's own way: runuser would stand between us and a server's signals, and kill it after two seconds."""
    if os.geteuid() != 0:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def run(user: str, *command: str, env: Mapping[str, str] | None = None) -> str:
    """Runs a command to its end and returns what it said; fails with that."""
    # No pipes: a server it starts would inherit them, and nobody would ever see their end.
    with tempfile.TemporaryFile() as said:
        nothing = subprocess.DEVNULL
        done = subprocess.run(command, cwd="/", stdin=nothing, stdout=said, stderr=said, env=env, **_becoming(user))
        said.seek(0)
        told = said.read().decode(errors="replace")
    assert done.returncode == 0, told
    return told


class Process:
    """A server's process that is started, ended and started again with the same command."""

    def __init__(
        self, user: str, command: tuple[str, ...], log: Path, answers: Callable[[], Any], env: Mapping[str, str]
    ):
        self._user, self._command, self._log, self._answers, self._env = user, command, log, answers, env
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._running
        return self._running.pid

    def start(self) -> None:
        """Waits until it answers."""
        with self._log.open("ab") as log:
            self._running = subprocess.Popen(
                self._command,
                cwd="/",
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **_becoming(self._user),
            )
        until(self._has_answered, f"{self._command[0]} answers", START_S, told=self._said)

    def end(self) -> None:
        """A clean end, then waits for it."""
        if self._running:
            self._running.terminate()
            self._running.wait(START_S)

    def kill(self) -> None:
        """An end without a word, then waits for it."""
        if self._running:
            self._running.kill()
            self._running.wait(START_S)

    def _has_answered(self) -> bool:
        assert self._running
        assert self._running.poll() is None, self._said()
        return bool(self._answers())

    def _said(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(errors="replace")[-3000:]


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port nobody listens on, and that no connection of others is given while a server takes seconds to start."""
    while True:
        port = random.randint(*GIVEN_TO_NOBODY)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


def need(programs: Service, *, found: bool) -> None:
    """Skips the test, or fails it under REQUIRE_SERVICES=1."""
    if not found:
        databases.lack(programs, f"this machine has no {programs.name} to make a server of our own")
