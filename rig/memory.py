"""Runs a command whose temporary folders lie in memory, where there is much: `python -m rig.memory COMMAND`.

Tests make thousands of SQLite files, and each close of one waits for the disk.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

MEMORY, ROOM_BYTES = Path("/dev/shm"), 8 << 30


def leave_the_disk(scope: ExitStack) -> None:
    """Has temporary folders of this process and of those that it starts lie in memory, unless TMPDIR says where."""
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
        folder = scope.enter_context(tempfile.TemporaryDirectory(prefix="worker-", dir=MEMORY))
        Path(folder).chmod(0o1777)  # like /tmp: a server may run as another user
        os.environ["TMPDIR"] = folder


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as scope:
        leave_the_disk(scope)
        sys.exit(subprocess.call(sys.argv[1:]))
