"""A PostgreSQL server of a test's own, in a temporary folder: it may be restarted without disturbing anybody.

Made from the server's programs where they are installed; as root they run as the user `postgres`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rig.databases import Service
from rig.servers import own_server

PROGRAMS = Service("PostgreSQL's server programs", "TEST_RESTART_POSTGRES", "", "apt-get install postgresql")
"""Without them the command in the variable restarts the server that the other tests use."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    folder: Path
    port: int
    connections: int = 100
    durable: bool = True
    """As in production; else only a power cut would show it, and the disk has rest. Nor does the server then make
    statistics by itself, which would change plans in the middle of a test.
    """

    @property
    def url(self) -> str:
        """Its database."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """Its first process, of which all others are children."""
        return int((self.folder / "data/postmaster.pid").read_text(encoding="ascii").split()[0])

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        options += "" if self.durable else " -c fsync=off -c autovacuum=off"
        options += f" -c max_connections={self.connections}"
        self._control("start", "-o", options, "-l", str(self.folder / "log"))

    def restart(self) -> None:
        """Cuts every connection and starts it again."""
        self._control("restart", "-m", "fast", "-l", str(self.folder / "log"))

    def stop(self) -> None:
        """Ends it at once; its folder goes too."""
        self._control("stop", "-m", "immediate")

    def _control(self, *words: str) -> None:
        _run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", f"{own_server.START_S:.0f}", *words)


@cache
def found() -> bool:
    """Whether this machine has the programs, and a user who may run them."""
    return _programs() is not None and (os.geteuid() != 0 or _account() is not None)


@contextmanager
def running(connections: int = 100, *, durable: bool = True) -> Iterator[Server]:
    """A fresh server on a free port; gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="worker-pg-"))  # pytest's own folders are closed to other users
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        trusting = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        _run("initdb", "-D", str(folder / "data"), *trusting)
        server = Server(folder, own_server.free_port(), connections, durable)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(program: str, *words: str) -> None:
    folder = _programs()
    assert folder is not None
    as_user = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
    # No pipes: the server would inherit them, and nobody would ever see their end.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            [*as_user, str(folder / program), *words], cwd="/", stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        said.seek(0)
        assert done.returncode == 0, said.read().decode(errors="replace")


def _programs() -> Path | None:
    wanted = ("initdb", "pg_ctl", "postgres")
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    newest = sorted(folders, key=lambda folder: float(folder.parent.name), reverse=True)
    folder = (own_server.program("initdb", usual=newest) or Path("/nowhere/none")).parent
    return folder if all((folder / name).exists() for name in wanted) else None


def _account() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres") if shutil.which("runuser") else None
    except KeyError:
        return None
