"""A worker that kills itself: `python -m tests.process.crash_worker LABEL N [THREADS]`; tests only.

SIGKILL at the n-th time the labelled step is reached, by whatever thread reaches it. Label `none` never kills.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

from worker.config.settings import load_settings
from worker.delivery.transport import RequestsTransport
from worker.service.celery_app import make_app, start_worker
from worker.service.engine_room import Hooks


def killer(label: str, count: int) -> Callable[[str], None]:
    """A probe that ends this process at the n-th occurrence of a label."""
    guard, seen = threading.Lock(), 0

    def probe(reached: str) -> None:
        nonlocal seen
        if reached != label:
            return
        with guard:
            seen += 1
            if seen == count:
                os.kill(os.getpid(), signal.SIGKILL)

    return probe


def main(label: str, count: int, threads: int) -> int:
    """Runs the worker until it is dead."""
    probe = killer(label, count)
    hooks = Hooks(probe=probe, transport=lambda: RequestsTransport(probe=probe))
    return start_worker(make_app(load_settings(), hooks), threads=threads, without_mingle=True, without_gossip=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
