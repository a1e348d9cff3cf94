"""Runs a command where no commit waits for the disk: `python -m rig.servers.quick COMMAND`.

PostgreSQL and MariaDB of its own, where their programs are and the environment names no other, and temporary folders in
memory, where there is much, for the files of SQLite; gone when it ends. Tests commit thousands of times, and on a
machine's own servers and disk that is most of what they wait for.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from rig.databases import MARIADB, POSTGRES
from rig.memory import leave_the_disk
from rig.servers import own_mariadb, own_postgres

CONNECTIONS = 400
"""Two dozen workers at a time, and those that watch them: more than a server has by default."""


def main(command: Sequence[str]) -> int:
    """The command's exit status."""
    with ExitStack() as scope:
        leave_the_disk(scope)
        return subprocess.call(command, env={**os.environ, **start(scope)})


def start(scope: ExitStack) -> dict[str, str]:
    """Starts both at once; by the variable's name, where each answers."""
    wanted = [
        (service.variable, own.running(CONNECTIONS, durable=False))
        for service, own in ((POSTGRES, own_postgres), (MARIADB, own_mariadb))
        if service.variable not in os.environ and own.found()
    ]
    with ThreadPoolExecutor() as pool:
        started = [(variable, pool.submit(scope.enter_context, server)) for variable, server in wanted]
    return {variable: future.result().url for variable, future in started}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
