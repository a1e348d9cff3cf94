"""What holds while a test uses its outbox: the accounts and the clock of the process, and where its log goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from worker.accounts.current import configured
from worker.outbox.engine.clock import standing_in
from worker_simulator.testing.accounts import Given
from worker_simulator.testing.outbox import KitOutbox


@contextmanager
def opened_outbox(make_folder: Callable[[str], Path], bind: Any, given: Given) -> Iterator[KitOutbox]:
    """The outbox of one test; afterwards the process is as it was before."""
    outbox = KitOutbox(make_folder, bind, given)
    is_ours = not structlog.is_configured()
    if is_ours:
        # So that pytest shows the worker's log with a failed test, and not among what the application prints.
        structlog.configure(logger_factory=structlog.stdlib.LoggerFactory(), processors=[_line])
    try:
        with configured(outbox.accounts), standing_in(outbox.clock.sql):
            yield outbox
    finally:
        outbox.close()
        if is_ours:
            structlog.reset_defaults()


def _line(logger: Any, name: str, event: Any) -> str:
    return " ".join(f"{key}={value}" for key, value in event.items())
