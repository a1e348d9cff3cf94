"""CPU seconds out of /proc: of one process, of the database and broker servers on this machine, of the whole machine.

PostgreSQL's backends count only when they serve the run's own database; what it does for everybody (WAL, checkpoints,
vacuum) counts whole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SERVERS = ("postgres", "redis-server", "mariadbd", "beam.smp")
_TICKS = os.sysconf("SC_CLK_TCK")
_CLIENT = re.compile(r"\(\d+\) ")


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds used so far."""

    worker: float
    servers: float
    vendor: float
    machine: float

    def since(self, earlier: Cpu) -> Cpu:
        """What was used in between."""
        return Cpu(
            self.worker - earlier.worker,
            self.servers - earlier.servers,
            self.vendor - earlier.vendor,
            self.machine - earlier.machine,
        )

    @property
    def others(self) -> float:
        """Everybody else on the machine: the event counter, the bench, and what disturbs it."""
        return max(0.0, self.machine - self.worker - self.servers - self.vendor)


def cpu(workers: Iterable[int], vendor: int, database: str) -> Cpu:
    """The clocks as they stand: processes by their ids, and the run's database ("" for none)."""
    ids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return Cpu(
        sum(map(_seconds, workers)),
        sum(_seconds(process) for process in ids if _serves(process, database)),
        _seconds(vendor),
        machine_seconds(),
    )


def tree_seconds(root: int) -> float:
    """CPU seconds of a process, of its children, and of those children that have ended."""
    children = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    own = sum(map(_seconds, (child for child in children if _parent(child) == root)))
    return own + _seconds(root) + _seconds(root, ended_children=True)


def _serves(process: int, database: str) -> bool:
    """True for the servers' processes, other databases' backends left out."""
    if _read(process, "comm").strip() not in SERVERS:
        return False
    title = _read(process, "cmdline").replace("\0", " ")  # postgres: 15/main: USER DATABASE 127.0.0.1(40318) idle
    return not _CLIENT.search(title) or (bool(database) and f" {database} " in title)


def _seconds(process: int, *, ended_children: bool = False) -> float:
    """User and system time of a process, or of those it has waited for; nothing for one that is gone."""
    times = slice(13, 15) if ended_children else slice(11, 13)
    return sum(int(ticks) for ticks in _stat(process)[times]) / _TICKS


def _parent(process: int) -> int:
    return int((_stat(process) or ["", "0"])[1])


def _stat(process: int) -> list[str]:
    """The fields behind the name: the state, the parent, and so on; none for a process that is gone."""
    return _read(process, "stat").rpartition(")")[2].split()


def _read(process: int, name: str) -> str:
    try:
        return Path(f"/proc/{process}/{name}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def machine_seconds() -> float:
    """CPU seconds of everything on the machine."""
    user, nice, system, _idle, _iowait, irq, softirq = Path("/proc/stat").read_text().split()[1:8]
    return sum(int(ticks) for ticks in (user, nice, system, irq, softirq)) / _TICKS
