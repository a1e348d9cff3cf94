"""A PgBouncer of a test's own, in front of a PostgreSQL server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from sqlalchemy import make_url
from sqlalchemy.engine import URL

from rig.databases import Service
from rig.servers import own_server

PROGRAMS = Service("PgBouncer", "PATH", "", "apt-get install pgbouncer")
USER = "postgres"
"""It does not run as root."""

Mode = Literal["session", "transaction"]


@contextmanager
def running(url: str, mode: Mode, connections: int) -> Iterator[str]:
    """The database's URL by way of a fresh PgBouncer with so many connections to the server; gone at the end."""
    port, database = own_server.free_port(), make_url(url)
    with own_server.folder("pgbouncer", USER) as folder:
        settings = folder / "pgbouncer.ini"
        settings.write_text(_settings(database, port, mode, connections), encoding="utf-8")
        command = (str(_program()), str(settings))
        process = own_server.Process(USER, command, folder / "out", lambda: own_server.listens(port), os.environ)
        process.start()
        try:
            yield database.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        finally:
            process.end()


def found() -> bool:
    """Whether this machine has the program, and a user who may run it."""
    return _program() is not None and own_server.can_be(USER)


def _program() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


def _settings(database: URL, port: int, mode: Mode, connections: int) -> str:
    password = f" password={database.password}" if database.password else ""
    return (
        f"[databases]\n* = host={database.host} port={database.port or 5432} user={database.username}{password}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = {mode}\nmax_client_conn = 200\ndefault_pool_size = {connections}\n"
    )
