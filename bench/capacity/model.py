"""What an installation needs, as formulas: docs/performance.md shows the constants, `bench capacity` measures them.

Disk is of a job with one part, one recipient and a short text. CPU is of one machine, which docs/performance.md names.
Knows no database and no process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["postgres", "mariadb", "sqlite"]
TOLERANCE = {"disk": 0.35, "memory": 0.2, "CPU": 0.5}
"""How far a figure may be from the formula, as a share of it. Connections and CPU are bounds, and may be less."""
TERMS = 7
"""Of a job with one recipient and two tags; the bench counts them."""


@dataclass(frozen=True, slots=True)
class PerJob:
    """Bytes on disk and seconds of a processor."""

    job: int
    """Job, part and receipt with their indexes: as long as `jobs_days`."""
    term: int
    """Each term by which an ended job is found, see TERMS: as long as the job."""
    attempt: int
    """As long as `attempts_days`."""
    body: int
    """The frozen bytes, and the row of the duplicate check: for a day."""
    worker_cpu: float
    """Of the worker process, for 1,000 jobs."""
    server_cpu: float
    """Of database and broker, for 1,000 jobs."""


PER_JOB: Mapping[Kind, PerJob] = {
    "postgres": PerJob(2_250, 200, 260, 750, 0.65, 0.3),
    "mariadb": PerJob(1_300, 165, 165, 600, 0.85, 0.4),
    "sqlite": PerJob(810, 160, 170, 600, 0.9, 0.0),
}
BASE_MIB, THREAD_MIB = 149, 0.25
"""Of a worker process: alone, and for a thread."""
MORE_MIB = 8
"""That 300 accounts which send, or 10,000 lanes with a bound, add at most; runs of one kind differ by as much."""


def disk_gb(kind: Kind, jobs_a_day: float, *, jobs_days: float, attempts_days: float, terms: int = TERMS) -> float:
    """Gigabytes (10^9 bytes) that stay, one attempt a job."""
    each = PER_JOB[kind]
    kept = (each.job + terms * each.term) * jobs_days + each.attempt * min(attempts_days, jobs_days)
    return jobs_a_day * (kept + each.body) / 1e9


def cores(kind: Kind, jobs_a_second: float) -> tuple[float, float]:
    """Processors kept busy by the workers, and by the servers."""
    each = PER_JOB[kind]
    return jobs_a_second * each.worker_cpu / 1000, jobs_a_second * each.server_cpu / 1000


def memory_mib(threads: int) -> float:
    """Of one worker process."""
    return BASE_MIB + threads * THREAD_MIB


def connections(kind: Kind, threads: int) -> int:
    """That one worker process keeps open at most, when there is no rush."""
    # MariaDB's reads have a pool of their own.
    return (threads + 8) * (2 if kind == "mariadb" else 1)
