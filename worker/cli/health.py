"""`worker health`: whether the worker processes of a host are healthy, by their own rows; probes read its exit status.

A database that cannot be asked says nothing against a process: that is status 0, because a restart would not help. What
stands still is unhealthy, too; with `--live` it is left out, for a probe that restarts.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from worker.cli.options import Commands, Json, echo
from worker.cli.times import zone
from worker.config.settings import load_settings
from worker.control.opening import open_database
from worker.domain.errors import RetryTransaction
from worker.outbox.engine.database import Database
from worker.outbox.lanes.processes import Process, check_writable, processes_of_host
from worker.reporting.problems import standstills
from worker.reporting.standstill import find_standstills

app = Commands()

WRITES_S = 10.0
"""Seconds within which a database takes a row; a probe is given 30."""
SLACK_S = 5.0
"""Seconds by which a clock that was set may be off."""
PATIENCE_S = 4.0
"""Seconds for which a late heartbeat is read again; a heartbeat comes every 3 s, and at once after an outage."""
LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class HostHealth:
    """Whether the processes of a host are healthy."""

    healthy: bool
    text: str
    late: bool = False
    """A heartbeat is missing, which may come in a moment."""


@app.command()
def health(
    pid: Annotated[int | None, typer.Option(min=1, help="Only the process with this number.")] = None,
    host: Annotated[str | None, typer.Option(help="Whose processes; by default this host's.")] = None,
    live: Annotated[bool, typer.Option(help="Only what a restart would mend, for a liveness probe.")] = False,
    as_json: Json = False,
) -> None:
    """Whether this host's workers run and what is due moves; exit status 1 if not, and why."""
    verdict = host_health(host, pid, live=live)
    echo(json.dumps({"healthy": verdict.healthy, "text": verdict.text}) if as_json else verdict.text)
    raise typer.Exit(0 if verdict.healthy else 1)


def host_health(
    host: str | None,
    pid: int | None,
    *,
    live: bool = False,
    pause: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> HostHealth:
    """Judges the processes of a host (None: this one), and without `live` what stands still."""
    settings = load_settings()
    try:
        with open_database(settings) as database:
            verdict = _of_processes(database, own_host() if host is None else host, pid, pause, monotonic)
            if verdict.healthy and not live:
                verdict = _of_standstills(database) or verdict
            return verdict
    except (SQLAlchemyError, RetryTransaction) as error:
        away = f"the database cannot be read ({type(error).__name__})"
        return HostHealth(True, f"not known: {away}, and a restart of the worker would not help")


def own_host() -> str:
    """The name under which the processes of this host write their rows."""
    return socket.gethostname()[:100]


def judge(rows: Sequence[Process], host: str, pid: int | None, age_of: Callable[[int], float | None]) -> HostHealth:
    """Judges the processes of a host, or the one of them with this number, by their rows in the order of their starts.

    `age_of`: for how many seconds the host's process with a number has run; None where there is none.
    """
    # The newest row of each number: a process that was cut off goes on under a new one, and the old one lapses.
    newest = {row.pid: row for row in rows if pid in (None, row.pid)}
    mine = [row for row in newest.values() if _counts(row, age_of(row.pid))]
    if not mine:
        number = "" if pid is None else f" with the process id {pid}"
        return HostHealth(False, f"unhealthy: no worker process on {host}{number} has a heartbeat", late=True)
    wrong = [f"worker {host} {row.pid}: {sentence}" for row in mine if row.fresh for sentence in row.health.problems]
    late = [f"worker {host} {row.pid}: its heartbeat is late" for row in mine if not row.fresh]
    if wrong or late:
        return HostHealth(False, f"unhealthy: {'; '.join([*wrong, *late])}", late=not wrong)
    return HostHealth(True, f"healthy: {', '.join(f'worker {host} {row.pid}' for row in mine)}")


def _counts(row: Process, age_s: float | None) -> bool:
    """Returns False for the row of a process that does not exist any more."""
    if age_s is None:
        # Without a heartbeat as well: it was killed, and its row ends in a moment.
        return row.fresh
    # A younger process has the number of the one that wrote the row, as in a container that was started again.
    return age_s > row.age_s - SLACK_S


def _of_processes(
    database: Database, host: str, pid: int | None, pause: Callable[[float], None], monotonic: Callable[[], float]
) -> HostHealth:
    """Judges by the rows, and again for a while when a heartbeat is late; raises what the database raises."""
    until = monotonic() + PATIENCE_S
    while (verdict := _read(database, host, pid)).late and monotonic() < until:
        pause(LOOK_S)
    # Else a database that can be read but takes no writes would have every process restarted.
    if verdict.late and not _takes_writes(database):
        return HostHealth(True, "not known: the database takes no writes, and a restart of the worker would not help")
    return verdict


def _read(database: Database, host: str, pid: int | None) -> HostHealth:
    with database.reading() as connection:
        rows = processes_of_host(connection, database.now, host)
    if host == own_host():
        return judge(rows, host, pid, _age_of)
    # The processes of another host cannot be looked for.
    alive = [row for row in rows if not row.ended]
    return judge(alive, host, pid, lambda number: float("inf"))


def _takes_writes(database: Database) -> bool:
    """Whether the database takes a row soon; raises what it raises when it refuses one."""
    errors: list[Exception] = []

    def write() -> None:
        try:
            database.run(check_writable, tries=1)
        except Exception as error:  # noqa: BLE001  handed to the thread that waits
            errors.append(error)

    # In a thread that may be left behind: a disk that hangs lets no commit end.
    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(WRITES_S)
    if errors:
        raise errors[0]
    return not thread.is_alive()


def _of_standstills(database: Database) -> HostHealth | None:
    """What parts stand still, whatever the cause: no message of theirs goes out. None if none does."""
    with database.reading() as connection:
        problems = standstills(find_standstills(connection, database.now))
    told = ". ".join(f"{problem.subject}: {problem.sentence(zone())}" for problem in problems)
    return HostHealth(False, f"standing still: {told}") if problems else None


def _age_of(pid: int) -> float | None:
    """For how many seconds the process with this number has run: for ever where the system does not say it."""
    try:
        with suppress(PermissionError):  # another user's process is there, too
            os.kill(pid, 0)
    except OSError:
        return None
    try:
        # Behind the name, which may hold blanks: field 22 of proc(5), in ticks since the machine's start.
        started = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return float("inf")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
