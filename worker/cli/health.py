"""`worker health`: checks the worker processes of a host by their rows in the database. Probes use its exit status.

If the database cannot be read, the status is 0, because a restart of the worker would not help. Due parts that stand
still are unhealthy, too, but not with `--live`, which is for probes that restart the process.
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
from worker.outbox.engine import migrate
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.database import Database
from worker.outbox.engine.error_text import description_of
from worker.outbox.lanes.lanes import count_lane_events
from worker.outbox.lanes.processes import Process, check_writable, processes_of_host
from worker.reporting.problems import LANE_EVENTS_S, set_aside, standstills
from worker.reporting.standstill import find_standstills

app = Commands()

WRITES_S = 10.0
"""Seconds within which the database has to accept a row; a probe usually has 30."""
SLACK_S = 5.0
"""Seconds by which a process's age may differ from that in its row, for example because a clock was set."""
PATIENCE_S = 4.0
"""Seconds for which a late heartbeat is awaited. A process writes one every 3 s, and at once after an outage."""
POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class HostHealth:
    """Whether the processes of a host are healthy."""

    healthy: bool
    text: str
    late: bool = False
    """Whether only a heartbeat is missing, which may come in a moment."""


@app.command()
def health(
    pid: Annotated[int | None, typer.Option(min=1, help="Only the process with this number.")] = None,
    host: Annotated[str | None, typer.Option(help="Whose processes; by default this host's.")] = None,
    live: Annotated[bool, typer.Option(help="Only what a restart would mend, for a liveness probe.")] = False,
    as_json: Json = False,
) -> None:
    """Checks whether this host's workers run and what is due moves; exit status 1 if not, and why."""
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
    """Checks the processes of a host (None for this one), and without `live` also for parts that stand still."""
    settings = load_settings()
    try:
        with open_database(settings) as database:
            with database.reading() as connection:
                refusal = None if migrate.can_upgrade(connection) else migrate.refusal_of(connection)
            if refusal is not None:
                return HostHealth(live, f"{refusal}")
            verdict = _check_processes(database, own_host() if host is None else host, pid, pause, monotonic)
            if verdict.healthy and not live:
                verdict = _check_standstills(database) or _with_faults(database, verdict)
            return verdict
    except (SQLAlchemyError, RetryTransaction) as error:
        away = f"the database cannot be read ({reason_of(error)})"
        return HostHealth(True, f"not known: {away}, and a restart of the worker would not help")


def write_error(database: Database) -> Exception | None:
    """Writes an empty row. Returns the database's error, or None if it accepted the row within `WRITES_S`."""
    errors: list[Exception | None] = []

    def write() -> None:
        try:
            database.run(check_writable, tries=1)
            errors.append(None)
        except Exception as error:  # noqa: BLE001  handed to the thread that waits
            errors.append(error)

    # In a thread that this process need not wait for, because a commit to a hanging disk never ends.
    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(WRITES_S)
    return errors[0] if errors else TimeoutError()


def reason_of(error: Exception) -> str:
    """Returns what is wrong with the database. `write_error` may also have found that it takes too long."""
    return f"no row was stored within {WRITES_S:.0f} s" if isinstance(error, TimeoutError) else description_of(error)


def own_host() -> str:
    """Returns the name under which the processes of this host write their rows."""
    return socket.gethostname()[:100]


def evaluate(rows: Sequence[Process], host: str, pid: int | None, age_of: Callable[[int], float | None]) -> HostHealth:
    """Checks the processes of a host, or only the one with this process id, by their rows, the oldest first.

    `age_of` returns how many seconds the process with an id has run, or None if there is no such process.
    """
    # Only the newest row of each process id: a process that could not renew its lease continues with a new row.
    newest = {row.pid: row for row in rows if pid in (None, row.pid)}
    current = [row for row in newest.values() if _is_current(row, age_of(row.pid))]
    if not current:
        number = "" if pid is None else f" with the process id {pid}"
        return HostHealth(False, f"unhealthy: no worker process on {host}{number} has a heartbeat", late=True)
    problems = [
        f"worker {host} {row.pid}: {sentence}" for row in current if row.fresh for sentence in row.health.problems
    ]
    late = ", ".join(f"worker {host} {row.pid}" for row in current if not row.fresh)
    if problems or late:
        texts = [*problems, *([f"no fresh heartbeat: {late}"] if late else [])]
        return HostHealth(False, f"unhealthy: {'; '.join(texts)}", late=not problems)
    return HostHealth(True, f"healthy: {', '.join(f'worker {host} {row.pid}' for row in current)}")


def _is_current(row: Process, age_s: float | None) -> bool:
    """Returns False for the row of a process that does not exist any more."""
    if age_s is None:
        # There is no such process. Without a fresh heartbeat it was killed, and its row ends in a moment.
        return row.fresh
    # A younger process has the id of the process that wrote the row, as in a container that was started again.
    return age_s > row.age_s - SLACK_S


def _check_processes(
    database: Database, host: str, pid: int | None, pause: Callable[[float], None], monotonic: Callable[[], float]
) -> HostHealth:
    """Checks the rows, and checks again for a while if a heartbeat is late; raises what the database raises."""
    until = monotonic() + PATIENCE_S
    while (verdict := _read(database, host, pid)).late and monotonic() < until:
        pause(POLL_S)
    # A database that can be read but not written must not cause a restart of every process.
    if verdict.late and (error := write_error(database)):
        away = f"the database takes no writes ({reason_of(error)})"
        return HostHealth(True, f"not known: {away}, and a restart of the worker would not help")
    return verdict


def _read(database: Database, host: str, pid: int | None) -> HostHealth:
    with database.reading() as connection:
        rows = processes_of_host(connection, database.now, host)
    if host == own_host():
        return evaluate(rows, host, pid, _age_of)
    # The processes of another host cannot be looked up by their ids.
    alive = [row for row in rows if not row.ended]
    return evaluate(alive, host, pid, lambda number: float("inf"))


def _check_standstills(database: Database) -> HostHealth | None:
    """Returns which parts stand still, whatever the cause, or None if none do."""
    with database.reading() as connection:
        problems = standstills(find_standstills(connection, database.now))
    text = ". ".join(f"{problem.subject}: {problem.sentence(zone())}" for problem in problems)
    return HostHealth(False, f"standing still: {text}") if problems else None


def _with_faults(database: Database, verdict: HostHealth) -> HostHealth:
    """Adds what was set aside because of an error of this program. The workers are healthy all the same."""
    with database.reading() as connection:
        since = database.read_now() - LANE_EVENTS_S * SECOND
        problems = set_aside(*count_lane_events(connection, since))
    sentences = [verdict.text, *(f"{problem.subject}: {problem.sentence(zone())}" for problem in problems)]
    return HostHealth(True, ". ".join(sentences))


def _age_of(pid: int) -> float | None:
    """Returns how many seconds the process with this id has run, infinity if unknown, or None if there is none."""
    try:
        with suppress(PermissionError):  # another user's process is there, too
            os.kill(pid, 0)
    except OSError:
        return None
    try:
        # Fields 3 and 22 of proc(5), the second in ticks since boot. Counted after the name, which may contain blanks.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        if fields[0] == "Z":  # it has ended, and its parent has not looked
            return None
        started = int(fields[19])
    except (OSError, ValueError, IndexError):
        return float("inf")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
