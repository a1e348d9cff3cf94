"""Writes down what a meter has counted so far, line by line."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

EVERY_S = 0.5
"""Seconds between two lines."""


class Counted(Protocol):
    """A meter."""

    def table(self) -> dict[str, dict[str, Any]]:
        """What it has counted so far, by kind of thread."""


@contextmanager
def written_down(meter: Counted, path: str) -> Iterator[None]:
    """Adds a line every half second, until the end of the block."""
    ended = threading.Event()

    def write() -> None:
        with open(path, "a", encoding="utf-8") as file:
            while not ended.wait(EVERY_S):
                file.write(json.dumps(meter.table()) + "\n")
                file.flush()

    clerk = threading.Thread(target=write, name="profile")
    clerk.start()
    try:
        yield
    finally:
        ended.set()
        clerk.join()
