"""What every process of a peer is told, as one JSON argument, and how it waits for its end."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Told:
    """To lay work ready, or to do it until SIGTERM."""

    command: Literal["publish", "work"]
    store: str
    """Where the work waits: a broker's URL, or a database's."""
    vendor: str
    threads: int
    jobs: int
    how: str
    """The variant, in the peer's own words."""

    def line(self, module: str) -> list[str]:
        """The command line of such a process."""
        return [module, json.dumps(asdict(self))]


def told(argv: Sequence[str]) -> Told:
    """What this process is told."""
    (document,) = argv
    return Told(**json.loads(document))


def until_sigterm() -> None:
    """Waits for it in the main thread."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.sigwait({signal.SIGTERM})
