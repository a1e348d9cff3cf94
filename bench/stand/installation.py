"""An installation of a bench's own: a database with tables, a broker, a fake vendor, and its work laid ready."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from rig.stack import Stack, Vendor
from rig.stacks import broker_of, migrated
from worker import NewJob, enqueue_many

AT_ONCE = 1_000


@contextmanager
def installation(
    name: str, kind: str, folder: Path, vendor: Vendor, *, broker: str = "", **settings: Any
) -> Iterator[Stack]:
    """One on a stack of this kind, whose workers have not started; on another broker than the stack's if given one."""
    with (
        migrated(kind, f"bench_{name}_{os.getpid()}", folder) as url,
        closing(Stack(folder / "stack", url, broker or broker_of(kind), vendor, **settings)) as stack,
    ):
        yield stack


def lay_ready(stack: Stack, jobs: Iterable[NewJob]) -> None:
    """All of these wait, in transactions of a thousand."""
    rest = iter(jobs)
    while new := list(islice(rest, AT_ONCE)):
        with stack.database.writing() as connection:
            enqueue_many(connection, new, accounts=stack.accounts)


def start_with_windows(stack: Stack, processes: int, threads: int, windows: Mapping[str, int]) -> list[Any]:
    """Worker processes for which these limits have other windows, in seconds."""
    given = [f"{limit}={seconds}" for limit, seconds in windows.items()]
    return [stack.process("bench.stand.windows_worker", str(threads), *given) for _ in range(processes)]
