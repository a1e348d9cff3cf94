"""A worker that kills or stops itself: `python -m rig.crash.worker LABEL N THREADS [SIGNAL]`; tests only.

SIGKILL (or the signal named) at the n-th time the labelled step is reached, by whatever thread reaches it. Label `none`
never kills.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable

from rig.names import own_name
from worker.config.settings import load_settings
from worker.service.celery_app import make_app, start_worker
from worker.service.lifecycle import Replacements
from worker.transport.http import SocketTransport

STATES = ("after_mark", "before_record", "before_ack")
WIRE = ("first_byte", "request_written", "answer_half", "answer_read")


def killer(label: str, count: int, number: signal.Signals = signal.SIGKILL) -> Callable[[str], None]:
    """A probe that ends or stops this process at the n-th occurrence of a label.

    Steps of the wire count only inside a marked call (fetching a token is none), before_ack only after a record.
    """
    guard, seen, here = threading.Lock(), 0, threading.local()

    def concerns(reached: str) -> bool:
        before, here.last = getattr(here, "last", ""), reached if reached in STATES else getattr(here, "last", "")
        if reached != label:
            return False
        if reached in WIRE:
            return before == "after_mark"
        return reached != "before_ack" or before == "before_record"

    def probe(reached: str) -> None:
        nonlocal seen
        if not concerns(reached):
            return
        with guard:
            seen += 1
            if seen == count:
                # To this very thread: it takes no further step before the signal has done its work.
                signal.pthread_kill(threading.get_ident(), number)

    return probe


def main(label: str, count: int, threads: int, signal_name: str = "KILL") -> int:
    """Runs the worker until it is dead."""
    probe = killer(label, count, signal.Signals[f"SIG{signal_name}"])
    hooks = Replacements(probe=probe, transport=lambda: SocketTransport(probe=probe))
    return start_worker(
        make_app(load_settings(), hooks), threads=threads, hostname=own_name(), without_mingle=True, without_gossip=True
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]))
