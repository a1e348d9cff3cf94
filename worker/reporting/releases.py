"""Reports the release of each living worker process, and which releases may use the tables now and after an upgrade."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from worker.outbox.engine import migrate
from worker.outbox.engine.migrate import Release
from worker.outbox.lanes.processes import ALL_QUEUES, RunningProcess, running_processes


class Compatibility(StrEnum):
    """How another process' release relates to this release."""

    SAME = "same"
    OTHER = "other"
    """It runs another release that may use the tables, also after this release has upgraded them."""
    REFUSED = "refused"
    """It runs another release that could not start again after this release has upgraded the tables."""


@dataclass(frozen=True, slots=True)
class ReleaseCheck:
    """The tables, this release, and the worker processes that are alive."""

    tables: str | None
    """The tables' revision, or None if there are no tables."""
    usable_from: str | None
    """The oldest revision whose release may use the tables as they are, or None if there are no tables."""
    processes: tuple[RunningProcess, ...]
    release: Release = field(default_factory=migrate.this_release)

    @property
    def is_done(self) -> bool:
        """True if the tables and all processes are at this release: nothing is left to upgrade."""
        return self.tables == self.release.revision and all(map(self._is_same, self.processes))

    @property
    def lets_in_from(self) -> str:
        """The oldest revision whose release may use the tables once they are at this release, or as they are.

        The latter if the tables are newer than this release.
        """
        is_newer = self.usable_from is not None and (self.tables or "") > self.release.revision
        return str(self.usable_from) if is_newer else migrate.head_compatible_from()

    def compatibility(self, process: RunningProcess) -> Compatibility:
        """Returns how a process' release relates to this release."""
        if self._is_same(process):
            return Compatibility.SAME
        # A process that does not say its revision may be as old as the tables allow.
        revision = self.usable_from if process.release is None else process.release.revision
        return Compatibility.REFUSED if (revision or "") < self.lets_in_from else Compatibility.OTHER

    def _is_same(self, process: RunningProcess) -> bool:
        return process.release == self.release

    def lines(self) -> Iterator[str]:
        """Yields lines for people: the tables, this release, each process, and what is left to do."""
        own = self.release
        if self.tables is None:
            yield "there are no tables yet; run `worker db upgrade`"
        else:
            yield f"tables at revision {self.tables}, for releases from revision {self.usable_from} on"
        yield f"this release: {own.version}, revision {own.revision}, with tables for those from {self.lets_in_from} on"
        for process in self.processes:
            queues, runs = _queues_and_release(process)
            text = _TEXTS[self.compatibility(process)]
            yield f"worker {process.host} {process.pid}: {text}; {queues}; {runs}"
        other_count = sum(not self._is_same(process) for process in self.processes)
        yield (
            f"{other_count} of {len(self.processes)} workers run another release"
            if other_count
            else "no worker runs another release"
        )

    def as_json(self) -> dict[str, Any]:
        """Returns the same for programs."""
        return {
            "tables": self.tables,
            "usable_from": self.usable_from,
            "version": self.release.version,
            "revision": self.release.revision,
            "lets_in_from": self.lets_in_from,
            "done": self.is_done,
            "processes": [
                {
                    "host": process.host,
                    "pid": process.pid,
                    "threads": process.threads,
                    "queues": sorted(process.queues),
                    "version": process.release and process.release.version,
                    "revision": process.release and process.release.revision,
                    "compatibility": str(self.compatibility(process)),
                }
                for process in self.processes
            ],
        }


_TEXTS = {
    Compatibility.SAME: "this release",
    Compatibility.OTHER: "another release, which may run beside this one",
    Compatibility.REFUSED: "another release, which could not start again on the tables of this one",
}


def read_releases(connection: Connection, now: str) -> ReleaseCheck:
    """Reads a database's tables and processes. `now` is the SQL expression of its clock.

    Raises ConfigurationError for tables of before 0.1.
    """
    tables = migrate.current(connection)
    if tables is None:
        return ReleaseCheck(None, None, ())
    if (refusal := migrate.made_before(connection)) is not None:
        raise refusal
    return ReleaseCheck(tables, migrate.usable_from(connection), tuple(running_processes(connection, now)))


def process_text(process: RunningProcess) -> str:
    """Returns host, number, queues and release of a process, for people."""
    return f"{process.host} {process.pid} ({'; '.join(_queues_and_release(process))})"


def _queues_and_release(process: RunningProcess) -> tuple[str, str]:
    queues = "all queues" if process.queues >= ALL_QUEUES else ", ".join(sorted(process.queues))
    of = process.release
    return queues, f"{of.version}, revision {of.revision}" if of else "an earlier release, which does not say which"
