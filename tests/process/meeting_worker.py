"""A worker that marks together with another one: `python -m tests.process.meeting_worker FOLDER THREADS`; tests only.

While the folder holds `armed`, the first part a process is about to mark waits until a second process is there too.
Each leaves a file of its own, so that a test can tell that they met.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from rig.names import own_name
from rig.stack import until
from worker.config.settings import load_settings
from worker.service.celery_app import make_app, start_worker
from worker.service.lifecycle import Replacements

PROCESSES = 2


def meeting(folder: Path) -> Callable[[str], None]:
    """A probe that holds this process's first mark until both processes hold one."""
    mine = folder / f"{os.getpid()}.here"

    def probe(reached: str) -> None:
        if reached == "before_mark" and (folder / "armed").exists() and not mine.exists():
            mine.touch()
            until(lambda: len(list(folder.glob("*.here"))) == PROCESSES, "two processes are about to mark")

    return probe


if __name__ == "__main__":
    hooks = Replacements(probe=meeting(Path(sys.argv[1])))
    app = make_app(load_settings(), hooks)
    sys.exit(start_worker(app, threads=int(sys.argv[2]), hostname=own_name(), without_mingle=True))
