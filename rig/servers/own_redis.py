"""A Redis (or Valkey) server of a test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rig.databases import Service
from rig.servers import own_server

PROGRAMS = Service("Redis's server program", "PATH", "", "apt-get install redis-server")


@dataclass(frozen=True)
class Redis:
    """A running server that keeps nothing on disk."""

    port: int
    process: own_server.Process

    @property
    def url(self) -> str:
        """Its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def restart(self) -> None:
        """Cuts every connection; what it held is gone."""
        self.process.end()
        self.process.start()


@contextmanager
def running() -> Iterator[Redis]:
    """A fresh server on a free port; gone at the end."""
    program = own_server.program("redis-server", "valkey-server")
    own_server.need(PROGRAMS, found=bool(program))
    port = own_server.free_port()
    with own_server.folder("redis", "root") as folder:
        command = (str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder))
        process = own_server.Process("root", command, folder / "log", lambda: own_server.listens(port), os.environ)
        process.start()
        try:
            yield Redis(port, process)
        finally:
            process.end()
