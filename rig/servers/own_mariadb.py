"""A MariaDB server of a test's own, durable as in production unless said otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rig.databases import Service
from rig.servers import own_server

PROGRAMS = Service("MariaDB's server programs", "PATH", "", "apt-get install mariadb-server")
USER = "mysql"


@dataclass(frozen=True)
class MariaDB:
    """A running server."""

    port: int
    process: own_server.Process

    @property
    def url(self) -> str:
        """Its database, without TLS: PyMySQL would read the system's certificates for every connection."""
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/worker?ssl_disabled=true"

    def restart(self) -> None:
        """Cuts every connection and starts it again."""
        self.process.end()
        self.process.start()


@contextmanager
def running(
    connections: int = 151, *, durable: bool = True, options: Callable[[Path], tuple[str, ...]] = lambda folder: ()
) -> Iterator[MariaDB]:
    """A fresh server on a free port; gone at the end. `options` are more of its own, made for its folder."""
    own_server.need(PROGRAMS, found=found())
    port = own_server.free_port()
    with own_server.folder("mariadb", USER) as folder:
        process = own_server.Process(
            USER,
            (*_command(folder, port, connections, durable), *options(folder)),
            folder / "out",
            lambda: own_server.listens(port),
            os.environ,
        )
        own_server.make_folder(folder / "tmp", USER)
        install = ("--no-defaults", f"--datadir={folder}/data", _tmpdir(folder), "--skip-test-db")
        as_root = "--auth-root-authentication-method=normal"
        own_server.run(USER, str(own_server.program("mariadb-install-db")), *install, as_root)
        (folder / "init.sql").write_text("create database if not exists worker;\n", encoding="utf-8")
        process.start()
        try:
            yield MariaDB(port, process)
        finally:
            process.end()


def found() -> bool:
    """Whether this machine has the programs, and a user who may run them."""
    programs = own_server.program("mariadb-install-db") and own_server.program("mariadbd")
    return bool(programs) and own_server.can_be(USER)


def _command(folder: Path, port: int, connections: int, durable: bool) -> tuple[str, ...]:
    return (
        str(own_server.program("mariadbd")),
        "--no-defaults",
        f"--datadir={folder}/data",
        _tmpdir(folder),
        f"--socket={folder}/socket",
        f"--pid-file={folder}/pid",
        f"--init-file={folder}/init.sql",
        f"--port={port}",
        f"--max-connections={connections}",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        f"--innodb-flush-log-at-trx-commit={int(durable)}",
    )


def _tmpdir(folder: Path) -> str:
    """A folder for the temporary tables of this server alone.

    A server that starts deletes what it takes for temporary tables left there, and one that is using them crashes (seen
    with 10.11.19, in ha_maria::drop_table).
    """
    return f"--tmpdir={folder}/tmp"
